package ledger

import (
	"context"
	"database/sql"
	"time"

	"github.com/gooseplus/gooseplus/fleet/internal/rules"
)

// Beat reads a rollout that works for the coordinator of this generation, and records that the coordinator lives. It returns
// false if the rollout doesn't work, or has a later coordinator. Nobody changes the rollout until the transaction ends.
func Beat(ctx context.Context, tx *sql.Tx, id, generation int64) (r Rollout, ok bool, err error) {
	err = tx.QueryRowContext(ctx, `
		UPDATE fleet_rollout SET beat_at = now() WHERE id = $1 AND coordinator = $2 AND state IN ('running', 'undoing')
		RETURNING `+rolloutColumns, id, generation).Scan(r.fields()...)
	if err == sql.ErrNoRows {
		return r, false, nil
	}
	return r, err == nil, err
}

// A Coordinator is the job that a rollout needs now.
type Coordinator struct {
	Rollout    int64
	Generation int64
}

// Orphaned are the rollouts of a migration set that work and whose coordinators have given no sign of life.
func (l *Ledger) Orphaned(ctx context.Context, migrations string) ([]Coordinator, error) {
	return collect(ctx, l.db, func(rows *sql.Rows) (c Coordinator, err error) {
		err = rows.Scan(&c.Rollout, &c.Generation)
		return c, err
	}, `SELECT id, coordinator FROM fleet_rollout
		WHERE state IN ('running', 'undoing') AND migrations = $1 AND (coordinator = 0 OR beat_at < now() - make_interval(secs => $2))`,
		migrations, l.leases.Coordinator.Seconds())
}

// Appoint makes way for a new coordinator. It returns false if somebody else was faster.
func Appoint(ctx context.Context, tx *sql.Tx, c Coordinator) (Coordinator, bool, error) {
	n, err := exec(ctx, tx, `
		UPDATE fleet_rollout SET coordinator = coordinator + 1, beat_at = now()
		WHERE id = $1 AND coordinator = $2 AND state IN ('running', 'undoing')`, c.Rollout, c.Generation)
	c.Generation++
	return c, n == 1, err
}

// Dismiss has the next beat of any worker appoint a new coordinator at once.
func Dismiss(ctx context.Context, tx *sql.Tx, id int64) error {
	_, err := tx.ExecContext(ctx, `UPDATE fleet_rollout SET beat_at = 'epoch' WHERE id = $1`, id)
	return err
}

// WaveStanding is where a rollout's open waves are.
func WaveStanding(ctx context.Context, tx *sql.Tx, r Rollout) (s rules.Standing, err error) {
	s.Wave = r.Wave
	s.Since, s.Finished = r.FinishedSince()
	var unfinished, frozen bool
	err = tx.QueryRowContext(ctx, `
		WITH frozen AS MATERIALIZED (SELECT name FROM fleet_server WHERE frozen)
		SELECT EXISTS (SELECT FROM fleet_tenant WHERE rollout = $1 AND wave <= $2 AND NOT gone AND (state = 'claimed'
				OR state IN ('pending', 'failed') AND NOT pinned AND server NOT IN (SELECT name FROM frozen))),
			EXISTS (SELECT FROM fleet_tenant WHERE rollout = $1 AND wave <= $2 AND NOT gone
				AND state IN ('pending', 'failed') AND NOT pinned AND server IN (SELECT name FROM frozen)),
			(SELECT count(*) FROM fleet_tenant WHERE rollout = $1 AND wave = $2 AND NOT gone AND state IN ('stale', 'missing'))`,
		r.ID, r.Wave).Scan(&unfinished, &frozen, &s.Failed)
	if unfinished {
		s.Unfinished = 1
	}
	if frozen {
		s.Frozen = 1
	}
	return s, err
}

// FinishWave records that the latest open wave has ended.
func FinishWave(ctx context.Context, tx *sql.Tx, r Rollout) error {
	if _, err := tx.ExecContext(ctx, `UPDATE fleet_rollout SET finished_at = now() WHERE id = $1`, r.ID); err != nil {
		return err
	}
	return note(ctx, tx, r.ID, r.Name, "wave %d ended", r.Wave+1)
}

// OpenWave opens the next wave.
func OpenWave(ctx context.Context, tx *sql.Tx, r Rollout) error {
	if _, err := tx.ExecContext(ctx, `
		UPDATE fleet_rollout SET wave = wave + 1, opened_at = now(), finished_at = NULL WHERE id = $1`, r.ID); err != nil {
		return err
	}
	return note(ctx, tx, r.ID, r.Name, "wave %d opened", r.Wave+2)
}

// WorkerGone forgets a worker that ended well, and those that have been silent for long.
func (l *Ledger) WorkerGone(ctx context.Context, id string) error {
	_, err := l.db.ExecContext(ctx, `DELETE FROM fleet_worker WHERE id = $1 OR beat_at < now() - make_interval(secs => $2)`,
		id, time.Hour.Seconds())
	return err
}
