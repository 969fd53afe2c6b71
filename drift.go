package gooseplus

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"

	"go.uber.org/zap"

	"github.com/gooseplus/gooseplus/internal/catalog"
)

// A Difference is one object that is not as the migrations make it, see [Migrator.Drift].
type Difference struct {
	Kind string // "table", "column", "index", …
	Name string
	Want string // its definition as the migrations make it, "" if they make no such object
	Have string // its definition in the database, "" if the database has no such object
}

// Drift compares the database with what its applied migrations make of an empty one, and returns the objects that differ:
// a column that somebody added by hand, an index that is missing. The migrations run in shadow, an empty database of the
// same kind that must not be in use; their objects stay there. The schemas of [WithSearchPath], with their extensions, and the
// role of [WithRole] have to be there too. A shadow that Drift has filled can be used again, for this
// Migrator and for its tenants, as long as the database has at least the versions of the shadow.
//
// Drift only reads the database itself, without the lock: a run at the same time looks like drift. Rows and the order of columns
// are not compared, and neither are the version table and the state table, with their triggers. A schema that the Migrator
// is bound to is compared with what the migrations make where the shadow's connections work; other schemas, and what belongs
// to the whole database, don't count then. Where definitions name those schemas, the names don't count.
//
// If a version is applied that has no migration here, nothing can be compared: [ErrUnknownVersion]. It is also an error if
// the shadow has anything else in it, or if a migration fails there.
func (m *Migrator) Drift(ctx context.Context, shadow *sql.DB) ([]Difference, error) {
	known, db, done, err := m.openAny(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if shadow == nil || shadow == db.pool {
		return nil, errors.New("Drift: the shadow is nil, or the database itself")
	}
	ctx, cancel := m.withTimeout(ctx)
	defer cancel()
	reached, leave := known.whole.reach(shadow)
	defer leave()
	made, err := m.shadow(shadow)
	if err != nil {
		return nil, err
	}
	applied := make([][]int64, len(known.parts))
	for i, part := range known.parts {
		if applied[i], _, err = part.table.Applied(ctx, db.own); err != nil {
			return nil, part.named(part.tableError(ctx, err))
		}
	}
	if err := made.claim(ctx, reached.own); err != nil {
		return nil, m.named(err)
	}
	for i, part := range known.parts {
		one := made
		if known.several() {
			one = made.Namespace(part.set.Namespace)
		}
		if err := one.migrate(ctx, exactlyThese(applied[i])); err != nil {
			return nil, part.named(fmt.Errorf("Drift: the migrations don't run in the shadow: %w", err))
		}
	}
	want, err := made.catalog(ctx, reached.own)
	if err != nil {
		return nil, m.named(err)
	}
	have, err := m.catalog(ctx, db.own)
	if err != nil {
		return nil, m.named(err)
	}
	var homes []string
	if m.options.bound {
		homes = append(homes, m.options.schema)
	}
	for _, db := range []*sql.DB{db.own, reached.own} {
		home, err := catalog.Home(ctx, db, known.whole.dialect.Goose)
		if err != nil {
			return nil, m.named(fmt.Errorf("Drift: the schema can't be read: %w", err))
		}
		homes = append(homes, home)
	}
	for _, c := range []catalog.Catalog{want, have} {
		if m.options.bound {
			c.OnlyOwn()
		}
		c.Unqualify(homes)
	}
	return differences(want, have), nil
}

// shadow is a silent Migrator that makes the same migrations in another database, where its connections work.
func (m *Migrator) shadow(db *sql.DB) (*Migrator, error) {
	s := m.On(db)
	s.events, s.ended = nil, nil
	o := &s.options
	o.tenant, o.schema, o.bound, o.createSchema = "", "", false, false
	o.logger, o.observers = zap.NewNop(), nil
	o.foreignHistory, o.unknown, o.checksums, o.protectedEnvironments = Ignore, Ignore, Ignore, nil
	s.resolve = sync.OnceValues(o.resolveChosen)
	_, err := s.resolve()
	return s, err
}

// shadowMark is what a shadow remembers beside its environments.
const shadowMark = "shadow of Drift"

// claim marks an empty database as a shadow. It refuses a database that has objects, or that has a version table without the
// mark: a run would migrate it.
func (m *Migrator) claim(ctx context.Context, db *sql.DB) error {
	known, err := m.resolve()
	if err != nil {
		return err
	}
	st := known.whole.state
	if st == nil {
		return fmt.Errorf("Drift: the dialect %s has no catalog that can be read", known.whole.dialect.Goose)
	}
	for _, part := range known.parts {
		_, ready, err := part.table.Applied(ctx, db)
		if err != nil || !ready {
			if err != nil {
				return err
			}
			continue
		}
		facts, err := st.Read(ctx, db)
		if err == nil && !slices.Contains(facts.Environments, shadowMark) {
			err = fmt.Errorf("Drift: the shadow has the version table %s, and isn't a shadow that Drift has filled: nothing was touched; use an empty database", part.table.Name())
		}
		return err
	}
	there, err := m.catalog(ctx, db)
	if err != nil {
		return err
	}
	if err := mustBeEmpty(there); err != nil {
		return fmt.Errorf("Drift: %w", err)
	}
	if err := st.Ensure(ctx, db); err != nil {
		return err
	}
	return st.Marks.Stamp(ctx, db, shadowMark)
}

// mustBeEmpty refuses a shadow that has objects.
func mustBeEmpty(there catalog.Catalog) error {
	var names []string
	for key, o := range there {
		// Every database has languages, extensions, a schema, and what has no DROP of its own: grants, its character set.
		if o.Drop != "" && !slices.Contains([]string{"language", "extension", "schema"}, o.Kind) {
			names = append(names, key)
		}
	}
	if len(names) > 0 {
		return fmt.Errorf("the shadow must be empty, and has %d objects (%s, …): nothing was touched; drop it and create it again, or use another database", len(names), slices.Min(names))
	}
	return nil
}

// catalog reads what a database of the Migrator has, without the tables of the library.
func (m *Migrator) catalog(ctx context.Context, db *sql.DB) (catalog.Catalog, error) {
	set, err := m.Describe()
	if err != nil {
		return nil, err
	}
	c, err := catalog.Read(ctx, db, catalog.Scope{Dialect: set.Dialect, Schema: set.Schema, Ignore: set.Tables, IgnoreIn: set.TablesIn})
	if err != nil {
		return nil, fmt.Errorf("Drift: the catalog can't be read: %w", err)
	}
	return c, nil
}

func differences(want, have catalog.Catalog) []Difference {
	list := []Difference{}
	for _, d := range catalog.Diff(want, have) {
		one := Difference{Kind: d.Kind, Name: d.Name}
		if d.Change != catalog.Added {
			one.Want = cmp.Or(want[d.Key()].Definition, d.Kind)
		}
		if d.Change != catalog.Removed {
			one.Have = cmp.Or(have[d.Key()].Definition, d.Kind)
		}
		list = append(list, one)
	}
	return list
}
