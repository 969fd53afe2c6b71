package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
)

// A Place is where a tenant lives.
type Place struct {
	ID, Server, Schema, Database string
}

// Synced is what a Sync changed.
type Synced struct {
	Total, Added, Moved, Returned, Removed int
}

// syncBatch is how many tenants go to the database in one statement.
const syncBatch = 1000

// Sync makes the tenants of the ledger those of a source, in one transaction. A tenant that has moved is looked at again in
// its new place, if its rollout is not over.
func (l *Ledger) Sync(ctx context.Context, source iter.Seq2[Place, error]) (s Synced, err error) {
	err = l.InTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `
			SELECT pg_advisory_xact_lock(hashtextextended('gooseplus fleet sync', 0));
			CREATE TEMPORARY TABLE fleet_sync (id text, server text, schema text, database text) ON COMMIT DROP`); err != nil {
			return err
		}
		if err := stage(ctx, tx, source); err != nil {
			return err
		}
		var twice sql.NullString
		if err := tx.QueryRowContext(ctx, `
			SELECT count(*), (SELECT id FROM fleet_sync GROUP BY id HAVING count(*) > 1 LIMIT 1) FROM fleet_sync`).Scan(&s.Total, &twice); err != nil {
			return err
		}
		if twice.Valid {
			return fmt.Errorf("the source has tenant %q twice: nothing was changed", twice.String)
		}
		if s.Total == 0 {
			return errors.New("the source gave no tenant: nothing was changed")
		}
		return tx.QueryRowContext(ctx, `
			WITH removed AS (
				UPDATE fleet_tenant t SET gone = true, changed_at = now()
				WHERE NOT gone AND NOT EXISTS (SELECT FROM fleet_sync s WHERE s.id = t.id) RETURNING 1),
			before AS (
				SELECT t.id, t.gone, (t.server, t.schema, t.database) <> (s.server, s.schema, s.database) AS moved
				FROM fleet_tenant t JOIN fleet_sync s USING (id)),
			changed AS (
				UPDATE fleet_tenant t SET server = s.server, schema = s.schema, database = s.database, gone = false, changed_at = now(),
					state = CASE WHEN b.moved AND t.state IN ('done', 'missing')
						AND EXISTS (SELECT FROM fleet_rollout r WHERE r.id = t.rollout AND r.state IN ('running', 'paused', 'stopped'))
						THEN 'pending' ELSE t.state END
				FROM fleet_sync s JOIN before b USING (id) WHERE t.id = s.id AND (b.moved OR b.gone) RETURNING b.moved, b.gone),
			added AS (
				INSERT INTO fleet_tenant (id, server, schema, database)
				SELECT id, server, schema, database FROM fleet_sync s WHERE NOT EXISTS (SELECT FROM fleet_tenant t WHERE t.id = s.id)
				RETURNING 1)
			SELECT (SELECT count(*) FROM added), (SELECT count(*) FROM changed WHERE moved), (SELECT count(*) FROM changed WHERE gone),
				(SELECT count(*) FROM removed)`).Scan(&s.Added, &s.Moved, &s.Returned, &s.Removed)
	})
	return s, err
}

// stage streams a source into the temporary table.
func stage(ctx context.Context, tx *sql.Tx, source iter.Seq2[Place, error]) error {
	var ids, servers, schemas, databases []string
	flush := func() error {
		_, err := tx.ExecContext(ctx, `INSERT INTO fleet_sync SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])`,
			ids, servers, schemas, databases)
		ids, servers, schemas, databases = ids[:0], servers[:0], schemas[:0], databases[:0]
		return err
	}
	for p, err := range source {
		if err != nil {
			return fmt.Errorf("the source failed, nothing was changed: %w", err)
		}
		ids, servers, schemas, databases = append(ids, p.ID), append(servers, p.Server), append(schemas, p.Schema), append(databases, p.Database)
		if len(ids) == syncBatch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return flush()
}
