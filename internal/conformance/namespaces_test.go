package conformance

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
)

var contexts = []string{"core", "shared", "identity", "customer-mgmt"}

var inContexts = gooseplus.WithNamespaces(contexts...)

// namespaced is a file system with the given files, below sql.
func namespaced(named map[string]*fstest.MapFile) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, f := range named {
		fsys["sql/"+name] = f
	}
	return fsys
}

// bounded are four bounded contexts, of which each needs what those before have. core has folders of
// environments, shared and customer-mgmt have none, and identity has but one.
func bounded(more map[string]*fstest.MapFile) fstest.MapFS {
	named := map[string]*fstest.MapFile{
		"core/base/1_units.sql": table("units"),
		"core/base/2_teams.sql": table("teams"),
		"core/test/3_seed.sql":  script("INSERT INTO units VALUES (1);", "DELETE FROM units;"),
		"shared/1_files.sql":    table("files"),
		"identity/base/1_logins.sql": script("CREATE TABLE logins (id INTEGER);\nINSERT INTO units VALUES (2);",
			"DELETE FROM units WHERE id = 2;\nDROP TABLE IF EXISTS logins;"),
		"customer-mgmt/1_customers.up.sql":   {Data: []byte("CREATE TABLE customers (id INTEGER)")},
		"customer-mgmt/1_customers.down.sql": {Data: []byte("DROP TABLE IF EXISTS customers")},
	}
	for name, f := range more {
		named[name] = f
	}
	return namespaced(named)
}

var (
	boundedTables   = []string{"customers", "files", "logins", "teams", "units"}
	boundedVersions = contextVersions{"core": {1, 2}, "shared": {1}, "identity": {1}, "customer-mgmt": {1}}
)

// contextVersions are the applied versions of each namespace, in the order in which they were applied.
type contextVersions map[string][]int64

func (v contextVersions) with(namespace string, versions ...int64) contextVersions {
	other := contextVersions{namespace: versions}
	for name, list := range v {
		if name != namespace {
			other[name] = list
		}
	}
	return other
}

func (p *place) quoted(name string) string { return (&fleetPlace{place: p}).quote(name) }

// contexts reads what is applied in each namespace. That a version table isn't there is as good as empty.
func contextsOf(t *testing.T, p *place, names ...string) contextVersions {
	t.Helper()
	found := contextVersions{}
	for _, name := range names {
		versionTable := p.quoted("goose_db_version_" + name)
		found[name] = nil
		if _, err := p.db.Exec("SELECT 1 FROM " + versionTable); err != nil {
			continue
		}
		found[name] = column[int64](t, p.db, "SELECT version_id FROM "+versionTable+" WHERE version_id > 0 ORDER BY id")
	}
	return found
}

