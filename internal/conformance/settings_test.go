package conformance

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"testing"
	"testing/fstest"

	"github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

// goTable creates a table and drops it again, in a transaction.
func goTable(version int64, name string) *goose.Migration {
	exec := func(statement string) *goose.GoFunc {
		return &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error { return execTx(ctx, tx, statement) }}
	}
	return goose.NewGoMigration(version, exec("CREATE TABLE "+name+" (id INTEGER)"), exec("DROP TABLE "+name))
}

// play has a pool go through what a Migrator does: a chain is applied, the next fails and is undone,
// then everything is rolled back. The migrations of the chain are files with and without a
// transaction, and a Go migration.
func play(t *testing.T, p *place, db *sql.DB, bad *fstest.MapFile) {
	t.Helper()
	ctx := context.Background()
	fsys := files(map[string]*fstest.MapFile{
		"1_a.sql": table("a"), "2_b.sql": noTransaction("CREATE TABLE b (id INTEGER);", "DROP TABLE b;"),
	})
	m := p.over(db, from(fsys), gooseplus.WithGoMigrations(goTable(3, "c")))
	for range 2 {
		if err := m.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := m.Status(ctx); err != nil || s.CurrentVersion != 3 || s.Migrations[2].AppliedAt == nil || s.Migrations[2].AppliedAt.IsZero() {
		t.Errorf("Status = %+v, %v", s, err)
	}
	fsys["sql/base/4_d.sql"] = table("d")
	fsys["sql/base/6_f.sql"] = noTransaction("CREATE TABLE f (id INTEGER);", "DROP TABLE f;")
	fsys["sql/base/7_bad.sql"] = bad
	next := p.over(db, from(fsys), gooseplus.WithGoMigrations(goTable(3, "c"), goTable(5, "e")))
	err := next.Migrate(ctx)
	wantFailed(t, err, 7)
	p.want(t, []int64{1, 2, 3}, []string{"a", "b", "c"})

	// A run down that fails applies again what it undid.
	fsys["sql/base/1_a.sql"] = script("CREATE TABLE a (id INTEGER);", "DROP TABLE never;")
	delete(fsys, "sql/base/7_bad.sql")
	wantFailedStep(t, m.Rollback(ctx, 3), 1, "down")
	p.want(t, []int64{1, 2, 3}, []string{"a", "b", "c"})
	fsys["sql/base/1_a.sql"] = table("a")
	if err := m.RollbackTo(ctx, 0); err != nil {
		t.Fatal(err)
	}
	p.want(t, nil, nil)
	if n := db.Stats().InUse; n != 0 {
		t.Errorf("%d connections are in use", n)
	}
}

// halfway fails in its second statement.
func halfway() *fstest.MapFile {
	return script("CREATE TABLE half (id INTEGER);\nINSERT INTO nowhere VALUES (1);", "DROP TABLE IF EXISTS half;")
}

func TestOneConnection(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, p *place) {
		db := p.open(t)
		defer db.Close()
		db.SetMaxOpenConns(1)
		play(t, p, db, halfway())
	})
}

// TestOneConnectionAndAGoMigrationWithoutATransaction: it works on the run's own connection, both ways.
func TestOneConnectionAndAGoMigrationWithoutATransaction(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onEach(t, func(t *testing.T, p *place) {
		db := p.open(t)
		defer db.Close()
		db.SetMaxOpenConns(1)
		play2(p, ctx, t, db)
	})
}

// TestMemory: a database in the memory of one connection has everything in it, whatever kind of migration made it,
// though the pool may make other connections.
func TestMemory(t *testing.T) {
	t.Parallel()
	for _, x := range having(without(server)) {
		for _, limit := range []int{0, 1} {
			for _, lock := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, limit %d, lock %v", x.name, limit, lock), func(t *testing.T) {
					t.Parallel()
					db, err := sql.Open(x.driver, ":memory:")
					if err != nil {
						t.Fatal(err)
					}
					defer db.Close()
					db.SetMaxOpenConns(limit)
					if _, err := db.Exec("PRAGMA foreign_keys = ON"); err != nil {
						t.Fatal(err)
					}
					play2((&place{target: x, db: db}), t.Context(), t, db, gooseplus.WithGlobalLock(lock))
					if got := column[string](t, db, "PRAGMA foreign_keys"); got[0] != "1" {
						t.Errorf("the application's foreign_keys are %v", got)
					}
				})
			}
		}
	}
}

