package ledger

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"github.com/gooseplus/gooseplus/fleet/internal/rules"
)

// A Result is what came of one attempt.
type Result struct {
	Tenant  string
	Holder  string
	Server  string
	Worker  string
	Undo    bool // the attempt was to undo the rollout
	Verdict rules.Verdict
	Version int64    // the highest one applied now, -1 if unknown
	Added   []string // versions that the run applied
	Removed []string // versions that the run undid
	Exact   bool     // Added is all that this rollout has applied
	Unsure  bool     // what it has applied is not known
	Error   string
	Took    time.Duration
}

// Standing is what a result finds when it is recorded.
type Standing struct {
	Kept    bool // the tenant was still claimed by the holder
	Stopped bool // this failure was one too many
}

// Judge says why a rollout has to stop after a failure, "" if it goes on: given its plan, the wave of the tenant, how many
// tenants have failed and how many have a result.
type Judge func(plan []byte, wave, failed, processed int) (string, error)

// Record records a result. It records the versions that a run applied even if the claim is lost.
func (l *Ledger) Record(ctx context.Context, rollout int64, r Result, judge Judge) (s Standing, err error) {
	if !r.Verdict.Failure() || r.Undo {
		s.Kept, _, err = record(ctx, l.db, rollout, r)
		return s, err
	}
	err = l.InTx(ctx, func(tx *sql.Tx) error {
		// All failures of a rollout are recorded one after the other.
		var plan []byte
		var state string
		if err := tx.QueryRowContext(ctx, `SELECT plan, state FROM fleet_rollout WHERE id = $1 FOR UPDATE`, rollout).Scan(&plan, &state); err != nil {
			return err
		}
		kept, wave, err := record(ctx, tx, rollout, r)
		if s.Kept = kept; err != nil || !kept || state != "running" {
			return err
		}
		var failed, processed int
		if err := tx.QueryRowContext(ctx, `
			SELECT (SELECT count(*) FROM fleet_result WHERE rollout = $1 AND state IN ('failed', 'stale', 'missing')),
				(SELECT count(*) FROM fleet_tenant WHERE rollout = $1 AND state IN ('done', 'failed', 'stale', 'missing') AND NOT gone)`,
			rollout).Scan(&failed, &processed); err != nil {
			return err
		}
		reason, err := judge(plan, wave, failed, processed)
		if err != nil || reason == "" {
			return err
		}
		s.Stopped = true
		return setState(ctx, tx, rollout, "stopped", reason)
	})
	return s, err
}

// record writes the result of a tenant. A run up whose rollout is being undone meanwhile, or whose tenant has moved to another
// server, leaves the tenant pending.
func record(ctx context.Context, db queryer, rollout int64, r Result) (kept bool, wave int, err error) {
	v := r.Verdict
	waits := 0
	if v.Waited {
		waits = 1
	}
	var state sql.NullString
	var at sql.NullInt64
	err = db.QueryRowContext(ctx, `
		WITH t AS (
			UPDATE fleet_tenant SET claim = NULL, attempts = $4, next_at = now() + make_interval(secs => $5), changed_at = now(),
				version = CASE WHEN $6 >= 0 THEN $6 ELSE version END,
				state = CASE WHEN NOT $7 AND wave < 0 OR $3 = 'done' AND server <> $8 THEN 'pending' ELSE $3 END
			WHERE id = $2 AND claim = $9
			RETURNING state, wave),
		r AS (
			INSERT INTO fleet_result AS r (rollout, tenant, state, applied, version, attempts, waits, error, server, worker, took)
			SELECT $1, $2, $3, $10::text[], $6, $4, $11, $12, $8, $13, make_interval(secs => $14)
			WHERE EXISTS (SELECT FROM t) OR cardinality($10::text[]) > 0
			ON CONFLICT (rollout, tenant) DO UPDATE SET
				applied = ARRAY(SELECT v FROM unnest(CASE WHEN $15 THEN '{}' ELSE r.applied END || excluded.applied) AS v
					WHERE v <> ALL ($16::text[]) GROUP BY v ORDER BY v),
				unsure = r.unsure AND ($17 OR NOT EXISTS (SELECT FROM t)),
				state = CASE WHEN NOT EXISTS (SELECT FROM t) OR $11 > 0 AND r.state = 'failed' THEN r.state ELSE excluded.state END,
				version = excluded.version, attempts = greatest(r.attempts, excluded.attempts), waits = r.waits + excluded.waits,
				error = excluded.error, server = excluded.server, worker = excluded.worker, took = excluded.took, changed_at = now())
		SELECT (SELECT state FROM t), (SELECT wave FROM t)`,
		rollout, r.Tenant, string(v.State), v.Attempts, v.After.Seconds(), r.Version, r.Undo, r.Server, r.Holder,
		nonNil(r.Added), waits, r.Error, r.Worker, r.Took.Seconds(), r.Exact, nonNil(r.Removed), r.Unsure).Scan(&state, &at)
	return state.Valid, int(at.Int64), err
}

// UpToDate records tenants that had nothing to do, and no result before.
func (l *Ledger) UpToDate(ctx context.Context, holder, server string, tenants []string, versions []int64) error {
	_, err := l.db.ExecContext(ctx, `
		UPDATE fleet_tenant t SET claim = NULL, version = u.version, changed_at = now(),
			state = CASE WHEN wave < 0 OR server <> $2 THEN 'pending' ELSE 'done' END
		FROM unnest($3::text[], $4::bigint[]) AS u (id, version)
		WHERE t.id = u.id AND t.claim = $1`, holder, server, tenants, versions)
	return err
}

func nonNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// split undoes array_to_string.
func split(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}
