package gooseplustest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dbtest"
	"github.com/gooseplus/gooseplus/internal/redact"
)

// MySQL returns a migrated database for this test alone, on a MySQL or MariaDB server. It has the environments base and test.
// These servers can't copy a database, so the migrations run for each test.
//
// dsn has the format of go-sql-driver/mysql, with any database or none; "" means a server that is found as [Server] finds one,
// with the variables GOOSEPLUS_TEST_MYSQL and GOOSEPLUS_TEST_MYSQL_IMAGE (mariadb:11.4). The user must be allowed to create
// databases.
//
// When the test ends, the pool is closed and the database is dropped. If the test has failed, the database is kept for three
// days with an additional table gooseplustest_kept, and the log of the test has its DSN with a masked password.
//
// opts are the options of [gooseplus.New]; WithDialect("mysql") and WithEnvironments("test") come before them. The test fails at
// once if the options have a fault or bind to a schema (use [Tenants] for that), if a migration fails, or if the server can't
// be reached.
func MySQL(t testing.TB, dsn string, opts ...gooseplus.Option) *sql.DB {
	t.Helper()
	if dsn == "" {
		dbtest.Unattended()
		dsn = dsnOf(dbtest.MySQL(t))
	}
	set, err := newSet("mysql", opts)
	if err == nil && set.Dialect != goose.DialectMySQL {
		err = fmt.Errorf("the dialect is %s: want mysql", set.Dialect)
	}
	if err == nil && set.Schema != "" {
		err = fmt.Errorf("WithSchema(%q): it is another database than the test's own; Tenants makes schemas", set.Schema)
	}
	if err != nil {
		fail(t, err)
	}
	s, err := mysqlServerAt(dsn)
	if err != nil {
		fail(t, err)
	}
	db := s.empty(t, set.project)
	if err := gooseplus.New(db, set.opts...).Migrate(contextOf(t)); err != nil {
		fail(t, fmt.Errorf("migrate the database: %w", err))
	}
	return db
}

// mysqlServer is a server as this process uses it.
type mysqlServer struct {
	config *mysql.Config
	dsn    string
	swept  sync.Once

	mu    sync.Mutex
	users int       // guarded by mu; tests that have a database
	admin *sql.DB   // guarded by mu; nil without users, because the driver has a goroutine for each connection
	alive *sql.Conn // guarded by mu; it holds the lock that says that this process lives; nil if it may have lost it
}

// mysqlServers are the servers by their DSN, for all tests of the process.
var mysqlServers sync.Map

func mysqlServerAt(dsn string) (*mysqlServer, error) {
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		// The parser's own error may quote a piece of the DSN.
		return nil, errors.New("the DSN is not one like user:password@tcp(host:port)/")
	}
	s, _ := mysqlServers.LoadOrStore(dsn, &mysqlServer{config: config, dsn: dsn})
	return s.(*mysqlServer), nil
}

// open makes a pool for a database, "" is none. Like those of PostgreSQL it waits for a server that is full.
func (s *mysqlServer) open(database string) (*sql.DB, error) {
	config := s.config.Clone()
	config.DBName = database
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(patient{connector, func(context.Context) {}}), nil
}

func mysqlLock(process string) string { return prefix + process }

// enter opens the connections that databases are created on, unless another test has. It sees to it that they say that this
// process lives before there is a database of the test: a server may have ended the session since the last one.
func (s *mysqlServer) enter(ctx context.Context) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users == 0 {
		if s.admin, err = s.open(""); err != nil {
			return err
		}
		s.admin.SetMaxOpenConns(1 + adminConnections)
	}
	if s.alive == nil || !holdsLock(ctx, s.alive) {
		err = s.revive(ctx)
	}
	if err == nil {
		s.users++
	} else if s.users == 0 {
		err = errors.Join(err, s.close())
	}
	return err
}

func holdsLock(ctx context.Context, conn *sql.Conn) (holds bool) {
	err := conn.QueryRowContext(ctx, "SELECT COALESCE(IS_USED_LOCK(?) = CONNECTION_ID(), 0)", mysqlLock(process)).Scan(&holds)
	return err == nil && holds
}

// revive takes the lock that says that this process lives. It is called with mu held.
func (s *mysqlServer) revive(ctx context.Context) (err error) {
	if s.alive != nil {
		_ = s.alive.Close() // its session is gone, or of no use
		s.alive = nil
	}
	conn, err := s.admin.Conn(ctx)
	if err != nil {
		return err
	}
	if _, err = conn.ExecContext(ctx, "SET SESSION wait_timeout = 31536000"); err == nil { // a year: an idle session loses its lock
		err = conn.QueryRowContext(ctx, "SELECT IF(GET_LOCK(?, 30) = 1, 1, NULL)", mysqlLock(process)).Scan(new(int))
	}
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	s.alive = conn
	return nil
}

// close is called with mu held.
func (s *mysqlServer) close() (err error) {
	if s.alive != nil {
		err = s.alive.Close()
	}
	err = errors.Join(err, s.admin.Close())
	s.admin, s.alive = nil, nil
	return err
}

