package conformance

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"hash/fnv"
	"os"
	"slices"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
	"modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dbtest"
)

// target is a database reached through one driver.
type target struct {
	name    string
	dialect string
	driver  string
	// database makes an empty database and returns its DSN.
	database func(testing.TB) string

	transactionalDDL, schemas bool // see the capabilities of these names
	// kill is the format of a query that ends a connection, given its id, "" where there is none; id
	// asks a connection for its id.
	kill, id string
	// sleep is a statement that takes half a minute, or for ever, unless it is interrupted.
	sleep string
	// tables lists the tables that are there, without those of the version table.
	tables string
}

// slowSQLite ends when it is interrupted.
const slowSQLite = `WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE pause() = 0) SELECT count(*) FROM c;`

// pause has a statement of SQLite take its time, and not the processor's.
func pause() int64 {
	time.Sleep(time.Millisecond)
	return 0
}

func init() {
	sqlite.MustRegisterScalarFunction("pause", 0, func(*sqlite.FunctionContext, []driver.Value) (driver.Value, error) { return pause(), nil })
}

func postgresTarget(driver string) target {
	return target{
		name: "postgres over " + driver, dialect: "postgres", driver: driver,
		database:         func(t testing.TB) string { return dbtest.Postgres(t).NewDatabase(t).DSN },
		transactionalDDL: true,
		schemas:          true,
		kill:             `SELECT pg_terminate_backend(%v)`, id: `SELECT pg_backend_pid()`,
		sleep: `SELECT pg_sleep(30);`,
		// information_schema.tables costs the server ten times as much on a new connection, and tests ask thousands of times.
		tables: `SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
			AND relkind IN ('r', 'p', 'v', 'f') AND relname NOT LIKE 'goose%' ORDER BY relname COLLATE "C"`,
	}
}

func sqliteTarget(driver string) target {
	return target{
		name: "sqlite over " + driver, dialect: "sqlite", driver: driver,
		database:         func(t testing.TB) string { return "file:" + dbtest.SQLiteFile(t) },
		transactionalDDL: true,
		sleep:            slowSQLite,
		tables: `SELECT name FROM sqlite_master
			WHERE type = 'table' AND name NOT LIKE 'goose%' AND name NOT LIKE 'sqlite%' ORDER BY 1`,
	}
}

var targets = []target{
	postgresTarget("postgres"),
	postgresTarget("pgx"),
	{
		name: "mariadb over mysql", dialect: "mysql", driver: "mysql",
		database: func(t testing.TB) string { return dbtest.MySQL(t).NewDatabase(t).DSN },
		schemas:  true,
		kill:     `KILL %v`, id: `SELECT CONNECTION_ID()`,
		sleep: `DO SLEEP(30);`,
		tables: `SELECT table_name FROM information_schema.tables
			WHERE table_schema = DATABASE() AND table_name NOT LIKE 'goose%' ORDER BY 1`,
	},
	sqliteTarget("sqlite"),
}

// A capability is what a test needs of a database.
type capability func(target) bool

// server: connections can be seen and ended by others, and what a killed process has begun goes on.
func server(x target) bool { return x.kill != "" }

// transactionalDDL: a transaction takes schema changes back too.
func transactionalDDL(x target) bool { return x.transactionalDDL }

// schemas: the version table can be in another schema of the same database.
func schemas(x target) bool { return x.schemas }

func without(c capability) capability { return func(x target) bool { return !c(x) } }

// choice are the targets that a test runs on.
type choice []target

// having are the targets with all of these capabilities.
func having(needs ...capability) (c choice) {
	for _, x := range targets {
		if !slices.ContainsFunc(needs, func(has capability) bool { return !has(x) }) {
			c = append(c, x)
		}
	}
	return c
}

// onEach runs a test on every target, on all at once. When it ends, no connection may be in use and no
// goroutine may be left.
func (c choice) onEach(t *testing.T, test func(*testing.T, *place)) {
	for _, x := range c {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			test(t, x.place(t))
		})
	}
}

// onDatabases is onEach for tests of what the driver makes no difference to, unlike sessions, settings, limits and the texts of
// errors: they run over one driver for each database, which depends on the test's name. The long form
// (GOOSEPLUS_CHAOS=1) takes all of them, and so does `make test-drivers` (GOOSEPLUS_TEST_DRIVERS=all). GOOSEPLUS_TEST_DRIVERS=other
// takes the next one.
func (c choice) onDatabases(t *testing.T, test func(*testing.T, *place)) {
	c.drivers(t, 0).onEach(t, test)
}

// drivers are one for each database, another one for another turn, and all of them in the long form.
func (c choice) drivers(t *testing.T, turn uint32) choice {
	if allDrivers() {
		return c
	}
	return c.oneDriverEach(t, turn+otherDrivers())
}

func allDrivers() bool {
	return os.Getenv("GOOSEPLUS_CHAOS") != "" || os.Getenv("GOOSEPLUS_TEST_DRIVERS") == "all"
}

// otherDrivers is 1 if other drivers than usual have their turn.
func otherDrivers() uint32 {
	if os.Getenv("GOOSEPLUS_TEST_DRIVERS") == "other" {
		return 1
	}
	return 0
}

// hasTurn says whether the case with this number is one for this driver: but for the long form, the drivers of one
// database share the cases of a test that runs on each.
func (x target) hasTurn(n int) bool {
	drivers := targetsOf(x.dialect)
	at := slices.IndexFunc(drivers, func(other target) bool { return other.driver == x.driver })
	return allDrivers() || (n+int(otherDrivers()))%len(drivers) == at
}

