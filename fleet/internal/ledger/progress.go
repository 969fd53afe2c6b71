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

// A Failure is a tenant that failed in a rollout.
type Failure struct {
	Tenant, Server string
	State          rules.State
	Attempts       int
	Version        int64
	Error          string
	At             time.Time
	Again          sql.NullTime
}

// Failures are the tenants of a rollout that failed, by their names.
func (l *Ledger) Failures(ctx context.Context, id int64) iter.Seq2[Failure, error] {
	return func(yield func(Failure, error) bool) {
		rows, err := l.db.QueryContext(ctx, `
			SELECT t.id, t.server, t.state, coalesce(r.attempts, t.attempts), t.version, coalesce(r.error, ''), coalesce(r.changed_at, t.changed_at),
				CASE WHEN t.state = 'failed' THEN t.next_at END
			FROM fleet_tenant t LEFT JOIN fleet_result r ON r.rollout = t.rollout AND r.tenant = t.id
			WHERE t.rollout = $1 AND t.state IN ('failed', 'stale', 'missing') AND NOT t.gone ORDER BY t.id`, id)
		if err != nil {
			yield(Failure{}, err)
			return
		}
		defer rows.Close()
		for rows.Next() {
			var f Failure
			err := rows.Scan(&f.Tenant, &f.Server, &f.State, &f.Attempts, &f.Version, &f.Error, &f.At, &f.Again)
			if !yield(f, err) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(Failure{}, err)
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