// leave is what each enter needs.
func (s *mysqlServer) leave() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users--
	if s.users > 0 {
		return nil
	}
	return s.close()
}

// pool is the pool of a test that has entered.
func (s *mysqlServer) pool() *sql.DB {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.admin
}

// empty makes an empty database for a test.
func (s *mysqlServer) empty(t testing.TB, project string) *sql.DB {
	t.Helper()
	ctx := contextOf(t)
	if err := limited(ctx, s.enter); err != nil {
		fail(t, err)
	}
	s.swept.Do(func() { s.sweep() })
	name := cloneName(project, t.Name())
	var db *sql.DB
	created := false
	t.Cleanup(func() { s.end(t, db, name, created) })
	err := limited(ctx, func(ctx context.Context) error {
		_, err := s.pool().ExecContext(ctx, "CREATE DATABASE `"+name+"` CHARACTER SET utf8mb4")
		return err
	})
	var refused *mysql.MySQLError
	created = !errors.As(err, &refused) // if the connection was cut, nobody knows
	if err == nil {
		db, err = s.open(name)
	}
	if err == nil {
		err = limited(ctx, db.PingContext)
	}
	if err != nil {
		fail(t, fmt.Errorf("create database %s: %w", name, err))
	}
	origins.Store(db, origin{
		empty: func(t testing.TB, _ string) *sql.DB {
			t.Helper()
			return s.empty(t, project)
		},
		mysql: s,
	})
	return db
}

// end drops the database of a test, or keeps it if the test has failed.
func (s *mysqlServer) end(t testing.TB, db *sql.DB, name string, created bool) {
	t.Helper()
	var errs []error
	if db != nil {
		origins.Delete(db)
		errs = append(errs, db.Close())
	}
	if created {
		errs = append(errs, limited(contextOf(t), func(ctx context.Context) error { return s.dropOrKeep(ctx, t, name) }))
	}
	if err := errors.Join(append(errs, s.leave())...); err != nil {
		t.Errorf("gooseplustest: database %s: %s", name, redact.Text(err.Error()))
	}
}

func (s *mysqlServer) dropOrKeep(ctx context.Context, t testing.TB, name string) error {
	t.Helper()
	if !failed(t) {
		return dbtest.DropMySQL(ctx, s.pool(), name)
	}
	if isPrivate(s.dsn) {
		t.Logf("gooseplustest: database %s is gone when this process ends, with the server that it started; to keep it, set GOOSEPLUS_TEST_MYSQL to a server of yours", name)
		return nil
	}
	until := time.Now().Add(keep)
	if err := keepMySQL(ctx, s.pool(), name, until); err != nil {
		return err
	}
	config := s.config.Clone()
	config.DBName = name
	t.Logf("gooseplustest: the test failed, and its database is kept until %s: %s", until.Format(time.DateTime), shown(config.FormatDSN()))
	return nil
}

// keepMySQL leaves a database with a note, which is the comment of a table: a database has none.
func keepMySQL(ctx context.Context, db *sql.DB, name string, until time.Time) error {
	_, err := db.ExecContext(ctx, fmt.Sprintf("CREATE TABLE IF NOT EXISTS `%s`.gooseplustest_kept (id INTEGER) COMMENT = '%s'", name, note(kept, until)))
	return err
}

// sweep removes what processes have left that were killed, and what was kept long enough. That something can't be removed
// is nobody's problem now; the next process tries again.
func (s *mysqlServer) sweep() {
	ctx, cancel := context.WithTimeout(context.Background(), sweepLimit)
	defer cancel()
	db := s.pool()
	// A database to which somebody is connected may belong to a living process whose session was ended, and with it the lock.
	rows, err := db.QueryContext(ctx, `SELECT s.schema_name, COALESCE(t.table_comment, '') FROM information_schema.schemata s
		LEFT JOIN information_schema.tables t ON t.table_schema = s.schema_name AND t.table_name = 'gooseplustest_kept'
		WHERE s.schema_name LIKE 'gpt\_%' AND s.schema_name NOT IN (SELECT db FROM information_schema.processlist WHERE db IS NOT NULL)`)
	if err != nil {
		return
	}
	defer rows.Close()
	notes := make(map[string]string)
	for rows.Next() {
		var name, text string
		if rows.Scan(&name, &text) == nil {
			notes[name] = text
		}
	}
	if rows.Err() != nil || rows.Close() != nil {
		return
	}
	for name, text := range notes {
		// A living process had its lock before its database, and this look is after that one.
		var free bool
		process := owner(name)
		if process == "" || db.QueryRowContext(ctx, "SELECT IS_FREE_LOCK(?)", mysqlLock(process)).Scan(&free) != nil || !free {
			continue
		}
		if until, ok := noted(text, kept); !ok || time.Now().After(until) {
			_ = dbtest.DropMySQL(ctx, db, name)
		}
	}
}
