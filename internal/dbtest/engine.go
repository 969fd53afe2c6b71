package dbtest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"time"
)

// An engine is everything in which the kinds of database servers differ.
type engine struct {
	name      string
	dsnEnv    string // the variable with the DSN of a server that runs already
	imageEnv  string // the variable with the docker image
	image     string // the docker image by default
	installed string // what to install to have the server's programs

	local     program
	container container

	// parse takes a DSN that a person wrote; address makes the endpoint of a server that dbtest started.
	parse   func(dsn string) (endpoint, error)
	address func(hostPort, password string) endpoint

	// connector connects to a database of the server, and takes no longer than the given time for it.
	connector func(dsn string, within time.Duration) (driver.Connector, error)
	// costly says that a connection costs the server as much as a small database.
	costly bool
	// create and drop are given a name of letters, digits and underscores.
	create func(ctx context.Context, db *sql.DB, database string) error
	drop   func(ctx context.Context, db *sql.DB, database string) error
}

// An endpoint says how to reach a server.
type endpoint struct {
	password string
	// admin is the DSN of a connection that may create databases.
	admin string
	// dsn is the DSN of one database.
	dsn func(database string) string
}

const (
	// adminTimeout bounds the creation or removal of one database, on a server that many tests use at once.
	adminTimeout = time.Minute
	pingTimeout  = 2 * time.Second
)

// open returns a pool that is closed by the caller.
func (e *engine) open(dsn string, within time.Duration) (*sql.DB, error) {
	connector, err := e.connector(dsn, within)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// administer runs fn on a connection that nobody else uses meanwhile. Between two calls dbtest holds no goroutines, and no
// connections but the kept ones.
func (s Server) administer(fn func(context.Context, *sql.DB) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), adminTimeout)
	defer cancel()
	connector, err := s.engine.connector(s.endpoint.admin, adminTimeout)
	if err != nil {
		return err
	}
	if s.kept != nil {
		connector = keeper{connector, s.kept}
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	db.SetMaxOpenConns(1)
	return fn(ctx, db)
}

func (e *engine) ping(ctx context.Context, ep endpoint) error {
	db, err := e.open(ep.admin, pingTimeout)
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return db.PingContext(ctx)
}

const (
	startTimeout = 90 * time.Second
	pollInterval = 20 * time.Millisecond
)

// await polls until the server answers. It gives up early when dead reports that the server has ended.
func (e *engine) await(ctx context.Context, ep endpoint, dead func() error) error {
	return e.awaitUnless(ctx, ep, func(error) error { return dead() })
}

// awaitUnless is await, but hopeless is told why the server didn't answer, too.
func (e *engine) awaitUnless(ctx context.Context, ep endpoint, hopeless func(error) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	started := time.Now()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	var why error // the last one that tells more than that there was no time left
	for {
		err := e.ping(ctx, ep)
		if err == nil {
			return nil
		}
		if gone := hopeless(err); gone != nil {
			return gone
		}
		if why == nil || !errors.Is(err, context.DeadlineExceeded) && !os.IsTimeout(err) {
			why = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not answer within %v: %w", e.name, time.Since(started).Round(time.Second), why)
		case <-tick.C:
		}
	}
}
