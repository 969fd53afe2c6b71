package conformance

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

func TestForce(t *testing.T) {
	t.Parallel()
	ctx := context.Background()

	t.Run("a database that another tool has migrated", func(t *testing.T) {
		onEachLocked(t, func(t *testing.T, p *place, lock gooseplus.Option) {
			p.exec(t, "CREATE TABLE t001 (id INTEGER)", "CREATE TABLE t002 (id INTEGER)")
			m := p.migrator(from(chain(3)), lock)
			if err := m.Force(ctx, 2); err != nil {
				t.Fatal(err)
			}
			p.want(t, []int64{1, 2}, []string{"t001", "t002"})
			if err := m.Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			p.want(t, []int64{1, 2, 3}, []string{"t001", "t002", "t003"})
		})
	})

	t.Run("up and down, and nothing is executed", func(t *testing.T) {
		onEachLocked(t, func(t *testing.T, p *place, lock gooseplus.Option) {
			m := p.migrator(from(chain(4)), lock)
			if err := m.MigrateTo(ctx, 2); err != nil {
				t.Fatal(err)
			}
			tables := []string{"t001", "t002"}
			for _, s := range []struct {
				version int64
				want    []int64
			}{
				{4, []int64{1, 2, 3, 4}}, {4, []int64{1, 2, 3, 4}}, {3, []int64{1, 2, 3}}, {0, nil}, {1, []int64{1}},
			} {
				if err := m.Force(ctx, s.version); err != nil {
					t.Fatal(err)
				}
				p.want(t, s.want, tables)
			}
			for _, version := range []int64{-1, 5, 100} {
				if err := m.Force(ctx, version); err == nil {
					t.Errorf("version %d is accepted", version)
				}
			}
			p.want(t, []int64{1}, tables)
		})
	})

	t.Run("versions that are not known", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			m := p.migrator(from(chain(2)))
			if err := m.Force(ctx, 2); err != nil {
				t.Fatal(err)
			}
			if err := p.foreign(7, 1000); err != nil {
				t.Fatal(err)
			}
			if err := m.Force(ctx, 7); err != nil {
				t.Fatal(err)
			}
			p.want(t, []int64{1, 2, 7}, nil)
		})
	})
}

// TestForceOfAnother: a release or an environment without the migration that failed can say that it is complete now. It isn't
// executed a second time then.
func TestForceOfAnother(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	const failed = "sql/production/2_b.sql"
	for _, newest := range []bool{false, true} {
		fsys := files(map[string]*fstest.MapFile{"1_a.sql": table("a")})
		last, all := int64(2), []int64{1, 2}
		if !newest {
			fsys["sql/base/3_c.sql"] = table("c")
			last, all = 3, []int64{1, 2, 3}
		}
		fsys[failed] = &fstest.MapFile{Data: []byte("-- +goose NO TRANSACTION\n-- +goose Up\nINSERT INTO a VALUES (1);\nINSERT INTO nowhere VALUES (1);\n")}
		onEachLocked(t, func(t *testing.T, p *place, lock gooseplus.Option) {
			production := p.migrator(from(fsys), lock, gooseplus.WithEnvironments("production"))
			wantIs(t, production.Migrate(ctx), gooseplus.ErrDirty)
			another := p.migrator(from(fsys), lock)
			err := another.Migrate(ctx)
			wantIs(t, err, gooseplus.ErrDirty)
			wantText(t, err, "Force(2)")
			if err := another.Force(ctx, last); err != nil {
				t.Fatal(err)
			}
			p.want(t, all, []string{"a"})
			if err := production.Migrate(ctx); err != nil {
				t.Error(err)
			}
			if rows := column[int](t, p.db, "SELECT count(*) FROM a"); rows[0] != 1 {
				t.Errorf("migration 2 was executed %d times", rows[0])
			}
			if err := another.Force(ctx, 1); err != nil {
				t.Fatal(err)
			}
			p.want(t, []int64{1}, []string{"a"})
			if err := another.Force(ctx, 2); err == nil {
				t.Error("version 2 is neither known nor dirty, and Force accepts it")
			}
		})
	}
}