// wantContexts fails the test unless the namespaces have exactly these versions, and the database these tables.
func (p *place) wantContexts(t *testing.T, want contextVersions, tables []string) {
	t.Helper()
	names := slices.Clone(contexts)
	for name := range want {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for name, got := range contextsOf(t, p, names...) {
		if !slices.Equal(got, want[name]) {
			t.Errorf("%s: versions %v, want %v", name, got, want[name])
		}
	}
	if got := column[string](t, p.db, p.target.tables); !slices.Equal(got, tables) {
		t.Errorf("tables %v, want %v", got, tables)
	}
}

// TestNamespaces: the layout of the folders, the order, and each call, with the lock and without.
func TestNamespaces(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onEachLocked(t, func(t *testing.T, p *place, lock gooseplus.Option) {
		var order []string
		m := p.migrator(from(bounded(nil)), inContexts, lock, gooseplus.WithEnvironments("test"), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
			if e, ok := e.(gooseplus.MigrationFinished); ok && e.Namespace == e.Step.Namespace {
				order = append(order, fmt.Sprintf("%s %d %s", e.Namespace, e.Step.Version, e.Step.Direction))
			}
		}))
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(m.Err())
		steps, err := m.Plan(ctx)
		must(err)
		var planned []string
		for _, s := range steps {
			planned = append(planned, fmt.Sprintf("%s %d %s", s.Namespace, s.Version, s.Direction))
		}
		must(m.Migrate(ctx))
		want := []string{"core 1 up", "core 2 up", "core 3 up", "shared 1 up", "identity 1 up", "customer-mgmt 1 up"}
		if !slices.Equal(order, want) || !slices.Equal(planned, want) {
			t.Errorf("planned %q and applied %q, want %q", planned, order, want)
		}
		all := boundedVersions.with("core", 1, 2, 3)
		p.wantContexts(t, all, boundedTables)
		must(m.Migrate(ctx))
		if steps, err := m.Plan(ctx); err != nil || len(steps) > 0 {
			t.Errorf("planned %v, %v", steps, err)
		}

		core := m.Namespace("core")
		must(core.Rollback(ctx, 2))
		p.wantContexts(t, all.with("core", 1), []string{"customers", "files", "logins", "units"})
		statuses, err := m.NamespaceStatus(ctx)
		must(err)
		if c := statuses["core"]; len(statuses) != 4 || c.CurrentVersion != 1 || c.PendingCount != 2 || c.Dirty || len(c.Migrations) != 3 {
			t.Errorf("%+v", statuses)
		}
		if i := statuses["identity"]; i.CurrentVersion != 1 || i.PendingCount != 0 || i.Migrations[0].Environment != "base" {
			t.Errorf("%+v", i)
		}
		if v, err := core.Version(ctx); v != 1 || err != nil {
			t.Errorf("version %d, %v", v, err)
		}
		if s, err := core.Status(ctx); err != nil || s.PendingCount != 2 {
			t.Errorf("%+v, %v", s, err)
		}
		must(core.MigrateTo(ctx, 2))
		must(m.MigrateNamespace(ctx, "core"))
		p.wantContexts(t, all, boundedTables)
		must(core.Goto(ctx, 2))
		must(m.Namespace("customer-mgmt").RollbackTo(ctx, 0))
		p.wantContexts(t, all.with("core", 1, 2).with("customer-mgmt"), []string{"files", "logins", "teams", "units"})
		must(m.Namespace("shared").Force(ctx, 0))
		must(m.Namespace("shared").Force(ctx, 1))
		must(core.LockVersion(ctx, 2))
		wantIs(t, core.Rollback(ctx, 1), gooseplus.ErrVersionLocked)
		must(m.Namespace("shared").Rollback(ctx, 1)) // which has a version 1 too
		must(core.UnlockVersion(ctx, 2))
		must(m.Migrate(ctx))
		p.wantContexts(t, all, boundedTables)
		for _, name := range slices.Backward(contexts) {
			must(m.Namespace(name).RollbackTo(ctx, 0))
		}
		p.wantContexts(t, nil, nil)
	})
}

// TestNamespacesInOtherStyles: pairs, definitions, Replay and NO TRANSACTION in namespaces.
func TestNamespacesInOtherStyles(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		styles, cities := p.styles()
		cities.Namespace = "core"
		fsys := bounded(nil)
		for name := range fsys {
			if strings.HasPrefix(name, "sql/core/") {
				delete(fsys, name)
			}
		}
		for name, f := range styles {
			fsys["sql/core/"+strings.TrimPrefix(name, "sql/")] = f
		}
		fsys["sql/identity/base/1_logins.sql"] = noTransaction("CREATE TABLE logins (id INTEGER);", "DROP TABLE IF EXISTS logins;")
		m := p.migrator(from(fsys), inContexts, gooseplus.WithDefinitions(cities), gooseplus.WithEnvironments("test"))
		if err := m.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		all := contextVersions{"core": upTo(9), "shared": {1}, "identity": {1}, "customer-mgmt": {1}}
		tables := []string{"city", "country", "customers", "files", "logins"}
		if p.dialect == "sqlite" {
			p.wantContexts(t, all, tables)
		} else {
			p.wantContexts(t, all, slices.Insert(slices.Clone(tables), 5, "names"))
		}
		styled{p}.wantNames(t, "bern", "zug")
		if err := m.Namespace("core").Rollback(ctx, 2); err != nil {
			t.Fatal(err)
		}
		styled{p}.wantNames(t, "Bern")
		for _, name := range slices.Backward(contexts) {
			if err := m.Namespace(name).RollbackTo(ctx, 0); err != nil {
				t.Fatal(err)
			}
		}
		p.wantContexts(t, nil, nil)
	})
}

