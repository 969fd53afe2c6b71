package gooseplustest

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// adminConnections is how many connections a process has for the creation and removal of databases. They stay open
// between tests: what tells other processes that this one lives is a lock on each of them.
const adminConnections = 2

// makesAtOnce is how many templates a process makes at once. Each has a connection of its own for that time.
const makesAtOnce = 2

// pgServer is a PostgreSQL server as this process uses it.
type pgServer struct {
	dsn   string
	slots chan struct{} // one for each of adminConnections that is in use
	makes chan struct{} // one for each template that is being made

	mu        sync.Mutex
	idle      []*pgConn              // guarded by mu; the one used last is at the end, and used next
	templates map[string]*pgTemplate // guarded by mu; by the key of the set
	known     *identity              // guarded by mu; nil until somebody has asked
	strategy  string                 // guarded by mu; of CREATE DATABASE
	spared    []*pgTemplate          // guarded by mu; those that have a copy in advance, the latest last
	used      []pgUsed               // guarded by mu; databases of tests that are over
	swept     sync.Once
}

// pgServers are the servers by their DSN, for all tests of the process.
var pgServers = struct {
	sync.Mutex
	byDSN map[string]*pgServer
}{byDSN: make(map[string]*pgServer)}

// pgServerAt returns the server of a DSN.
func pgServerAt(dsn string) *pgServer {
	dsn = strings.TrimSpace(dsn)
	pgServers.Lock()
	defer pgServers.Unlock()
	s := pgServers.byDSN[dsn]
	if s == nil {
		s = &pgServer{
			dsn: dsn, slots: make(chan struct{}, adminConnections), makes: make(chan struct{}, makesAtOnce),
			templates: make(map[string]*pgTemplate),
		}
		pgServers.byDSN[dsn] = s
	}
	return s
}

// contextOf outlives the context of a test, which ends before its Cleanups: all that is done for a test has a limit of
// its own. To cancel a statement may break the connection that says that this process lives.
func contextOf(t testing.TB) context.Context { return context.WithoutCancel(t.Context()) }

// adminLimit bounds what is done with one of the connections at a time, such as the creation or the removal of a database on
// a server that is busy with many. The wait for the connection doesn't count.
const adminLimit = 2 * time.Minute

// admin calls what with a connection that nobody else uses meanwhile.
func (s *pgServer) admin(ctx context.Context, what func(context.Context, *pgConn) error) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, adminLimit)
	defer cancel()
	c, err := s.ready(ctx, s.take())
	if err != nil {
		return err
	}
	err = what(ctx, c)
	if c.used = time.Now(); err != nil && cut(err) {
		c.used = time.Time{}
	}
	s.put(c)
	return err
}

// ready returns a connection that works: the one that is given, or another one in its place. That is opened first, since
// the old one may have the last lock that says that this process lives: it need not be dead because it doesn't answer.
func (s *pgServer) ready(ctx context.Context, old *pgConn) (*pgConn, error) {
	if old != nil && (time.Since(old.used) < time.Second || old.answers(ctx)) {
		return old, nil
	}
	c, err := s.connect(ctx)
	if old == nil {
		return c, err
	}
	if err != nil {
		s.put(old)
		return nil, err
	}
	defer old.close()
	for name := range old.guarding {
		if _, err := c.guard(ctx, name); err != nil {
			return c, nil // whoever uses it will hear what is wrong
		}
	}
	return c, nil
}

func (s *pgServer) put(c *pgConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = append(s.idle, c)
}

// take returns a connection that is open, nil if there is none.
func (s *pgServer) take() *pgConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.idle) == 0 {
		return nil
	}
	last := len(s.idle) - 1
	c := s.idle[last]
	s.idle = s.idle[:last]
	return c
}