// TestForceIsToldAsItIs: whatever comes between Force and the answer to its COMMIT, or after it, the outcome told is the truth.
func TestForceIsToldAsItIs(t *testing.T) {
	t.Parallel()
	onDatabases(t, func(t *testing.T, p *place) {
		if err := p.migrator(from(chain(1))).Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		db, f := p.flaky(t)
		committed := once("is_applied) VALUES", "COMMIT")
		f.lose = func(statement string) bool {
			if committed(statement) {
				cancel()
			}
			return false
		}
		m := p.over(db, from(chain(3)))
		if err := m.Force(ctx, 2); err != nil || ctx.Err() == nil {
			t.Errorf("the context ends after the COMMIT: %v", err)
		}
		f.lose = once("is_applied) VALUES", "COMMIT")
		var end gooseplus.RunFinished
		if err := m.With(finished(&end)).Force(t.Context(), 3); err != nil || end.To != 3 {
			t.Errorf("the answer to the COMMIT is lost: %v, %+v", err, end)
		}
		f.wantLost(t, 1)
		if !p.transactionalDDL { // the state table's own transactions are refused instead
			return
		}
		deleted := false
		f.lose = func(statement string) bool {
			deleted = deleted || strings.HasPrefix(statement, "DELETE FROM") && strings.Contains(statement, "WHERE version_id")
			return false
		}
		f.refuse = func(statement string) error {
			if statement == "COMMIT" && deleted {
				deleted = false
				return errors.New("refused")
			}
			return nil
		}
		wantIs(t, m.Force(t.Context(), 1), gooseplus.ErrMigrationTable)
		p.want(t, []int64{1, 2, 3}, []string{"t001"})
	})
}

// TestForceInAnEnvironment: a database that Force adopts is as protected as one that was migrated.
func TestForceInAnEnvironment(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	fsys := files(map[string]*fstest.MapFile{"1_a.sql": table("a")})
	fsys["sql/production/2_p.sql"] = table("p")
	fsys["sql/test/3_seed.sql"] = table("seed")
	onEachLocked(t, func(t *testing.T, p *place, lock gooseplus.Option) {
		in := func(name string) *gooseplus.Migrator {
			return p.migrator(from(fsys), lock, gooseplus.WithEnvironments(name))
		}
		if err := in("production").Force(ctx, 0); err != nil {
			t.Fatal(err)
		}
		if got := (record{p}).marks(t); got != "" {
			t.Errorf("nothing is applied, and remembered: %s", got)
		}
		if err := in("production").Force(ctx, 2); err != nil {
			t.Fatal(err)
		}
		if got := (record{p}).marks(t); got != "environment production" {
			t.Errorf("remembered: %s", got)
		}
		wantIs(t, in("test").Migrate(ctx), gooseplus.ErrProtectedEnvironment)
		wantIs(t, in("test").Force(ctx, 3), gooseplus.ErrProtectedEnvironment)
		p.want(t, []int64{1, 2}, nil)
		if err := p.migrator(from(fsys), lock).Force(ctx, 1); err != nil {
			t.Errorf("base alone: %v", err)
		}
	})
}

func TestLockVersion(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onEachLocked(t, func(t *testing.T, p *place, lock gooseplus.Option) {
		fsys := chain(4)
		m := p.migrator(from(fsys), lock)
		if err := m.MigrateTo(ctx, 3); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := m.LockVersion(ctx, 2); err != nil {
				t.Fatal(err)
			}
		}
		for _, call := range []func() error{
			func() error { return m.Rollback(ctx, 2) },
			func() error { return m.RollbackTo(ctx, 1) },
			func() error { return m.RollbackTo(ctx, 0) },
			func() error { return m.Goto(ctx, 1) },
		} {
			err := call()
			wantIs(t, err, gooseplus.ErrVersionLocked)
			wantIsNot(t, err, gooseplus.ErrRollBack)
			wantText(t, err, "version 2")
			p.want(t, upTo(3), []string{"t001", "t002", "t003"}) // not even version 3 was undone
		}
		s, err := m.Status(ctx)
		if err != nil || s.Migrations[0].Locked || !s.Migrations[1].Locked || s.Migrations[2].Locked || s.Dirty {
			t.Errorf("status %+v, %v", s, err)
		}
		if err := m.Goto(ctx, 2); err != nil {
			t.Error(err)
		}
		// The way back of a run that began there is no way below it.
		broken := chain(4)
		broken["sql/base/004_t.sql"] = script("CREATE TABLE t001 (id INTEGER);", "DROP TABLE IF EXISTS t004;")
		wantFailed(t, p.migrator(from(broken), lock).Migrate(ctx), 4)
		p.want(t, upTo(2), []string{"t001", "t002"})

		// A version that is protected before it is applied.
		if err := m.LockVersion(ctx, 3); err != nil {
			t.Fatal(err)
		}
		stuck := wantStuck(t, p.migrator(from(broken), lock).Migrate(ctx), 2, 3)
		wantIs(t, stuck, gooseplus.ErrVersionLocked)
		p.want(t, upTo(3), []string{"t001", "t002", "t003"})

		for _, v := range []int64{3, 2, 2} {
			if err := m.UnlockVersion(ctx, v); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.RollbackTo(ctx, 0); err != nil {
			t.Fatal(err)
		}
		p.want(t, nil, nil)
		for _, v := range []int64{0, -3, 77} {
			if err := m.LockVersion(ctx, v); err == nil || strings.Contains(err.Error(), "\n") {
				t.Errorf("LockVersion(%d): %v", v, err)
			}
		}
	})
}

