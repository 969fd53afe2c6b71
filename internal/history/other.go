package history

import (
	"context"
	"errors"
	"fmt"

	"github.com/pressly/goose/v3/database"
)

// gooseRows are the rows of a version table on a database that gooseplus leaves to goose: they have no keys.
type gooseRows struct{ store database.Store }

// exist takes the table to be missing if goose can't tell and the database answers at all: creating the table then gives
// the server's own answer.
func (g gooseRows) exist(ctx context.Context, db Querier) (exists bool, err error) {
	err = errors.ErrUnsupported
	if store, ok := g.store.(interface {
		TableExists(context.Context, database.DBTxConn) (bool, error)
	}); ok {
		exists, err = store.TableExists(ctx, db)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		var one int
		return false, db.QueryRowContext(ctx, `SELECT 1`).Scan(&one)
	}
	return exists, err
}

func (g gooseRows) list(ctx context.Context, db Querier) ([]row, string, error) {
	found, err := g.store.ListMigrations(ctx, db)
	list := make([]row, len(found))
	for i, r := range found {
		list[i] = row{version: r.Version, applied: r.IsApplied}
	}
	return list, "", err
}

func (g gooseRows) times(ctx context.Context, db Querier) ([]row, error) {
	list, _, err := g.list(ctx, db)
	if err != nil {
		return nil, err
	}
	seen := make(map[int64]bool, len(list))
	for i, r := range list {
		if r.applied && r.version != 0 && !seen[r.version] {
			found, err := g.store.GetMigration(ctx, db, r.version)
			if err != nil {
				return nil, fmt.Errorf("version %d: %w", r.version, err)
			}
			list[i].at, list[i].timed = found.Timestamp.UnixMicro(), true
		}
		seen[r.version] = true
	}
	return list, nil
}

func (g gooseRows) insert(ctx context.Context, db Querier, version, _ int64) (int64, error) {
	return 0, g.store.Insert(ctx, db, database.InsertRequest{Version: version})
}

func (g gooseRows) remove(ctx context.Context, db Querier, version int64) error {
	return g.store.Delete(ctx, db, version)
}
