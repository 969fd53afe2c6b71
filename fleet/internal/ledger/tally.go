package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"github.com/gooseplus/gooseplus/fleet/internal/rules"
)

// A Tally is how many tenants of a server are in a state.
type Tally struct {
	State  rules.State
	Held   bool // they can't be claimed: pinned, or their server is frozen
	Server string
	Count  int
}

// counted is a query for the tallies of rollout $1.
const counted = `SELECT state, pinned OR coalesce(f.frozen, false) AS held, t.server, sum(t.n)::bigint AS n
	FROM (SELECT wave, state, pinned, server, count(*) AS n FROM fleet_tenant WHERE rollout = $1 AND NOT gone
		GROUP BY rollout, wave, state, pinned, server) AS t
	LEFT JOIN fleet_server f ON f.name = t.server GROUP BY 1, 2, 3`

// large is the number of tenants above which Tallies doesn't count them each time.
const large = 20_000

// Recount has a large rollout's tenants counted, for Tallies.
func Recount(ctx context.Context, control *sql.DB, id int64) error {
	_, err := control.ExecContext(ctx, `
		INSERT INTO fleet_tally AS t (rollout, at, tallies)
		SELECT $1::bigint, now(), jsonb_agg(jsonb_build_object('State', state, 'Held', held, 'Server', server, 'Count', n))
		FROM (`+counted+`) AS c HAVING sum(n) > $2
		ON CONFLICT (rollout) DO UPDATE SET at = excluded.at, tallies = excluded.tallies`, id, large)
	return err
}

// Tallies are the numbers of tenants of a rollout, and when they were counted. While a large rollout is at
// work, they are the numbers that its coordinator counted last.
func (l *Ledger) Tallies(ctx context.Context, id int64) (list []Tally, at time.Time, err error) {
	var text []byte
	err = l.db.QueryRowContext(ctx, `
		SELECT t.at, t.tallies FROM fleet_tally t JOIN fleet_rollout r ON r.id = t.rollout
		WHERE t.rollout = $1 AND r.state IN ('running', 'undoing') AND t.at > greatest(now() - interval '30 seconds', r.changed_at)`,
		id).Scan(&at, &text)
	if err == nil {
		return list, at, json.Unmarshal(text, &list)
	}
	if err != sql.ErrNoRows {
		return nil, at, err
	}
	if err = l.db.QueryRowContext(ctx, `SELECT now()`).Scan(&at); err != nil {
		return nil, at, err
	}
	list, err = collect(ctx, l.db, func(rows *sql.Rows) (t Tally, err error) {
		err = rows.Scan(&t.State, &t.Held, &t.Server, &t.Count)
		return t, err
	}, counted, id)
	return list, at, err
}
