package history

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pressly/goose/v3/database"
)

// Recorder is the store that a goose Provider works with during one run. The run knows which versions are applied and
// drives goose version by version, so that goose need not ask the database before each step. It serves one step at a
// time.
type Recorder struct {
	database.Store
	versions *Versions
	last     int64 // there is no row up to this key that the run doesn't know
	down     bool
	reading  bool // the step is a dry run
	unknown  bool // the step down is of a version that was not recorded
	reached  bool
	recorded bool
	key      int64

	outside func(context.Context, database.DBTxConn, func(context.Context, database.DBTxConn) error) error
}

var _ database.StoreExtender = (*Recorder)(nil)

// Recorder returns a store for one run on the table, which must exist.
func (v *Versions) Recorder() *Recorder { return &Recorder{Store: v.store, versions: v} }

// Found tells the recorder what the run has found in the table.
func (r *Recorder) Found(rows Rows) {
	r.last, r.versions = rows.last, rows.Table(r.versions)
}

// Step tells the recorder which way the next step goes.
func (r *Recorder) Step(down bool) {
	r.down, r.reading, r.unknown, r.reached, r.recorded, r.key = down, false, false, false, false, 0
}

// Outside sets who decides on what a step is recorded that has executed its own statements on db: record does it.
func (r *Recorder) Outside(on func(ctx context.Context, db database.DBTxConn, record func(context.Context, database.DBTxConn) error) error) {
	r.outside = on
}

// on has a step recorded, on what it was executed unless that is for another to decide.
func (r *Recorder) on(ctx context.Context, db database.DBTxConn, record func(context.Context, database.DBTxConn) error) error {
	r.reached = true
	if r.outside == nil {
		return record(ctx, db)
	}
	return r.outside(ctx, db, record)
}

// Again tells the recorder that the step failed, left nothing, and is tried once more.
func (r *Recorder) Again() {
	if r.key > 0 {
		r.last = min(r.last, r.key-1) // if the row is there after all, it must be seen
	}
	r.reached, r.recorded, r.key = false, false, 0
}

// Read tells the recorder that the next step is a dry run, of which nothing is to be recorded.
func (r *Recorder) Read(down bool) {
	r.Step(down)
	r.reading = true
}

// Unrecorded tells the recorder that the next step goes down from a version that was not recorded:
// if it has a row all the same, that is somebody else's.
func (r *Recorder) Unrecorded() {
	r.Step(true)
	r.unknown = true
}

// Key is that of the row that the current step has inserted, 0 if there is none or nobody can tell.
func (r *Recorder) Key() int64 { return r.key }

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

// Insert records a step up. It returns ErrRecorded, so that goose rolls the step back, if somebody
// else has recorded the version.
func (r *Recorder) Insert(ctx context.Context, db database.DBTxConn, req database.InsertRequest) error {
	if r.reading {
		return nil
	}
	return r.on(ctx, db, func(ctx context.Context, db database.DBTxConn) error { return r.insert(ctx, db, req) })
}

// insert asks for rows above the key that the run knows. As long as it inserts the next one, nobody else has inserted any,
// and the server has no row to look at. SQLite gives a key twice if the first row was rolled back.
func (r *Recorder) insert(ctx context.Context, db database.DBTxConn, req database.InsertRequest) (err error) {
	if own := r.versions.own; own != nil {
		r.key, err = own.insert(ctx, db, req.Version, r.last)
	} else {
		err = r.Store.Insert(ctx, db, req)
	}
	if err != nil && !errors.Is(err, ErrRecorded) {
		err = fmt.Errorf("failed to insert version %d: %w", req.Version, err)
	}
	if r.key == r.last+1 && !r.versions.dialect.OneWriter() {
		r.last = r.key
	}
	r.recorded = err == nil
	return err
}

// Delete records a step down. It returns ErrNotRecorded, so that goose rolls the step back, if
// somebody else has taken the version back.
func (r *Recorder) Delete(ctx context.Context, db database.DBTxConn, version int64) error {
	if r.reading {
		return nil
	}
	return r.on(ctx, db, func(ctx context.Context, db database.DBTxConn) error { return r.delete(ctx, db, version) })
}

func (r *Recorder) delete(ctx context.Context, db database.DBTxConn, version int64) (err error) {
	switch own := r.versions.own; {
	case r.unknown:
	case own != nil:
		err = own.remove(ctx, db, version)
	default:
		err = r.Store.Delete(ctx, db, version)
	}
	if err != nil && !errors.Is(err, ErrNotRecorded) {
		err = fmt.Errorf("failed to delete version %d: %w", version, err)
	}
	r.recorded = err == nil
	return err
}