// nextContexts are bounded with the migrations of the next release.
func nextContexts(more map[string]*fstest.MapFile) fstest.MapFS {
	named := map[string]*fstest.MapFile{
		"core/base/4_offices.sql": table("offices"),
		"core/base/5_rooms.sql":   noTransaction("CREATE TABLE rooms (id INTEGER);", "DROP TABLE rooms;"),
		"shared/2_tags.sql":       script("CREATE TABLE tags (id INTEGER);", "DROP TABLE tags;"),
		"identity/base/2_roles.sql": script("CREATE TABLE roles (id INTEGER);\nINSERT INTO rooms VALUES (2);",
			"DELETE FROM rooms WHERE id = 2;\nDROP TABLE roles;"), // has to go before core's
		"customer-mgmt/2_never.sql": table("never"),
	}
	for name, f := range more {
		named[name] = f
	}
	return bounded(named)
}

// TestNamespacesOnTheWayBack: when the third of four fails, what the run applied in all is undone, the last first.
func TestNamespacesOnTheWayBack(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for situation, s := range map[string]struct {
		file *fstest.MapFile
	}{
		"a step":                {script("CREATE TABLE half (id INTEGER);\nINSERT INTO nowhere VALUES (1);", "DROP TABLE IF EXISTS half;")},
		"a NO TRANSACTION step": {noTransaction("CREATE TABLE half (id INTEGER);\nINSERT INTO nowhere VALUES (1);", "DROP TABLE IF EXISTS half;")},
	} {
		t.Run(situation, func(t *testing.T) {
			onEachLocked(t, func(t *testing.T, p *place, lock gooseplus.Option) {
				if err := p.migrator(from(bounded(nil)), inContexts, lock).Migrate(ctx); err != nil {
					t.Fatal(err)
				}
				var undone []string
				ended := make(map[string]gooseplus.RunFinished)
				watch := gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
					switch e := e.(type) {
					case gooseplus.MigrationFinished:
						if e.Step.Direction == "down" {
							undone = append(undone, fmt.Sprintf("%s %d", e.Namespace, e.Step.Version))
						}
					case gooseplus.RunFinished:
						ended[e.Namespace] = e
					}
				})
				err := p.migrator(from(nextContexts(map[string]*fstest.MapFile{"identity/base/3_bad.sql": s.file})), inContexts, lock, watch).Migrate(ctx)
				wantIs(t, err, gooseplus.ErrRollForward)
				wantIsNot(t, err, gooseplus.ErrRollBack)
				var failed *gooseplus.MigrationError
				if !errors.As(err, &failed) || failed.Namespace != "identity" || failed.Version != 3 {
					t.Errorf("%+v", failed)
				}
				wantText(t, err, `namespace "identity": migration 3`)
				p.wantContexts(t, boundedVersions, boundedTables)
				want := []string{"identity 2", "shared 2", "core 5", "core 4"}
				if len(undone) > 0 && undone[0] == "identity 3" {
					undone = undone[1:]
				}
				if !slices.Equal(undone, want) {
					t.Errorf("undone %q, want %q", undone, want)
				}
				for _, name := range contexts {
					if e := ended[name]; e.From != e.To || e.Applied+e.Undone != 0 || e.Err == nil {
						t.Errorf("%s ended with %+v", name, e)
					}
				}
				if left := (record{p}).marks(t); left != "" {
					t.Errorf("marked: %s", left)
				}
				// The next release is repaired.
				if err := p.migrator(from(nextContexts(nil)), inContexts, lock).Migrate(ctx); err != nil {
					t.Fatal(err)
				}
			})
		})
	}

	t.Run("RollbackNone", func(t *testing.T) {
		onEachLocked(t, func(t *testing.T, p *place, lock gooseplus.Option) {
			fsys := nextContexts(map[string]*fstest.MapFile{"identity/base/3_bad.sql": script("INSERT INTO nowhere VALUES (1);", "")})
			err := p.migrator(from(fsys), inContexts, lock, gooseplus.WithRollback(gooseplus.RollbackNone)).Migrate(ctx)
			var stuck *gooseplus.RollbackError
			if !errors.As(err, &stuck) || stuck.Namespace != "identity" || stuck.Start != 0 || stuck.Reached != 2 {
				t.Fatalf("%v", err)
			}
			for _, text := range []string{`namespace "shared" is at version 2, started from 0`, `namespace "core" is at version 5, started from 0`} {
				wantText(t, stuck.Err, text)
			}
			p.wantContexts(t, contextVersions{"core": {1, 2, 4, 5}, "shared": {1, 2}, "identity": {1, 2}},
				[]string{"files", "logins", "offices", "roles", "rooms", "tags", "teams", "units"})
		})
	})

	t.Run("a namespace that can't be undone", func(t *testing.T) {
		onEachLocked(t, func(t *testing.T, p *place, lock gooseplus.Option) {
			fsys := nextContexts(map[string]*fstest.MapFile{
				"shared/2_tags.sql":       script("CREATE TABLE tags (id INTEGER);", ""),
				"identity/base/3_bad.sql": script("INSERT INTO nowhere VALUES (1);", ""),
			})
			err := p.migrator(from(fsys), inContexts, lock).Migrate(ctx)
			var stuck *gooseplus.RollbackError
			if !errors.As(err, &stuck) || stuck.Namespace != "shared" || stuck.Start != 0 || stuck.Reached != 2 {
				t.Fatalf("%v", err)
			}
			wantIs(t, err, gooseplus.ErrIrreversible)
			wantText(t, stuck.Err, `namespace "core" is at version 5, started from 0: versions [5 4 2 1] are still applied`)
			p.wantContexts(t, contextVersions{"core": {1, 2, 4, 5}, "shared": {1, 2}},
				[]string{"files", "offices", "rooms", "tags", "teams", "units"})
		})
	})

	t.Run("RollbackTransaction", func(t *testing.T) {
		onEachLocked(t, func(t *testing.T, p *place, lock gooseplus.Option) {
			if !p.transactionalDDL {
				return
			}
			if err := p.migrator(from(bounded(nil)), inContexts, lock, inOne).Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			p.wantContexts(t, boundedVersions, boundedTables)
			useless := map[string]*fstest.MapFile{
				"core/base/5_rooms.sql": script("CREATE TABLE rooms (id INTEGER);", ""), "shared/2_tags.sql": script("CREATE TABLE tags (id INTEGER);", ""),
				"identity/base/3_bad.sql": script("INSERT INTO nowhere VALUES (1);", ""),
			}
			err := p.migrator(from(nextContexts(useless)), inContexts, lock, inOne).Migrate(ctx)
			wantIs(t, err, gooseplus.ErrRollForward)
			p.wantContexts(t, boundedVersions, boundedTables)
			delete(useless, "identity/base/3_bad.sql")
			if err := p.migrator(from(nextContexts(useless)), inContexts, lock, inOne).Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			// A step outside a transaction, in any of them.
			apart := nextContexts(map[string]*fstest.MapFile{"customer-mgmt/3_x.sql": noTransaction("CREATE TABLE x (id INTEGER);", "")})
			wantText(t, p.migrator(from(apart), inContexts, lock, inOne).Migrate(ctx), `namespace "customer-mgmt": WithRollback(RollbackTransaction): migration 3`)
		})
	})

	t.Run("RollbackTransaction on one connection", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			if !p.transactionalDDL {
				return
			}
			p.db.SetMaxOpenConns(1)
			fsys := nextContexts(map[string]*fstest.MapFile{"core/base/5_rooms.sql": script("CREATE TABLE rooms (id INTEGER);", "")})
			if err := p.migrator(from(fsys), inContexts, inOne).Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			fsys["sql/identity/base/3_bad.sql"] = script("INSERT INTO nowhere VALUES (1);", "")
			wantIs(t, p.migrator(from(fsys), inContexts, inOne).Migrate(ctx), gooseplus.ErrRollForward)
		})
	})
}

