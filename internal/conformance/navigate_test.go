package conformance

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

// Two deployments lie behind the tests below: the earlier one, and one that brought the versions 5,
// late, and 11. The late one works on the table of version 10, so that only the reverse of the order
// of application undoes them both.
var (
	grownVersions = []int64{1, 10, 5, 11}
	grownTables   = []string{"next", "teams", "users"}
	grownLate     = script("INSERT INTO teams VALUES (5);", "DELETE FROM teams WHERE id = 5;")
)

// grow applies the two deployments and, in a third one, the files given, which have versions from
// 12. It returns the files of all.
func grow(t *testing.T, p *place, more map[string]*fstest.MapFile, opts ...gooseplus.Option) fstest.MapFS {
	t.Helper()
	named := maps.Clone(earlier)
	for _, deployment := range []map[string]*fstest.MapFile{
		{}, {"05_late.sql": grownLate, "11_next.sql": table("next")}, more,
	} {
		maps.Copy(named, deployment)
		if err := p.migrator(append(opts, from(files(named)))...).Migrate(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	return files(named)
}

// rows asserts what is in the table teams.
func wantRows(t *testing.T, p *place, want ...int64) {
	t.Helper()
	if got := column[int64](t, p.db, `SELECT id FROM teams`); !slices.Equal(got, want) {
		t.Errorf("teams has the rows %v, want %v", got, want)
	}
}

func TestRollback(t *testing.T) {
	t.Parallel()
	ctx := context.Background()

	t.Run("the last that were applied, not the highest", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			m := p.migrator(from(grow(t, p, nil)))
			if err := m.Rollback(ctx, 1); err != nil {
				t.Fatal(err)
			}
			p.want(t, []int64{1, 10, 5}, []string{"teams", "users"})
			wantRows(t, p, 5)
			if err := m.Rollback(ctx, 2); err != nil {
				t.Fatal(err)
			}
			p.want(t, []int64{1}, []string{"users"})
			if err := m.Migrate(ctx); err == nil {
				t.Fatal("version 5 was applied without the table of version 10: the test shows nothing")
			}
			p.want(t, []int64{1}, []string{"users"})
		})
	})

	t.Run("more than there are", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			m := p.migrator(from(grow(t, p, nil)))
			if err := m.Rollback(ctx, 100); err != nil {
				t.Fatal(err)
			}
			p.want(t, nil, nil)
			if err := m.Rollback(ctx, 1); err != nil {
				t.Errorf("with nothing left: %v", err)
			}
			if v, err := m.Version(ctx); v != 0 || err != nil {
				t.Errorf("Version = %d, %v", v, err)
			}
		})
	})

	t.Run("to a version", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			m := p.migrator(from(grow(t, p, nil)))
			if err := m.RollbackTo(ctx, 10); err != nil {
				t.Fatal(err)
			}
			p.want(t, []int64{1, 10, 5}, []string{"teams", "users"})
			if err := m.RollbackTo(ctx, 4); err != nil { // a version that doesn't exist
				t.Fatal(err)
			}
			p.want(t, []int64{1}, []string{"users"})
			if err := m.RollbackTo(ctx, 0); err != nil {
				t.Fatal(err)
			}
			p.want(t, nil, nil)
		})
	})

	t.Run("nothing to undo is one statement, and creates nothing", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			db, counter := p.counted(t)
			m := gooseplus.New(db, gooseplus.WithDialect(p.dialect), from(chain(3)))
			if err := errors.Join(m.Rollback(ctx, 2), m.RollbackTo(ctx, 0), m.Goto(ctx, 0)); err != nil {
				t.Fatal(err)
			}
			wantReads(t, "without a table", counter.take())
			if err := p.migrator(from(chain(3))).MigrateTo(ctx, 2); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(m.RollbackTo(ctx, 2), m.Goto(ctx, 2)); err != nil {
				t.Fatal(err)
			}
			told := counter.take()
			wantReads(t, "at the target", told)
			if len(told) != 2 {
				t.Errorf("two runs told the database %q", told)
			}
			p.want(t, []int64{1, 2}, []string{"t001", "t002"})
		})
	})

	t.Run("a migration without a Down refuses the run", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			nothing := goose.NewGoMigration(13, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return nil }}, nil)
			withGo := gooseplus.WithGoMigrations(nothing)
			fsys := grow(t, p, map[string]*fstest.MapFile{
				"12_keep.sql": script("CREATE TABLE kept (id INTEGER);", "-- nothing"),
				"14_x.sql":    table("x"),
			}, withGo)
			// The Go migration was part of each deployment, so that it came with the first.
			versions, tables := []int64{1, 10, 13, 5, 11, 12, 14}, []string{"kept", "next", "teams", "users", "x"}
			db, counter := p.counted(t)
			m := gooseplus.New(db, gooseplus.WithDialect(p.dialect), from(fsys), withGo)
			for name, call := range map[string]func() error{
				"Rollback":   func() error { return m.Rollback(ctx, 6) },
				"RollbackTo": func() error { return m.RollbackTo(ctx, 11) },
				"Goto":       func() error { return m.Goto(ctx, 11) },
			} {
				err := call()
				wantIs(t, err, gooseplus.ErrIrreversible)
				wantIsNot(t, err, gooseplus.ErrRollForward)
				wantIsNot(t, err, gooseplus.ErrRollBack)
				wantText(t, err, "migration 12 (sql/base/12_keep.sql) down")
				wantText(t, err, "migration 13 down")
				var refused *gooseplus.MigrationError
				if !errors.As(err, &refused) || refused.Direction != "down" || refused.Version < 12 || refused.Version > 13 {
					t.Errorf("%s: %+v", name, refused)
				}
				if told := counter.take(); len(told) != 1 || !strings.HasPrefix(told[0], "SELECT") {
					t.Errorf("%s told the database %q, want one SELECT", name, told)
				}
			}
			p.want(t, versions, tables)
			// Runs that don't reach them are not refused.
			if err := m.Rollback(ctx, 1); err != nil {
				t.Fatal(err)
			}
			p.want(t, versions[:6], []string{"kept", "next", "teams", "users"})
		})
	})

	t.Run("a version that nobody knows refuses the run", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := grow(t, p, map[string]*fstest.MapFile{"12_x.sql": table("x")})
			delete(fsys, "sql/base/11_next.sql")
			delete(fsys, "sql/base/01_users.sql")
			versions, tables := []int64{1, 10, 5, 11, 12}, []string{"next", "teams", "users", "x"}
			m := p.migrator(from(fsys))
			for name, call := range map[string]func() error{
				"Rollback":   func() error { return m.Rollback(ctx, 2) },
				"RollbackTo": func() error { return m.RollbackTo(ctx, 10) },
				"Goto":       func() error { return m.Goto(ctx, 10) },
			} {
				t.Run(name, func(t *testing.T) {
					err := call()
					wantIs(t, err, gooseplus.ErrIrreversible)
					wantIsNot(t, err, gooseplus.ErrRollForward)
					wantIsNot(t, err, gooseplus.ErrRollBack)
					wantText(t, err, "[11]")
					p.want(t, versions, tables)
				})
			}
			wantText(t, m.RollbackTo(ctx, 0), "[1 11]")
			wantText(t, m.Rollback(ctx, 100), "[1 11]")
			// Those below the target are left alone.
			if err := m.Goto(ctx, 11); err != nil {
				t.Fatal(err)
			}
			p.want(t, versions[:4], []string{"next", "teams", "users"})
		})
	})

	t.Run("a file that goose can't parse stops the run before its first step", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := grow(t, p, map[string]*fstest.MapFile{"12_x.sql": table("x")})
			fsys["sql/base/11_next.sql"] = &fstest.MapFile{Data: []byte("CREATE TABLE next (id INTEGER);\n")}
			failed := wantFailedStep(t, p.migrator(from(fsys)).Rollback(ctx, 2), 11, "down")
			if failed.Source != "sql/base/11_next.sql" {
				t.Errorf("%+v", failed)
			}
			p.want(t, append(slices.Clone(grownVersions), 12), append(slices.Clone(grownTables), "x"))
		})
	})

	t.Run("goose tells the same story", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := chain(3)
			if err := p.migrator(from(fsys)).Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			if err := p.migrator(from(fsys)).Rollback(ctx, 1); err != nil {
				t.Fatal(err)
			}
			provider := gooseProvider(t, p, fsys)
			if pending, err := provider.HasPending(ctx); err != nil || !pending {
				t.Errorf("goose says pending %t, %v", pending, err)
			}
			if _, err := provider.Up(ctx); err != nil {
				t.Fatal(err)
			}
			p.want(t, []int64{1, 2, 3}, []string{"t001", "t002", "t003"})
		})
	})
}

