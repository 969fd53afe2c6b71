package ledger

import (
	"context"
	"database/sql"
	"time"
)

// A Slot is one of the lanes of a server.
type Slot struct {
	Server     string
	Slot       int
	Generation int64 // of the job that may hold it
}

// Acquire takes a slot for a holder. It returns false if another holder has it, or if the slot belongs to a job of a later
// generation; current says which of the two it is.
func (l *Ledger) Acquire(ctx context.Context, s Slot, holder, worker string) (acquired, current bool, err error) {
	err = l.db.QueryRowContext(ctx, `
		WITH taken AS (
			UPDATE fleet_lane SET holder = $4, worker = $5, lease = now() + make_interval(secs => $6)
			WHERE server = $1 AND slot = $2 AND generation = $3 AND holder IS NULL
			RETURNING generation)
		SELECT EXISTS (SELECT FROM taken), EXISTS (SELECT FROM fleet_lane WHERE server = $1 AND slot = $2 AND generation = $3)`,
		s.Server, s.Slot, s.Generation, holder, worker, l.leases.Slot.Seconds()).Scan(&acquired, &current)
	return acquired, current, err
}

// Renew renews the leases of holders, all in one statement, and returns those that still have their slots.
func (l *Ledger) Renew(ctx context.Context, holders []string) ([]string, error) {
	return collect(ctx, l.db, scanText, `
		UPDATE fleet_lane SET lease = now() + make_interval(secs => $2) WHERE holder = ANY($1) RETURNING holder`, holders, l.leases.Slot.Seconds())
}

// Release gives a slot back, and the tenants that are still claimed with it.
func (l *Ledger) Release(ctx context.Context, holder string) error {
	return l.InTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE fleet_lane SET holder = NULL, lease = NULL WHERE holder = $1`, holder); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `
			UPDATE fleet_tenant SET state = 'pending', claim = NULL, changed_at = now() WHERE claim = $1`, holder)
		return err
	})
}

// Return gives tenants back that their holder will not begin.
func (l *Ledger) Return(ctx context.Context, holder string, tenants []string) error {
	_, err := l.db.ExecContext(ctx, `
		UPDATE fleet_tenant SET state = 'pending', claim = NULL, changed_at = now() WHERE claim = $1 AND id = ANY($2)`, holder, tenants)
	return err
}

// A Worker is a process that works for the rollouts of its migration set.
type Worker struct {
	ID         string
	Migrations string
	Lanes      int
}

// Pulse records that a worker lives and reaches the control database. It returns true if workers have reached it for some time, without
// a gap as long: only then does a lease that has run out mean a dead worker. After an outage all leases have run out, and
// living workers renew theirs first.
func (l *Ledger) Pulse(ctx context.Context, w Worker, gap time.Duration) (steady bool, err error) {
	err = l.db.QueryRowContext(ctx, `
		WITH worker AS (
			INSERT INTO fleet_worker (id, migrations, lanes, beat_at) VALUES ($2, $3, $4, now())
			ON CONFLICT (id) DO UPDATE SET beat_at = now())
		INSERT INTO fleet_pulse AS p (since, latest) VALUES (now(), now())
		ON CONFLICT (id) DO UPDATE SET latest = now(),
			since = CASE WHEN p.latest < now() - make_interval(secs => $1) THEN now() ELSE p.since END
		RETURNING since < now() - make_interval(secs => $1)`, gap.Seconds(), w.ID, w.Migrations, w.Lanes).Scan(&steady)
	return steady, err
}

// TakeOver frees the slots of dead holders, for jobs of the next generation, and all tenants whose claim is no holder's.
func (l *Ledger) TakeOver(ctx context.Context) (tenants int64, err error) {
	err = l.InTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `
			UPDATE fleet_lane SET holder = NULL, lease = NULL, generation = generation + 1 WHERE lease < now()`); err != nil {
			return err
		}
		// A claim that is being made has locked its lane, so that it is either visible here or finds no lane.
		tenants, err = exec(ctx, tx, `
			UPDATE fleet_tenant t SET state = 'pending', claim = NULL, changed_at = now()
			WHERE claim IS NOT NULL AND NOT EXISTS (SELECT FROM fleet_lane l WHERE l.holder = t.claim)`)
		return err
	})
	return tenants, err
}

// NextGeneration gives a free slot to a new job: the one that has it now died before it could take the slot.
func NextGeneration(ctx context.Context, tx *sql.Tx, s Slot) (Slot, error) {
	err := tx.QueryRowContext(ctx, `
		UPDATE fleet_lane SET generation = generation + 1 WHERE server = $1 AND slot = $2 AND holder IS NULL RETURNING generation`,
		s.Server, s.Slot).Scan(&s.Generation)
	return s, err
}

// AddSlots makes sure that the servers have as many slots as they have lanes.
func AddSlots(ctx context.Context, tx *sql.Tx, servers []string, lanes []int64) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO fleet_lane (server, slot)
		SELECT s.name, slot FROM unnest($1::text[], $2::bigint[]) AS s (name, lanes), generate_series(1, s.lanes) AS slot
		ON CONFLICT DO NOTHING`, servers, lanes)
	return err
}

// NeededSlots are free slots of the servers that have tenants to claim, as many of each as there are such tenants, within the
// number of its lanes.
func NeededSlots(ctx context.Context, tx *sql.Tx, rollout int64, servers []string, lanes []int64) ([]Slot, error) {
	return collect(ctx, tx, func(rows *sql.Rows) (s Slot, err error) {
		err = rows.Scan(&s.Server, &s.Slot, &s.Generation)
		return s, err
	}, `
		WITH wanted AS (
			SELECT s.name, s.lanes, (SELECT count(*) FROM (`+claimable("s.name")+` LIMIT s.lanes) AS few) AS tenants
			FROM unnest($2::text[], $3::bigint[]) AS s (name, lanes))
		SELECT l.server, l.slot, l.generation
		FROM wanted w CROSS JOIN LATERAL (
			SELECT * FROM fleet_lane WHERE server = w.name AND slot <= w.lanes AND holder IS NULL ORDER BY slot LIMIT w.tenants) AS l`,
		rollout, servers, lanes)
}

func scanText(rows *sql.Rows) (s string, err error) {
	err = rows.Scan(&s)
	return s, err
}