// TestNamespacesInterrupted ends a run over all in the third namespace in other ways than by an error of SQL.
func TestNamespacesInterrupted(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for situation, fail := range map[string]func(context.Context, context.CancelFunc, *place, *sql.Tx) error{
		"the caller cancels": func(ctx context.Context, cancel context.CancelFunc, _ *place, _ *sql.Tx) error {
			cancel()
			<-ctx.Done()
			return ctx.Err()
		},
		"a panic": func(context.Context, context.CancelFunc, *place, *sql.Tx) error { panic("boom") },
		"the connection dies": func(ctx context.Context, _ context.CancelFunc, p *place, tx *sql.Tx) error {
			if p.kill == "" {
				return errors.New("SQLite runs in this process")
			}
			var id int64
			if err := tx.QueryRowContext(ctx, p.id).Scan(&id); err != nil {
				return err
			}
			if _, err := p.db.ExecContext(ctx, fmt.Sprintf(p.kill, id)); err != nil {
				return err
			}
			return execTx(ctx, tx, "CREATE TABLE never (id INTEGER)")
		},
	} {
		t.Run(situation, func(t *testing.T) {
			onEachLocked(t, func(t *testing.T, p *place, lock gooseplus.Option) {
				opts := []gooseplus.Option{inContexts, lock}
				if err := p.migrator(append(opts, from(bounded(nil)))...).Migrate(ctx); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(ctx)
				defer cancel()
				d := &gooseplus.Definitions{Namespace: "identity"}
				d.Define(3).UpAction(gooseplus.TxFunc(func(ctx context.Context, tx *sql.Tx) error {
					return errors.Join(execTx(ctx, tx, "CREATE TABLE half (id INTEGER)"), fail(ctx, cancel, p, tx))
				})).DownAction(gooseplus.TxFunc(func(ctx context.Context, tx *sql.Tx) error { return execTx(ctx, tx, "DROP TABLE IF EXISTS half") }))
				err := p.migrator(append(opts, from(nextContexts(nil)), gooseplus.WithDefinitions(d))...).Migrate(ctx)
				wantIs(t, err, gooseplus.ErrRollForward)
				wantText(t, err, `namespace "identity": migration 3`)
				p.wantContexts(t, boundedVersions, boundedTables)
				if left := (record{p}).dirty(t); len(left) > 0 {
					t.Errorf("marked: %q", left)
				}
			})
		})
	}
}

