package gooseplus

import (
	"cmp"
	"context"
	"database/sql"
	"iter"
	"sync"

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
	// database of the Migrator. With a Schema as well, that schema of it.
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

// Tenant returns a Migrator for one tenant. Everything else is as in m, and the folders are not listed again. A tenant's own database is opened by each method that uses it, and
// closed again. A tenant with neither a schema nor Open is a configuration fault of the Migrator that
// is returned; [Migrator.Err] gives it.
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
				yield(nil, err)
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
