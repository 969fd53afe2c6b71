package conformance

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/go-sql-driver/mysql"

	"github.com/gooseplus/gooseplus"
)

// view creates a view, or replaces one of that name, in one text: SQLite has no OR REPLACE.
func (x target) view(name, query string) string {
	if x.dialect == "sqlite" {
		return "DROP VIEW IF EXISTS " + name + ";\nCREATE VIEW " + name + " AS " + query
	}
	return "CREATE OR REPLACE VIEW " + name + " AS " + query
}

// routine is a text with semicolons that end no statement, and one that takes it back.
func (x target) routine() (up, down string) {
	switch x.dialect {
	case "postgres":
		return "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $body$\nBEGIN\n  -- +goose Down\n  NEW.name := 'x;y';\n  RETURN NEW;\nEND;\n$body$;\n",
			"DROP FUNCTION IF EXISTS touch()"
	case "mysql":
		return "CREATE PROCEDURE touch()\nBEGIN\n  -- +goose Down\n  SELECT 'x;y';\n  SELECT 2;\nEND", "DROP PROCEDURE IF EXISTS touch"
	}
	return "CREATE TRIGGER touch AFTER INSERT ON city BEGIN\n  -- +goose Down\n  DELETE FROM city WHERE name = 'x;y';\n  DELETE FROM city WHERE name = '';\nEND;",
		"DROP TRIGGER IF EXISTS touch"
}

// styles are migrations of all sorts: 1 is a goose file, 2 and 3 are pairs, 4 to 7 are defined in Go, 8 is a
// goose file that goes back by a Replay, and 9 is a pair of the environment test.
func (x target) styles() (fstest.MapFS, *gooseplus.Definitions) {
	d := new(gooseplus.Definitions)
	d.Define(7).
		UpAction(gooseplus.DBFunc(func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, "INSERT INTO country (name) VALUES ('Japan')")
			return err
		})).
		Down("DELETE FROM country WHERE name = 'Japan'")
	d.Define(6).
		UpAction(gooseplus.TxFunc(func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO city (name) VALUES ('Bern')")
			return err
		})).
		DownAction(gooseplus.Command("DELETE FROM city WHERE name = 'Bern'"))
	d.Define(5).Up(x.view("names", "SELECT upper(name) AS name FROM city")).DownAction(gooseplus.Replay(4))
	d.Define(4).Up(x.view("names", "SELECT name FROM city")).Down("DROP VIEW IF EXISTS names")
	routine, drop := x.routine()
	return files(map[string]*fstest.MapFile{
		"1_city.sql":              script("CREATE TABLE city (name TEXT);", "DROP TABLE IF EXISTS city;"),
		"000002_country.up.sql":   {Data: []byte("CREATE TABLE country (name TEXT)")},
		"2_country.sql.bak":       {Data: []byte("not a migration")},
		"000003_touch.up.sql":     {Data: []byte(routine)},
		"000003_touch.down.sql":   {Data: []byte(drop)},
		"000002_country.down.sql": {Data: []byte("DROP TABLE IF EXISTS country")},
		"8_names.sql": script("-- +goose StatementBegin\n"+x.view("names", "SELECT lower(name) AS name FROM city")+"\n-- +goose StatementEnd",
			"-- as it was at first\n-- +gooseplus Replay 4"),
		"test/9_seed.up.sql":   {Data: []byte("INSERT INTO city (name) VALUES ('Zug')")},
		"test/9_seed.down.sql": {Data: []byte("DELETE FROM city WHERE name = 'Zug'")},
	}), d
}

// names asserts what the view says.
// styled is a place whose migrations are written in three styles.
type styled struct{ *place }

func (p styled) wantNames(t *testing.T, want ...string) {
	t.Helper()
	if got := column[string](t, p.db, "SELECT name FROM names ORDER BY 1"); !slices.Equal(got, want) {
		t.Errorf("the view has %q, want %q", got, want)
	}
}