// TestNamespacesAreRefused: whatever is wrong in any of them is found before the first step of the first.
func TestNamespacesAreRefused(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onEachLocked(t, func(t *testing.T, p *place, lock gooseplus.Option) {
		fsys := bounded(map[string]*fstest.MapFile{"customer-mgmt/2_torn.sql": {Data: []byte("-- +goose Sideways\n")}})
		err := p.migrator(from(fsys), inContexts, lock).Migrate(ctx)
		wantIs(t, err, gooseplus.ErrRollForward)
		wantText(t, err, `namespace "customer-mgmt": migration 2`)
		p.wantContexts(t, nil, nil)

		// A dirty one refuses a run over all, and its own, but no other's.
		half := noTransaction("CREATE TABLE half (id INTEGER);\nINSERT INTO nowhere VALUES (1);", "DROP TABLE half;\nDROP TABLE never;")
		err = p.migrator(from(bounded(map[string]*fstest.MapFile{"shared/2_half.sql": half})), inContexts, lock).Migrate(ctx)
		var stuck *gooseplus.RollbackError
		if !errors.As(err, &stuck) || stuck.Namespace != "shared" || !errors.Is(stuck.Err, gooseplus.ErrDirty) {
			t.Fatalf("%v", err)
		}
		p.wantContexts(t, contextVersions{"core": {1, 2}, "shared": {1}}, []string{"files", "teams", "units"})
		m := p.migrator(from(bounded(map[string]*fstest.MapFile{"shared/2_half.sql": half, "core/base/4_offices.sql": table("offices")})), inContexts, lock)
		for _, call := range []func() error{
			func() error { return m.Migrate(ctx) },
			func() error { return m.MigrateNamespace(ctx, "shared") },
			func() error { return second(m.Plan(ctx)) },
		} {
			err := call()
			wantIs(t, err, gooseplus.ErrDirty)
			wantIsNot(t, err, gooseplus.ErrRollBack)
			wantText(t, err, `namespace "shared": `)
			wantText(t, err, "2 (sql/shared/2_half.sql)")
		}
		if err := m.MigrateNamespace(ctx, "core"); err != nil {
			t.Fatal(err)
		}
		all, err := m.NamespaceStatus(ctx)
		if err != nil || !all["shared"].Dirty || all["core"].Dirty || all["identity"].Dirty {
			t.Errorf("%+v, %v", all, err)
		}
		// With nothing to do it is refused as well.
		wantIs(t, p.migrator(from(bounded(map[string]*fstest.MapFile{"core/base/4_offices.sql": table("offices")})),
			gooseplus.WithNamespaces("core", "shared"), lock).Migrate(ctx), gooseplus.ErrDirty)
		if err := m.Namespace("shared").Force(ctx, 2); err != nil {
			t.Fatal(err)
		}
		if err := m.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
	})
}