func TestGoto(t *testing.T) {
	t.Parallel()
	ctx := context.Background()

	t.Run("up, down, and nowhere", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			m := p.migrator(from(chain(5)))
			for _, target := range []int64{3, 5, 2, 2, 4, 0, 1, 5} {
				if err := m.Goto(ctx, target); err != nil {
					t.Fatal(err)
				}
				var versions []int64
				var tables []string
				for v := int64(1); v <= min(target, 5); v++ {
					versions = append(versions, v)
					tables = append(tables, fmt.Sprintf("t%03d", v))
				}
				p.want(t, versions, tables)
			}
		})
	})

	t.Run("down, and then up what came late", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := deploy(t, p, map[string]*fstest.MapFile{"12_x.sql": table("x")})
			// 10 has to go before 5 comes, which is not late then.
			if err := p.migrator(from(fsys), gooseplus.WithStrictOrder(true)).Goto(ctx, 7); err != nil {
				t.Fatal(err)
			}
			p.want(t, []int64{1, 5}, []string{"late", "users"})
			if err := p.migrator(from(fsys)).Goto(ctx, 11); err != nil {
				t.Fatal(err)
			}
			p.want(t, []int64{1, 5, 10, 11}, []string{"late", "next", "teams", "users"})
		})
	})

	t.Run("late versions are applied with the others", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := deploy(t, p, map[string]*fstest.MapFile{"12_x.sql": table("x")})
			err := p.migrator(from(fsys), gooseplus.WithStrictOrder(true)).Goto(ctx, 11)
			wantIs(t, err, gooseplus.ErrMergeMigrations)
			wantText(t, err, "[5]")
			p.want(t, earlierVersions, earlierTables)
			if err := p.migrator(from(fsys)).Goto(ctx, 11); err != nil {
				t.Fatal(err)
			}
			p.want(t, []int64{1, 10, 5, 11}, []string{"late", "next", "teams", "users"})
		})
	})

	t.Run("a step up that fails takes back the steps down", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := grow(t, p, map[string]*fstest.MapFile{"12_x.sql": table("x")})
			fsys["sql/base/03_early.sql"] = table("early")
			fsys["sql/base/04_bad.sql"] = script("CREATE TABLE half (id INTEGER);\nINSERT INTO nowhere VALUES (1);", "DROP TABLE IF EXISTS half;")
			wantFailed(t, p.migrator(from(fsys)).Goto(ctx, 4), 4)
			p.want(t, append(slices.Clone(grownVersions), 12), append(slices.Clone(grownTables), "x"))
			wantRows(t, p, 5)
		})
	})
}

