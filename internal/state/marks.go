package state

import (
	"context"
	"fmt"
	"slices"
)

// Mark is something that is remembered about a version.
type Mark struct {
	Namespace string
	Version   int64
	Source    string
}

// Facts is what the state table remembers beside runs.
type Facts struct {
	// Dirty are the versions that a step outside a transaction was working on when it was cut off,
	// or that could not be undone.
	Dirty []Mark
	// Protected are the versions below which nothing goes.
	Protected []Mark
	// Environments are those that the database was ever migrated with.
	Environments []string
}

const (
	kindDirty       = "dirty"
	kindProtected   = "protected"
	kindEnvironment = "environment"
)

// Facts reads all of it, in one statement.
func (t *Table) Facts(ctx context.Context, db Querier) (Facts, error) {
	rows, err := db.QueryContext(ctx, t.rebind(
		"SELECT kind, namespace, version_id, name FROM {table} WHERE kind IN ('dirty', 'protected', 'environment') ORDER BY version_id, name"))
	if err != nil {
		return Facts{}, err
	}
	defer rows.Close()
	var f Facts
	for rows.Next() {
		var kind string
		var m Mark
		if err := rows.Scan(&kind, &m.Namespace, &m.Version, &m.Source); err != nil {
			return Facts{}, err
		}
		switch kind {
		case kindDirty:
			f.Dirty = append(f.Dirty, m)
		case kindProtected:
			f.Protected = append(f.Protected, m)
		case kindEnvironment:
			f.Environments = append(f.Environments, m.Source)
		}
	}
	return f, rows.Err()
}

// MarkDirty remembers that a step outside a transaction is about to start.
func (t *Table) MarkDirty(ctx context.Context, db Querier, m Mark) error {
	return t.mark(ctx, db, kindDirty, m)
}

// ClearDirty forgets it, once the step is recorded or undone.
func (t *Table) ClearDirty(ctx context.Context, db Querier, m Mark) error {
	return t.unmark(ctx, db, kindDirty, m)
}

// ClearAllDirty forgets every dirty version of a namespace. It does so one by one, as Crash does.
func (t *Table) ClearAllDirty(ctx context.Context, db Querier, namespace string) error {
	facts, err := t.Facts(ctx, db)
	if err != nil {
		return err
	}
	for _, m := range facts.Dirty {
		if m.Namespace != namespace {
			continue
		}
		if err := t.ClearDirty(ctx, db, m); err != nil {
			return err
		}
	}
	return nil
}

// Protect remembers that nothing goes below a version, and Unprotect forgets it.
func (t *Table) Protect(ctx context.Context, db Querier, m Mark) error {
	return t.mark(ctx, db, kindProtected, m)
}

// Unprotect is the opposite of Protect.
func (t *Table) Unprotect(ctx context.Context, db Querier, m Mark) error {
	return t.unmark(ctx, db, kindProtected, m)
}

// Stamp remembers the environments of a run. Those that are known are left alone, so that a boot
// with nothing new writes nothing.
func (t *Table) Stamp(ctx context.Context, db Querier, known, environments []string) error {
	for _, e := range environments {
		if slices.Contains(known, e) {
			continue
		}
		if err := t.mark(ctx, db, kindEnvironment, Mark{Source: e}); err != nil {
			return err
		}
	}
	return nil
}

func (t *Table) mark(ctx context.Context, db Querier, kind string, m Mark) error {
	if err := t.unmark(ctx, db, kind, m); err != nil {
		return err
	}
	_, err := t.exec(ctx, db, "INSERT INTO {table} (id, kind, namespace, version_id, name) VALUES (?, ?, ?, ?, ?)",
		markID(kind, m), kind, m.Namespace, m.Version, cut(m.Source, 255))
	return err
}

func (t *Table) unmark(ctx context.Context, db Querier, kind string, m Mark) error {
	_, err := t.exec(ctx, db, "DELETE FROM {table} WHERE id = ?", markID(kind, m))
	return err
}

// markPrefix is higher than the mutex, see partitioned.
const markPrefix = "of:"

// markID is the key of a mark: one for each version of a namespace, or for each environment.
func markID(kind string, m Mark) string {
	if kind == kindEnvironment {
		return markPrefix + kind + ":" + m.Source
	}
	return fmt.Sprintf("%s%s:%d:%s", markPrefix, kind, m.Version, m.Namespace)
}