// TestNamespaceEnvironments: the environments that a database remembers are those of all namespaces.
func TestNamespaceEnvironments(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onEachLocked(t, func(t *testing.T, p *place, lock gooseplus.Option) {
		fsys := bounded(map[string]*fstest.MapFile{"core/production/9_settings.sql": table("settings")})
		if err := p.migrator(from(fsys), inContexts, lock, gooseplus.WithEnvironments("production")).MigrateNamespace(ctx, "core"); err != nil {
			t.Fatal(err)
		}
		m := p.migrator(from(fsys), inContexts, lock, gooseplus.WithEnvironments("test"))
		wantIs(t, m.MigrateNamespace(ctx, "shared"), gooseplus.ErrProtectedEnvironment)
		wantIs(t, m.Migrate(ctx), gooseplus.ErrProtectedEnvironment)
		p.wantContexts(t, contextVersions{"core": {1, 2, 9}}, []string{"settings", "teams", "units"})
	})
	t.Run("a run that failed leaves none", func(t *testing.T) {
		onEachLocked(t, func(t *testing.T, p *place, lock gooseplus.Option) {
			fsys := bounded(map[string]*fstest.MapFile{"customer-mgmt/2_bad.sql": script("INSERT INTO nowhere VALUES (1);", "")})
			wantIs(t, p.migrator(from(fsys), inContexts, lock, gooseplus.WithEnvironments("production")).Migrate(ctx), gooseplus.ErrRollForward)
			if err := p.migrator(from(bounded(nil)), inContexts, lock, gooseplus.WithEnvironments("test")).Migrate(ctx); err != nil {
				t.Fatal(err)
			}
		})
	})
}

