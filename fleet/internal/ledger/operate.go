package ledger

import (
	"context"
	"database/sql"
	"fmt"
)

// Pin keeps a tenant out of rollouts, or lets it in again.
func (l *Ledger) Pin(ctx context.Context, tenant string, pinned bool, reason string) error {
	return l.InTx(ctx, func(tx *sql.Tx) error {
		n, err := exec(ctx, tx, `UPDATE fleet_tenant SET pinned = $2, reason = $3 WHERE id = $1 AND NOT gone`, tenant, pinned, reason)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("there is no tenant %q: was it ever given to Sync?", tenant)
		}
		return note(ctx, tx, 0, tenant, "%s %s", map[bool]string{true: "pinned", false: "unpinned"}[pinned], reason)
	})
}

// Freeze keeps all tenants of a server where they are, or lets them go on.
func (l *Ledger) Freeze(ctx context.Context, server string, frozen bool, reason string) error {
	return l.InTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `
			INSERT INTO fleet_server (name, frozen, reason) VALUES ($1, $2, $3)
			ON CONFLICT (name) DO UPDATE SET frozen = $2, reason = $3`, server, frozen, reason); err != nil {
			return err
		}
		return note(ctx, tx, 0, server, "%s %s", map[bool]string{true: "frozen", false: "thawed"}[frozen], reason)
	})
}

// Reset has tenants that failed tried again at once, with all their attempts; all of the rollout if none are named. A rollout
// that was done goes on.
func Reset(ctx context.Context, tx *sql.Tx, r Rollout, tenants []string) (int64, error) {
	n, err := exec(ctx, tx, `
		UPDATE fleet_tenant SET state = 'pending', attempts = 0, next_at = now(), changed_at = now()
		WHERE rollout = $1 AND state IN ('failed', 'stale', 'missing') AND (cardinality($2::text[]) = 0 OR id = ANY ($2))`,
		r.ID, nonNil(tenants))
	if err != nil || n == 0 {
		return n, err
	}
	if _, err := tx.ExecContext(ctx, `
		UPDATE fleet_result r SET state = 'pending' FROM fleet_tenant t
		WHERE t.id = r.tenant AND r.rollout = $1 AND t.rollout = $1 AND t.state = 'pending' AND r.state IN ('failed', 'stale', 'missing')`,
		r.ID); err != nil {
		return n, err
	}
	return n, note(ctx, tx, r.ID, r.Name, "%d tenants reset", n)
}
