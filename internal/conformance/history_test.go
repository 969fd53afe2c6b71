package conformance

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
)

// release is a version of a program: it has the migrations 1 to newest, each of which creates a table.
type release struct {
	newest   int
	edited   bool // the migration 1 has another Up
	requires int  // the version that the newest migration requires of programs, 0 for none
}

func (r release) texts(v int) (up, down string) {
	up = fmt.Sprintf("CREATE TABLE t%03d (id INTEGER);", v)
	if v == 1 && r.edited {
		up = "CREATE TABLE t001 (id INTEGER, more INTEGER);"
	}
	if v == r.newest && r.requires > 0 {
		up = fmt.Sprintf("-- +gooseplus requires %d\n%s", r.requires, up)
	}
	return up, fmt.Sprintf("DROP TABLE t%03d;", v)
}

func (r release) goose() []gooseplus.Option { return []gooseplus.Option{from(files(r.gooseFiles("")))} }

func (r release) gooseFiles(folder string) map[string]*fstest.MapFile {
	named := make(map[string]*fstest.MapFile)
	for v := 1; v <= r.newest; v++ {
		named[fmt.Sprintf("%s%03d_t.sql", folder, v)] = script(r.texts(v))
	}
	return named
}

// releaseStyles are the ways to write the migrations of a release.
var releaseStyles = map[string]func(release) []gooseplus.Option{
	"goose files": release.goose,
	"pairs": func(r release) []gooseplus.Option {
		named := make(map[string]*fstest.MapFile)
		for v := 1; v <= r.newest; v++ {
			up, down := r.texts(v)
			named[fmt.Sprintf("%03d_t.up.sql", v)], named[fmt.Sprintf("%03d_t.down.sql", v)] = halfOf(up), halfOf(down)
		}
		return []gooseplus.Option{from(files(named))}
	},
	"definitions": func(r release) []gooseplus.Option {
		d := new(gooseplus.Definitions)
		for v := 1; v <= r.newest; v++ {
			up, down := r.texts(v)
			d.Define(int64(v)).Up(up).Down(down)
		}
		return []gooseplus.Option{gooseplus.WithDefinitions(d), from(fstest.MapFS{})}
	},
	"namespaces": func(r release) []gooseplus.Option {
		named := r.gooseFiles("second/")
		named["first/1_f.sql"], named["first/2_g.sql"], named["first/3_h.sql"] = table("f"), table("g"), table("h")
		return []gooseplus.Option{from(namespaced(named)), gooseplus.WithNamespaces("first", "second")}
	},
}

// historyCase is a database and the way in which releases are migrated on it.
type historyCase struct {
	make    func(...gooseplus.Option) *gooseplus.Migrator
	release func(release) []gooseplus.Option
	spaces  bool
	tables  func() []string
}

func (c historyCase) migrator(r release, opts ...gooseplus.Option) (m *gooseplus.Migrator, warnings *[]string) {
	warnings = new([]string)
	var mu sync.Mutex
	watch := gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
		if w, ok := e.(gooseplus.Warning); ok {
			mu.Lock()
			defer mu.Unlock()
			*warnings = append(*warnings, w.Message)
		}
	})
	return c.make(slices.Concat(c.release(r), opts, []gooseplus.Option{watch})...), warnings
}

// one is the Migrator of the migrations of the release alone.
func (c historyCase) one(m *gooseplus.Migrator) *gooseplus.Migrator {
	if c.spaces {
		return m.Namespace("second")
	}
	return m
}

var (
	ignoreEdits, refuseEdits     = gooseplus.WithChecksums(gooseplus.Ignore), gooseplus.WithChecksums(gooseplus.Refuse)
	ignoreUnknown, refuseUnknown = gooseplus.WithUnknownVersions(gooseplus.Ignore), gooseplus.WithUnknownVersions(gooseplus.Refuse)
)

