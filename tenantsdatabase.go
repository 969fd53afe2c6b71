package gooseplus

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/gooseplus/gooseplus/internal/drive"
)

// ownDatabase is the database that a tenant brings.
type ownDatabase struct {
	open func(context.Context) (*sql.DB, error)

	mu   sync.Mutex
	kept bool    // guarded by mu: it is opened once, and whoever keeps it closes it
	db   *sql.DB // guarded by mu
}

// use opens the database, or takes the one that is kept.
func (d *ownDatabase) use(ctx context.Context) (*sql.DB, func(), error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.db != nil {
		return d.db, func() {}, nil
	}
	db, err := d.opened(ctx)
	if err == nil && db == nil {
		err = errors.New("the tenant's Open returned neither a database nor an error")
	}
	if err != nil {
		return nil, nil, err
	}
	if d.kept {
		d.db = db
		return db, func() {}, nil
	}
	return db, func() { _ = db.Close() }, nil // everything that was to be written has been committed
}

// opened calls open. A panic of open is this tenant's failure, so that the other tenants go on.
func (d *ownDatabase) opened(ctx context.Context) (db *sql.DB, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the tenant's Open: %w", &drive.PanicError{Value: v, Stack: debug.Stack()})
		}
	}()
	return d.open(ctx)
}

// keep has the database stay open until the function that it returns is called.
func (d *ownDatabase) keep() (end func()) {
	if d == nil {
		return func() {}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kept = true
	return func() {
		d.close()
		d.mu.Lock()
		defer d.mu.Unlock()
		d.kept = false
	}
}

// close closes the database that is kept. The next use opens it again.
func (d *ownDatabase) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.db != nil {
		_ = d.db.Close() // everything that was to be written has been committed
	}
	d.db = nil
}
