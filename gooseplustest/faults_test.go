package gooseplustest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dbtest"
)

// withParameters is a DSN of the server with more parameters, and so with connections of its own.
func withParameters(t *testing.T, parameters string) string {
	t.Helper()
	u, err := url.Parse(Server(t))
	if err != nil {
		t.Fatal(err)
	}
	u.RawQuery += "&" + parameters
	return u.String()
}

// inGo is a migration in Go.
func inGo(version int64, up func(context.Context, *sql.DB) error) gooseplus.Option {
	return gooseplus.WithGoMigrations(goose.NewGoMigration(version, &goose.GoFunc{RunDB: up}, nil))
}

// lives says whether a lock tells others that this process lives.
func lives(t *testing.T) bool {
	t.Helper()
	return texts(t, admin(t), fmt.Sprintf(`SELECT (count(*) > 0)::text FROM pg_locks WHERE locktype = 'advisory' AND (classid::bigint << 32 | objid::bigint) = %d`,
		lockKey("process", process)))[0] == "true"
}

// once is a test that begins and ends within another one.
func once(t *testing.T, name string, body func(*recorder)) *recorder {
	t.Helper()
	r := &recorder{TB: t, name: name}
	r.do(func() { body(r) })
	r.end()
	return r
}

func wantPassed(t *testing.T, r *recorder) {
	t.Helper()
	if r.failed {
		t.Errorf("%s failed: %s", r.name, r.text())
	}
}

// The context of a test ends before its Cleanups.
func TestPostgresInACleanup(t *testing.T) {
	dsn := withParameters(t, "application_name=cleanup")
	t.Run("a test", func(t *testing.T) {
		Postgres(t, dsn, files(folder("sql/base/1_cleanup.sql")))
		t.Cleanup(func() {
			c := pgServerAt(dsn).take()
			c.used = time.Time{} // as if the test had taken long
			pgServerAt(dsn).put(c)
			if got := tables(t, Postgres(t, dsn, files(folder("sql/base/1_cleanup.sql")))); fmt.Sprint(got) != "[cleanup]" {
				t.Errorf("tables %v", got)
			}
		})
	})
}