// play plays every policy.
func (c historyCase) play(t *testing.T) {
	t.Helper()
	ctx := context.Background()
	boot := func(r release, warnings []string, opts ...gooseplus.Option) {
		t.Helper()
		m, got := c.migrator(r, opts...)
		if err := m.Migrate(ctx); err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
		if !slices.EqualFunc(*got, warnings, strings.Contains) {
			t.Errorf("%+v: warnings %q, want %q", r, *got, warnings)
		}
	}
	refused := func(r release, want error, opts ...gooseplus.Option) {
		t.Helper()
		before := c.tables()
		m, warnings := c.migrator(r, opts...)
		err := m.Migrate(ctx)
		wantIs(t, err, want)
		wantText(t, err, "Nothing was touched")
		wantIs(t, second(m.Plan(ctx)), want)
		if after := c.tables(); !slices.Equal(before, after) || len(*warnings) > 0 {
			t.Errorf("%+v: tables %q, before %q, warnings %q", r, after, before, *warnings)
		}
	}
	edited := func(r release, want ...int64) {
		t.Helper()
		m, _ := c.migrator(r)
		s, err := c.one(m).Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		for _, x := range s.Migrations {
			if x.Edited {
				got = append(got, x.Version)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("Status: edited %v, want %v", got, want)
		}
	}
	const edit = "applied migrations were edited: 1 ("

	boot(release{newest: 3}, nil)
	boot(release{newest: 3}, nil, refuseEdits, refuseUnknown)
	edited(release{newest: 3})

	boot(release{newest: 3, edited: true}, []string{edit})
	boot(release{newest: 3, edited: true}, nil, ignoreEdits)
	edited(release{newest: 3, edited: true}, 1)
	refused(release{newest: 3, edited: true}, gooseplus.ErrEdited, refuseEdits)
	refused(release{newest: 4, edited: true}, gooseplus.ErrEdited, refuseEdits)
	refused(release{newest: 4, edited: true}, gooseplus.ErrEdited, refuseEdits, ignoreUnknown)

	unknown := "doesn't know: [3]; the program's newest is 2"
	boot(release{newest: 2}, []string{unknown})
	boot(release{newest: 2}, nil, ignoreUnknown)
	boot(release{newest: 2}, nil, ignoreUnknown, refuseEdits)
	refused(release{newest: 2}, gooseplus.ErrUnknownVersion, refuseUnknown)
	refused(release{newest: 2}, gooseplus.ErrUnknownVersion, refuseUnknown, ignoreEdits)
	boot(release{newest: 2, edited: true}, []string{unknown, edit})

	m, _ := c.migrator(release{newest: 3, edited: true}, refuseEdits)
	if err := c.one(m).Accept(ctx, 1); err != nil {
		t.Fatal(err)
	}
	wantText(t, c.one(m).Accept(ctx, 9), "nothing to accept")
	edited(release{newest: 3, edited: true})
	edited(release{newest: 3}, 1)
	boot(release{newest: 4, edited: true}, nil, refuseEdits)
	refused(release{newest: 4}, gooseplus.ErrEdited, refuseEdits)

	boot(release{newest: 5, edited: true, requires: 4}, nil, refuseEdits)
	boot(release{newest: 4, edited: true}, nil, ignoreUnknown, refuseEdits)
	for _, opts := range [][]gooseplus.Option{{ignoreUnknown}, {ignoreUnknown, refuseEdits}} {
		refused(release{newest: 3, edited: true}, gooseplus.ErrTooOld, opts...)
	}
	refused(release{newest: 3, edited: true}, gooseplus.ErrUnknownVersion, refuseUnknown)
	m, _ = c.migrator(release{newest: 3, edited: true}, ignoreEdits)
	wantIs(t, m.Migrate(ctx), gooseplus.ErrTooOld)

	// The version that required it is taken back.
	m, _ = c.migrator(release{newest: 5, edited: true, requires: 4})
	if err := c.one(m).RollbackTo(ctx, 3); err != nil {
		t.Fatal(err)
	}
	boot(release{newest: 3, edited: true}, nil, refuseEdits, refuseUnknown)
}

func (p *place) historyCase(t *testing.T, style string, opts ...gooseplus.Option) historyCase {
	return historyCase{
		make:    func(more ...gooseplus.Option) *gooseplus.Migrator { return p.migrator(slices.Concat(opts, more)...) },
		release: releaseStyles[style], spaces: style == "namespaces",
		tables: func() []string { return column[string](t, p.db, p.target.tables) },
	}
}

// TestHistoryPolicies: edited files, unknown versions and programs that are too old, in every style and setting.
func TestHistoryPolicies(t *testing.T) {
	t.Parallel()
	lock := gooseplus.WithGlobalLock(true)
	for style := range releaseStyles {
		for setting, s := range map[string]struct {
			on     choice
			styles string // "" are all; in the short form, since the setting means the same to each of them
			opts   []gooseplus.Option
		}{
			"without lock":                     {having(), "", nil},
			"with the lock":                    {having(), "goose files", []gooseplus.Option{lock}},
			"in one transaction":               {having(transactionalDDL), "goose files", []gooseplus.Option{inOne}},
			"in one transaction with the lock": {having(transactionalDDL), "", []gooseplus.Option{inOne, lock}},
		} {
			if s.styles != "" && s.styles != style && os.Getenv("GOOSEPLUS_CHAOS") == "" {
				continue
			}
			t.Run(style+" "+setting, func(t *testing.T) {
				s.on.onDatabases(t, func(t *testing.T, p *place) { p.historyCase(t, style, s.opts...).play(t) })
			})
		}
	}
}

// TestHistoryBehindPgBouncer: each boot has a pool of its own, and so other connections of the server.
func TestHistoryBehindPgBouncer(t *testing.T) {
	t.Parallel()
	onBouncers(t, 3, func(t *testing.T, b *bounced) {
		c := b.p.historyCase(t, "goose files")
		boots := 0
		c.make = func(opts ...gooseplus.Option) *gooseplus.Migrator {
			boots++
			return b.p.locking(b.instance(t), append(opts, gooseplus.WithGlobalLock(boots%2 == 0))...)
		}
		c.play(t)
		b.wantUntouched(t)
	})
}

// withoutHistory makes the state table in the schema, "" for the connection's own, as the version before had it.
func (p *fleetPlace) withoutHistory(t *testing.T, schema string) {
	t.Helper()
	name := "goose_db_version_lock"
	if schema != "" {
		name = p.quote(schema) + "." + name
	}
	p.exec(t, "DELETE FROM "+name+" WHERE kind = 'applied'")
	for _, c := range []string{"checksum", "checksum_key", "duration_ms", "application", "requires", "down_sql", "others"} {
		p.exec(t, "ALTER TABLE "+name+" DROP COLUMN "+c)
	}
}

// TestHistoryOfTenants: tenants that have nothing pending are told of, and refused, as any other.
func TestHistoryOfTenants(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, lock := range []bool{false, true} {
		t.Run(fmt.Sprintf("lock %t", lock), func(t *testing.T) {
			onSchemas(t, func(t *testing.T, p *fleetPlace) {
				const count, accepted = 9, 3
				const refused = count - accepted - 1
				names := p.names(count)
				p.create(t, names...)
				p.db.SetMaxOpenConns(12)
				source := gooseplus.Schemas(names...)
				c := p.historyCase(t, "goose files", gooseplus.WithGlobalLock(lock))
				migrate := func(r release, migrated, upToDate, failed int, want error, opts ...gooseplus.Option) (warnings []string) {
					t.Helper()
					m, told := c.migrator(r, opts...)
					report, err := m.MigrateTenants(ctx, source)
					if want == nil && err != nil {
						t.Fatal(err)
					}
					if want != nil {
						wantIs(t, err, want)
					}
					wantReport(t, report, count, migrated, upToDate, failed, 0)
					return *told
				}
				statuses := func(r release, failed int, opts ...gooseplus.Option) {
					t.Helper()
					m, _ := c.migrator(r, opts...)
					n := 0
					for s, err := range m.TenantsStatus(ctx, source) {
						if err != nil {
							t.Fatal(err)
						}
						if s.State == gooseplus.TenantFailed {
							n++
						}
					}
					if n != failed {
						t.Errorf("%+v: TenantsStatus has %d failed, want %d", r, n, failed)
					}
				}
				migrate(release{newest: 3}, count, 0, 0, nil)
				migrate(release{newest: 3}, 0, count, 0, nil, refuseEdits, refuseUnknown)

				// Some accept the edit, and one has a table of the version before.
				m, _ := c.migrator(release{newest: 3, edited: true})
				if _, err := m.EachTenant(ctx, gooseplus.Schemas(names[:accepted]...), func(ctx context.Context, tm *gooseplus.Migrator) error {
					return tm.Accept(ctx, 1)
				}); err != nil {
					t.Fatal(err)
				}
				p.withoutHistory(t, names[accepted+2])
				if told := migrate(release{newest: 3, edited: true}, 0, count, 0, nil); len(told) != refused {
					t.Errorf("%d warnings of edits, want %d: %.2000q", len(told), refused, told)
				}
				if told := migrate(release{newest: 3, edited: true}, 0, count, 0, nil, ignoreEdits); len(told) != 0 {
					t.Errorf("warnings of edits: %.2000q", told)
				}
				migrate(release{newest: 3, edited: true}, 0, accepted+1, refused, gooseplus.ErrEdited, refuseEdits)
				statuses(release{newest: 3, edited: true}, refused, refuseEdits)
				statuses(release{newest: 3, edited: true}, 0)
				migrate(release{newest: 4, edited: true}, accepted+1, 0, refused, gooseplus.ErrEdited, refuseEdits)
				statuses(release{newest: 4, edited: true}, refused, refuseEdits)

				if told := migrate(release{newest: 3}, 0, count, 0, nil, ignoreEdits); len(told) != accepted+1 {
					t.Errorf("%d warnings of unknown versions, want %d: %.2000q", len(told), accepted+1, told)
				}
				migrate(release{newest: 3}, 0, refused, accepted+1, gooseplus.ErrUnknownVersion, refuseUnknown, ignoreEdits)
				statuses(release{newest: 3}, accepted+1, refuseUnknown)
				if told := migrate(release{newest: 3}, 0, count, 0, nil, ignoreEdits, ignoreUnknown); len(told) != 0 {
					t.Errorf("warnings of unknown versions: %.2000q", told)
				}

				migrate(release{newest: 5, requires: 5}, count, 0, 0, nil)
				migrate(release{newest: 4}, 0, 0, count, gooseplus.ErrTooOld, ignoreUnknown)
				statuses(release{newest: 4}, count, ignoreUnknown)
			})
		})
	}
}

// many is a release of n migrations that do nothing.
func many(n int) gooseplus.Option {
	named := make(map[string]*fstest.MapFile)
	for v := 1; v <= n; v++ {
		named[fmt.Sprintf("%04d_n.sql", v)] = script("SELECT 1;", "SELECT 1;")
	}
	return from(files(named))
}

// TestHistoryCostsNothing: a boot with nothing pending that knows the sums of many migrations is one statement.
func TestHistoryCostsNothing(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, p *place) {
		n := chaosRounds(120, 500)
		if p.dialect == "sqlite" {
			n = 100 // it syncs for each
		}
		if err := p.migrator(many(n)).Migrate(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got := column[int](t, p.db, "SELECT count(*) FROM goose_db_version_lock WHERE kind = 'applied' AND checksum <> ''")[0]; got != n {
			t.Errorf("%d sums are known, want %d", got, n)
		}
		for _, lock := range []bool{false, true} {
			for name, opts := range map[string][]gooseplus.Option{
				"Ignore": {ignoreEdits, ignoreUnknown}, "Warn": nil, "Refuse": {refuseEdits, refuseUnknown},
			} {
				db, counter := p.counted(t)
				m := gooseplus.New(db, append(opts, many(n), gooseplus.WithDialect(p.dialect), gooseplus.WithGlobalLock(lock))...)
				told := counter.quick(t, m.Migrate)
				want := 1
				if name == "Ignore" && !lock {
					want = 2 // whether there is a state table, and what it says
				}
				if len(told) != want {
					t.Errorf("lock %t, %s: %d statements: %.3000q", lock, name, len(told), told)
				}
				wantReads(t, name, told)
			}
		}
	})
}