// versions asserts the applied versions, in the order in which they were applied.
func (p styled) versions(t *testing.T, want ...int64) {
	t.Helper()
	if got := p.state(t).versions; !slices.Equal(got, want) {
		t.Errorf("versions %v, want %v", got, want)
	}
}

func TestThreeStyles(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onEach(t, func(t *testing.T, p *place) {
		fsys, d := p.styles()
		m := p.migrator(from(fsys), gooseplus.WithDefinitions(d), gooseplus.WithEnvironments("test"))
		if err := errors.Join(d.Err(), m.Err()); err != nil {
			t.Fatal(err)
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		steps, err := m.Plan(ctx)
		must(err)
		for _, s := range steps {
			if !s.Reversible || s.Transactional != (p.transactionalDDL && s.Version != 7) {
				t.Errorf("%+v", s)
			}
		}
		must(m.MigrateTo(ctx, 4))
		styled{p}.versions(t, 1, 2, 3, 4)
		must(m.Migrate(ctx))
		styled{p}.versions(t, 1, 2, 3, 4, 5, 6, 7, 8, 9)
		styled{p}.wantNames(t, "bern", "zug")

		styled{p}.statusOfStyles(t, m)

		must(m.Rollback(ctx, 2)) // 8 leads to 4, not to 5
		styled{p}.wantNames(t, "Bern")
		must(m.Goto(ctx, 5))
		styled{p}.versions(t, 1, 2, 3, 4, 5)
		styled{p}.wantNames(t)
		must(m.RollbackTo(ctx, 4))
		must(m.Goto(ctx, 9))
		styled{p}.wantNames(t, "bern", "zug")
		if v, err := m.Version(ctx); v != 9 || err != nil {
			t.Errorf("version %d, %v", v, err)
		}
		must(m.RollbackTo(ctx, 0))
		p.want(t, nil, nil)
	})
}

// statusOfStyles checks the texts of Status, after all versions were applied.
func (p styled) statusOfStyles(t *testing.T, m *gooseplus.Migrator) {
	t.Helper()
	status, err := m.Status(context.Background())
	if err != nil || status.PendingCount != 0 || status.CurrentVersion != 9 || len(status.Migrations) != 9 {
		t.Fatalf("%+v, %v", status, err)
	}
	routine, _ := p.routine()
	first := p.view("names", "SELECT name FROM city")
	for _, want := range []struct {
		version                       int64
		source, environment, up, down string
	}{
		{1, "sql/base/1_city.sql", "base", "CREATE TABLE city (name TEXT);", "DROP TABLE IF EXISTS city;"},
		{2, "sql/base/000002_country.up.sql", "base", "CREATE TABLE country (name TEXT)", "DROP TABLE IF EXISTS country"},
		{3, "sql/base/000003_touch.up.sql", "base", strings.TrimSpace(routine), "DROP "},
		{5, "conformance/styles_test.go:", "", p.view("names", "SELECT upper(name) AS name FROM city"), first},
		{6, "conformance/styles_test.go:", "", "<go>", "DELETE FROM city WHERE name = 'Bern'"},
		{7, "conformance/styles_test.go:", "", "<go>", "DELETE FROM country WHERE name = 'Japan'"},
		{8, "sql/base/8_names.sql", "base", p.view("names", "SELECT lower(name) AS name FROM city"), first},
		{9, "sql/test/9_seed.up.sql", "test", "INSERT INTO city (name) VALUES ('Zug')", "DELETE FROM city WHERE name = 'Zug'"},
	} {
		got := status.Migrations[want.version-1]
		if got.Version != want.version || !strings.HasPrefix(got.Source, want.source) || got.Environment != want.environment ||
			got.AppliedAt == nil || got.Up != want.up || !strings.HasPrefix(got.Down, want.down) {
			t.Errorf("%+v\nwant %+v", got, want)
		}
	}
}

// TestStylesOnTheWayBack: a run of all sorts that fails returns to its start, with the lock and without.
func TestStylesOnTheWayBack(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		for _, lock := range []bool{false, true} {
			fsys, d := p.styles()
			opts := []gooseplus.Option{from(fsys), gooseplus.WithGlobalLock(lock)}
			if err := p.migrator(append(opts, gooseplus.WithDefinitions(d))...).MigrateTo(ctx, 4); err != nil {
				t.Fatal(err)
			}
			const bad = "INSERT INTO nowhere VALUES (1)"
			d.Define(10).Up(bad).DownAction(gooseplus.Replay(4))
			m := p.migrator(append(opts, gooseplus.WithDefinitions(d))...)
			err := m.Migrate(ctx)
			var failed *gooseplus.MigrationError
			if !errors.Is(err, gooseplus.ErrRollForward) || !errors.As(err, &failed) || failed.Version != 10 || failed.Statement != bad {
				t.Fatalf("%v", err)
			}
			styled{p}.versions(t, 1, 2, 3, 4)
			p.exec(t, "INSERT INTO city (name) VALUES ('Chur')")
			styled{p}.wantNames(t, "Chur")
			if err := m.RollbackTo(ctx, 0); err != nil {
				t.Fatal(err)
			}
			if s := p.state(t); len(s.versions)+len(s.tables) > 0 {
				t.Errorf("with the lock %t: %v", lock, s)
			}
		}
	})
}