// nameTurn is the turn that a test's name gives it.
func nameTurn(t *testing.T) uint32 {
	name := fnv.New32a()
	_, _ = name.Write([]byte(t.Name()))
	return name.Sum32() >> 8 // the low bits of similar names are similar
}

// oneDriverEach chooses among the drivers of each database, another one for another turn.
func (c choice) oneDriverEach(t *testing.T, turn uint32) (chosen choice) {
	turn += nameTurn(t)
	of := make(map[string]choice)
	var dialects []string
	for _, x := range c {
		if of[x.dialect] == nil {
			dialects = append(dialects, x.dialect)
		}
		of[x.dialect] = append(of[x.dialect], x)
	}
	for _, dialect := range dialects {
		chosen = append(chosen, of[dialect][turn%uint32(len(of[dialect]))])
	}
	return chosen
}

func onEach(t *testing.T, test func(*testing.T, *place)) { having().onEach(t, test) }

func onDatabases(t *testing.T, test func(*testing.T, *place)) { having().onDatabases(t, test) }

// place is an empty database for one test.
type place struct {
	target
	db  *sql.DB
	dsn string
}

// idleConns is how many connections a place's pool keeps: a new one costs PostgreSQL more than most statements do.
const idleConns = 8

func (x target) place(t *testing.T) *place {
	t.Helper()
	p := &place{target: x, dsn: x.database(t)}
	left := leaks(t)
	p.db = p.open(t)
	p.db.SetMaxIdleConns(idleConns)
	t.Cleanup(func() {
		if n := p.inUse(); n != 0 {
			t.Errorf("%d connections are still in use", n)
		}
		if err := p.db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		left()
	})
	return p
}

// patience is how long a test waits for what has to happen: much longer than it takes, since the machine may be busy.
const patience = 2 * time.Minute

// eventually returns when the condition holds, and fails the test if it never does. It asks less and less
// often: the server needs the processor too, and MariaDB renews what innodb_trx shows only for somebody who has not
// looked for 100 ms.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	pause := time.Millisecond
	for deadline := time.Now().Add(patience); !holds(); pause = min(2*pause, 160*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(pause)
	}
}

// longEnough calls a test with a limit that the machine reaches something within, unless it has much else to do: the test says
// that it was not reached by false, and is called again with a longer limit.
func longEnough(t *testing.T, limit time.Duration, test func(limit time.Duration) (reached bool)) {
	t.Helper()
	for ; !test(limit); limit *= 4 {
		if t.Failed() {
			return
		}
		if limit > patience {
			t.Fatalf("%v are not enough", limit)
		}
	}
}

// untilAny returns when the query, of a count, finds something.
func (p *place) untilAny(t testing.TB, what, query string) {
	t.Helper()
	eventually(t, what, func() bool {
		var n int
		if err := p.db.QueryRow(query).Scan(&n); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		return n > 0
	})
}

func (p *place) isMariaDB() bool {
	return p.dialect == "mysql" && p.variable("in_transaction") != "NULL"
}

// variable is the one of these variables that the server has: MySQL's and MariaDB's names differ. It is NULL if there is none, as on
// other databases.
func (p *place) variable(names ...string) string {
	for _, name := range names {
		if _, err := p.db.Exec("SELECT @@" + name); p.dialect == "mysql" && err == nil {
			return "@@" + name
		}
	}
	return "NULL"
}

// inUse gives the pool a moment: a driver may still be closing a connection that was interrupted.
func (p *place) inUse() int {
	deadline := time.Now().Add(patience)
	for p.db.Stats().InUse > 0 && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	return p.db.Stats().InUse
}

func (p *place) open(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open(p.driver, p.dsn)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func (p *place) migrator(opts ...gooseplus.Option) *gooseplus.Migrator {
	return gooseplus.New(p.db, append([]gooseplus.Option{gooseplus.WithDialect(p.dialect)}, opts...)...)
}

// exec runs statements as somebody else than gooseplus.
func (p *place) exec(t *testing.T, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := p.db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// state is what the database holds: the rows of the version table in the order they were written,
// and the tables.
type state struct {
	versions []int64
	tables   []string
}

func (s state) String() string { return fmt.Sprintf("versions %v, tables %v", s.versions, s.tables) }

func (p *place) state(t *testing.T) state {
	t.Helper()
	s := state{tables: column[string](t, p.db, p.target.tables)}
	for _, v := range column[int64](t, p.db, `SELECT version_id FROM goose_db_version ORDER BY id`) {
		if v != 0 {
			s.versions = append(s.versions, v)
		}
	}
	return s
}

// want fails the test unless the database holds exactly these versions and tables.
func (p *place) want(t *testing.T, versions []int64, tables []string) {
	t.Helper()
	got, want := p.state(t), state{versions, tables}
	if got.String() != want.String() {
		t.Errorf("the database holds\n  %v, want\n  %v", got, want)
	}
}

// querier is a pool or a transaction.
type querier interface {
	Query(query string, args ...any) (*sql.Rows, error)
}

func column[T any](t *testing.T, db querier, query string, args ...any) (list []T) {
	t.Helper()
	rows, err := db.Query(query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	for rows.Next() {
		var v T
		if err := rows.Scan(&v); err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}