// TestWayBackUp plays the ways in which a run down can fail, at version 11, after it has undone 13
// and 12. Wherever nothing is said to the contrary, the database must be back where it was.
func TestWayBackUp(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	startVersions := []int64{1, 10, 5, 11, 12, 13}
	startTables := []string{"next", "teams", "users", "x", "y"}
	above := map[string]*fstest.MapFile{
		"12_x.sql": table("x"),
		"13_y.sql": script("INSERT INTO x VALUES (13);\nCREATE TABLE y (id INTEGER);", "DROP TABLE y;\nDELETE FROM x;"),
	}
	// begin applies everything, and then the Down of version 11 turns out to be another.
	begin := func(t *testing.T, p *place, eleven *fstest.MapFile) fstest.MapFS {
		fsys := grow(t, p, above)
		delete(fsys, "sql/base/11_next.sql")
		if eleven != nil {
			fsys["sql/base/11_next.sql"] = eleven
		}
		p.want(t, startVersions, startTables)
		return fsys
	}
	// down makes version 11 a Go migration with the given Down.
	down := func(f goose.GoFunc) gooseplus.Option {
		return gooseplus.WithGoMigrations(goose.NewGoMigration(11, &goose.GoFunc{RunDB: func(context.Context, *sql.DB) error {
			return errors.New("nobody undid it, so nobody has to apply it")
		}}, &f))
	}
	back := func(t *testing.T, p *place) {
		t.Helper()
		p.want(t, startVersions, startTables)
		if got := column[int64](t, p.db, `SELECT id FROM x`); !slices.Equal(got, []int64{13}) {
			t.Errorf("x has the rows %v, want those of version 13", got)
		}
	}

	t.Run("the first statement of a Down fails", func(t *testing.T) {
		for name, call := range map[string]func(*gooseplus.Migrator) error{
			"Rollback":   func(m *gooseplus.Migrator) error { return m.Rollback(ctx, 4) },
			"RollbackTo": func(m *gooseplus.Migrator) error { return m.RollbackTo(ctx, 4) },
			"Goto":       func(m *gooseplus.Migrator) error { return m.Goto(ctx, 0) },
		} {
			t.Run(name, func(t *testing.T) {
				onDatabases(t, func(t *testing.T, p *place) {
					fsys := begin(t, p, script("CREATE TABLE next (id INTEGER);", "DROP TABLE never;"))
					err := call(p.migrator(from(fsys)))
					failed := wantFailedStep(t, err, 11, "down")
					if failed.Statement != "DROP TABLE never;" {
						t.Errorf("%+v", failed)
					}
					wantDriverError(t, p, err)
					back(t, p)
				})
			})
		}
	})

	t.Run("a Down fails half-way", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := begin(t, p, script("CREATE TABLE next (id INTEGER);", "DROP TABLE next;\nDROP TABLE never;"))
			err := p.migrator(from(fsys)).Rollback(ctx, 4)
			if p.transactionalDDL {
				wantFailedStep(t, err, 11, "down")
				back(t, p)
				return
			}
			// 12 and 13 may build on what version 11 left, so they stay undone.
			stuck := wantStuck(t, err, 13, 11)
			wantIs(t, err, gooseplus.ErrDirty)
			wantText(t, stuck.Err, "11 (sql/base/11_next.sql)")
			p.want(t, grownVersions, []string{"teams", "users"})
		})
	})

	t.Run("a NO TRANSACTION Down fails half-way", func(t *testing.T) {
		for name, strategy := range map[string]gooseplus.Strategy{
			"RollbackDown": gooseplus.RollbackDown, "RollbackNone": gooseplus.RollbackNone,
		} {
			t.Run(name, func(t *testing.T) {
				onDatabases(t, func(t *testing.T, p *place) {
					fsys := begin(t, p, noTransaction("CREATE TABLE IF NOT EXISTS next (id INTEGER);", "DROP TABLE next;\nDROP TABLE never;"))
					err := p.migrator(from(fsys), gooseplus.WithRollback(strategy)).Rollback(ctx, 4)
					stuck := wantStuck(t, err, 13, 11)
					wantIs(t, err, gooseplus.ErrDirty)
					wantText(t, stuck.Err, "11 (sql/base/11_next.sql)")
					p.want(t, grownVersions, []string{"teams", "users"})
				})
			})
		}
	})

	t.Run("NO TRANSACTION steps that were undone are applied again", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := grow(t, p, map[string]*fstest.MapFile{
				"12_bad.sql": script("CREATE TABLE x (id INTEGER);", "DROP TABLE never;"),
				"13_y.sql":   noTransaction("CREATE TABLE y (id INTEGER);", "DROP TABLE IF EXISTS y;"),
			})
			wantFailedStep(t, p.migrator(from(fsys)).Rollback(ctx, 2), 12, "down")
			p.want(t, startVersions, startTables)
		})
	})

	boom := errors.New("boom")
	for name, f := range map[string]goose.GoFunc{
		"error in a Go Down": {RunTx: func(ctx context.Context, tx *sql.Tx) error {
			return errors.Join(boom, execTx(ctx, tx, "INSERT INTO teams VALUES (11)"))
		}},
		"panic in a Go Down": {RunTx: func(ctx context.Context, tx *sql.Tx) error {
			if err := execTx(ctx, tx, "INSERT INTO teams VALUES (11)"); err != nil {
				return err
			}
			panic(boom)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			onDatabases(t, func(t *testing.T, p *place) {
				fsys := begin(t, p, nil)
				err := p.migrator(from(fsys), down(f)).Rollback(ctx, 3)
				wantIs(t, err, boom)
				wantRows(t, p, 5)
				if p.transactionalDDL {
					wantFailedStep(t, err, 11, "down")
					back(t, p)
					return
				}
				wantStuck(t, err, 13, 11)
				wantIs(t, err, gooseplus.ErrDirty)
				p.want(t, grownVersions, grownTables)
			})
		})
	}

	t.Run("panic in a Go Down without a transaction", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := begin(t, p, nil)
			err := p.migrator(from(fsys), down(goose.GoFunc{RunDB: func(context.Context, *sql.DB) error {
				panic("out of geese")
			}})).Rollback(ctx, 3)
			wantStuck(t, err, 13, 11)
			wantIs(t, err, gooseplus.ErrDirty)
			wantText(t, err, "panic: out of geese")
			p.want(t, grownVersions, grownTables)
		})
	})

	t.Run("a timeout and a cancellation in the middle of a Down", func(t *testing.T) {
		for name, s := range map[string]struct {
			opt  func(time.Duration) gooseplus.Option
			text string
		}{
			"migration timeout": {gooseplus.WithMigrationTimeout, "the migration timeout of %v is over"},
			"global timeout":    {gooseplus.WithTimeout, "the timeout of %v is over"},
		} {
			t.Run(name, func(t *testing.T) {
				onDatabases(t, func(t *testing.T, p *place) {
					fsys := begin(t, p, script("CREATE TABLE next (id INTEGER);", p.sleep+"\nDROP TABLE next;"))
					longEnough(t, time.Second, func(limit time.Duration) bool {
						slow := &steps{version: 11}
						err := p.migrator(from(fsys), s.opt(limit), slow.watch()).Rollback(ctx, 3)
						wantIs(t, err, context.DeadlineExceeded)
						wantText(t, err, fmt.Sprintf(s.text, limit))
						if slow.started == 0 {
							return false
						}
						backOrDirty(t, p, err, back)
						return true
					})
				})
			})
		}
		t.Run("cancellation", func(t *testing.T) {
			reason := errors.New("the pod is going away")
			onDatabases(t, func(t *testing.T, p *place) {
				fsys := begin(t, p, script("CREATE TABLE next (id INTEGER);", p.sleep+"\nDROP TABLE next;"))
				ctx, cancel := context.WithCancelCause(ctx)
				defer cancel(nil)
				err := p.migrator(from(fsys), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
					if started, ok := e.(gooseplus.MigrationStarted); ok && started.Step.Version == 11 {
						time.AfterFunc(300*time.Millisecond, func() { cancel(reason) })
					}
				})).Rollback(ctx, 3)
				wantIs(t, err, context.Canceled)
				wantIs(t, err, reason)
				backOrDirty(t, p, err, back)
			})
		})
	})

	t.Run("the caller cancels between two steps", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := grow(t, p, map[string]*fstest.MapFile{
				"12_x.sql": table("x"),
				"13_y.sql": noTransaction("CREATE TABLE y (id INTEGER);", "DROP TABLE y;"), // so that no COMMIT follows
			})
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			db, counter := p.counted(t)
			counter.after = func(statement string) {
				if strings.HasPrefix(statement, "DELETE FROM") && strings.Contains(statement, "goose_db_version") {
					cancel()
				}
			}
			err := gooseplus.New(db, gooseplus.WithDialect(p.dialect), from(fsys)).Rollback(ctx, 3)
			wantIs(t, err, gooseplus.ErrRollForward)
			wantIs(t, err, context.Canceled)
			wantText(t, err, "the run ended before migration 12")
			p.want(t, startVersions, startTables)
		})
	})

	t.Run("the caller cancels while the version is about to be deleted", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := begin(t, p, nil)
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			// The function's changes outside a transaction stay. Its version is removed all the same, and then applied again.
			err := p.migrator(from(fsys), down(goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
				_, err := db.ExecContext(ctx, "DROP TABLE next")
				cancel()
				return err
			}})).Rollback(ctx, 3)
			wantIs(t, err, context.Canceled)
			wantStuck(t, err, 13, 10)
			p.want(t, []int64{1, 10, 5}, []string{"teams", "users"})
		})
	})

	t.Run("RollbackNone", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := begin(t, p, script("CREATE TABLE next (id INTEGER);", "DROP TABLE never;"))
			m := p.migrator(from(fsys), gooseplus.WithRollback(gooseplus.RollbackNone))
			stuck := wantStuck(t, m.Rollback(ctx, 3), 13, 11)
			wantText(t, stuck.Err, "RollbackNone")
			wantIsNot(t, stuck, gooseplus.ErrDirty)
			p.want(t, grownVersions, grownTables)

			// Nothing was undone this time, so the database is where it started.
			wantFailedStep(t, m.Rollback(ctx, 1), 11, "down")
			p.want(t, grownVersions, grownTables)
		})
	})

	t.Run("an Up that fails ends the way back", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := begin(t, p, script("CREATE TABLE next (id INTEGER);", "DROP TABLE never;"))
			fsys["sql/base/12_x.sql"] = script("CREATE TABLE x (id INTEGER);\nINSERT INTO nowhere VALUES (1);", "DROP TABLE IF EXISTS x;")
			err := p.migrator(from(fsys)).Rollback(ctx, 3)
			stuck := wantStuck(t, err, 13, 11)
			wantIsNot(t, err, gooseplus.ErrDirty)
			var up *gooseplus.MigrationError
			if !errors.As(stuck.Err, &up) || up.Version != 12 || up.Direction != "up" || up.Statement != "INSERT INTO nowhere VALUES (1);" {
				t.Errorf("Err = %+v", stuck.Err)
			}
			wantText(t, stuck.Cause, "11_next.sql")
			// Its own Down has taken away what it left.
			p.want(t, grownVersions, grownTables)
		})
	})

	t.Run("an Up that fails half-way and has no way back itself", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := begin(t, p, script("CREATE TABLE next (id INTEGER);", "DROP TABLE never;"))
			fsys["sql/base/12_x.sql"] = noTransaction("CREATE TABLE half (id INTEGER);\nINSERT INTO nowhere VALUES (1);", "DROP TABLE x;")
			err := p.migrator(from(fsys)).Rollback(ctx, 3)
			stuck := wantStuck(t, err, 13, 11)
			wantIs(t, stuck.Err, gooseplus.ErrDirty)
			wantText(t, stuck.Err, "12_x.sql:4) up")
			wantText(t, stuck.Err, "12_x.sql:6) down")
			p.want(t, grownVersions, append([]string{"half"}, grownTables...))
		})
	})

	t.Run("a Down that tampers with the version table", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := grow(t, p, map[string]*fstest.MapFile{
				"12_x.sql": script("CREATE TABLE x (id INTEGER);", "DROP TABLE x;\nDELETE FROM goose_db_version WHERE version_id = 11;"),
			})
			err := p.migrator(from(fsys)).Rollback(ctx, 1)
			wantStuck(t, err, 12, 12)
			wantText(t, err, "[11]")
			p.want(t, []int64{1, 10, 5, 12}, append(slices.Clone(grownTables), "x"))
		})
	})
}

