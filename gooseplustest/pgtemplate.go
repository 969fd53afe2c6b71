package gooseplustest

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lib/pq"

	"github.com/gooseplus/gooseplus"
)

// pgTemplate is a migrated database that nobody can connect to, so that it can be copied at any time.
type pgTemplate struct {
	mu    sync.Mutex // held while it is looked for or made, so that the other tests wait
	name  string     // guarded by mu; "" as long as nobody has looked
	fault error      // guarded by mu; why it can't be made, which is not tried again by each test
	// settings are those of the database, which a copy doesn't get.
	settings []string // guarded by mu
	spare    *pgSpare // guarded by mu; for the next test, nil if there is none
	uses     int      // guarded by mu; how many tests have got a copy
}

// buildLimit bounds the wait for a template, whoever makes it. A run has limits of its own.
const buildLimit = 15 * time.Minute

// template returns the template of a set. It is made unless it is there; of all processes that want it, one does so.
func (s *pgServer) template(ctx context.Context, set *set) (*pgTemplate, error) {
	s.mu.Lock()
	t := s.templates[set.key]
	if t == nil {
		t = new(pgTemplate)
		s.templates[set.key] = t
	}
	s.mu.Unlock()

	t.mu.Lock()
	defer t.mu.Unlock()
	if t.name != "" || t.fault != nil {
		return t, t.fault
	}
	ctx, cancel := context.WithTimeout(ctx, buildLimit)
	defer cancel()
	var name string
	for done := false; !done; {
		err := s.admin(ctx, func(c *pgConn) (err error) {
			name, done, err = s.obtain(ctx, c, set, t)
			return err
		})
		var fault *templateError
		if errors.As(err, &fault) {
			t.fault = err
		}
		if err != nil {
			return nil, err
		}
		if !done {
			select {
			case <-ctx.Done():
				return nil, fmt.Errorf("another process is at the template for too long: %w", context.Cause(ctx))
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	t.name = name
	s.swept.Do(func() { s.sweep(set.project) })
	s.removeOld(set, name)
	return t, nil
}

// forget has the next test look again: the template is gone.
func (t *pgTemplate) forget(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.name == name {
		t.name = ""
	}
}

// obtain finds the template or makes it. done is false while another process is at it.
func (s *pgServer) obtain(ctx context.Context, c *pgConn, set *set, t *pgTemplate) (name string, done bool, err error) {
	identity, err := s.identity(ctx, c)
	if err != nil {
		return "", false, err
	}
	sum := sha256.New()
	digest(sum, set.key)
	name = templateName(set.project, set.lineage, digest(sum, identity)[:16])
	// First the lock, then the look: what is seen under it stays.
	if free, err := c.guard(ctx, name); err != nil || !free {
		return "", false, err
	}
	found, err := s.find(ctx, c, set, name, t)
	if err != nil || found {
		return name, found, err
	}
	build := lockKey("build", name)
	if free, err := c.try(ctx, false, build); err != nil || !free {
		return "", false, err
	}
	defer func() { err = errors.Join(err, c.unlock(context.WithoutCancel(ctx), build)) }()
	if found, err = s.find(ctx, c, set, name, t); err != nil || found {
		return name, found, err
	}
	if err := s.build(ctx, c, set, name); err != nil && sqlState(err) != "42P04" { // somebody else was faster
		return "", false, err
	}
	found, err = s.find(ctx, c, set, name, t)
	return name, found, err
}

// guard keeps the template from being removed by others, as long as this connection is open.
func (c *pgConn) guard(ctx context.Context, name string) (free bool, err error) {
	if c.guarding[name] {
		return true, nil
	}
	free, err = c.try(ctx, true, lockKey("template", name))
	if free {
		c.guarding[name] = true
	}
	return free, err
}

// find looks for the template and notes that it is used.
func (s *pgServer) find(ctx context.Context, c *pgConn, set *set, name string, t *pgTemplate) (bool, error) {
	rows, err := c.query(ctx, `SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = `+pq.QuoteLiteral(name))
	if err != nil || len(rows) == 0 {
		return false, err
	}
	if at, ok := noted(rows[0][0], used); !ok || time.Since(at) > forget/7 {
		// Two processes may do so at once, and one of them fails.
		_ = c.comment(ctx, name, noteOf(time.Now(), set.list))
	}
	// The values of the settings that are lists have the quotes that they need.
	rows, err = c.query(ctx, `SELECT 'SET ' || split_part(setting, '=', 1) || ' TO ' || CASE
			WHEN split_part(setting, '=', 1) IN ('search_path', 'temp_tablespaces', 'session_preload_libraries', 'local_preload_libraries')
			THEN substr(setting, strpos(setting, '=') + 1) ELSE quote_literal(substr(setting, strpos(setting, '=') + 1)) END
		FROM pg_db_role_setting, unnest(setconfig) AS setting WHERE setrole = 0
			AND setdatabase = (SELECT oid FROM pg_database WHERE datname = `+pq.QuoteLiteral(name)+`)`)
	t.settings = nil
	for _, row := range rows {
		t.settings = append(t.settings, row[0])
	}
	return err == nil, err
}

// build migrates a new database and makes it the template. It gets the template's name last: what has that name is
// whole. What a process that was killed had begun has the name of a process that isn't there any more, see sweep.
func (s *pgServer) build(ctx context.Context, c *pgConn, set *set, name string) (err error) {
	building := ownName(set.project, kindBuilding)
	quoted := pq.QuoteIdentifier(building)
	if err := c.exec(ctx, "CREATE DATABASE "+quoted+" TEMPLATE template0"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.drop(context.WithoutCancel(ctx), building, true))
		}
	}()
	if err := s.migrate(ctx, set, building); err != nil {
		return &templateError{err}
	}
	if err := c.comment(ctx, building, noteOf(time.Now(), set.list)); err != nil {
		return err
	}
	for _, statement := range []string{
		"ALTER DATABASE " + quoted + " WITH ALLOW_CONNECTIONS false IS_TEMPLATE true",
		"ALTER DATABASE " + quoted + " RENAME TO " + pq.QuoteIdentifier(name), // waits for connections that are about to end
	} {
		if err := c.exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// templateError says that it is the migrations that fail: the next test need not try again.
type templateError struct{ err error }

func (e *templateError) Error() string { return fmt.Sprintf("migrate the template: %v", e.err) }
func (e *templateError) Unwrap() error { return e.err }

func (s *pgServer) migrate(ctx context.Context, set *set, database string) error {
	db, err := s.open(database, nil)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := createSchema(ctx, db, set.Schema); err != nil {
		return err
	}
	return gooseplus.New(db, set.opts...).Migrate(ctx)
}

// createSchema makes the schema that a set is bound to, "" for none.
func createSchema(ctx context.Context, db *sql.DB, schema string) error {
	if schema == "" {
		return nil
	}
	_, err := db.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+pq.QuoteIdentifier(schema))
	return err
}
