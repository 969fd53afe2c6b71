package history

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"time"
)

// Mark is something that is remembered about a version.
type Mark struct {
	Namespace string
	Version   int64
	Source    string
}

// Facts is what the state table remembers beside runs that have ended.
type Facts struct {
	// Dirty are the steps that were not finished, as far as this table knows: a step that the version table has
	// recorded was.
	Dirty []Step
	// Protected are the versions below which nothing goes.
	Protected []Mark
	// Environments are those that the database was ever migrated with.
	Environments []string
	// Adopted says that a person has decided what the history of another tool means.
	Adopted bool
	// Running are the ids of the runs that are recorded as running.
	Running []string
	// Applied is what is known of applied versions, by namespace, without their Downs. Only ReadAll reads it.
	Applied map[string]map[int64]Applied
}

const (
	kindDirty       = "dirty"
	kindProtected   = "protected"
	kindEnvironment = "environment"
	kindAdopted     = "adopted"
)

// Read reads all facts. A table that is missing, or that is the original gooseplus's, remembers nothing.
func (s *State) Read(ctx context.Context, db Querier) (Facts, error) { return s.read(ctx, db, false) }

// ReadAll is Read with the rows of the applied versions, in the same statement.
func (s *State) ReadAll(ctx context.Context, db Querier) (Facts, error) { return s.read(ctx, db, true) }

func (s *State) read(ctx context.Context, db Querier, applied bool) (Facts, error) {
	if !s.dialect.HidesTables() {
		if missing, err := s.Missing(ctx, db); err != nil || missing {
			return Facts{}, err
		}
	}
	return s.readThere(ctx, db, applied)
}

// ReadThere is Read of a table that is known to be there.
func (s *State) ReadThere(ctx context.Context, db Querier) (Facts, error) {
	return s.readThere(ctx, db, false)
}

func (s *State) readThere(ctx context.Context, db Querier, applied bool) (Facts, error) {
	f, err := s.facts(ctx, db, false, applied)
	if err == nil {
		return f, nil
	}
	// A table of an older version is read as it is. Everything else that can be wrong is an error: nothing is remembered
	// only where there is no table to remember it.
	l, layoutErr := s.layout(ctx, db)
	switch {
	case layoutErr != nil, len(l.missing(s.table)) == 0, !l.there() && s.dialect.Denied(err):
		return Facts{}, err
	case !l.remembers():
		return Facts{}, nil
	}
	return s.facts(ctx, db, l.earlier(), false)
}

// facts reads them from a table of this version, or of an earlier one.
func (t *table) facts(ctx context.Context, db Querier, earlier, applied bool) (f Facts, err error) {
	more, kinds := ", '', 0, ''", "'dirty', 'protected', 'environment', 'adopted'"
	if applied {
		more, kinds = ", m.checksum, m.duration_ms, m.application", kinds+", 'applied'"
	}
	columns := "m.source, m.environment, m.direction, m.failed, m.transactions, CASE m.kind WHEN 'dirty' THEN COALESCE((SELECT MAX(r.transactions)" +
		" FROM {table} AS r WHERE r.id = m.run_id OR r.kind = 'fence' AND r.run_id = m.run_id), -1) ELSE -1 END"
	if earlier {
		columns = "m.name, m.name, m.outcome, m.status, -1, -1"
	}
	query := t.sql("SELECT m.id, m.kind, m.namespace, m.version_id, " + columns + more + " FROM {table} AS m WHERE m.kind IN" +
		" (" + kinds + ") OR m.kind = 'run' AND m.outcome = 'running' ORDER BY m.version_id, m.id")
	err = each(ctx, db, query, func(rows *sql.Rows) error {
		var id, kind, environment, direction string
		var failed int
		var then, now int64 // how many transactions the run had committed
		var m Mark
		var a Applied
		var ms int64
		if err := rows.Scan(&id, &kind, &m.Namespace, &m.Version, &m.Source, &environment, &direction, &failed, &then, &now, &a.Sum, &ms, &a.Application); err != nil {
			return err
		}
		switch kind {
		case kindDirty:
			f.Dirty = append(f.Dirty, Step{Mark: m, Run: without(dirtyPrefix, id), Down: direction == down, Failed: failed != 0,
				Untouched: then >= 0 && then == now})
		case kindApplied:
			if f.Applied == nil {
				f.Applied = make(map[string]map[int64]Applied)
			}
			if f.Applied[m.Namespace] == nil {
				f.Applied[m.Namespace] = make(map[int64]Applied)
			}
			a.Version, a.Source, a.Duration = m.Version, m.Source, time.Duration(ms)*time.Millisecond
			f.Applied[m.Namespace][m.Version] = a
		case kindProtected:
			f.Protected = append(f.Protected, m)
		case kindAdopted:
			f.Adopted = true
		case kindEnvironment:
			f.Environments = append(f.Environments, environment)
		default:
			f.Running = append(f.Running, without(runPrefix, id))
		}
		return nil
	})
	return f, err
}

// Marks are those of versions and environments.
type Marks struct{ t *table }

// Protect remembers that nothing goes below a version.
func (m Marks) Protect(ctx context.Context, db Querier, version Mark) error {
	return m.put(ctx, db, kindProtected, version, "")
}

// Unprotect is the opposite of Protect.
func (m Marks) Unprotect(ctx context.Context, db Querier, version Mark) error {
	return m.remove(ctx, db, protectedID(version))
}

// Stamp remembers that the database was migrated with an environment.
func (m Marks) Stamp(ctx context.Context, db Querier, environment string) error {
	return m.put(ctx, db, kindEnvironment, Mark{}, environment)
}

// Unstamp is the opposite of Stamp.
func (m Marks) Unstamp(ctx context.Context, db Querier, environment string) error {
	return m.remove(ctx, db, environmentID(environment))
}

// Adopt remembers that what another tool has written down of this database is history.
func (m Marks) Adopt(ctx context.Context, db Querier) error {
	return m.put(ctx, db, kindAdopted, Mark{}, "")
}

func (m Marks) put(ctx context.Context, db Querier, kind string, of Mark, environment string) error {
	id := markID(kind, of, environment)
	_, err := m.t.write(ctx, db, m.t.sql("DELETE FROM {table} WHERE id = ?", id),
		m.t.sql("INSERT INTO {table} (id, kind, environment, namespace, version_id, source) VALUES (?, ?, ?, ?, ?, ?)",
			id, kind, environment, of.Namespace, of.Version, cut(of.Source, 255)))
	return err
}

func (m Marks) remove(ctx context.Context, db Querier, id string) error {
	_, err := m.t.write(ctx, db, m.t.sql("DELETE FROM {table} WHERE id = ?", id))
	return err
}

const markPrefix = "of:"

func protectedID(of Mark) string              { return markID(kindProtected, of, "") }
func environmentID(environment string) string { return markID(kindEnvironment, Mark{}, environment) }

// markID is the key of a mark: there is one for each version of a namespace, or for each environment.
func markID(kind string, of Mark, environment string) string {
	id := fmt.Sprintf("%s%s:%d:%s", markPrefix, kind, of.Version, of.Namespace)
	if kind == kindEnvironment {
		id = markPrefix + kind + ":" + environment
	}
	if len(id) > idSize { // a folder's name may have 255 bytes
		id = fmt.Sprintf("%s%s:%x", markPrefix, kind, sha256.Sum256([]byte(id)))
	}
	return id
}