// backOrDirty asserts the outcome of a run down that was interrupted in the Down of version 11: it
// is back, but where DDL commits by itself nobody knows.
func backOrDirty(t *testing.T, p *place, err error, back func(*testing.T, *place)) {
	t.Helper()
	if p.transactionalDDL {
		wantFailedStep(t, err, 11, "down")
		back(t, p)
		return
	}
	wantStuck(t, err, 13, 11)
	wantIs(t, err, gooseplus.ErrDirty)
	p.want(t, grownVersions, grownTables)
}

// TestVersionTableThatRefuses: where DDL commits by itself, the only statement of a migration can
// have succeeded and its row be refused. Then it is there, whatever the version table says.
func TestVersionTableThatRefuses(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, x := range having(server, without(transactionalDDL)) {
		refuse := func(event string) string {
			return "CREATE TRIGGER refuse BEFORE " + event + " ON goose_db_version FOR EACH ROW SIGNAL SQLSTATE '45000';"
		}
		triggers := `SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE()`
		t.Run("a step up on "+x.name, func(t *testing.T) {
			p := x.place(t)
			fsys := deploy(t, p, map[string]*fstest.MapFile{"12_x.sql": script(refuse("INSERT"), "DROP TRIGGER IF EXISTS refuse;")})
			wantFailed(t, p.migrator(from(fsys)).Migrate(ctx), 12)
			p.want(t, earlierVersions, earlierTables)
			if left := column[string](t, p.db, triggers); len(left) > 0 {
				t.Errorf("its Down was not run: %v is there", left)
			}
		})
		t.Run("a step down on "+x.name, func(t *testing.T) {
			p := x.place(t)
			fsys := grow(t, p, map[string]*fstest.MapFile{"12_x.sql": script("CREATE TABLE x (id INTEGER);", refuse("DELETE"))})
			err := p.migrator(from(fsys)).Rollback(ctx, 1)
			wantStuck(t, err, 12, 12)
			wantIs(t, err, gooseplus.ErrDirty)
		})
	}
}

func wantReads(t *testing.T, situation string, told []string) {
	t.Helper()
	for _, s := range told {
		if !strings.HasPrefix(strings.TrimPrefix(s, "prepare "), "SELECT") {
			t.Errorf("%s: the database was told %q", situation, s)
		}
	}
}