// play2 takes the three kinds of actions forward and back.
func play2(p *place, ctx context.Context, t *testing.T, db *sql.DB, opts ...gooseplus.Option) {
	t.Helper()
	var d gooseplus.Definitions
	d.Define(1).UpAction(gooseplus.TxFunc(func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "CREATE TABLE one (id INTEGER)")
		return err
	})).Down("DROP TABLE one")
	d.Define(2).Up("CREATE VIEW v AS SELECT id FROM one").Down("DROP VIEW v")
	d.Define(3).UpAction(gooseplus.DBFunc(func(ctx context.Context, db *sql.DB) error {
		for _, q := range []string{"DROP VIEW v", "CREATE VIEW v AS SELECT id + 1 AS id FROM one", "INSERT INTO one VALUES (41)"} {
			if _, err := db.ExecContext(ctx, q); err != nil {
				return err
			}
		}
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if _, err := tx.ExecContext(ctx, "UPDATE one SET id = id"); err != nil {
			return err
		}
		return tx.Commit()
	})).DownAction(gooseplus.DBFunc(func(ctx context.Context, db *sql.DB) error {
		for _, q := range []string{"DELETE FROM one", "DROP VIEW v", "CREATE VIEW v AS SELECT id FROM one"} {
			if _, err := db.ExecContext(ctx, q); err != nil {
				return err
			}
		}
		return nil
	}))
	d.Define(4).Up("DROP VIEW v").DownAction(gooseplus.Replay(2))
	m := p.over(db, append(opts, gooseplus.WithFS(fstest.MapFS{}), gooseplus.WithDefinitions(&d))...)
	for _, version := range []int64{3, 4, 0, 3} {
		if err := m.Goto(ctx, version); err != nil {
			t.Fatalf("to version %d: %v", version, err)
		}
	}
	if got := column[int64](t, db, "SELECT id FROM v"); len(got) != 1 || got[0] != 42 {
		t.Errorf("the view has %v", got)
	}
	if status, err := m.Status(ctx); err != nil || status.Dirty || status.CurrentVersion != 3 {
		t.Errorf("status %+v, %v", status, err)
	}
}

