package history

import (
	"context"
	"database/sql"
	"errors"
)

// Step is a step that no transaction protects and that a run is at, or was at when it ended.
type Step struct {
	Mark
	Run  string // the run's id
	Down bool
	// Failed says that the run has ended and could not undo the step. Otherwise the run is at it, or was cut off.
	Failed bool
	// Untouched says that the run has committed no transaction since it began the step, not even by DDL: whatever the
	// step did in a transaction is gone.
	Untouched bool
}

const (
	up   = "up"
	down = "down"
)

func (s Step) direction() string {
	if s.Down {
		return down
	}
	return up
}

// Steps are the marks of steps that were not finished. A run has one at most.
type Steps struct{ t *table }

const (
	dirtyPrefix = markPrefix + kindDirty + ":" // and the run's id are the key
	afterDirty  = markPrefix + kindDirty + ";" // the first key behind all of them
)

// Mark remembers a step of a run, in place of the step before, whatever has become of the run.
func (s Steps) Mark(ctx context.Context, db Querier, step Step) error {
	_, err := s.t.write(ctx, db, s.marking(step, "COALESCE(n.counted, -1) FROM (SELECT MAX(transactions) AS counted FROM {table} WHERE id = ?) AS n WHERE 1 = 1",
		fenceID(step.Run)))
	return err
}

// MarkFenced is Mark for a step that a run with the lock is about to start. false says that the run was declared dead,
// and that nothing is remembered: the next holder has read the marks, or is about to. The row of the fence stays locked
// until the mark is there.
func (s Steps) MarkFenced(ctx context.Context, db *sql.DB, step Step) (ours bool, err error) {
	n, err := s.t.write(ctx, db, s.marking(step, "f.transactions FROM {table} AS f WHERE f.id = ?"+s.t.server.terms().lockRow, fenceID(step.Run)))
	if err != nil || n > 0 {
		return err == nil, err
	}
	return s.t.fenced(ctx, db, step.Run) // MySQL doesn't count a row that is as it was
}

// Claim is Mark for a run without the lock: it remembers the step only if no other run of the namespace is at one, and
// returns the steps of those runs otherwise. If two runs claim at the same moment, one of them succeeds.
func (s Steps) Claim(ctx context.Context, db *sql.DB, step Step) (others []Step, err error) {
	terms, claim := s.t.server.terms(), []string(nil)
	if terms.lockClaims != "" {
		claim = append(claim, s.t.sql(terms.lockClaims, s.t.quoted+" claim"))
	}
	claim = append(claim, s.marking(step, "-1 FROM (SELECT 1 AS one) AS n WHERE NOT EXISTS (SELECT 1 FROM {table} AS o"+terms.lockRead+
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

// claimAttempts is how often a claim is made that met another one.
const claimAttempts = 10

// marking is a statement that marks a step for each row of a source, which says how many transactions the run has
// committed. args are those of the source.
func (s Steps) marking(step Step, source string, args ...any) string {
	values := []any{dirtyPrefix + step.Run, step.Namespace, runID(step.Run), step.Version, cut(step.Source, 255), step.direction(), step.Failed}
	return s.t.sql("INSERT INTO {table} (id, kind, namespace, run_id, version_id, source, direction, failed, transactions)"+
		" SELECT ?, 'dirty', ?, ?, ?, ?, ?, ?, "+source, append(values, args...)...) +
		s.t.orChange("version_id", "source", "direction", "failed", "transactions")
}

// Move is Mark for a run that has claimed a step before. false says that nothing is remembered of the claim any more.
func (s Steps) Move(ctx context.Context, db Querier, step Step) (bool, error) {
	n, err := s.t.write(ctx, db, s.t.sql("UPDATE {table} SET version_id = ?, source = ?, direction = ?, failed = 0 WHERE id = ?",
		step.Version, cut(step.Source, 255), step.direction(), dirtyPrefix+step.Run))
	return n > 0, err
}

// Unmark forgets whatever step a run is remembered to be at.
func (s Steps) Unmark(ctx context.Context, db Querier, run string) error {
	_, err := s.t.write(ctx, db, s.t.sql("DELETE FROM {table} WHERE id = ?", dirtyPrefix+run))
	return err
}

// Clear forgets the step of a run, unless the run is at another step meanwhile.
func (s Steps) Clear(ctx context.Context, db Querier, step Step) error {
	_, err := s.t.write(ctx, db, s.t.sql("DELETE FROM {table} WHERE id = ? AND version_id = ? AND direction = ?",
		dirtyPrefix+step.Run, step.Version, step.direction()))
	return err
}
