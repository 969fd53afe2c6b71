package history

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Mark is something that is remembered about a version.
type Mark struct {
	Namespace string
	Version   int64
	Source    string
}

// Facts is what the state table remembers, except runs that have ended.
type Facts struct {
	Dirty        []Step // unfinished steps; a step that the version table has recorded is finished all the same
	Protected    []Mark // versions below which nothing goes
	Environments []string
	Stamped      []string // those of the environments that nobody withdraws
	Adopted      bool     // a person has decided what the history of another tool means
	Running      []string // the ids of the runs that are recorded as running
	// Applied is what is known of applied versions, by namespace, without their Downs. Only ReadAll reads it.
	Applied map[string]map[int64]Applied
}

// none says whether nothing is known, as if there were no rows.
func (f Facts) none() bool {
	return len(f.Dirty)+len(f.Protected)+len(f.Environments)+len(f.Running)+len(f.Applied) == 0 && !f.Adopted
}

const (
	kindDirty       = "dirty"
	kindProtected   = "protected"
	kindEnvironment = "environment"
	kindAdopted     = "adopted"
)

// Read reads all facts. A missing table, or the original gooseplus's, remembers nothing.
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

// ReadThere is Read of a table that is known to exist. It reads a table of an older version as it is, and returns all other
// errors: nothing is remembered only where there is no table.
func (s *State) ReadThere(ctx context.Context, db Querier) (Facts, error) {
	return s.readThere(ctx, db, false)
}

func (s *State) readThere(ctx context.Context, db Querier, applied bool) (Facts, error) {
	f, err := s.facts(ctx, db, false, applied)
	if err == nil && applied && f.none() { // a run has asked before
		return f, s.hidden(ctx, db)
	}
	if err == nil {
		return f, nil
	}
	l, layoutErr := s.layout(ctx, db)
	switch {
	case layoutErr != nil, len(l.missing(s.table)) == 0, !l.there() && s.dialect.Denied(err):
		return Facts{}, err
	case !l.remembers():
		return Facts{}, nil
	}
	return s.facts(ctx, db, l.earlier(), false)
}

// facts reads a table of this version, or of an earlier one.
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
			if !slices.Contains(f.Environments, environment) {
				f.Environments = append(f.Environments, environment)
			}
			if m.Version == stamped {
				f.Stamped = append(f.Stamped, environment)
			}
		default:
			f.Running = append(f.Running, without(runPrefix, id))
		}
		return nil
	})
	return f, err
}

// Marks are the rows of protected versions, of environments, and of an adopted history.
type Marks struct{ t *table }

// Protect remembers that nothing goes below a version.
func (m Marks) Protect(ctx context.Context, db Querier, version Mark) error {
	return m.put(ctx, db, kindProtected, version, "", "source")
}

// Unprotect is the opposite of Protect.
func (m Marks) Unprotect(ctx context.Context, db Querier, version Mark) error {
	return m.remove(ctx, db, markID(kindProtected, version, ""))
}

// Announce remembers that a run with an environment begins.
func (m Marks) Announce(ctx context.Context, db Querier, environment, run string) error {
	return m.putAs(ctx, db, announcedID(environment, run), kindEnvironment, Mark{}, environment, "kind")
}

// Stamp remembers that the database has been migrated with an environment.
func (m Marks) Stamp(ctx context.Context, db Querier, environment string) error {
	return m.put(ctx, db, kindEnvironment, Mark{Version: stamped}, environment, "version_id")
}

// stamped tells the row of an environment that was stamped from one that a run has announced. Rows of earlier versions count as
// announced: nobody withdraws them, as they have no run.
const stamped = 1

// Withdraw is the opposite of Announce. It leaves alone what other runs have announced, and what was stamped.
func (m Marks) Withdraw(ctx context.Context, db Querier, environment, run string) error {
	return m.remove(ctx, db, announcedID(environment, run))
}

// announcedID is the key of an environment that a run has announced.
func announcedID(environment, run string) string {
	id := markPrefix + "announced:" + run + ":" + environment
	if len(id) > idSize {
		id = fmt.Sprintf("%sannounced:%x", markPrefix, sha256.Sum256([]byte(id)))
	}
	return id
}

// Adopt remembers that a person has decided what the history of another tool means.
func (m Marks) Adopt(ctx context.Context, db Querier) error {
	return m.put(ctx, db, kindAdopted, Mark{}, "", "kind")
}

func (m Marks) put(ctx context.Context, db Querier, kind string, of Mark, environment, column string) error {
	return m.putAs(ctx, db, markID(kind, of, environment), kind, of, environment, column)
}

// putAs makes a mark with a key. If it is there already, or another process makes it at the same moment, it gets the new value of one
// column.
func (m Marks) putAs(ctx context.Context, db Querier, id, kind string, of Mark, environment, column string) error {
	_, err := m.t.write(ctx, db, m.t.sql("INSERT INTO {table} (id, kind, environment, namespace, version_id, source) VALUES (?, ?, ?, ?, ?, ?)",
		id, kind, environment, of.Namespace, of.Version, cut(of.Source, 255))+m.t.orChange(column))
	return err
}

func (m Marks) remove(ctx context.Context, db Querier, id string) error {
	_, err := m.t.write(ctx, db, m.t.sql("DELETE FROM {table} WHERE id = ?", id))
	return err
}

const markPrefix = "of:"

// markID is the key of a mark: each version of a namespace, and each environment, has one key.
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

