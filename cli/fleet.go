package cli

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/redact"
)

// fleet is what the tenants commands work on.
type fleet struct {
	call   *call
	flags  *tenantsFlags
	m      *gooseplus.Migrator
	source iter.Seq2[gooseplus.Tenant, error]

	mu     sync.Mutex
	listed map[string]gooseplus.Tenant // guarded by mu; those that the source has named so far
}

// tenant is one that the source has named.
func (f *fleet) tenant(name string) (gooseplus.Tenant, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, ok := f.listed[name]
	return t, ok
}

// migrator is for one of the tenants.
func (f *fleet) migrator(name string) *gooseplus.Migrator {
	t, _ := f.tenant(name)
	return f.m.Tenant(t)
}

// newFleet finds the Migrator of the tenants, and where they are listed.
func newFleet(c *call, t *tenantsFlags) (*fleet, error) {
	if err := t.faults(); err != nil {
		return nil, err
	}
	purpose := mainDatabase
	if t.databases != "" {
		purpose = otherDatabases
	}
	m, err := c.tenantsMigrator(purpose)
	if err != nil {
		return nil, err
	}
	f := &fleet{call: c, flags: t, m: m, listed: make(map[string]gooseplus.Tenant)}
	source, err := f.find()
	if err != nil {
		return nil, err
	}
	f.source = untilEnd(c.ctx, f.checked(source))
	c.activity.speakOfTenants(f.words)
	return f, nil
}

// tenantsMigrator is the Migrator of the tenants. They are schemas unless purpose is otherDatabases.
func (c *call) tenantsMigrator(purpose purpose) (*gooseplus.Migrator, error) {
	if purpose != otherDatabases {
		if err := c.settings.lackSchemas(); err != nil {
			return nil, err
		}
	}
	m, err := c.migrator(withPurpose(tenantsContext(c.ctx), purpose))
	if err != nil || purpose == otherDatabases || c.settings.standalone {
		return m, err
	}
	if d, err := m.Describe(); err == nil && d.Dialect == goose.DialectSQLite3 {
		return nil, errNoSchemas
	}
	return m, nil
}

// errNoSchemas is for tenants that would be schemas of a SQLite database.
var errNoSchemas = usagef("SQLite has no schemas: give each tenant a database of its own, and list the databases with --databases-query (tenants up --help)")

// lackSchemas returns an error if the settings name a database without schemas. It doesn't connect: connecting creates a
// SQLite database.
func (s *settings) lackSchemas() error {
	if t, err := s.target(mainDatabase); s.standalone && err == nil && t.dialect == string(goose.DialectSQLite3) {
		return errNoSchemas
	}
	return nil
}

// tenantsContext is for open, see ForTenants.
func tenantsContext(ctx context.Context) context.Context {
	return context.WithValue(ctx, forTenants{}, true)
}

// checked makes three mistakes an error: a source without tenants, which usually has a wrong pattern or database, a
// query that returns the DSN of a tenant as its name, and one that returns a name twice.
func (f *fleet) checked(source iter.Seq2[gooseplus.Tenant, error]) iter.Seq2[gooseplus.Tenant, error] {
	return func(yield func(gooseplus.Tenant, error) bool) {
		none, seen := true, make(map[string]bool)
		for tenant, err := range source {
			name := cmp.Or(tenant.Name, tenant.Schema)
			if err == nil && redact.Text(name) != name {
				tenant, err = gooseplus.Tenant{}, usagef("the name of a tenant is a DSN (%s): the query must return the name first, and then the DSN", clean(redact.Text(name)))
			}
			if err == nil && seen[name] && tenant.Open != nil {
				tenant, err = gooseplus.Tenant{}, usagef("there are two tenants %s: the query must return each name once", clean(name))
			}
			if err == nil && seen[name] {
				f.call.out.note("%s tenant %s is listed more than once, and counts once", paint(f.call.out.errColour, yellow, "warning:"), clean(name))
				continue
			}
			seen[name] = true
			none = none && err != nil
			if err == nil {
				f.mu.Lock()
				f.listed[name] = tenant
				f.mu.Unlock()
			}
			if !yield(tenant, err) || err != nil {
				return
			}
		}
		if none && !f.flags.allowNone {
			yield(gooseplus.Tenant{}, usagef("there are no tenants: %s (--allow-none if that is right)", f.nothing()))
		}
	}
}

