package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// A Rollout is a row of fleet_rollout.
type Rollout struct {
	ID         int64
	Name       string
	Plan       []byte // JSON
	Migrations string // the fingerprint of its migration set
	State      string
	Reason     string
	Wave       int
	Started    time.Time
	Ended      sql.NullTime
	finished   sql.NullFloat64
}

// FinishedSince says whether the latest open wave has ended, and for how long.
func (r Rollout) FinishedSince() (time.Duration, bool) {
	return time.Duration(r.finished.Float64 * float64(time.Second)), r.finished.Valid
}

const rolloutColumns = `id, name, plan, migrations, state, reason, wave, started_at, ended_at,
	extract(epoch FROM now() - finished_at)::float8`

func (r *Rollout) fields() []any {
	return []any{&r.ID, &r.Name, &r.Plan, &r.Migrations, &r.State, &r.Reason, &r.Wave, &r.Started, &r.Ended, &r.finished}
}

// ErrNoRollout is returned for a name that no rollout has.
var ErrNoRollout = errors.New("there is no rollout of this name")

// Rollout reads a rollout by its name.
func (l *Ledger) Rollout(ctx context.Context, name string) (Rollout, error) {
	return rollout(ctx, l.db, name, "")
}

// LockRollout is Rollout, and nobody changes its state until the transaction ends.
func LockRollout(ctx context.Context, tx *sql.Tx, name string) (Rollout, error) {
	return rollout(ctx, tx, name, " FOR UPDATE")
}

func rollout(ctx context.Context, db queryer, name, lock string) (r Rollout, err error) {
	err = db.QueryRowContext(ctx, `SELECT `+rolloutColumns+` FROM fleet_rollout WHERE name = $1`+lock, name).Scan(r.fields()...)
	if err == sql.ErrNoRows {
		return r, fmt.Errorf("rollout %q: %w", name, ErrNoRollout)
	}
	return r, err
}

// RolloutByID reads a rollout.
func (l *Ledger) RolloutByID(ctx context.Context, id int64) (r Rollout, err error) {
	err = l.db.QueryRowContext(ctx, `SELECT `+rolloutColumns+` FROM fleet_rollout WHERE id = $1`, id).Scan(r.fields()...)
	return r, err
}

// Active is the name of the rollout that is not at its end, "" if there is none.
func Active(ctx context.Context, tx *sql.Tx) (name string, err error) {
	err = tx.QueryRowContext(ctx, `SELECT name FROM fleet_rollout WHERE state IN ('running', 'paused', 'stopped', 'undoing')`).Scan(&name)
	if err == sql.ErrNoRows {
		err = nil
	}
	return name, err
}

// Rollouts are the names of all rollouts, the latest first.
func (l *Ledger) Rollouts(ctx context.Context) ([]string, error) {
	return collect(ctx, l.db, scanText, `SELECT name FROM fleet_rollout ORDER BY id DESC`)
}

// Insert adds a rollout that runs.
func Insert(ctx context.Context, tx *sql.Tx, name string, plan []byte, migrations string) (id int64, err error) {
	if err = tx.QueryRowContext(ctx, `
		INSERT INTO fleet_rollout (name, plan, migrations, state) VALUES ($1, $2, $3, 'running') RETURNING id`,
		name, plan, migrations).Scan(&id); err != nil {
		return 0, err
	}
	return id, note(ctx, tx, id, name, "started")
}

// SetState changes the state of a rollout.
func SetState(ctx context.Context, tx *sql.Tx, id int64, state, reason string) error {
	return setState(ctx, tx, id, state, reason)
}

func setState(ctx context.Context, db queryer, id int64, state, reason string) error {
	if _, err := db.ExecContext(ctx, `
		UPDATE fleet_rollout SET state = $2, reason = $3, changed_at = clock_timestamp(),
			ended_at = CASE WHEN $2 IN ('done', 'cancelled', 'undone') THEN now() END WHERE id = $1`, id, state, reason); err != nil {
		return err
	}
	if reason != "" {
		reason = ": " + reason
	}
	return note(ctx, db, id, "", "%s%s", state, reason)
}

// Assign gives tenants to a rollout. Those on servers, or all if there are none, get their waves: the canaries by their
// names, and the others by their place in an order that is the same each time: wave i begins before place bounds[i].
func Assign(ctx context.Context, tx *sql.Tx, id int64, servers, canaries []string, canaryWaves, bounds []int64) (int64, error) {
	return exec(ctx, tx, `
		WITH chosen AS (
			SELECT t.id, c.wave FROM fleet_tenant t LEFT JOIN unnest($3::text[], $4::bigint[]) AS c (id, wave) ON c.id = t.id
			WHERE NOT t.gone AND (cardinality($2::text[]) = 0 OR t.server = ANY ($2))),
		placed AS (
			SELECT id, wave, row_number() OVER (PARTITION BY wave IS NULL ORDER BY md5($1::bigint || id)) AS place FROM chosen)
		UPDATE fleet_tenant t SET rollout = $1, attempts = 0, next_at = now(), claim = NULL, changed_at = now(),
			wave = coalesce(p.wave, (SELECT min(w.wave) FROM unnest($5::bigint[]) WITH ORDINALITY AS w (bound, wave) WHERE p.place <= w.bound) - 1),
			state = CASE WHEN t.state = 'stale' THEN 'stale' ELSE 'pending' END
		FROM placed p WHERE t.id = p.id`, id, nonNil(servers), nonNil(canaries), canaryWaves, bounds)
}

// Count is how many tenants Assign would choose, and how many of the canaries are among them.
func Count(ctx context.Context, tx *sql.Tx, servers, canaries []string) (total, named int, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT count(*), count(*) FILTER (WHERE id = ANY ($2)) FROM fleet_tenant
		WHERE NOT gone AND (cardinality($1::text[]) = 0 OR server = ANY ($1))`, nonNil(servers), nonNil(canaries)).Scan(&total, &named)
	return total, named, err
}

// Undo has all tenants pending on which the rollout has applied versions, or may have. Those that lanes have now become
// pending when their runs end.
func Undo(ctx context.Context, tx *sql.Tx, id int64) (int64, error) {
	if _, err := tx.ExecContext(ctx, `UPDATE fleet_rollout SET wave = -1, finished_at = NULL WHERE id = $1`, id); err != nil {
		return 0, err
	}
	return exec(ctx, tx, `
		UPDATE fleet_tenant t SET wave = -1, attempts = 0, next_at = now(), changed_at = now(),
			state = CASE WHEN t.state = 'claimed' THEN 'claimed' ELSE 'pending' END
		FROM fleet_result r WHERE r.rollout = $1 AND r.tenant = t.id AND t.rollout = $1 AND (r.unsure OR cardinality(r.applied) > 0)`, id)
}

// Later is how many tenants in which a rollout has applied versions belong to a later rollout now.
func Later(ctx context.Context, tx *sql.Tx, id int64) (n int, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT count(*) FROM fleet_result r JOIN fleet_tenant t ON t.id = r.tenant
		WHERE r.rollout = $1 AND t.rollout > $1 AND NOT t.gone AND (r.unsure OR cardinality(r.applied) > 0)`, id).Scan(&n)
	return n, err
}