// connect opens a connection and lets it say that this process lives.
func (s *pgServer) connect(ctx context.Context) (*pgConn, error) {
	connector, err := postgresConnector(s.dsn)
	if err != nil {
		return nil, err
	}
	conn, err := patient{connector, s.relieve}.Connect(ctx)
	if sqlState(err) == "3D000" { // the DSN names no database, or one that isn't there
		dsn, dsnErr := postgresDSN(s.dsn, "postgres")
		if dsnErr != nil {
			return nil, dsnErr
		}
		if connector, err = postgresConnector(dsn); err != nil {
			return nil, err
		}
		conn, err = patient{connector, s.relieve}.Connect(ctx)
	}
	if err != nil {
		return nil, err
	}
	c := &pgConn{conn: conn, guarding: make(map[string]bool)}
	// Some are unknown to older servers, which don't end anything for that reason either.
	err = c.exec(ctx, `DO $$ DECLARE name text; BEGIN
		FOREACH name IN ARRAY '{statement_timeout,lock_timeout,idle_session_timeout,transaction_timeout}'::text[] LOOP
			BEGIN PERFORM set_config(name, '0', false); EXCEPTION WHEN undefined_object THEN NULL; END;
		END LOOP; END $$`)
	if err == nil {
		_, err = c.query(ctx, fmt.Sprintf(`SELECT pg_advisory_lock_shared(%d)::text`, lockKey("process", process)))
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// relieve closes the connections that nobody uses at the moment, but for one that says that this process lives.
func (s *pgServer) relieve(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	for {
		s.mu.Lock()
		if len(s.idle) < 2 {
			s.mu.Unlock()
			break
		}
		one, other := s.idle[0], s.idle[1]
		s.idle = slices.Clone(s.idle[2:])
		s.mu.Unlock()
		if !other.answers(ctx) {
			one, other = other, one
		}
		for name := range one.guarding {
			if _, err := other.guard(ctx, name); err != nil {
				other.used = time.Time{} // who uses it next will hear what is wrong
			}
		}
		one.close()
		s.put(other)
	}
	s.mu.Lock()
	templates := slices.Collect(maps.Values(s.templates))
	s.mu.Unlock()
	for _, t := range templates {
		if t.mu.TryLock() { // or somebody takes it, or makes it
			t.spare.idle()
			t.mu.Unlock()
		}
	}
}

// open makes a pool for one of the server's databases. It begins with the connection first, unless that is nil.
func (s *pgServer) open(database string, first driver.Conn) (*sql.DB, error) {
	connector, err := s.connector(database)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(withFirst(patient{connector, s.relieve}, first)), nil
}

func (s *pgServer) connector(database string) (driver.Connector, error) {
	dsn, err := postgresDSN(s.dsn, database)
	if err != nil {
		return nil, err
	}
	return postgresConnector(dsn)
}

// identity is what a template depends on besides its set: the user and the settings of his connections, which a DSN can
// have, and the server's version. It is asked for once, together with what decides how databases are copied.
func (s *pgServer) identity(ctx context.Context, c *pgConn) (identity, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known != nil {
		return *s.known, nil
	}
	// The settings are those that decide what a migration makes, or may do so: search_path, TimeZone, default_tablespace …
	// Those of the database are not the copy's.
	rows, err := c.query(ctx, `SELECT version(), current_user::text, current_setting('server_version_num'), current_setting('fsync'),
		COALESCE(current_setting('file_copy_method', true), ''), COALESCE((SELECT string_agg(name || '=' || setting, E'\n' ORDER BY name)
			FROM pg_settings WHERE context IN ('user', 'superuser') AND source NOT IN ('default', 'database', 'database user')
			AND name <> ALL ('{application_name,client_encoding,client_min_messages,extra_float_digits}') AND name !~ '(^|_)(timeout|log)(_|$)'), '')`)
	if err != nil {
		return identity{}, err
	}
	row := rows[0]
	s.known, s.strategy = &identity{user: row[1], settings: row[5], version: row[0]}, strategy(row[2], row[3], row[4])
	return *s.known, nil
}

type identity struct{ user, settings, version string }

// template is the name of a set's template.
func (i identity) template(set *set) string {
	sum := sha256.New()
	lineage := digest(sum, set.lineage+" "+i.user+"\n"+i.settings)[:8]
	return templateName(set.project, lineage, digest(sum, set.key+" "+i.version)[:16])
}

// strategy is how the server copies a database of the size that migrations make fastest; benchmarks/ measures it. From
// PostgreSQL 15 on there is a choice. The default writes the pages to the log of the server; to copy the files
// takes two checkpoints, which cost little where nothing is synced to disk, and the files can share their blocks on some
// file systems from PostgreSQL 18 on.
func strategy(version, fsync, fileCopy string) string {
	if number, err := strconv.Atoi(version); err != nil || number < 150000 || fsync != "off" && fileCopy != "clone" {
		return ""
	}
	return " STRATEGY = FILE_COPY"
}

// copyStrategy is a clause of CREATE DATABASE, once identity has been asked for.
func (s *pgServer) copyStrategy() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.strategy
}