// Step is the mark of a step that no transaction protects.
type Step struct {
	Mark
	Run    string // the run's id
	Down   bool
	Failed bool // the run has ended and could not undo the step; otherwise the run is at the step, or was cut off
	// Untouched says that the run has committed no transaction since it began the step, not even by DDL: so the server has
	// rolled back everything that the step did in a transaction.
	Untouched bool
}

const down = "down"

func (s Step) direction() string {
	if s.Down {
		return down
	}
	return "up"
}

// Steps are the marks of unfinished steps. A run has one at most.
type Steps struct{ t *table }

const (
	dirtyPrefix = markPrefix + kindDirty + ":" // the run's id follows in a key
	afterDirty  = markPrefix + kindDirty + ";" // the first key behind all of them
)

// Mark remembers a step of a run, in place of the run's previous step. The run may have been declared dead.
func (s Steps) Mark(ctx context.Context, db Querier, step Step) error {
	_, err := s.t.write(ctx, db, s.marking(step, "COALESCE(n.counted, -1) FROM (SELECT MAX(transactions) AS counted FROM {table} WHERE id = ?) AS n WHERE 1 = 1",
		fenceID(step.Run)))
	return err
}

// Remark is Mark for a step whose row a migration has removed. It is unknown how much the run had committed when the step began.
func (s Steps) Remark(ctx context.Context, db Querier, step Step) error {
	_, err := s.t.write(ctx, db, s.marking(step, "-1 FROM (SELECT 1 AS one) AS n WHERE 1 = 1"))
	return err
}

// MarkFenced is Mark for a step that a run with the lock is about to start. false says that the run was declared dead: then
// nothing is remembered, because the next holder may have read the marks already. The row of the fence stays locked until
// the mark is written.
func (s Steps) MarkFenced(ctx context.Context, db *sql.DB, step Step) (ours bool, err error) {
	n, err := s.t.write(ctx, db, s.marking(step, "f.transactions FROM {table} AS f WHERE f.id = ?"+s.t.server.terms().locks.row, fenceID(step.Run)))
	if err != nil || n > 0 {
		return err == nil, err
	}
	return s.t.fenced(ctx, db, step.Run) // MySQL doesn't count a row that is as it was
}

// Claim is Mark for a run without the lock. It remembers the step only if no other run of the namespace is at a step, and
// otherwise returns the steps of those runs. If two runs claim at the same moment, one of them succeeds.
func (s Steps) Claim(ctx context.Context, db *sql.DB, step Step) (others []Step, err error) {
	terms, claim := s.t.server.terms(), []string(nil)
	if terms.locks.claims != "" {
		claim = []string{s.t.sql(terms.locks.claims, s.t.quoted+" claim")}
	}
	claim = append(claim, s.marking(step, "-1 FROM (SELECT 1 AS one) AS n WHERE NOT EXISTS (SELECT 1 FROM {table} AS o"+terms.locks.read+
		" WHERE o.id >= ? AND o.id < ? AND o.namespace = ? AND o.id <> ?)", dirtyPrefix, afterDirty, step.Namespace, dirtyPrefix+step.Run))
	for range claimAttempts {
		_, err = s.t.write(ctx, db, claim...)
		if s.t.dialect.Deadlock(err) { // with another claim
			continue
		}
		if err != nil {
			return nil, err
		}
		facts, err := s.t.facts(ctx, db, false, false)
		mine := false
		for _, other := range facts.Dirty {
			switch {
			case other.Run == step.Run:
				mine = true
			case other.Namespace == step.Namespace:
				others = append(others, other)
			}
		}
		switch {
		case err != nil, mine:
			return nil, err
		case len(others) > 0:
			return others, nil
		}
	}
	return nil, errors.Join(errors.New("other runs come and go"), err)
}

// claimAttempts is how often a claim is made that meets other claims.
const claimAttempts = 10

// marking is a statement that marks a step for each row of source. source begins with the number of transactions that the run
// has committed; args are its arguments.
func (s Steps) marking(step Step, source string, args ...any) string {
	values := []any{dirtyPrefix + step.Run, step.Namespace, runID(step.Run), step.Version, cut(step.Source, 255), step.direction(), step.Failed}
	return s.t.sql("INSERT INTO {table} (id, kind, namespace, run_id, version_id, source, direction, failed, transactions)"+
		" SELECT ?, 'dirty', ?, ?, ?, ?, ?, ?, "+source, append(values, args...)...) +
		s.t.orChange("version_id", "source", "direction", "failed", "transactions")
}

// Move is Mark for a run that has claimed a step before. false says that the claim is gone.
func (s Steps) Move(ctx context.Context, db Querier, step Step) (bool, error) {
	n, err := s.t.write(ctx, db, s.t.sql("UPDATE {table} SET version_id = ?, source = ?, direction = ?, failed = 0 WHERE id = ?",
		step.Version, cut(step.Source, 255), step.direction(), dirtyPrefix+step.Run))
	return n > 0, err
}

// Unmark forgets the step of a run.
func (s Steps) Unmark(ctx context.Context, db Querier, run string) error {
	_, err := s.t.write(ctx, db, s.t.sql("DELETE FROM {table} WHERE id = ?", dirtyPrefix+run))
	return err
}

// Clear forgets the step of a run, unless the run has gone on to another step.
func (s Steps) Clear(ctx context.Context, db Querier, step Step) error {
	_, err := s.t.write(ctx, db, s.t.sql("DELETE FROM {table} WHERE id = ? AND version_id = ? AND direction = ?",
		dirtyPrefix+step.Run, step.Version, step.direction()))
	return err
}
