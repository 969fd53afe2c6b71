package gooseplus

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/gooseplus/gooseplus/internal/drive"
	"github.com/gooseplus/gooseplus/internal/failure"
	"github.com/gooseplus/gooseplus/internal/redact"
)

// A Tenant is one schema of the database, or one database, that gets the whole migration set.
type Tenant struct {
	// Name is what errors, events and reports call the tenant; "" is the schema's name. If it is a DSN, they replace
	// its password by xxxxx.
	Name string
	// Schema is the tenant's schema, taken as [WithSchema] does.
	Schema string
	// Open opens the tenant's own database, which is closed when the tenant is done; nil is the
	// database of the Migrator. With a Schema too, the tenant is that schema of the opened database.
	Open func(context.Context) (*sql.DB, error)
	// Create creates the database that Open opens, for [Migrator.Provision], which calls it if the server has no such
	// database. If it fails, it must leave nothing: a database that is there all the same stays, and the error says so. Drop
	// undoes it, after a failure. Only Provision calls them, and keeps a connection of the Migrator's database meanwhile, so
	// that a pool that they use too needs one more for each call. nil is for a database that exists.
	Create, Drop func(context.Context) error
}

// name is what errors, events and reports call the tenant. A query that gives the DSN where the name belongs must not
// bring its password there.
func (t Tenant) name() string { return redact.Text(cmp.Or(t.Name, t.Schema)) }

// shares says whether the tenant is in the Migrator's own database.
func (t Tenant) shares() bool { return t.Open == nil }

// Tenant returns a Migrator for one tenant. Everything else is as in m, and the folders are not listed again. Each method
// opens the tenant's own database, and closes it again. A tenant with neither a schema nor Open is a configuration fault of
// the returned Migrator; [Migrator.Err] returns it.
func (m *Migrator) Tenant(t Tenant) *Migrator { return m.tenant(t) }

func (m *Migrator) tenant(t Tenant) *Migrator {
	tm := &Migrator{db: m.db, options: m.options, events: m.events}
	o := &tm.options
	o.tenant = t.name()
	if t.Schema != "" || t.Open == nil {
		o.schema, o.bound = t.Schema, true
	}
	if t.Open != nil {
		tm.own = &ownDatabase{open: t.Open}
	}
	tm.resolve = sync.OnceValues(func() (*targets, error) {
		known, err := m.resolve()
		if err != nil {
			return nil, err
		}
		return known.in(o)
	})
	return tm
}

// TenantName is what the tenant of a Migrator is called, "" if it has none.
func (m *Migrator) TenantName() string { return m.options.tenant }

// Tenants ranges over the Migrators of the tenants of a source, one by one. A tenant's own database is
// opened when it is used first and closed when the loop goes on. An error of the source is yielded with
// a nil Migrator, and ends the loop, as the end of ctx does.
func (m *Migrator) Tenants(ctx context.Context, source iter.Seq2[Tenant, error]) iter.Seq2[*Migrator, error] {
	return func(yield func(*Migrator, error) bool) {
		for t, err := range source {
			if err == nil && ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			if err != nil {
				yield(nil, failure.Tidy{Err: err})
				return
			}
			if !m.yieldTenant(t, yield) {
				return
			}
		}
	}
}

func (m *Migrator) yieldTenant(t Tenant, yield func(*Migrator, error) bool) bool {
	tm := m.tenant(t)
	defer tm.own.keep()()
	return yield(tm, nil)
}

// ownDatabase is the database that a tenant brings.
type ownDatabase struct {
	open func(context.Context) (*sql.DB, error)

	mu   sync.Mutex
	kept bool    // guarded by mu: it is opened once, and whoever keeps it closes it
	db   *sql.DB // guarded by mu
}

// use opens the database, or returns the open one if it is kept.
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

// Schemas are tenants by the names of their schemas.
func Schemas(names ...string) iter.Seq2[Tenant, error] {
	return func(yield func(Tenant, error) bool) {
		for _, name := range names {
			if !yield(Tenant{Schema: name}, nil) {
				return
			}
		}
	}
}

// SchemasLike are the schemas whose names match a pattern of LIKE, in the order of their names: on
// PostgreSQL the schemas of the database except pg_… and information_schema, on MySQL and MariaDB the
// databases of the server. It asks db when it is ranged over, some hundred names at a time, and keeps no
// query open in between. An error, as on SQLite, which has no schemas, ends the sequence.
func SchemasLike(db *sql.DB, pattern string) iter.Seq2[Tenant, error] {
	return func(yield func(Tenant, error) bool) {
		query, err := schemasQuery(db)
		last, more := "", err == nil
		for more {
			more = false
			var names []Tenant
			for t, err := range SchemasFromQuery(db, query, pattern, last) {
				if err != nil {
					yield(Tenant{}, err)
					return
				}
				names = append(names, t)
			}
			for _, t := range names {
				if !yield(t, nil) {
					return
				}
				last, more = t.Schema, len(names) == schemasAtOnce
			}
		}
		if err != nil {
			yield(Tenant{}, fmt.Errorf("SchemasLike: %w", failure.Tidy{Err: err}))
		}
	}
}