// TestNamespaceNames: names that need quotes, and names that differ in capitals on PostgreSQL.
func TestNamespaceNames(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		names := []string{"plain", "with space", "with.dot", `with"quote`, "with`tick", "it's", "ünïcödé", "select", "a;b--c", "$1 ? {table}", "Capitals", "100%", "_lock"}
		if p.dialect == "postgres" {
			names = append(names, "capitals")
		}
		fsys, want := fstest.MapFS{}, contextVersions{}
		var tables []string
		for i, name := range names {
			if !fs.ValidPath(name) {
				t.Fatal(name)
			}
			tables = append(tables, fmt.Sprintf("t%02d", i))
			fsys["sql/"+name+"/1_t.sql"] = noTransaction("CREATE TABLE "+tables[i]+" (id INTEGER);", "DROP TABLE "+tables[i]+";")
			want[name] = []int64{1}
		}
		for _, lock := range []bool{true, false} {
			m := p.migrator(from(fsys), gooseplus.WithNamespaces(names...), gooseplus.WithGlobalLock(lock))
			for range 2 {
				if err := m.Migrate(ctx); err != nil {
					t.Fatal(err)
				}
			}
			p.wantContexts(t, want, tables)
			if !lock { // the names are the same
				break
			}
			for _, name := range names {
				if v, err := m.Namespace(name).Version(ctx); v != 1 || err != nil {
					t.Errorf("%q: version %d, %v", name, v, err)
				}
				if err := m.Namespace(name).RollbackTo(ctx, 0); err != nil {
					t.Error(err)
				}
			}
			p.wantContexts(t, nil, nil)
		}
	})
}

// TestNamespacesLook: with nothing to do, one statement looks at all of them.
func TestNamespacesLook(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onEachLocked(t, func(t *testing.T, p *place, lock gooseplus.Option) {
		if err := p.migrator(from(bounded(nil)), inContexts, lock).Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		db, told := p.counted(t)
		check := func(m *gooseplus.Migrator) {
			t.Helper()
			statements := told.quick(t, m.Migrate)
			wantReads(t, "nothing pending", statements)
			// Without the lock, another statement reads a state table that is there.
			if n := len(statements); n > 2 || n > 1 && !(record{p}).exists() {
				t.Errorf("%d statements: %q", n, statements)
			}
		}
		m := p.over(db, from(bounded(nil)), inContexts, lock)
		check(m)
		check(m.Namespace("core"))
	})
}

// TestTenantNamespaces: namespaces and tenants combine.
func TestTenantNamespaces(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		for _, lock := range []bool{false, true} {
			t.Run(fmt.Sprintf("lock %t", lock), func(t *testing.T) {
				names := p.names(7)
				p.create(t, names...)
				m := p.migrator(from(bounded(nil)), inContexts, gooseplus.WithGlobalLock(lock))
				versions := func(tenant, namespace string) []int64 {
					t.Helper()
					return column[int64](t, p.db, "SELECT version_id FROM "+p.quote(tenant)+"."+p.quote("goose_db_version_"+namespace)+" WHERE version_id > 0 ORDER BY id")
				}
				r, err := m.MigrateTenants(ctx, gooseplus.Schemas(names...))
				if err != nil {
					t.Fatal(err)
				}
				wantReport(t, r, 7, 7, 0, 0, 0)
				for _, name := range names {
					for namespace, want := range boundedVersions {
						if got := versions(name, namespace); !slices.Equal(got, want) {
							t.Errorf("%s %s: %v, want %v", name, namespace, got, want)
						}
					}
				}
				r, err = m.MigrateTenants(ctx, gooseplus.Schemas(names...))
				if err != nil {
					t.Fatal(err)
				}
				wantReport(t, r, 7, 0, 7, 0, 0)

				// Something to do in one namespace of one tenant, in either order of choosing.
				one := m.Tenant(gooseplus.Tenant{Schema: names[3]}).Namespace("shared")
				if err := one.RollbackTo(ctx, 0); err != nil {
					t.Fatal(err)
				}
				if v, err := m.Namespace("shared").Tenant(gooseplus.Tenant{Schema: names[3]}).Version(ctx); v != 0 || err != nil {
					t.Errorf("version %d, %v", v, err)
				}
				r, err = m.Namespace("core").MigrateTenants(ctx, gooseplus.Schemas(names...))
				if err != nil {
					t.Fatal(err)
				}
				wantReport(t, r, 7, 0, 7, 0, 0)
				r, err = m.MigrateTenants(ctx, gooseplus.Schemas(names...))
				if err != nil {
					t.Fatal(err)
				}
				wantReport(t, r, 7, 1, 6, 0, 0)

				// The third namespace fails in one tenant.
				bad := bounded(map[string]*fstest.MapFile{"core/base/4_x.sql": table("x"),
					"identity/base/2_once.sql": script("INSERT INTO once VALUES (1);", "DELETE FROM once;")})
				for i, name := range names {
					if i != 5 {
						p.exec(t, "CREATE TABLE "+p.quote(name)+".once (id INTEGER)")
					}
				}
				r, err = p.migrator(from(bad), inContexts, gooseplus.WithGlobalLock(lock)).MigrateTenants(ctx, gooseplus.Schemas(names...))
				wantIs(t, err, gooseplus.ErrRollForward)
				wantReport(t, r, 7, 6, 0, 1, 0)
				if x := r.Tenants[5]; x.State != gooseplus.TenantFailedAndUndone {
					t.Errorf("%+v", x)
				}
				wantText(t, r.Tenants[5].Err, fmt.Sprintf(`tenant %q: namespace "identity": migration 2`, names[5]))
				if got := versions(names[5], "core"); !slices.Equal(got, []int64{1, 2}) {
					t.Errorf("core has %v", got)
				}
				if got := versions(names[6], "core"); !slices.Equal(got, []int64{1, 2, 4}) {
					t.Errorf("core has %v", got)
				}
			})
		}
	})
}