// nothing says which source has no tenants.
func (f *fleet) nothing() string {
	on := cmp.Or(f.call.settings.pools.connected, "the database")
	switch t := f.flags; {
	case t.like != "":
		return fmt.Sprintf("no schema in %s matches --schemas-like %q", on, t.like)
	case t.schemas != "":
		return fmt.Sprintf("--schemas-query %q returns no row from %s", t.schemas, on)
	default:
		return fmt.Sprintf("--databases-query %q returns no row from %s", t.databases, on)
	}
}

// words are the words for one tenant. tenant is "" for the call itself.
func (f *fleet) words(tenant string) words {
	w := f.call.out.words
	t, listed := f.tenant(tenant)
	switch {
	case tenant == "":
	case !w.flags:
		if w.tenant = tenant; f.flags.databases != "" {
			w.scope = append(slices.Clone(w.scope), "--databases-query "+quoted(redact.Text(f.flags.databases)))
		}
	case listed:
		return w.forTenant(t, f.call.settings.files.tenantsDir)
	}
	return w
}

// untilEnd ends a source when ctx ends. A source has no context: a query that hangs is left to itself.
func untilEnd(ctx context.Context, source iter.Seq2[gooseplus.Tenant, error]) iter.Seq2[gooseplus.Tenant, error] {
	type item struct {
		tenant gooseplus.Tenant
		err    error
	}
	return func(yield func(gooseplus.Tenant, error) bool) {
		items, stop := make(chan item), make(chan struct{})
		defer close(stop)
		go func() {
			defer close(items)
			for t, err := range source {
				select {
				case items <- item{t, err}:
				case <-stop:
					return
				}
			}
		}()
		for {
			select {
			case <-ctx.Done():
				yield(gooseplus.Tenant{}, context.Cause(ctx))
				return
			case i, more := <-items:
				if !more {
					return
				}
				if i.err != nil {
					i.err = &listError{i.err}
				}
				if !yield(i.tenant, i.err) {
					return
				}
			}
		}
	}
}

// find is where the tenants are listed.
func (f *fleet) find() (source iter.Seq2[gooseplus.Tenant, error], err error) {
	t := f.flags
	if t.like != "" {
		source = gooseplus.SchemasLike(f.m.DB(), t.like)
	} else if t.schemas == "" && t.databases == "" {
		return gooseplus.Schemas(t.names...), nil
	} else {
		master, err := f.master()
		if err != nil {
			return nil, err
		}
		source = gooseplus.SchemasFromQuery(master, t.schemas)
		if t.databases != "" {
			source = gooseplus.DatabasesFromQuery(master, f.openTenant, t.databases)
		}
	}
	if len(t.names) == 0 {
		return source, nil
	}
	return only(source, t.names), nil
}

// master is the database that knows the tenants.
func (f *fleet) master() (*sql.DB, error) {
	s := f.call.settings
	dsn := s.shared.masterDSN
	if dsn == "" {
		if db := f.m.DB(); db != nil {
			return db, nil
		}
		if dsn = cmp.Or(s.database.dsn, s.database.fallbackDSN); dsn == "" {
			return nil, usagef("there is no database that lists the tenants: set --master-dsn, or MASTER_DB_URL in the environment")
		}
	}
	t, err := parseDSN(dsn, s.database.driver)
	if err != nil {
		return nil, err
	}
	return s.pools.connect(f.call.ctx, t)
}

// openTenant opens the database of a tenant, whose DSN may be wrong in all ways that a DSN can be.
func (f *fleet) openTenant(_ context.Context, dsn string) (*sql.DB, error) {
	s := f.call.settings
	t, err := parseDSN(dsn, s.database.tenantsDriver)
	if err != nil {
		return nil, err
	}
	if want, err := s.target(otherDatabases); s.standalone && err == nil && want.dialect != t.dialect {
		return nil, usagef("its DSN is for %s, not for %s: set --tenants-driver to the kind of the tenants' databases", t.dialect, want.dialect)
	}
	return t.open(s.pools.looks)
}

// only chooses tenants of a source by their names, and fails for those that it doesn't have.
func only(source iter.Seq2[gooseplus.Tenant, error], names []string) iter.Seq2[gooseplus.Tenant, error] {
	return func(yield func(gooseplus.Tenant, error) bool) {
		missing := make(map[string]bool)
		for _, name := range names {
			missing[name] = true
		}
		for t, err := range source {
			name := cmp.Or(t.Name, t.Schema)
			if err == nil && !slices.Contains(names, name) {
				continue
			}
			delete(missing, name)
			if !yield(t, err) || err != nil {
				return
			}
		}
		if len(missing) > 0 {
			left := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !missing[name] })
			yield(gooseplus.Tenant{}, usagef("there is no tenant %s", strings.Join(left, ", ")))
		}
	}
}
