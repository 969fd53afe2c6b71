package gooseplus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/envfs"
	"github.com/gooseplus/gooseplus/internal/history"
)

// Namespace returns a Migrator for one of the namespaces: everything is as in m but that it knows the
// migrations, the version table and the marks of that namespace only. It takes the same lock. A name that is
// not one of [WithNamespaces] is a configuration fault of the Migrator that is returned; [Migrator.Err] gives
// it. It may be combined with [Migrator.Tenant], in any order.
func (m *Migrator) Namespace(name string) *Migrator {
	one := *m
	one.options.namespace = name
	one.resolve = sync.OnceValues(func() (*migrations, error) {
		known, err := m.resolve()
		if unknown := m.options.unknownNamespace(name); unknown != nil {
			return nil, errors.Join(err, unknown)
		}
		if err != nil {
			return nil, err
		}
		return known.part(name), nil
	})
	return &one
}

// Namespaces are those that the Migrator is for, in their order; none without [WithNamespaces], and if one was
// chosen.
func (m *Migrator) Namespaces() []string {
	if !m.options.wholeSet() {
		return nil
	}
	return slices.Clone(m.options.namespaces)
}

// MigrateNamespace is [Migrator.Migrate] of one namespace alone.
func (m *Migrator) MigrateNamespace(ctx context.Context, name string) error {
	return m.Namespace(name).Migrate(ctx)
}

