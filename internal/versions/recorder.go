package versions

import (
	"context"
	"fmt"
	"time"

	"github.com/pressly/goose/v3/database"
)

// Recorder is the store that a goose Provider works with during one run. The run knows which
// versions are applied and drives goose version by version, so that goose need not ask the
// database before each step. It serves one step at a time.
type Recorder struct {
	database.Store
	down     bool
	reached  bool
	recorded bool
}

var _ database.StoreExtender = (*Recorder)(nil)

// Recorder returns a store for one run on the table, which must exist.
func (t *Table) Recorder() *Recorder { return &Recorder{Store: t.store} }

// Step tells the recorder which way the next step goes.
func (r *Recorder) Step(down bool) {
	r.down, r.reached, r.recorded = down, false, false
}

// Reached says whether the current step got as far as the version table, which goose turns to when
// the step's own statements have been executed.
func (r *Recorder) Reached() bool { return r.reached }

// Recorded says whether the current step got as far as changing the version table without an
// error. If the step failed all the same, only a look at the table tells whether it is committed.
func (r *Recorder) Recorded() bool { return r.recorded }

// TableExists keeps goose from checking, and from waiting a second where the check races.
func (r *Recorder) TableExists(context.Context, database.DBTxConn) (bool, error) { return true, nil }

// GetMigration answers from what the run knows: a step down is of a version that is applied, or
// half-applied and to be undone, a step up of one that is not.
func (r *Recorder) GetMigration(_ context.Context, _ database.DBTxConn, version int64) (*database.GetMigrationResult, error) {
	if !r.down {
		return nil, fmt.Errorf("%w: %d", database.ErrVersionNotFound, version)
	}
	return &database.GetMigrationResult{Timestamp: time.Now(), IsApplied: true}, nil
}

// Insert records a step up.
func (r *Recorder) Insert(ctx context.Context, db database.DBTxConn, req database.InsertRequest) error {
	r.reached = true
	err := r.Store.Insert(ctx, db, req)
	r.recorded = err == nil
	return err
}

// Delete records a step down.
func (r *Recorder) Delete(ctx context.Context, db database.DBTxConn, version int64) error {
	r.reached = true
	err := r.Store.Delete(ctx, db, version)
	r.recorded = err == nil
	return err
}