// TestConnectionSettings has an application's own settings in the DSN.
func TestConnectionSettings(t *testing.T) {
	t.Parallel()
	type settings struct {
		change func(dsn string) (string, error)
		bad    *fstest.MapFile
	}
	inMySQL := func(change func(*mysql.Config)) func(string) (string, error) {
		return func(dsn string) (string, error) {
			cfg, err := mysql.ParseDSN(dsn)
			if err != nil {
				return "", err
			}
			change(cfg)
			return cfg.FormatDSN(), nil
		}
	}
	query := func(key, value string) func(string) (string, error) {
		return func(dsn string) (string, error) {
			u, err := url.Parse(dsn)
			if err != nil {
				return "", err
			}
			q := u.Query()
			q.Set(key, value)
			u.RawQuery = q.Encode()
			return u.String(), nil
		}
	}
	block := script("-- +goose StatementBegin\nCREATE TABLE half (id INTEGER); INSERT INTO nowhere VALUES (1);\n-- +goose StatementEnd",
		"DROP TABLE half;")
	for driver, list := range map[string]map[string]settings{
		"mysql": {
			"without parseTime": {inMySQL(func(c *mysql.Config) { c.ParseTime = false }), halfway()},
			"multiStatements":   {inMySQL(func(c *mysql.Config) { c.MultiStatements = true }), block},
			"interpolateParams": {inMySQL(func(c *mysql.Config) { c.InterpolateParams = true }), halfway()},
			"clientFoundRows":   {inMySQL(func(c *mysql.Config) { c.ClientFoundRows = true }), halfway()},
			"ANSI_QUOTES": {inMySQL(func(c *mysql.Config) {
				c.Params = map[string]string{"sql_mode": "'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,TRADITIONAL'"}
			}), script("CREATE TABLE \"half\" (id INTEGER);\nINSERT INTO nowhere VALUES (1);", `DROP TABLE IF EXISTS "half";`)},
		},
		"pgx": {
			"simple_protocol": {query("default_query_exec_mode", "simple_protocol"), block},
			"exec":            {query("default_query_exec_mode", "exec"), halfway()},
			"cache_describe":  {query("default_query_exec_mode", "cache_describe"), halfway()},
			"serializable":    {query("default_transaction_isolation", "serializable"), halfway()},
		},
		"postgres": {
			"binary_parameters": {query("binary_parameters", "yes"), block},
			"serializable":      {query("default_transaction_isolation", "serializable"), halfway()},
		},
	} {
		for _, x := range targets {
			if x.driver != driver {
				continue
			}
			for name, s := range list {
				t.Run(x.name+" "+name, func(t *testing.T) {
					p := x.place(t)
					dsn, err := s.change(p.dsn)
					if err != nil {
						t.Fatal(err)
					}
					db, err := sql.Open(x.driver, dsn)
					if err != nil {
						t.Fatal(err)
					}
					defer db.Close()
					play(t, p, db, s.bad)
				})
			}
		}
	}
}

// TestSideBySide migrates every kind of database at once in one process, each again and again.
func TestSideBySide(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	rounds := chaosRounds(2, 5)
	var places []*place
	for _, x := range targets {
		places = append(places, &place{target: x, dsn: x.database(t)})
	}
	wantNone := leaks(t)
	t.Cleanup(func() {
		for _, p := range places {
			if n := p.inUse(); n != 0 {
				t.Errorf("%s: %d connections are still in use", p.name, n)
			}
			if err := p.db.Close(); err != nil {
				t.Error(err)
			}
		}
		wantNone()
	})
	for _, p := range places {
		p.db = p.open(t)
	}
	start := make(chan struct{})
	ended := make(chan error, len(places))
	for i, p := range places {
		go func() {
			<-start
			ended <- func() error {
				names := make(map[string]*fstest.MapFile)
				for v := 1; v <= 3+i; v++ { // each has a sequence of its own
					names[fmt.Sprintf("%d_t.sql", v)] = table(fmt.Sprintf("t%d", v))
				}
				fsys := files(names)
				last := int64(10)
				boom := errors.New("boom in " + p.name)
				m := p.migrator(from(fsys), gooseplus.WithGoMigrations(goTable(last, "g")))
				bad := p.migrator(from(fsys), gooseplus.WithGoMigrations(goTable(last, "g"),
					goose.NewGoMigration(11, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return boom }}, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return nil }})))
				for range rounds {
					if err := bad.Migrate(ctx); !errors.Is(err, boom) || !errors.Is(err, gooseplus.ErrRollForward) {
						return fmt.Errorf("%s: %w", p.name, err)
					}
					if err := errors.Join(m.Migrate(ctx), m.Rollback(ctx, 2), m.Migrate(ctx), m.RollbackTo(ctx, 1)); err != nil {
						return fmt.Errorf("%s: %w", p.name, err)
					}
				}
				return m.Migrate(ctx)
			}()
		}()
	}
	close(start)
	for range places {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	for i, p := range places {
		versions, tables := []int64{}, []string{"g"}
		for v := 1; v <= 3+i; v++ {
			versions = append(versions, int64(v))
			tables = append(tables, fmt.Sprintf("t%d", v))
		}
		p.want(t, append(versions, 10), tables)
	}
}