// TestHistoryIsAdopted: migrations that goose alone has applied, or the version before, are remembered at the next run that
// has something to do. Until then nothing is written.
func TestHistoryIsAdopted(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for situation, before := range map[string]func(*testing.T, *place, release){
		"goose alone": func(t *testing.T, p *place, r release) {
			if _, err := gooseProvider(t, p, files(r.gooseFiles(""))).Up(ctx); err != nil {
				t.Fatal(err)
			}
		},
		"the version before": func(t *testing.T, p *place, r release) {
			if err := p.migrator(r.goose()...).Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			(&fleetPlace{place: p}).withoutHistory(t, "")
		},
	} {
		for _, lock := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, lock %t", situation, lock), func(t *testing.T) {
				onDatabases(t, func(t *testing.T, p *place) {
					before(t, p, release{newest: 3})
					c := p.historyCase(t, "goose files", gooseplus.WithGlobalLock(lock), refuseEdits)
					for range 2 {
						db, counter := p.counted(t)
						m := gooseplus.New(db, append(release{newest: 3, edited: true}.goose(), gooseplus.WithDialect(p.dialect), gooseplus.WithGlobalLock(lock), refuseEdits)...)
						wantReads(t, "nothing is pending", slices.DeleteFunc(counter.quick(t, m.Migrate), func(s string) bool { return strings.HasPrefix(s, "PRAGMA") }))
					}
					m, warnings := c.migrator(release{newest: 4, edited: true})
					if err := m.Migrate(ctx); err != nil || len(*warnings) > 0 {
						t.Fatal(err, *warnings)
					}
					if got := column[int64](t, p.db, "SELECT version_id FROM goose_db_version_lock WHERE kind = 'applied' ORDER BY version_id"); !slices.Equal(got, upTo(4)) {
						t.Errorf("remembered are %v", got)
					}
					m, _ = c.migrator(release{newest: 4})
					wantIs(t, m.Migrate(ctx), gooseplus.ErrEdited)
				})
			})
		}
	}
}
