package ledger

import (
	"context"
	"database/sql"
)

// A Claim is a tenant that a lane has taken.
type Claim struct {
	Tenant   string
	Schema   string
	Database string
	Attempts int  // failed ones
	Waits    int  // attempts that cost nothing
	Known    bool // it has a result in this rollout
	Unsure   bool // one of its runs has begun, and its end is not recorded
}

// claimable is a query for tenants of rollout $1 that may be claimed on a server, which is an expression. It asks for nothing else
// of other tables than single values, so that the index has the tenants in the order of their turns.
func claimable(server string) string {
	return `SELECT t.id FROM fleet_tenant t
		WHERE t.rollout = $1 AND t.server = ` + server + ` AND t.state IN ('pending', 'failed')
			AND t.wave <= (SELECT r.wave FROM fleet_rollout r WHERE r.id = $1 AND r.state IN ('running', 'undoing'))
			AND t.next_at <= now() AND NOT t.pinned AND NOT t.gone
			AND NOT EXISTS (SELECT FROM fleet_server f WHERE f.name = ` + server + ` AND f.frozen)`
}

// Claim takes up to most tenants on a server for a holder, but no more than its share of those that are left for all lanes.
// It takes none if the holder has lost its slot.
func (l *Ledger) Claim(ctx context.Context, rollout int64, server, holder string, lanes, most int) ([]Claim, error) {
	return collect(ctx, l.db, func(rows *sql.Rows) (c Claim, err error) {
		err = rows.Scan(&c.Tenant, &c.Schema, &c.Database, &c.Attempts, &c.Waits, &c.Known, &c.Unsure)
		return c, err
	}, `
		WITH lane AS MATERIALIZED (
			SELECT 1 FROM fleet_lane WHERE server = $2 AND holder = $3 AND lease > now() FOR SHARE),
		waiting AS MATERIALIZED (SELECT count(*) AS n FROM (`+claimable("$2")+` LIMIT $4::bigint * $5) AS few),
		picked AS MATERIALIZED (`+claimable("$2")+` AND EXISTS (SELECT FROM lane)
			ORDER BY t.wave, t.next_at, t.id
			LIMIT (SELECT (n + $4 - 1) / $4 FROM waiting) FOR UPDATE OF t SKIP LOCKED),
		taken AS (
			UPDATE fleet_tenant t SET state = 'claimed', claim = $3, changed_at = now() FROM picked p WHERE t.id = p.id
			RETURNING t.id, t.schema, t.database, t.attempts)
		SELECT t.id, t.schema, t.database, t.attempts, coalesce(r.waits, 0), r.tenant IS NOT NULL, coalesce(r.unsure, false)
		FROM taken t LEFT JOIN fleet_result r ON r.rollout = $1 AND r.tenant = t.id
		ORDER BY t.id`, rollout, server, holder, lanes, most)
}

// Begin records which versions a run is about to apply, or undo, before it touches the tenant. It returns false if the run
// must not begin: the rollout is not in this state any more, the tenant is pinned or its server is frozen, or the claim is
// lost. A rollout that changes its state waits for this statement, and counts the run among those in flight. With no state the
// run has begun before, in another namespace, and goes on.
func (l *Ledger) Begin(ctx context.Context, rollout int64, tenant, holder, state string, versions []string, server, worker string) (bool, error) {
	n, err := exec(ctx, l.db, `
		WITH allowed AS MATERIALIZED (SELECT id FROM fleet_rollout WHERE id = $1 AND $4 IN (state, '') FOR SHARE)
		INSERT INTO fleet_result AS r (rollout, tenant, planned, unsure, state, server, worker)
		SELECT a.id, t.id, $5::text[], true, 'claimed', $6, $7 FROM allowed a, fleet_tenant t
		WHERE t.id = $2 AND ($4 = '' OR t.claim = $3 AND NOT t.pinned AND NOT EXISTS (SELECT FROM fleet_server f WHERE f.name = t.server AND f.frozen))
		ON CONFLICT (rollout, tenant) DO UPDATE SET unsure = true, server = excluded.server, worker = excluded.worker, changed_at = now(),
			planned = ARRAY(SELECT unnest(r.planned) UNION SELECT unnest(excluded.planned) ORDER BY 1)`,
		rollout, tenant, holder, state, versions, server, worker)
	return n == 1, err
}

// Versions are what the runs of a tenant in a rollout had to do with.
type Versions struct {
	Planned, Applied []string
	Unsure           bool
}

// Versions returns the versions of one tenant in a rollout.
func (l *Ledger) Versions(ctx context.Context, rollout int64, tenant string) (v Versions, err error) {
	var planned, applied string
	err = l.db.QueryRowContext(ctx, `
		SELECT array_to_string(planned, ','), array_to_string(applied, ','), unsure FROM fleet_result WHERE rollout = $1 AND tenant = $2`,
		rollout, tenant).Scan(&planned, &applied, &v.Unsure)
	if err == sql.ErrNoRows {
		return v, nil
	}
	v.Planned, v.Applied = split(planned), split(applied)
	return v, err
}
