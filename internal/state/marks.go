package state

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/pressly/goose/v3"
)

// Mark is something that is remembered about a version.
type Mark struct {
	Namespace string
	Version   int64
	Source    string
}

// Step is a step that no transaction protects and that a run is at, or was when it ended.
type Step struct {
	Mark
	Run  string // the run's id
	Down bool
	// Failed says that the run has ended and could not undo the step. Otherwise the run is at it, or
	// was cut off.
	Failed bool
	// Untouched says that no transaction of the run was committed since it began the step, be it by DDL:
	// whatever the step did in one is gone.
	Untouched bool
}

// Facts is what the state table remembers beside runs.
type Facts struct {
	// Dirty are the steps that were not finished, as far as this table knows: a step that the
	// version table has recorded was.
	Dirty []Step
	// Protected are the versions below which nothing goes.
	Protected []Mark
	// Environments are those that the database was ever migrated with.
	Environments []string
	// Adopted says that a person has said what is there of another tool's.
	Adopted bool
	// Running are the ids of the runs that are recorded as running.
	Running []string
}

const (
	kindDirty       = "dirty"
	kindProtected   = "protected"
	kindEnvironment = "environment"
	kindAdopted     = "adopted"

	directionDown = "down"
	directionUp   = "up"
)

// Read reads all of it. A table that is not there, or that is the original gooseplus's, remembers
// nothing.
func (t *Table) Read(ctx context.Context, db Querier) (Facts, error) {
	if t.dialect.Goose != goose.DialectMySQL { // which hides what a user may not read
		if l, err := t.layout(ctx, db); err != nil || l.original(t) {
			return Facts{}, err
		}
	}
	return t.ReadThere(ctx, db)
}

// ReadThere is Read of a table that is known to be there.
func (t *Table) ReadThere(ctx context.Context, db Querier) (Facts, error) {
	f, err := t.facts(ctx, db, true)
	if err == nil {
		return f, nil
	}
	// One of an older version is read as it is, and everything else that can be wrong is an error: nothing is
	// remembered only where there is no table to remember it.
	l, layoutErr := t.layout(ctx, db)
	if layoutErr != nil || len(l.missing(t)) == 0 || t.hidden(l, err) {
		return Facts{}, err
	}
	if l.original(t) {
		return Facts{}, nil
	}
	return t.facts(ctx, db, false)
}

// Missing says whether there is no table that could remember anything: none at all, or the original gooseplus's.
func (t *Table) Missing(ctx context.Context, db Querier) (bool, error) {
	l, err := t.layout(ctx, db)
	return err == nil && l.original(t), err
}

// hidden says whether err, the answer to a read, means that the table may be there although l doesn't have it: MySQL
// refuses to read a table that isn't there, and hides one that is there, if the user may read nothing of the database.
func (t *Table) hidden(l layout, err error) bool { return !l.there() && t.dialect.Denied(err) }

// facts reads them from a table that has all columns, or all but the new ones.
func (t *Table) facts(ctx context.Context, db Querier, all bool) (f Facts, err error) {
	began, counted := "-1", "-1"
	if all {
		// A mark remembers what its run counted when the step began.
		began = "m.transactions"
		counted = "CASE m.kind WHEN 'dirty' THEN COALESCE((SELECT MAX(r.transactions) FROM " + t.name +
			" AS r WHERE r.id = m.run_id OR r.kind = 'fence' AND r.run_id = m.run_id), -1) ELSE -1 END"
	}
	rows, err := db.QueryContext(ctx, "SELECT m.id, m.kind, m.namespace, m.version_id, m.name, m.outcome, m.status, "+began+", "+counted+
		" FROM "+t.name+" AS m WHERE m.kind IN ('dirty', 'protected', 'environment', 'adopted') OR m.kind = 'run' AND m.outcome = 'running' ORDER BY m.version_id, m.name")
	if err != nil {
		return Facts{}, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id, kind, outcome string
		var failed int
		var began, counted int64
		var m Mark
		if err := rows.Scan(&id, &kind, &m.Namespace, &m.Version, &m.Source, &outcome, &failed, &began, &counted); err != nil {
			return Facts{}, err
		}
		switch kind {
		case kindDirty:
			f.Dirty = append(f.Dirty, Step{Mark: m, Run: strings.TrimPrefix(id, dirtyPrefix), Down: outcome == directionDown,
				Failed: failed != 0, Untouched: began >= 0 && began == counted})
		case kindProtected:
			f.Protected = append(f.Protected, m)
		case kindAdopted:
			f.Adopted = true
		case kindEnvironment:
			f.Environments = append(f.Environments, m.Source)
		default:
			f.Running = append(f.Running, strings.TrimPrefix(id, runPrefix))
		}
	}
	return f, rows.Err()
}