// The connection that says that this process lives is replaced before it is closed, and is not closed for an end of a context.
func TestPostgresProcessLivesOn(t *testing.T) {
	dsn := withParameters(t, "application_name=lives")
	s := pgServerAt(dsn)
	wantPassed(t, once(t, "TestFirst", func(r *recorder) { Postgres(r, dsn, files(folder("sql/base/1_lives.sql"))) }))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.admin(ended, func(context.Context, *pgConn) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	old := s.take()
	if old == nil {
		t.Fatal("there is no connection any more")
	}
	guarded := len(old.guarding)
	mustExec(t, admin(t), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lives'`)
	old.used = time.Time{}
	s.put(old)
	wantPassed(t, once(t, "TestSecond", func(r *recorder) { Postgres(r, dsn, files(folder("sql/base/1_lives.sql"))) }))
	if next := s.take(); next == nil || next == old || len(next.guarding) != guarded || guarded == 0 {
		t.Errorf("the connection %p after %p guards %d templates", next, old, guarded)
	} else {
		s.put(next)
	}
	if !lives(t) {
		t.Error("nothing says that this process lives")
	}
}

// Whoever waits for a connection gives back what others may wait for.
func TestPostgresOfAUserWithFewConnections(t *testing.T) {
	db := admin(t)
	mustExec(t, db, `DROP ROLE IF EXISTS gooseplustest_few`, `CREATE ROLE gooseplustest_few LOGIN CREATEDB CONNECTION LIMIT 3 PASSWORD 'few'`)
	u, err := url.Parse(Server(t))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("gooseplustest_few", "few")
	dsn, fsys := u.String(), unique(folder("sql/base/1_ahead.sql"))
	s := pgServerAt(dsn)
	runs(t, func() {
		twoTests(t, dsn, fsys) // and a connection to the next database
		spare := spareOf(t, dsn, fsys)
		if spare.conn == nil { // at that moment there were three others
			mustExec(t, db, `ALTER ROLE gooseplustest_few CONNECTION LIMIT -1`)
			oneTest(t, dsn, "TestThird", files(fsys))
			spare = spareOf(t, dsn, fsys)
			mustExec(t, db, `ALTER ROLE gooseplustest_few CONNECTION LIMIT 3`)
		}
		err := s.admin(t.Context(), func(ctx context.Context, _ *pgConn) error {
			return s.admin(ctx, func(context.Context, *pgConn) error { return nil })
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(s.idle) != adminConnections || spare.conn == nil {
			t.Fatalf("%d connections are idle, and %v", len(s.idle), spare.conn)
		}
		guarded := len(s.idle[0].guarding) + len(s.idle[1].guarding)
		c, err := s.connector(spare.name)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := patient{c, s.relieve}.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(s.idle) != 1 || len(s.idle[0].guarding) != guarded || spare.conn != nil {
			t.Errorf("%d connections are idle and guard %d templates, want %d, and %v", len(s.idle), len(s.idle[0].guarding), guarded, spare.conn)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	closeServer(t, dsn)
	for _, name := range ours(t, kindTemplate) {
		if texts(t, db, `SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = '`+name+`'`)[0] == "gooseplustest_few" {
			mustExec(t, db, "ALTER DATABASE "+name+" IS_TEMPLATE false", "DROP DATABASE "+name)
		}
	}
	mustExec(t, db, `DROP ROLE gooseplustest_few`)
}

// A test that panics counts as failed only after its Cleanups.
func TestTheDatabaseOfATestThatPanicsIsKept(t *testing.T) {
	dsn := Server(t)
	private.Delete(address(dsn))
	r := &recorder{TB: t, name: "TestPanics"}
	var name string
	func() {
		defer func() { _ = recover() }()
		defer r.end()
		name = databaseOf(t, Postgres(r, dsn, files(folder("sql/base/1_users.sql"))))
		panic("of the test")
	}()
	if !slices.Contains(ours(t, kindClone), name) || !strings.Contains(r.text(), "is kept until") {
		t.Errorf("%s is gone: %s", name, r.text())
	}
	mustExec(t, admin(t), "DROP DATABASE "+name)
}

// As many templates are being made as can be at once. Tests that have theirs go on.
func TestPostgresWhileTemplatesAreMade(t *testing.T) {
	dsn := withParameters(t, "application_name=makes")
	ready := unique(folder("sql/base/1_ready.sql"))
	wantPassed(t, once(t, "TestFirst", func(r *recorder) { Postgres(r, dsn, files(ready)) }))
	begun, proceed, ended := make(chan struct{}), make(chan struct{}), make(chan *recorder)
	for i := range makesAtOnce {
		fsys := unique(folder("sql/base/1_slow.sql"))
		go func() {
			ended <- once(t, fmt.Sprintf("TestSlow%d", i), func(r *recorder) {
				Postgres(r, dsn, files(fsys), inGo(2, func(context.Context, *sql.DB) error {
					begun <- struct{}{}
					<-proceed
					return nil
				}))
			})
		}()
	}
	for range makesAtOnce {
		<-begun
	}
	wantPassed(t, once(t, "TestMeanwhile", func(r *recorder) { Postgres(r, dsn, files(ready)) }))
	close(proceed)
	for range makesAtOnce {
		wantPassed(t, <-ended)
	}
}

// A migration that forgets to close its rows leaves a connection in what is to be the template.
func TestPostgresWithAMigrationThatLeavesAConnection(t *testing.T) {
	t.Parallel()
	made := 0
	leaky := inGo(2, func(_ context.Context, db *sql.DB) error {
		made++
		_, err := db.QueryContext(context.Background(), "SELECT 1") // nobody closes them
		return err
	})
	fsys := unique(folder("sql/base/1_leaky.sql"))
	started := time.Now()
	for range 2 {
		wantPassed(t, once(t, "TestLeaky", func(r *recorder) { Postgres(r, "", files(fsys), leaky) }))
	}
	if made != 1 {
		t.Errorf("the template was made %d times, in %v", made, time.Since(started))
	}
}

// A template that failed once may succeed for the next test.
func TestPostgresTriesAgain(t *testing.T) {
	for name, fails := range map[string]func(ctx context.Context, db *sql.DB) error{
		"after a connection that was cut": func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, "SELECT pg_terminate_backend(pg_backend_pid())")
			return err
		},
		"after a limit": func(context.Context, *sql.DB) error { return context.DeadlineExceeded },
	} {
		t.Run(name, func(t *testing.T) {
			fsys, tries := unique(folder("sql/base/1_tried.sql")), 0
			flaky := inGo(2, func(ctx context.Context, db *sql.DB) error {
				if tries++; tries == 1 {
					return fails(ctx, db)
				}
				return nil
			})
			if r := once(t, "TestFirst", func(r *recorder) { Postgres(r, "", files(fsys), flaky) }); !r.failed {
				t.Error("the first one passed")
			}
			wantPassed(t, once(t, "TestSecond", func(r *recorder) { Postgres(r, "", files(fsys), flaky) }))
		})
	}
}

// Migrations that can't work are not run by each test.
func TestPostgresFailsOnceForAll(t *testing.T) {
	fsys, tries := unique(folder("sql/base/1_failing.sql")), 0
	failing := inGo(2, func(context.Context, *sql.DB) error { tries++; return errors.New("wrong") })
	for range 2 {
		if r := once(t, "TestFailing", func(r *recorder) { Postgres(r, "", files(fsys), failing) }); !strings.Contains(r.text(), "wrong") {
			t.Errorf("it says %s", r.text())
		}
	}
	if tries != 1 {
		t.Errorf("the migrations ran %d times", tries)
	}
}

// Settings of the session in a DSN may change the result of the migrations.
func TestPostgresWithATimeZone(t *testing.T) {
	fsys := unique(fstest.MapFS{"sql/base/1_moment.sql": migration("CREATE TABLE moment AS SELECT TIMESTAMPTZ '2020-01-01 00:00' AS at;", "DROP TABLE moment;")})
	for zone, want := range map[string]string{"UTC": "2020-01-01 00:00:00", "Asia/Tokyo": "2019-12-31 15:00:00"} {
		db := Postgres(t, withParameters(t, "timezone="+zone), files(fsys))
		if got := texts(t, db, "SELECT (at AT TIME ZONE 'UTC')::text FROM moment"); fmt.Sprint(got) != "["+want+"]" {
			t.Errorf("in %s the moment is %v, want %s", zone, got, want)
		}
	}
}

// Limits for an application's statements are none for the creation of a database.
func TestPostgresWithAStatementTimeout(t *testing.T) {
	dsn := withParameters(t, "statement_timeout=400")
	err := pgServerAt(dsn).admin(t.Context(), func(ctx context.Context, c *pgConn) error {
		_, err := c.query(ctx, "SELECT pg_sleep(0.6)::text")
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestPostgresWithAnEmptySearchPath(t *testing.T) {
	fsys := fstest.MapFS{"sql/base/1_path.sql": migration(`
-- +goose StatementBegin
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path TO '''', "a""""b", ''''', current_database()); END $$;
-- +goose StatementEnd`, "SELECT 1;")}
	db := Postgres(t, "", files(unique(fsys)))
	if got := texts(t, db, `SELECT current_setting('search_path')`); fmt.Sprint(got) != `["", "a""""b", ""]` {
		t.Errorf("search_path %v", got)
	}
}

// mysqlSession is a DSN of the server with a parameter, and so with connections of its own.
func mysqlSession(t *testing.T) (string, *mysqlServer) {
	t.Helper()
	dsn := dbtest.MySQL(t).DSN() + fmt.Sprintf("&wait_timeout=%d", 100+number.Add(1))
	s, err := mysqlServerAt(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return dsn, s
}

// The session that says that this process lives is ended by somebody.
func TestMySQLProcessLivesOn(t *testing.T) {
	dsn, s := mysqlSession(t)
	other, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	first := MySQL(t, dsn, files(folder("sql/base/1_lives.sql")))
	conn, err := first.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var id int64
	if err := s.alive.QueryRowContext(t.Context(), "SELECT CONNECTION_ID()").Scan(&id); err != nil {
		t.Fatal(err)
	}
	mustExec(t, other, fmt.Sprintf("KILL %d", id))
	for free := "0"; free != "1"; {
		free = texts(t, other, "SELECT IS_FREE_LOCK(?)", mysqlLock(process))[0]
	}
	// Another process that begins now removes nothing that somebody is connected to.
	s.sweep()
	if err := conn.PingContext(t.Context()); err != nil {
		t.Errorf("the first database: %v", err)
	}
	second := MySQL(t, dsn, files(folder("sql/base/1_lives.sql")))
	if free := texts(t, second, "SELECT IS_FREE_LOCK(?)", mysqlLock(process))[0]; free != "0" {
		t.Error("nothing says that this process lives")
	}
}

func TestMySQLOfTestsInParallelTakesFewConnections(t *testing.T) {
	dsn, s := mysqlSession(t)
	fsys := folder("sql/base/1_parallel.sql")
	MySQL(t, dsn, files(fsys)) // so that the pool stays
	ended := make(chan *recorder)
	for i := range 16 {
		go func() {
			ended <- once(t, fmt.Sprintf("TestParallel%d", i), func(r *recorder) { MySQL(r, dsn, files(fsys)) })
		}()
	}
	for range 16 {
		wantPassed(t, <-ended)
		if n := s.pool().Stats().OpenConnections; n > 1+adminConnections {
			t.Errorf("%d connections", n)
		}
	}
}

func TestMySQLKeepsNothingThatIsNotThere(t *testing.T) {
	_, s := mysqlSession(t)
	s.config.User, s.config.Passwd = "gooseplustest_low", "low"
	db := dbtest.MySQL(t).NewDatabase(t).Open(t, "mysql")
	mustExec(t, db, "CREATE OR REPLACE USER gooseplustest_low IDENTIFIED BY 'low'")
	defer mustExec(t, db, "DROP USER gooseplustest_low")
	r := once(t, "TestDenied", func(r *recorder) { s.empty(r, projectName()) })
	if text := r.text(); !r.failed || strings.Contains(text, "kept") || !strings.Contains(text, "gooseplustest_low") {
		t.Errorf("failed %t: %s", r.failed, text)
	}
}

// The rest of a migrated file is in its log as long as somebody reads it.
func TestSQLiteWithAMigrationThatLeavesRowsOpen(t *testing.T) {
	t.Parallel()
	r := once(t, "TestLeaky", func(r *recorder) {
		SQLite(r, files(folder("sql/base/1_users.sql", "sql/base/3_seed.sql")), inGo(2, func(ctx context.Context, db *sql.DB) error {
			if _, err := db.ExecContext(ctx, "PRAGMA journal_mode = WAL"); err != nil {
				return err
			}
			rows, err := db.QueryContext(context.Background(), "SELECT name FROM sqlite_schema") // nobody closes them
			if err == nil && !rows.Next() {
				err = rows.Err()
			}
			return err
		}))
	})
	if !strings.Contains(r.text(), "has left rows or a transaction open") {
		t.Errorf("failed %t: %s", r.failed, r.text())
	}
}

// A test may close its database before it ends, and may forget a transaction.
func TestTenantsAreDroppedWhateverTheTestHasDone(t *testing.T) {
	fsys := folder("sql/base/1_users.sql")
	dsn, _ := mysqlSession(t)
	var names []string
	wantPassed(t, once(t, "TestCloses", func(r *recorder) {
		opts := []gooseplus.Option{gooseplus.WithDialect("mysql"), files(fsys)}
		db := MySQL(r, dsn, opts...)
		defer db.Close()
		for _, tenant := range Tenants(r, db, 2, gooseplus.New(nil, opts...)) {
			names = append(names, tenant.Schema)
		}
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() }) // its session has been ended
		for _, statement := range []string{"BEGIN", "INSERT INTO " + names[0] + ".users VALUES (1)", "USE " + names[0]} {
			if _, err := conn.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
	}))
	for _, name := range mysqlDatabases(t) {
		if slices.Contains(names, name) {
			t.Errorf("%s is left", name)
		}
	}
}