// TestTenantNamespacesOneByOne: schemas that are missing, or made, and EachTenant.
func TestTenantNamespacesOneByOne(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		names := p.names(3)
		p.create(t, names[:2]...)
		m := p.migrator(from(bounded(nil)), inContexts, gooseplus.WithGlobalLock(true))
		r, err := m.MigrateTenants(ctx, gooseplus.Schemas(names...))
		wantIs(t, err, gooseplus.ErrTenantMissing)
		wantReport(t, r, 3, 2, 0, 1, 0)
		if x := r.Tenants[2]; x.State != gooseplus.TenantMissing {
			t.Errorf("%+v", x)
		}
		r, err = m.MigrateTenants(ctx, gooseplus.Schemas(names...), gooseplus.WithCreateSchema(true))
		if err != nil {
			t.Fatal(err)
		}
		if p.dialect == "mysql" {
			t.Cleanup(func() { p.exec(t, "DROP SCHEMA "+p.quote(names[2])) })
		}
		wantReport(t, r, 3, 1, 2, 0, 0)
		if x := r.Tenants[2]; x.From != 0 || x.To != 2 {
			t.Errorf("%+v", x)
		}
		r, err = m.EachTenant(ctx, gooseplus.Schemas(names...), func(ctx context.Context, tm *gooseplus.Migrator) error {
			return errors.Join(tm.Namespace("identity").RollbackTo(ctx, 0), tm.Namespace("core").Rollback(ctx, 1))
		})
		if err != nil {
			t.Fatal(err)
		}
		wantReport(t, r, 3, 3, 0, 0, 0)
		all, err := m.Tenant(gooseplus.Tenant{Schema: names[2]}).NamespaceStatus(ctx)
		if err != nil || all["core"].CurrentVersion != 1 || all["identity"].CurrentVersion != 0 || all["shared"].CurrentVersion != 1 {
			t.Errorf("%+v, %v", all, err)
		}
	})
}

// TestNamespacesBind: what a Go function in a namespace of a tenant sees.
func TestNamespacesBind(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		names := p.names(1)
		p.create(t, names...)
		d := &gooseplus.Definitions{Namespace: "shared"}
		d.Define(2).UpAction(gooseplus.TxFunc(func(ctx context.Context, tx *sql.Tx) error { return execTx(ctx, tx, "INSERT INTO files VALUES (1)") }))
		d.Define(3).UpAction(gooseplus.DBFunc(func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, "INSERT INTO files VALUES (2)")
			return err
		}))
		m := p.migrator(from(bounded(nil)), inContexts, gooseplus.WithDefinitions(d), gooseplus.WithSchema(names[0]))
		if err := m.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		if n := column[int](t, p.db, "SELECT count(*) FROM "+p.quote(names[0])+".files")[0]; n != 2 {
			t.Errorf("%d files", n)
		}
	})
}