// TestLateStyles: lower versions of all sorts that are merged late are applied in ascending order.
func TestLateStyles(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		d := new(gooseplus.Definitions)
		d.Define(9).Up("CREATE TABLE t9 (id INTEGER)").Down("DROP TABLE t9")
		if err := p.migrator(from(files(map[string]*fstest.MapFile{"1_t1.sql": table("t1")})), gooseplus.WithDefinitions(d)).Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		d.Define(8).Up("CREATE TABLE t8 (id INTEGER)").Down("DROP TABLE t8")
		d.Define(2).Up("CREATE TABLE t2 (id INTEGER)").Down("DROP TABLE t2")
		fsys := files(map[string]*fstest.MapFile{
			"1_t1.sql": table("t1"), "6_t6.sql": table("t6"),
			"4_t4.up.sql": {Data: []byte("CREATE TABLE t4 (id INTEGER)")}, "4_t4.down.sql": {Data: []byte("DROP TABLE t4")},
		})
		m := p.migrator(from(fsys), gooseplus.WithDefinitions(d))
		if err := m.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		p.want(t, []int64{1, 9, 2, 4, 6, 8}, []string{"t1", "t2", "t4", "t6", "t8", "t9"})
		if err := m.Rollback(ctx, 5); err != nil {
			t.Fatal(err)
		}
		p.want(t, []int64{1}, []string{"t1"})
	})
}

// TestWhatAFailedCommandLeaves: a Command is an SQL statement, whatever the Down is. A server that refuses
// the only one has done nothing, where nobody knows that of a function.
func TestWhatAFailedCommandLeaves(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	nothing := func(context.Context, *sql.Tx) error { return nil }
	for situation, down := range map[string]*gooseplus.Action{
		"without a Down": nil, "with a function as Down": new(gooseplus.TxFunc(nothing)),
	} {
		t.Run(situation, func(t *testing.T) {
			onEach(t, func(t *testing.T, p *place) {
				d := new(gooseplus.Definitions)
				d.Define(1).Up("CREATE TABLE a (id INTEGER)").Down("DROP TABLE a")
				if second := d.Define(2).Up("CREATE TABLE a (id INTEGER)"); down != nil {
					second.DownAction(*down)
				}
				err := p.migrator(gooseplus.WithFS(fstest.MapFS{}), gooseplus.WithDefinitions(d)).Migrate(ctx)
				if !errors.Is(err, gooseplus.ErrRollForward) {
					t.Errorf("%v", err)
				}
				p.want(t, nil, nil)
			})
		})
	}

	t.Run("a function", func(t *testing.T) {
		onEach(t, func(t *testing.T, p *place) {
			d := new(gooseplus.Definitions)
			d.Define(2).UpAction(gooseplus.TxFunc(func(ctx context.Context, tx *sql.Tx) error {
				_, err := tx.ExecContext(ctx, "INSERT INTO nowhere VALUES (1)")
				return err
			}))
			err := p.migrator(gooseplus.WithFS(fstest.MapFS{}), gooseplus.WithDefinitions(d)).Migrate(ctx)
			if errors.Is(err, gooseplus.ErrDirty) == p.transactionalDDL {
				t.Errorf("%v", err)
			}
		})
	})
}

