package gooseplustest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
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
	// settings are the database's settings (ALTER DATABASE … SET), which a copy doesn't get.
	settings []string // guarded by mu
	spare    *pgSpare // guarded by mu; for the next test, nil if there is none
	uses     int      // guarded by mu; how many tests have got a copy
}

// buildLimit bounds the wait for a template that another process makes. A run has limits of its own.
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
	name, found, err := s.look(ctx, set, t)
	if err == nil && !found {
		err = s.obtain(ctx, set, name, t)
	}
	if err != nil {
		var fault *templateError
		if errors.As(err, &fault) && !passing(err) {
			t.fault = err
		}
		return nil, err
	}
	t.name = name
	s.swept.Do(func() { s.sweep(ctx, set.project) })
	s.removeOld(ctx, set, name)
	return t, nil
}

// look finds the template if it is there, and keeps it, or the one that will be made, from being removed.
func (s *pgServer) look(ctx context.Context, set *set, t *pgTemplate) (name string, found bool, err error) {
	err = s.admin(ctx, func(ctx context.Context, c *pgConn) error {
		identity, err := s.identity(ctx, c)
		if err != nil {
			return err
		}
		name = identity.template(set)
		// First the lock, then the look: what is seen under it stays.
		for free := false; !free; {
			if free, err = c.guard(ctx, name); err == nil && !free {
				err = pause(ctx)
			}
			if err != nil {
				return err
			}
		}
		found, err = t.find(ctx, c, set, name)
		return err
	})
	return name, found, err
}

// pause is for who waits for another process.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("another process is at the template for too long: %w", context.Cause(ctx))
	case <-time.After(20 * time.Millisecond):
		return nil
	}
}

// forget has the next test look again: the template is gone.
func (t *pgTemplate) forget(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.name == name {
		t.name = ""
	}
}

// obtain makes the template, or waits until another process has made it. It has a connection of its own for that, since
// a migration may take its time, and the process has but a few for all its tests.
func (s *pgServer) obtain(ctx context.Context, set *set, name string, t *pgTemplate) error {
	waiting, cancel := context.WithTimeout(ctx, buildLimit)
	defer cancel()
	select {
	case s.makes <- struct{}{}:
		defer func() { <-s.makes }()
	case <-waiting.Done():
		return context.Cause(waiting)
	}
	c, err := s.connect(waiting)
	if err != nil {
		return err
	}
	defer c.close() // and with it the lock
	for mine := false; ; {
		if found, err := t.find(waiting, c, set, name); err != nil || found {
			return err
		}
		if mine { // so nobody else has made it before the look
			break
		}
		if mine, err = c.try(waiting, false, lockKey("build", name)); err == nil && !mine {
			err = pause(waiting)
		}
		if err != nil {
			return err
		}
	}
	if err := s.build(ctx, c, set, name); err != nil && sqlState(err) != "42P04" { // somebody without the lock was faster
		return err
	}
	return limited(ctx, func(ctx context.Context) error {
		found, err := t.find(ctx, c, set, name)
		if err == nil && !found {
			err = fmt.Errorf("somebody has removed the template %s", name)
		}
		return err
	})
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

// find looks for the template and notes that it is used. It is called with mu held.
func (t *pgTemplate) find(ctx context.Context, c *pgConn, set *set, name string) (bool, error) {
	rows, err := c.query(ctx, `SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = `+pq.QuoteLiteral(name))
	if err != nil || len(rows) == 0 {
		return false, err
	}
	if at, ok := noted(rows[0][0], used); !ok || time.Since(at) > forget/7 {
		// Two processes may do so at once, and one of them fails.
		_ = c.comment(ctx, name, noteOf(time.Now(), set.list))
	}
	// The values of the settings that are lists have the quotes that they need, except an empty name.
	rows, err = c.query(ctx, `SELECT 'SET ' || split_part(setting, '=', 1) || ' TO ' || CASE
			WHEN split_part(setting, '=', 1) IN ('search_path', 'temp_tablespaces', 'session_preload_libraries', 'local_preload_libraries')
			THEN regexp_replace(substr(setting, strpos(setting, '=') + 1), '(^|, )""(?=, |$)', '\1''''', 'g') ELSE quote_literal(substr(setting, strpos(setting, '=') + 1)) END
		FROM pg_db_role_setting, unnest(setconfig) AS setting WHERE setrole = 0
			AND setdatabase = (SELECT oid FROM pg_database WHERE datname = `+pq.QuoteLiteral(name)+`)`)
	t.settings = nil
	for _, row := range rows {
		t.settings = append(t.settings, row[0])
	}
	return err == nil, err
}

// build migrates a new database and makes it the template. It gets the template's name last, so a database with
// that name is complete. A database that a killed process had begun has the name of that process, see sweep.
func (s *pgServer) build(ctx context.Context, c *pgConn, set *set, name string) error {
	building := ownName(set.project, kindBuilding)
	err := limited(ctx, func(ctx context.Context) error {
		return c.exec(ctx, "CREATE DATABASE "+pq.QuoteIdentifier(building)+" TEMPLATE template0")
	})
	if err != nil {
		return err
	}
	if err = s.migrate(ctx, set, building); err != nil {
		err = &templateError{err}
	} else {
		err = limited(ctx, func(ctx context.Context) error { return c.finish(ctx, building, name, set) })
	}
	if err != nil {
		err = errors.Join(err, limited(ctx, func(ctx context.Context) error { return c.drop(ctx, building, true) }))
	}
	return err
}

// limited calls what with adminLimit.
func limited(ctx context.Context, what func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, adminLimit)
	defer cancel()
	return what(ctx)
}