// MarkDirty remembers a step of a run, in place of the one before, whatever has become of the run.
func (t *Table) MarkDirty(ctx context.Context, db Querier, s Step) error {
	_, err := t.markStep(ctx, db, s, "COALESCE(n.counted, -1) FROM (SELECT MAX(transactions) AS counted FROM {table} WHERE id = ?) AS n WHERE 1 = 1")
	return err
}

// MarkFenced is MarkDirty for a step that a run with the lock is about to start. false says that the run was declared
// dead, and that nothing is remembered: the next holder has read the marks, or is about to. The row of the fence stays
// locked until the mark is there.
func (t *Table) MarkFenced(ctx context.Context, db *sql.DB, s Step) (ours bool, err error) {
	source := "f.transactions FROM {table} AS f WHERE f.id = ?"
	if t.dialect.Goose != goose.DialectSQLite3 { // which has one writer
		source += " FOR UPDATE"
	}
	n, err := t.markStep(ctx, db, s, source)
	if err != nil || n > 0 {
		return err == nil, err
	}
	return t.fenced(ctx, db, s.Run) // MySQL counts no row that is as it was
}

// markStep marks a step for each row of a source, which says what the fence of the run, its only argument, has counted.
func (t *Table) markStep(ctx context.Context, db Querier, s Step, source string) (rows int64, err error) {
	failed := 0
	if s.Failed {
		failed = 1
	}
	update := " ON CONFLICT (id) DO UPDATE SET version_id = excluded.version_id, name = excluded.name, outcome = excluded.outcome," +
		" status = excluded.status, transactions = excluded.transactions"
	if t.dialect.Goose == goose.DialectMySQL {
		update = " ON DUPLICATE KEY UPDATE version_id = VALUES(version_id), name = VALUES(name), outcome = VALUES(outcome)," +
			" status = VALUES(status), transactions = VALUES(transactions)"
	}
	return t.script(ctx, db, statement{"INSERT INTO {table} (id, kind, namespace, version_id, name, outcome, status, run_id, transactions)" +
		" SELECT ?, ?, ?, ?, ?, ?, ?, ?, " + source + update,
		[]any{dirtyPrefix + s.Run, kindDirty, s.Namespace, s.Version, cut(s.Source, 255), direction(s.Down), failed, runID(s.Run), fenceID(s.Run)}})
}

// Claim is MarkDirty for a run without the lock: it remembers the step only if no other run of the namespace is
// remembered to be at one, and returns the steps of those otherwise. Of two that claim at the same moment one does.
func (t *Table) Claim(ctx context.Context, db *sql.DB, s Step) (others []Step, err error) {
	for range claimAttempts {
		var mine bool
		if t.dialect.Goose == goose.DialectPostgres { // where a condition doesn't see what is not committed yet
			err = inTransaction(ctx, db, func(tx *sql.Tx) error {
				_, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(hashtextextended("+t.dialect.Literal(t.name+" claim")+", 0))")
				if err == nil {
					mine, others, err = t.claim1(ctx, tx, s)
				}
				return err
			})
		} else {
			mine, others, err = t.claim1(ctx, db, s)
		}
		switch {
		case t.dialect.Deadlock(err): // with another claim
		case err != nil, mine:
			return nil, err
		case len(others) > 0:
			return others, nil
		}
	}
	return nil, errors.Join(errors.New("other runs come and go"), err)
}

// claimAttempts is how often a claim is made that met another one.
const claimAttempts = 10

func (t *Table) claim1(ctx context.Context, db Querier, s Step) (mine bool, others []Step, err error) {
	index := ""
	if t.dialect.Goose == goose.DialectMySQL {
		index = " FORCE INDEX (PRIMARY)" // every row that is read is locked
	}
	update := " ON CONFLICT (id) DO UPDATE SET version_id = excluded.version_id, name = excluded.name, outcome = excluded.outcome, status = 0"
	if t.dialect.Goose == goose.DialectMySQL {
		update = " ON DUPLICATE KEY UPDATE version_id = VALUES(version_id), name = VALUES(name), outcome = VALUES(outcome), status = 0"
	}
	const marks = "o.id >= '" + dirtyPrefix + "' AND o.id < '" + afterDirty + "' AND o.namespace = ?"
	_, err = t.script(ctx, db, statement{"INSERT INTO {table} (id, kind, namespace, version_id, name, outcome, status, run_id, transactions)" +
		" SELECT ?, ?, ?, ?, ?, ?, 0, ?, -1 FROM (SELECT 1 AS one) AS n" +
		" WHERE NOT EXISTS (SELECT 1 FROM {table} AS o" + index + " WHERE " + marks + " AND o.id <> ?)" + update,
		[]any{dirtyPrefix + s.Run, kindDirty, s.Namespace, s.Version, cut(s.Source, 255), direction(s.Down), runID(s.Run), s.Namespace, dirtyPrefix + s.Run}})
	if err != nil {
		return false, nil, err
	}
	rows, err := db.QueryContext(ctx, t.rebind("SELECT o.id, o.version_id, o.name, o.outcome, o.status FROM {table} AS o WHERE "+marks), s.Namespace)
	if err != nil {
		return false, nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id, outcome string
		var failed int
		other := Step{Mark: Mark{Namespace: s.Namespace}}
		if err := rows.Scan(&id, &other.Version, &other.Source, &outcome, &failed); err != nil {
			return false, nil, err
		}
		other.Run, other.Down, other.Failed = strings.TrimPrefix(id, dirtyPrefix), outcome == directionDown, failed != 0
		if other.Run == s.Run {
			mine = true
		} else {
			others = append(others, other)
		}
	}
	return mine, others, rows.Err()
}