// NamespaceStatus is [Migrator.Status] of every namespace, by its name. Without namespaces it is an error, as
// it is with one that was chosen already.
func (m *Migrator) NamespaceStatus(ctx context.Context) (map[string]Status, error) {
	known, db, done, err := m.openAny(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if known.parts == nil {
		return nil, m.named(errors.New("NamespaceStatus is for a Migrator with namespaces (WithNamespaces) of which none was chosen"))
	}
	ctx, cancel := m.withTimeout(ctx)
	defer cancel()
	var facts history.Facts
	if known.state != nil {
		if facts, err = known.state.Read(ctx, db.own); err != nil {
			return nil, known.named(known.stateError(ctx, err))
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
		all[part.namespace], broken = part.statusWithSQL(ctx, m.options.environments, entries, facts)
		unreadable = append(unreadable, broken)
		pending, none = pending || all[part.namespace].PendingCount > 0, none && len(entries) == 0
	}
	if pending && none {
		text, err := m.foreignText(ctx, known, db)
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

// wholeSet says whether the Migrator is for several namespaces.
func (o *options) wholeSet() bool { return o.namespaced && o.namespace == "" }

// unknownNamespace is the fault of a name that is not one of the namespaces.
func (o *options) unknownNamespace(name string) error {
	switch {
	case !o.namespaced:
		return fmt.Errorf("namespace %q is unknown: there are none (WithNamespaces)", name)
	case o.namespace != "":
		return fmt.Errorf("namespace %q can't be chosen: this Migrator is for the namespace %q", name, o.namespace)
	case !slices.Contains(o.namespaces, name):
		return fmt.Errorf("namespace %q is unknown: there are %s", name, quotedList(o.namespaces))
	}
	return nil
}

func quotedList(names []string) string {
	var list []string
	for _, name := range names {
		list = append(list, fmt.Sprintf("%q", name))
	}
	return strings.Join(list, ", ")
}

// part is what is known of one namespace.
func (ms *migrations) part(name string) *migrations {
	i := slices.IndexFunc(ms.parts, func(part *migrations) bool { return part.namespace == name })
	return ms.parts[i]
}

// all are the sequences there are: one for each namespace, or the only one.
func (ms *migrations) all() []*migrations {
	if ms.parts == nil {
		return []*migrations{ms}
	}
	return ms.parts
}

// oneOnly refuses what means the versions of one namespace.
func (ms *migrations) oneOnly() error {
	if ms.parts == nil {
		return nil
	}
	var names []string
	for _, part := range ms.parts {
		names = append(names, part.namespace)
	}
	return fmt.Errorf("each namespace has versions of its own: choose one with Namespace, of %s", quotedList(names))
}

// named puts the tenant and the namespace before an error that doesn't say so itself.
func (ms *migrations) named(err error) error { return namedBy(where(ms.tenant, ms.namespace), err) }

// own is facts without what is remembered of other namespaces.
func (ms *migrations) own(facts history.Facts) history.Facts {
	facts.Dirty = slices.DeleteFunc(slices.Clone(facts.Dirty), func(s history.Step) bool { return s.Namespace != ms.namespace })
	facts.Protected = slices.DeleteFunc(slices.Clone(facts.Protected), func(m history.Mark) bool { return m.Namespace != ms.namespace })
	return facts
}

// divide finds the migrations of each namespace.
func (o *options) divide(ms *migrations, restrict bool) (faults []error) {
	folders, err := envfs.OpenNamespaces(o.fsys, o.basePath, o.namespaces)
	faults = prefixed(err)
	for _, stray := range folders.Stray {
		ms.warnings = append(ms.warnings, fmt.Sprintf("%s is in no namespace: it is ignored", stray))
	}
	given := o.given()
	for _, f := range folders.Direct {
		if path.Ext(f.Name) != ".go" || !slices.Contains(given, f.Version) {
			faults = append(faults, fmt.Errorf("%w: %s is directly in the base path, and in no namespace: move it into the folder of one (%s)",
				ErrMergeMigrations, f.Path, quotedList(o.namespaces)))
		}
	}
	for _, file := range folders.Elsewhere() {
		ms.warnings = append(ms.warnings, fmt.Sprintf("%s is ignored: its folder is none of a namespace (WithNamespaces)", file))
	}
	shares, misplaced := o.shares(folders)
	faults = append(faults, misplaced...)
	seen := make(map[string]string)
	for i, name := range o.namespaces {
		wrong := nameFault(ms.dialect, name)
		key := foldNamespace(ms.dialect, name)
		if other, twice := seen[key]; twice && wrong == nil {
			wrong = fmt.Errorf("%q and %q would have the same version table", other, name)
		}
		if wrong != nil {
			faults = append(faults, fmt.Errorf("WithNamespaces: %w", wrong))
			continue
		}
		seen[key] = name
		part := &migrations{namespace: name, dialect: ms.dialect, tenant: ms.tenant, schema: ms.schema, createSchema: ms.createSchema}
		ms.parts = append(ms.parts, part)
		if ms.table != nil { // else the fault is told already
			if err := shares[i].tables(part); err != nil {
				faults = append(faults, part.named(err))
			}
		}
		if err != nil {
			continue // the base path can't be read
		}
		files, err := folders.Overlay(name, o.environments)
		for _, err := range each(shares[i].sequence(part, files, err, restrict)) {
			faults = append(faults, part.named(err))
		}
	}
	if len(faults) == 0 && !slices.ContainsFunc(ms.parts, func(part *migrations) bool { return len(part.list) > 0 }) {
		for _, part := range ms.parts {
			for _, err := range prefixed(part.nowhere()) {
				faults = append(faults, part.named(err))
			}
		}
	}
	return faults
}

// nameFault says why a namespace can't have this name.
func nameFault(d dialect.Dialect, name string) error {
	control := func(r rune) bool { return unicode.IsControl(r) }
	switch folded := strings.ToLower(name); {
	case name == "":
		return errors.New("a name is empty, which may be a variable that is not set")
	case !utf8.ValidString(name) || name == "." || name == ".." || strings.ContainsAny(name, `/\`) ||
		strings.ContainsFunc(name, control) || strings.TrimSpace(name) != name:
		return fmt.Errorf("%q can't be the name of a folder and a part of a table's name", name)
	case folded == "lock" || strings.HasPrefix(folded, "lock_"):
		return fmt.Errorf("%q is kept for the state table, {version table}_lock", name)
	case d.Goose == goose.DialectPostgres && generated(name):
		return fmt.Errorf("%q is what PostgreSQL calls the index or the sequence of another table", name)
	}
	return nil
}

// generated says whether PostgreSQL derives such a name from that of a version table.
func generated(name string) bool {
	return slices.ContainsFunc([]string{"_pkey", "_id_seq"}, func(suffix string) bool { return strings.HasSuffix("_"+name, suffix) })
}

// foldNamespace is the name as the database tells tables apart.
func foldNamespace(d dialect.Dialect, name string) string {
	if d.Goose == goose.DialectPostgres {
		return name
	}
	return strings.ToLower(name)
}

// inNamespace is the name of a namespace's version table.
func inNamespace(d dialect.Dialect, versionTable, namespace string) (string, error) {
	if !d.Quotes() {
		if strings.ContainsFunc(namespace, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
			return "", fmt.Errorf("the dialect %s takes no names that need quotes", d.Goose)
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

// shares are the options of each namespace: they have what of the Go migrations and definitions belongs to
// it. A Go migration belongs to the folder that its source is in, and definitions say it themselves. With one
// namespace everything is its.
func (o *options) shares(folders *envfs.Namespaces) (shares []options, faults []error) {
	dirs := make(map[string]string) // of each namespace, and of each environment in it
	for i, name := range o.namespaces {
		shares = append(shares, *o)
		shares[i].goMigrations, shares[i].definitions = nil, nil
		for _, environment := range append([]string{""}, o.environments...) {
			dirs[name+"/"+environment] = path.Join(folders.Folder(name), environment)
		}
	}
	give := func(name string) *options {
		if name == "" && len(shares) == 1 {
			return &shares[0]
		}
		if i := slices.Index(o.namespaces, name); name != "" && i >= 0 {
			return &shares[i]
		}
		return nil
	}
	for i, m := range o.goMigrations {
		fault := checkGo(m)
		var to *options
		if fault == nil {
			key, _, _ := owner(cmp.Or(m.Source, "?"), dirs)
			name, _, _ := strings.Cut(key, "/")
			if to = give(name); to == nil {
				fault = fmt.Errorf("version %d: its Source is in the folder of no namespace (%s)", m.Version, quotedList(o.namespaces))
			}
		}
		if fault != nil {
			faults = append(faults, fmt.Errorf("%w: WithGoMigrations: migration %d: %w", ErrMergeMigrations, i+1, fault))
			continue
		}
		to.goMigrations = append(to.goMigrations, m)
	}
	for _, d := range o.definitions {
		if d == nil {
			faults = append(faults, fmt.Errorf("%w: %w", ErrMergeMigrations, errNilDefinitions))
		} else if to := give(d.Namespace); to != nil {
			to.definitions = append(to.definitions, d)
		} else {
			faults = append(faults, fmt.Errorf("%w: WithDefinitions: their Namespace is %q, and there are %s",
				ErrMergeMigrations, d.Namespace, quotedList(o.namespaces)))
		}
	}
	return shares, faults
}