// TestSeveralStatementsInOneText: MySQL's driver takes them only if the DSN says so; its error is passed on.
func TestSeveralStatementsInOneText(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onEach(t, func(t *testing.T, p *place) {
		d := new(gooseplus.Definitions)
		d.Define(2).Up("CREATE TABLE c (id INTEGER); CREATE TABLE d (id INTEGER);").Down("DROP TABLE IF EXISTS d")
		fsys := files(map[string]*fstest.MapFile{
			"1_ab.up.sql":   {Data: []byte("CREATE TABLE a (id INTEGER);\nCREATE TABLE b (id INTEGER);\n")},
			"1_ab.down.sql": {Data: []byte("DROP TABLE IF EXISTS b;")},
		})
		opts := []gooseplus.Option{from(fsys), gooseplus.WithDefinitions(d)}
		err := p.migrator(opts...).Migrate(ctx)
		if p.dialect == "mysql" {
			var refused *mysql.MySQLError
			if !errors.Is(err, gooseplus.ErrRollForward) || !errors.As(err, &refused) || refused.Number != 1064 {
				t.Fatalf("%v", err)
			}
			p.want(t, nil, nil)
			cfg, parseErr := mysql.ParseDSN(p.dsn)
			if parseErr != nil {
				t.Fatal(parseErr)
			}
			cfg.MultiStatements = true
			db, openErr := sql.Open(p.driver, cfg.FormatDSN())
			if openErr != nil {
				t.Fatal(openErr)
			}
			defer db.Close()
			err = gooseplus.New(db, append(opts, gooseplus.WithDialect(p.dialect))...).Migrate(ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
		p.want(t, []int64{1, 2}, []string{"a", "b", "c", "d"})
	})
}

// TestNoTransactionInOneText: the kinds of both directions are those of the sections that are executed.
func TestNoTransactionInOneText(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onEach(t, func(t *testing.T, p *place) {
		index, drop, inTransaction := "CREATE INDEX i ON a (id)", "DROP INDEX i", "DROP INDEX i"
		switch p.dialect {
		case "postgres":
			index, drop = "CREATE INDEX CONCURRENTLY i ON a (id)", "DROP INDEX CONCURRENTLY IF EXISTS i"
		case "mysql":
			drop, inTransaction = "DROP INDEX i ON a", "DROP INDEX i ON a"
		}
		d := new(gooseplus.Definitions)
		d.Define(1).Up("CREATE TABLE a (id INTEGER)").Down("DROP TABLE a")
		d.Define(3).Up(inTransaction).DownAction(gooseplus.Replay(2))
		fsys := files(map[string]*fstest.MapFile{
			"2_i.up.sql":   {Data: []byte("-- +goose NO TRANSACTION\n" + index)},
			"2_i.down.sql": {Data: []byte(drop)},
		})
		m := p.migrator(from(fsys), gooseplus.WithDefinitions(d))
		if err := m.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		if err := m.Rollback(ctx, 1); err != nil {
			t.Fatal(err)
		}
		styled{p}.versions(t, 1, 2)
		if err := m.RollbackTo(ctx, 0); err != nil {
			t.Fatal(err)
		}
		p.want(t, nil, nil)
	})
}