func TestProtectedEnvironments(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	fsys := files(map[string]*fstest.MapFile{"1_a.sql": table("a")})
	fsys["sql/production/2_p.sql"] = table("p")
	fsys["sql/test/3_seed.sql"] = table("seed")
	fsys["sql/base/4_d.sql"] = table("d")
	in := func(names ...string) gooseplus.Option { return gooseplus.WithEnvironments(names...) }
	later := fstest.MapFS{"sql/production/4_p.sql": table("p")} // after a migration in Go

	onEachLocked(t, func(t *testing.T, p *place, lock gooseplus.Option) {
		production := p.migrator(from(fsys), lock, in("production"))
		if err := production.MigrateTo(ctx, 2); err != nil {
			t.Fatal(err)
		}
		if got := (record{p}).marks(t); got != "environment production" {
			t.Errorf("remembered: %s", got)
		}
		test := p.migrator(from(fsys), lock, in("test"))
		for _, err := range []error{test.Migrate(ctx), test.MigrateTo(ctx, 3), second(test.Plan(ctx))} {
			wantIs(t, err, gooseplus.ErrProtectedEnvironment)
			wantText(t, err, `"production"`)
			wantText(t, err, `"test"`)
		}
		p.want(t, []int64{1, 2}, []string{"a", "p"})
		if err := test.MigrateTo(ctx, 1); err != nil {
			t.Errorf("nothing to do: %v", err)
		}
		if err := p.migrator(from(fsys), lock).MigrateTo(ctx, 1); err != nil {
			t.Errorf("base alone: %v", err)
		}
		if err := production.Migrate(ctx); err != nil {
			t.Error(err)
		}
		off := p.migrator(from(fsys), lock, in("test"), gooseplus.WithProtectedEnvironments())
		if err := off.Migrate(ctx); err != nil {
			t.Errorf("without protection: %v", err)
		}
		if err := test.Goto(ctx, 0); err == nil { // it has been seen now, but version 2 is not known to it
			t.Error("version 2 was undone without a Down")
		} else {
			wantIs(t, err, gooseplus.ErrIrreversible)
		}
	})

	t.Run("a run that failed leaves no trace", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			broken := files(map[string]*fstest.MapFile{"1_a.sql": table("a")})
			broken["sql/production/2_p.sql"] = script("CREATE TABLE a (id INTEGER);", "DROP TABLE IF EXISTS p;")
			wantFailed(t, p.migrator(from(broken), in("production")).Migrate(ctx), 2)
			if got := (record{p}).marks(t); got != "" {
				t.Errorf("remembered: %s", got)
			}
			if err := p.migrator(from(fsys), in("test")).Migrate(ctx); err != nil {
				t.Error(err)
			}
		})
	})

	t.Run("beside a run that fails", func(t *testing.T) { // without the lock, which would keep them apart
		having(transactionalDDL).onEach(t, func(t *testing.T, p *place) {
			begun, goOn := make(chan bool, 2), make(chan bool)
			waits := gooseplus.WithGoMigrations(goose.NewGoMigration(3, &goose.GoFunc{RunTx: func(ctx context.Context, _ *sql.Tx) error {
				begun <- true
				select {
				case <-goOn:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}}, nil))
			run := func(ctx context.Context) <-chan error {
				ended := make(chan error, 1)
				go func() { ended <- p.migrator(from(later), in("production"), waits).Migrate(ctx) }()
				return ended
			}
			failing, cancel := context.WithCancel(ctx)
			defer cancel()
			begin := func(ctx context.Context) <-chan error {
				ended := run(ctx)
				select {
				case <-begun:
				case err := <-ended:
					t.Fatal(err)
				}
				return ended
			}
			first := begin(failing)
			second := begin(ctx)
			cancel()
			wantIs(t, <-first, gooseplus.ErrRollForward)
			close(goOn)
			if err := <-second; err != nil {
				t.Error(err)
			}
			if got := (record{p}).marks(t); got != "environment production" {
				t.Errorf("remembered: %s", got)
			}
		})
	})

	t.Run("a name of one's own", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			live := gooseplus.WithProtectedEnvironments("live", "it's")
			fsys["sql/it's/5_e.sql"] = table("e")
			if err := p.migrator(from(fsys), in("it's"), live).Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			wantIs(t, p.migrator(from(fsys), in("it's", "test"), live).Migrate(ctx), gooseplus.ErrProtectedEnvironment)
		})
	})
}

func second[T any](_ T, err error) error { return err }
