package ledger

import (
	"context"
	"database/sql"
	"iter"
	"time"

	"github.com/gooseplus/gooseplus/fleet/internal/rules"
)

// Workers is how many workers with a migration set have given a sign of life lately.
func (l *Ledger) Workers(ctx context.Context, migrations string) (n int, err error) {
	err = l.db.QueryRowContext(ctx, `
		SELECT count(*) FROM fleet_worker WHERE migrations = $1 AND beat_at > now() - make_interval(secs => $2)`,
		migrations, 2*l.leases.Coordinator.Seconds()).Scan(&n)
	return n, err
}

// A Position is where a tenant is in a rollout.
type Position struct {
	Tenant, Server string
	State          rules.State
	Held           bool // it can't be claimed: pinned, or its server is frozen
	Attempts       int
	Version        int64
	Error          string
	At             time.Time
	Again          sql.NullTime
}

// Positions are the tenants of a rollout, by their names: all of them, or only those that failed.
func (l *Ledger) Positions(ctx context.Context, id int64, failed bool) iter.Seq2[Position, error] {
	return func(yield func(Position, error) bool) {
		rows, err := l.db.QueryContext(ctx, `
			SELECT t.id, t.server, t.state, t.pinned OR coalesce(s.frozen, false), coalesce(r.attempts, t.attempts), t.version, coalesce(r.error, ''), coalesce(r.changed_at, t.changed_at),
				CASE WHEN t.state = 'failed' THEN t.next_at END
			FROM fleet_tenant t LEFT JOIN fleet_result r ON r.rollout = t.rollout AND r.tenant = t.id
			LEFT JOIN fleet_server s ON s.name = t.server
			WHERE t.rollout = $1 AND (t.state IN ('failed', 'stale', 'missing') OR NOT $2) AND NOT t.gone ORDER BY t.id`, id, failed)
		if err != nil {
			yield(Position{}, err)
			return
		}
		defer rows.Close()
		for rows.Next() {
			var p Position
			err := rows.Scan(&p.Tenant, &p.Server, &p.State, &p.Held, &p.Attempts, &p.Version, &p.Error, &p.At, &p.Again)
			if !yield(p, err) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(Position{}, err)
		}
	}
}

// Version is the highest version that a tenant is known to have, -1 if it is not known.
func (l *Ledger) Version(ctx context.Context, tenant string) (version int64, known bool, err error) {
	err = l.db.QueryRowContext(ctx, `SELECT version FROM fleet_tenant WHERE id = $1 AND NOT gone`, tenant).Scan(&version)
	if err == sql.ErrNoRows {
		return -1, false, nil
	}
	return version, err == nil, err
}