// schemasAtOnce is the LIMIT of schemasQuery.
const schemasAtOnce = 500

// schemasQuery is the query of SchemasLike, with the pattern and the name to begin after.
func schemasQuery(db *sql.DB) (string, error) {
	if db == nil {
		return "", errors.New("the database is nil")
	}
	var version string
	if err := db.QueryRow("SELECT version()").Scan(&version); err != nil {
		return "", fmt.Errorf("only PostgreSQL, MySQL and MariaDB have schemas, and this database doesn't tell its version: %w", err)
	}
	if strings.HasPrefix(version, "PostgreSQL") {
		return `SELECT nspname FROM pg_namespace WHERE nspname LIKE $1 AND nspname > $2
			AND left(nspname, 3) <> 'pg_' AND nspname <> 'information_schema' ORDER BY nspname LIMIT 500`, nil
	}
	return `SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE ? AND BINARY schema_name > ?
		AND schema_name NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema') ORDER BY BINARY schema_name LIMIT 500`, nil
}

// SchemasFromQuery are the schemas that a query returns, in one column. The query runs on db when the
// sequence is ranged over, and keeps a connection until the range ends. [Migrator.MigrateTenants] ranges
// over it quickly, ahead of the work. An error ends the sequence, after the tenants before it.
func SchemasFromQuery(db *sql.DB, query string, args ...any) iter.Seq2[Tenant, error] {
	return fromQuery(db, "SchemasFromQuery", "the schema", query, args, func(rows *sql.Rows) (t Tenant, err error) {
		err = rows.Scan(&t.Schema)
		return t, err
	})
}

// DatabasesFromQuery are tenants with databases of their own. The query returns two columns, the name and the DSN; open is
// called with the DSN when it is the tenant's turn. A row that comes again counts once. The query runs on db when the
// sequence is ranged over, see [SchemasFromQuery]. An error ends the sequence, after the tenants before it.
func DatabasesFromQuery(db *sql.DB, open func(ctx context.Context, dsn string) (*sql.DB, error), query string, args ...any) iter.Seq2[Tenant, error] {
	return func(yield func(Tenant, error) bool) {
		type row struct{ name, dsn string }
		seen := make(map[row]bool)
		var now row
		rows := fromQuery(db, "DatabasesFromQuery", "the name, the DSN", query, args, func(rows *sql.Rows) (Tenant, error) {
			err := rows.Scan(&now.name, &now.dsn)
			dsn := now.dsn
			return Tenant{Name: now.name, Open: func(ctx context.Context) (*sql.DB, error) { return open(ctx, dsn) }}, err
		})
		for t, err := range rows {
			if err == nil && seen[now] {
				continue
			}
			seen[now] = err == nil
			if !yield(t, err) {
				return
			}
		}
	}
}

// fromQuery makes tenants of the rows of a query that has the columns.
func fromQuery(db *sql.DB, what, columns, query string, args []any, scan func(*sql.Rows) (Tenant, error)) iter.Seq2[Tenant, error] {
	return func(yield func(Tenant, error) bool) {
		if db == nil {
			yield(Tenant{}, fmt.Errorf("%s: the database is nil", what))
			return
		}
		rows, err := db.Query(query, args...)
		if err != nil {
			yield(Tenant{}, fmt.Errorf("%s: %w", what, failure.Tidy{Err: err}))
			return
		}
		defer rows.Close()
		have, err := rows.Columns()
		if want := 1 + strings.Count(columns, ","); err == nil && len(have) != want {
			err = fmt.Errorf("the columns of the query are %q, and have to be %s", have, columns)
		}
		if err != nil {
			yield(Tenant{}, fmt.Errorf("%s: %w", what, failure.Tidy{Err: err}))
			return
		}
		for rows.Next() {
			t, err := scan(rows)
			if err != nil {
				yield(Tenant{}, fmt.Errorf("%s: %w", what, failure.Tidy{Err: err}))
				return
			}
			if !yield(t, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(Tenant{}, fmt.Errorf("%s: %w", what, failure.Tidy{Err: err}))
		}
	}
}
