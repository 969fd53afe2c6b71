package session

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
	"go.uber.org/goleak"
	modernc "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus/internal/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// target is a database reached through one driver.
type target struct {
	name, driver, dialect string
	dsn                   func(testing.TB) string
	// transactionalDDL: a transaction takes schema changes back too.
	transactionalDDL bool
	// id asks a connection for its id, kill ends the connection of that id; "" where there are none.
	id, kill string
	// setting reads, and write sets, a setting of the connection.
	read  string
	write func(any) Statement
	value any
	sleep string
}

func postgres(name, driver string) target {
	return target{
		name: name, driver: driver, dialect: "postgres",
		dsn:              func(t testing.TB) string { return dbtest.Postgres(t).NewDatabase(t).DSN },
		transactionalDDL: true,
		id:               `SELECT pg_backend_pid()`, kill: `SELECT pg_terminate_backend(%v)`,
		read: `SELECT current_setting('lock_timeout')`,
		write: func(v any) Statement {
			return Statement{Query: `SELECT set_config('lock_timeout', $1, false)`, Args: []any{v}}
		},
		value: "7s",
		sleep: `SELECT pg_sleep(30)`,
	}
}

func sqlite(name, driver string) target {
	return target{
		name: name, driver: driver, dialect: "sqlite3",
		dsn:              func(t testing.TB) string { return "file:" + dbtest.SQLiteFile(t) },
		transactionalDDL: true,
		read:             `PRAGMA cache_size`,
		write:            func(v any) Statement { return Statement{Query: fmt.Sprintf("PRAGMA cache_size = %d", v)} },
		value:            int64(-777),
		sleep:            `WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE pause() = 0) SELECT count(*) FROM c`,
	}
}

// pause has a statement of SQLite take its time, and not the processor's.
func pause() int64 {
	time.Sleep(time.Millisecond)
	return 0
}

func init() {
	modernc.MustRegisterScalarFunction("pause", 0, func(*modernc.FunctionContext, []driver.Value) (driver.Value, error) { return pause(), nil })
}

var targets = []target{
	postgres("pq", "postgres"),
	postgres("pgx", "pgx"),
	{
		name: "mariadb", driver: "mysql", dialect: "mysql",
		dsn: func(t testing.TB) string { return dbtest.MySQL(t).NewDatabase(t).DSN },
		id:  `SELECT CONNECTION_ID()`, kill: `KILL %v`,
		read: `SELECT @@SESSION.lock_wait_timeout`,
		write: func(v any) Statement {
			return Statement{Query: `SET SESSION lock_wait_timeout = ?`, Args: []any{v}}
		},
		value: int64(77),
		sleep: `DO SLEEP(30)`,
	},
	sqlite("modernc", "sqlite"),
}

// place is a parent pool on an empty database.
type place struct {
	target
	db *sql.DB
}

// onEach runs a test on every target, or on those with transactional DDL only. At its end no
// connection may be in use and no goroutine may be left.
func onEach(t *testing.T, all bool, test func(*testing.T, *place)) {
	for _, x := range targets {
		if !all && !x.transactionalDDL {
			continue
		}
		t.Run(x.name, func(t *testing.T) { test(t, x.place(t)) })
	}
}

func (x target) place(t testing.TB) *place {
	t.Helper()
	dsn := x.dsn(t)
	before := goleak.IgnoreCurrent()
	db, err := sql.Open(x.driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		free(t, db)
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		for deadline := time.Now().Add(16 * time.Second); ; { // pgx closes interrupted connections slowly
			err := goleak.Find(before)
			if err == nil {
				return
			}
			if time.Now().After(deadline) {
				t.Error(err)
				return
			}
		}
	})
	return &place{x, db}
}

// open makes a session that is closed at the end of the test, when nothing may be in use.
func (p *place) open(t testing.TB, cfg Config) *Session {
	return closeAtEnd(t, Open(p.db, cfg))
}

func closeAtEnd(t testing.TB, s *Session) *Session {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (p *place) inTransaction(t testing.TB, cfg Config) *Session {
	t.Helper()
	s, err := InTransaction(context.Background(), p.db, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return closeAtEnd(t, s)
}

// execer is what can execute.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func exe(t testing.TB, db execer, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(context.Background(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func get[T any](t testing.TB, db queryer, query string) (v T) {
	t.Helper()
	if err := db.QueryRowContext(context.Background(), query).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

// want asserts which of the tables a, b, c … are there, as seen by the parent pool.
func (p *place) want(t testing.TB, tables string) {
	t.Helper()
	got := ""
	for _, name := range []string{"a", "b", "c", "d"} {
		rows, err := p.db.Query("SELECT 1 FROM " + name)
		if err == nil {
			got += name
			rows.Close()
		}
	}
	if got != tables {
		t.Errorf("tables %q, want %q", got, tables)
	}
}

// as runs a query with what a connection tells of itself put in, over the parent pool.
func (p *place) killConn(t testing.TB, conn queryer) {
	t.Helper()
	exe(t, p.db, fmt.Sprintf(p.kill, get[int64](t, conn, p.id)))
	time.Sleep(20 * time.Millisecond) // the server answers before the other backend has ended
}

// free fails the test if connections of the parent are in use. For a moment, a connection counts that the pool has opened for
// a caller who no longer waits.
func free(t testing.TB, db *sql.DB) {
	t.Helper()
	n := db.Stats().InUse
	for end := time.Now().Add(time.Second); n != 0 && db.Stats().MaxOpenConnections > 1 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
		n = db.Stats().InUse
	}
	if n != 0 {
		t.Errorf("%d of the parent's connections are in use", n)
	}
}

func wantIs(t testing.TB, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("error %v is not %v", err, target)
	}
}

var errFenced = errors.New("another runner took over")

// fence makes the table of runs and the statement that every transaction begins with.
func (p *place) fence(t testing.TB) Config {
	exe(t, p.db, `CREATE TABLE runs (run INTEGER PRIMARY KEY, outcome VARCHAR(20), n INTEGER)`,
		`INSERT INTO runs VALUES (7, 'running', 0)`)
	query := `UPDATE runs SET n = n + 1 WHERE run = ? AND outcome = 'running'`
	if p.dialect == "postgres" {
		query = strings.Replace(query, "?", "$1", 1)
	}
	return Config{OnBegin: []Statement{{Query: query, Args: []any{7}, Check: func(n int64) error {
		if n == 0 {
			return errFenced
		}
		return nil
	}}}}
}
