package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/migset"
)

// Namespace returns a Migrator for one namespace: it has the migrations, the version table and the marks of that
// namespace only. Everything else, also the lock, is as in m. A name that [WithNamespaces] doesn't have is a
// configuration fault, which [Migrator.Err] of the returned Migrator returns. It may be combined with [Migrator.Tenant], in any order.
func (m *Migrator) Namespace(name string) *Migrator {
	one := *m
	one.options.namespace = name
	one.resolve = sync.OnceValues(func() (*targets, error) {
		known, err := m.resolve()
		return m.options.choose(known, err, name)
	})
	return &one
}

// choose is what is known of one namespace, out of what resolve returned for all.
func (o *options) choose(known *targets, err error, name string) (*targets, error) {
	if unknown := o.unknownNamespace(name); unknown != nil {
		return nil, errors.Join(err, unknown)
	}
	if err != nil {
		return nil, err
	}
	return known.namespace(name), nil
}

// Namespaces returns the namespaces of the Migrator, in their order. It is empty without [WithNamespaces], and after
// [Migrator.Namespace].
func (m *Migrator) Namespaces() []string {
	if !m.options.allNamespaces() {
		return nil
	}
	return slices.Clone(m.options.namespaces)
}

// MigrateNamespace is [Migrator.Migrate] of one namespace alone.
func (m *Migrator) MigrateNamespace(ctx context.Context, name string) error {
	return m.Namespace(name).Migrate(ctx)
}

// NamespaceStatus is [Migrator.Status] of every namespace, by its name. It is an error without namespaces, and after
// [Migrator.Namespace].
func (m *Migrator) NamespaceStatus(ctx context.Context) (map[string]Status, error) {
	known, db, done, err := m.openAny(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if !known.several() {
		return nil, m.named(errors.New("NamespaceStatus needs a Migrator with namespaces (WithNamespaces) and without a chosen one (Namespace)"))
	}
	ctx, cancel := m.withTimeout(ctx)
	defer cancel()
	var facts history.Facts
	if known.whole.state != nil {
		if facts, err = known.whole.state.ReadAll(ctx, db.own); err != nil {
			return nil, known.whole.named(known.whole.stateError(ctx, err))
		}
	}
	all := make(map[string]Status)
	var unreadable []error
	pending, none := false, true
	for _, part := range known.parts {
		entries, err := m.entries(ctx, part, db.own)
		if err != nil {
			return nil, part.named(err)
		}
		var broken error
		all[part.set.Namespace], broken = part.statusWithSQL(ctx, m.options.environments, entries, facts)
		unreadable = append(unreadable, broken)
		if err := part.addStoredDowns(ctx, db.own, &m.options, all[part.set.Namespace].Migrations); err != nil {
			return nil, part.named(err)
		}
		pending, none = pending || all[part.set.Namespace].PendingCount > 0, none && len(entries) == 0
	}
	if pending && none {
		text, err := m.foreignText(ctx, known.whole, db)
		if err != nil {
			return nil, m.named(err)
		}
		for name, status := range all {
			status.ForeignHistory = text
			all[name] = status
		}
	}
	return all, errors.Join(unreadable...)
}

// allNamespaces says whether the Migrator is for all namespaces, and not for a chosen one.
func (o *options) allNamespaces() bool { return o.namespaces != nil && o.namespace == "" }

// covers says whether a run takes over from a run of the given namespace that was cut off.
func (o *options) covers(namespace string) bool {
	if o.allNamespaces() {
		return slices.Contains(o.namespaces, namespace)
	}
	return namespace == o.namespace
}

// unknownNamespace is the fault of a name that is not one of the namespaces.
func (o *options) unknownNamespace(name string) error {
	switch {
	case o.namespaces == nil:
		return fmt.Errorf("namespace %q is unknown: this Migrator has no namespaces (WithNamespaces)", name)
	case o.namespace != "":
		return fmt.Errorf("namespace %q can't be chosen: this Migrator is for the namespace %q", name, o.namespace)
	case !slices.Contains(o.namespaces, name):
		return fmt.Errorf("namespace %q is unknown: there are %s", name, migset.Quoted(o.namespaces))
	}
	return nil
}

// inNamespace is the name of a namespace's version table.
func inNamespace(d dialect.Dialect, versionTable, namespace string) (string, error) {
	if !d.Quotes() {
		if strings.ContainsFunc(namespace, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
			return "", fmt.Errorf("the dialect %s takes no name that needs quotes", d.Goose)
		}
		return inTable(versionTable, namespace), nil
	}
	name, err := d.ParseName(versionTable)
	if err != nil {
		return "", fmt.Errorf("WithVersionTable: %w", err)
	}
	name.Table = inTable(name.Table, namespace)
	quoted := d.Quote(name)
	if _, err := d.ParseName(quoted); err != nil { // longer than the server takes
		return "", fmt.Errorf("the version table: %w", err)
	}
	return quoted, nil
}

func inTable(table, namespace string) string {
	if namespace == "" {
		return table
	}
	return table + "_" + namespace
}
