package history

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pressly/goose/v3/database"
)

// Recorder is the store that a goose Provider works with during one run. The run knows which versions are applied, and drives
// goose version by version, so goose need not ask the database before each step. A Recorder serves one step at a time.
type Recorder struct {
	database.Store
	versions *Versions
	last     int64 // the run knows all rows up to this key
	outside  func(context.Context, database.DBTxConn, recording) error
	recorderStep
}

type recording = func(context.Context, database.DBTxConn) error

// recorderStep is the current step.
type recorderStep struct {
	down, reading, unknown bool
	reached, recorded      bool
	key                    int64
	beside                 []string // statements that go with the change of the version table, see Beside
}

var _ database.StoreExtender = (*Recorder)(nil)

// Recorder returns a store for one run on the table, which must exist.
func (v *Versions) Recorder() *Recorder { return &Recorder{Store: v.store, versions: v} }

// Found tells the recorder which rows the run has found.
func (r *Recorder) Found(rows Rows) {
	r.last, r.versions = rows.last, rows.Table(r.versions)
}

// Outside gives the recorder a function that decides in which transaction a step is recorded. It gets the connection that
// has executed the step.
func (r *Recorder) Outside(on func(ctx context.Context, db database.DBTxConn, record recording) error) {
	r.outside = on
}

// Step begins a step.
func (r *Recorder) Step(down bool) { r.recorderStep = recorderStep{down: down} }

// Read begins a dry run, which records nothing.
func (r *Recorder) Read(down bool) { r.recorderStep = recorderStep{down: down, reading: true} }

// Unrecorded begins the step down of a version that this run has not recorded. A row of that version belongs to another
// process, and stays.
func (r *Recorder) Unrecorded() { r.recorderStep = recorderStep{down: true, unknown: true} }

// Again begins the same step again, after it failed and left nothing.
func (r *Recorder) Again() {
	if r.key > 0 {
		r.last = min(r.last, r.key-1) // if the row exists after all, it must be seen
	}
	r.reached, r.recorded, r.key, r.beside = false, false, 0, nil
}

// Beside has the statements that remember executes go with the change of the version table, in one round trip, where drivers take
// several in one text. false means that the caller has to execute them. The key of the row stays unknown, so this is for
// runs with the lock, which keeps other runners from recording the same version.
func (r *Recorder) Beside(remember func(Querier) error) (bool, error) {
	r.beside = nil
	if r.unknown || r.versions.own == nil || !r.versions.own.server.terms().together {
		return false, nil
	}
	var said spoken
	err := remember(&said)
	r.beside = said.statements
	return true, err
}

// Key is the key of the row that the step has inserted, 0 if there is none or the key is unknown.
func (r *Recorder) Key() int64 { return r.key }

// Reached says whether the step got as far as the version table. goose records a step after the step's own statements.
func (r *Recorder) Reached() bool { return r.reached }

// Recorded says whether the step has changed the version table without an error. If the step failed all the same, only a
// look at the table tells whether the change is committed.
func (r *Recorder) Recorded() bool { return r.recorded }

// TableExists keeps goose from checking, and from waiting a second where the check races.
func (r *Recorder) TableExists(context.Context, database.DBTxConn) (bool, error) { return true, nil }

// GetMigration answers from what the run knows: a version whose Down runs is applied or half-applied, and a version whose Up
// runs is not applied.
func (r *Recorder) GetMigration(_ context.Context, _ database.DBTxConn, version int64) (*database.GetMigrationResult, error) {
	if !r.down {
		return nil, fmt.Errorf("%w: %d", database.ErrVersionNotFound, version)
	}
	return &database.GetMigrationResult{Timestamp: time.Now(), IsApplied: true}, nil
}

// Insert records a step up. It returns ErrRecorded, so that goose rolls the step back, if another process has recorded the
// version. It asks for rows above the last key that the run knows. As long as a run inserts the next key, no other process
// has inserted a row, and the server has no row to look at. SQLite gives a key twice if the first row was rolled back.
func (r *Recorder) Insert(ctx context.Context, db database.DBTxConn, req database.InsertRequest) error {
	return r.record(ctx, db, func(ctx context.Context, db database.DBTxConn) (err error) {
		if r.versions.own == nil {
			return r.Store.Insert(ctx, db, req)
		}
		if r.key = 0; len(r.beside) > 0 {
			err = r.versions.own.insertBeside(ctx, db, req.Version, r.last, r.beside)
		} else {
			r.key, err = r.versions.own.insert(ctx, db, req.Version, r.last)
		}
		if err != nil && !errors.Is(err, ErrRecorded) {
			err = fmt.Errorf("failed to insert version %d: %w", req.Version, err)
		}
		if r.key == r.last+1 && !r.versions.dialect.OneWriter() {
			r.last = r.key
		}
		return err
	})
}

// InsertBefore records the versions that a step stands for besides its own, which comes after them. It returns ErrRecorded if
// another process has recorded one of them meanwhile.
func (r *Recorder) InsertBefore(ctx context.Context, db database.DBTxConn, versions []int64) error {
	if len(versions) == 0 {
		return nil
	}
	if r.versions.own == nil {
		for _, version := range versions {
			if err := r.Store.Insert(ctx, db, database.InsertRequest{Version: version}); err != nil {
				return err
			}
		}
		return nil
	}
	return r.versions.own.insertAll(ctx, db, versions, r.last)
}

// Delete records a step down. It returns ErrNotRecorded, so that goose rolls the step back, if another process has taken the
// version back.
func (r *Recorder) Delete(ctx context.Context, db database.DBTxConn, version int64) error {
	return r.record(ctx, db, func(ctx context.Context, db database.DBTxConn) error {
		switch own := r.versions.own; {
		case r.unknown:
			return nil
		case own != nil:
			return own.remove(ctx, db, version, r.beside...)
		}
		return r.Store.Delete(ctx, db, version)
	})
}

func (r *Recorder) record(ctx context.Context, db database.DBTxConn, change recording) error {
	if r.reading {
		return nil
	}
	r.reached = true
	noted := func(ctx context.Context, db database.DBTxConn) error {
		err := change(ctx, db)
		r.recorded = err == nil
		return err
	}
	if r.outside != nil {
		return r.outside(ctx, db, noted)
	}
	return noted(ctx, db)
}