// finish makes a migrated database the template.
func (c *pgConn) finish(ctx context.Context, building, name string, set *set) error {
	if err := c.comment(ctx, building, noteOf(time.Now(), set.list)); err != nil {
		return err
	}
	if err := c.exec(ctx, "ALTER DATABASE "+pq.QuoteIdentifier(building)+" WITH ALLOW_CONNECTIONS false IS_TEMPLATE true"); err != nil {
		return err
	}
	// A migration in Go may have forgotten to close something, and so left a connection.
	if !c.awaitNobody(ctx, building) {
		if err := c.terminate(ctx, building); err != nil {
			return err
		}
	}
	err := c.rename(ctx, building, name) // waits for connections that are about to end
	if sqlState(err) == "55006" {        // object_in_use
		return &templateError{fmt.Errorf("somebody whose connection can't be ended stays in the database: %w", err)}
	}
	return err
}

// templateError says that it is the migrations that fail.
type templateError struct{ err error }

func (e *templateError) Error() string { return fmt.Sprintf("migrate the template: %v", e.err) }
func (e *templateError) Unwrap() error { return e.err }

// passing says whether an error may not come again when the next test tries: that of a limit, of a server that is
// restarted or too busy, of a connection that was cut.
func passing(err error) bool {
	var network net.Error
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, driver.ErrBadConn) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &network) {
		return true
	}
	state := sqlState(err) // query_canceled, and the classes of connections, resources and the operator
	return state == "57014" || strings.HasPrefix(state, "08") || strings.HasPrefix(state, "53") || strings.HasPrefix(state, "57P")
}

func (s *pgServer) migrate(ctx context.Context, set *set, database string) error {
	db, err := s.open(database, nil)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := createSchema(ctx, db, set.Home()); err != nil {
		return err
	}
	return gooseplus.New(db, set.opts...).Migrate(ctx)
}

// createSchema makes the schema that has to be there before the migrations, "" for none.
func createSchema(ctx context.Context, db *sql.DB, schema string) error {
	if schema == "" {
		return nil
	}
	_, err := db.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+pq.QuoteIdentifier(schema))
	return err
}