// Move is MarkDirty for a run that has claimed a step before. false says that nothing is remembered of that any more.
func (t *Table) Move(ctx context.Context, db Querier, s Step) (bool, error) {
	n, err := t.script(ctx, db, statement{"UPDATE {table} SET version_id = ?, name = ?, outcome = ?, status = 0 WHERE id = ?",
		[]any{s.Version, cut(s.Source, 255), direction(s.Down), dirtyPrefix + s.Run}})
	return n > 0, err
}

// Unmark forgets whatever step a run is remembered to be at.
func (t *Table) Unmark(ctx context.Context, db Querier, run string) error {
	_, err := t.script(ctx, db, statement{"DELETE FROM {table} WHERE id = ?", []any{dirtyPrefix + run}})
	return err
}

// ClearDirty forgets the step of a run, unless the run is at another one meanwhile.
func (t *Table) ClearDirty(ctx context.Context, db Querier, s Step) error {
	_, err := t.script(ctx, db, statement{"DELETE FROM {table} WHERE id = ? AND version_id = ? AND outcome = ?",
		[]any{dirtyPrefix + s.Run, s.Version, direction(s.Down)}})
	return err
}

func direction(down bool) string {
	if down {
		return directionDown
	}
	return directionUp
}

// Protect remembers that nothing goes below a version, and Unprotect forgets it.
func (t *Table) Protect(ctx context.Context, db Querier, m Mark) error {
	return t.mark(ctx, db, kindProtected, m)
}

// Unprotect is the opposite of Protect.
func (t *Table) Unprotect(ctx context.Context, db Querier, m Mark) error {
	return t.unmark(ctx, db, kindProtected, m)
}

// Stamp remembers that the database was migrated with an environment, and Unstamp forgets it.
func (t *Table) Stamp(ctx context.Context, db Querier, environment string) error {
	return t.mark(ctx, db, kindEnvironment, Mark{Source: environment})
}

// Unstamp is the opposite of Stamp.
func (t *Table) Unstamp(ctx context.Context, db Querier, environment string) error {
	return t.unmark(ctx, db, kindEnvironment, Mark{Source: environment})
}

// Adopt remembers that what another tool has written down of this database is history.
func (t *Table) Adopt(ctx context.Context, db Querier) error {
	return t.mark(ctx, db, kindAdopted, Mark{})
}

func (t *Table) mark(ctx context.Context, db Querier, kind string, m Mark) error {
	_, err := t.script(ctx, db, unmark(kind, m), statement{"INSERT INTO {table} (id, kind, namespace, version_id, name) VALUES (?, ?, ?, ?, ?)",
		[]any{markID(kind, m), kind, m.Namespace, m.Version, cut(m.Source, 255)}})
	return err
}

func (t *Table) unmark(ctx context.Context, db Querier, kind string, m Mark) error {
	_, err := t.script(ctx, db, unmark(kind, m))
	return err
}

func unmark(kind string, m Mark) statement {
	return statement{"DELETE FROM {table} WHERE id = ?", []any{markID(kind, m)}}
}

const markPrefix = "of:"

// dirtyPrefix and a run's id are the key of the step that the run is at.
const dirtyPrefix = markPrefix + kindDirty + ":"

// afterDirty is the first key behind all of these.
const afterDirty = markPrefix + kindDirty + ";"

// markID is the key of a mark: one for each version of a namespace, or for each environment.
func markID(kind string, m Mark) string {
	id := fmt.Sprintf("%s%s:%d:%s", markPrefix, kind, m.Version, m.Namespace)
	if kind == kindEnvironment {
		id = markPrefix + kind + ":" + m.Source
	}
	if len(id) > idSize { // a folder's name may have 255 bytes
		id = fmt.Sprintf("%s%s:%x", markPrefix, kind, sha256.Sum256([]byte(id)))
	}
	return id
}
