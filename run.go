package gooseplus

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gooseplus/gooseplus/internal/dryrun"
	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/migset"
	"github.com/gooseplus/gooseplus/internal/plan"
	"github.com/gooseplus/gooseplus/internal/session"
)

// run is one call of Migrate & co on one database. It is used by one goroutine.
type run struct {
	db      *sql.DB         // for what the run executes for itself
	pool    *sql.DB         // the application's: migrations get their connections from it
	keeper  *session.Keeper // of the connections of many runs, if this is one of them
	options *options
	part    *target
	events  *stream
	started time.Time

	id    string // of the run's row in the state table
	ready bool   // the version table is there
	// absent is true when the last look found none.
	absent bool
	// blind is true when the last look got no answer in time.
	blind bool
	// stateReady is true when the state table is there, and is this version's.
	stateReady bool
	lock       *lock // nil while the run has none, and where it needs none
	registered bool  // it has its row
	// schemaMissing is true when the schema that the run is bound to is to be created.
	schemaMissing bool
	holds         string // who was found to have the lock, as the server calls it
	// announced is true when the observers know that the run waits for the lock.
	announced bool
	// inherited are the runs that were cut off, and whose starting point this one takes over.
	inherited []history.Run
	// unfinished are steps that were cut off with their run, and that this one recovers from.
	unfinished []history.Step
	protected  []int64  // the versions below which nothing goes
	unseen     []string // the run's environments that the database has not seen
	stamped    []string // those of them that it has been told

	begun  bool // its first step is next
	marked bool // the state table may say which step the run is at, atStep
	atStep plannedStep
	left   *plannedStep // what the run leaves half-applied, if that is not what it is marked to be at
	// elsewhere is true when the run, without the lock, has met another one at a step.
	elsewhere bool
	vetted    bool // there is no history of another tool in the way
	forced    bool // it executes nothing, see Force
	adopts    bool // there is one, and Force says what it means
	warned    bool // the observers know that there is another run
	// session lends goose the caller's connections; with the lock it fences every transaction.
	session  *session.Session
	orphans  orphans
	mariadb  bool        // and not MySQL; asked only if it makes a difference
	current  plannedStep // the step that goose is at
	backends backends    // the connections that the state table names

	found    history.Rows // when the starting point was read
	looked   bool
	seen     []int64 // what was applied when the run looked and planned
	flagged  bool    // the state table may have something to say, see applied
	from     int64   // the highest version applied before; -1 as long as it was not read
	start    []int64 // the starting point
	steps    []plannedStep
	scripts  map[int64]migset.Body // what the pending SQL files contain
	provider *dryrun.Reader        // nil as long as there is nothing to read or to do
	recorder *history.Recorder
	trace    *trace

	mine   []int64         // the versions that this run recorded, oldest first
	keys   map[int64]int64 // of the rows of mine; 0 is one that is not known
	undone []int64         // the versions that this run took back, in the order in which it did
	failed *failure        // the step that ended the run, nil if none did
	unsure bool            // the answer to a change of the version table was lost once
	gone   bool            // the way back could not read the version table for as long as it tries
	to     int64           // the highest version applied, as read last; -1 when it can't be read, or was not
	kept   int             // how many of mine stay applied
	off    int             // how many of undone stay undone
}

func (m *Migrator) newRun(part *target, db site, events *stream) *run {
	return &run{
		db:      db.own,
		pool:    db.pool,
		keeper:  m.keeper,
		options: &m.options,
		part:    part,
		events:  events,
		started: time.Now(),
		id:      strings.ToLower(rand.Text()),
		scripts: make(map[int64]migset.Body),
		keys:    make(map[int64]int64),
		from:    -1,
		to:      -1,
	}
}

// runEnd is what the report of many runs has of one.
type runEnd struct {
	from, to int64
	changed  bool // something was applied, or undone
	begun    bool // its first step was next, or the recovery from a step that was cut off
}

func (r *run) ending() runEnd {
	return runEnd{r.from, r.to, r.kept+r.off > 0, r.begun || len(r.unfinished) > 0}
}

// finish tells the observers how the run ended.
func (r *run) finish(err error) {
	r.events.send(RunFinished{
		From: r.from, To: r.to, Applied: r.kept, Undone: r.off, Duration: time.Since(r.started), Err: err,
	})
}

// look reads what is applied, in one statement, and plans from it: whatever is wrong with the plan
// is found before anything is written. It says whether there is something to do, or another run to
// wait for. One that waits for the lock looks again, and plans again when the other run has ended: it may
// have left a migration that this process doesn't know.
func (r *run) look(ctx context.Context, to goal) (needed bool, err error) {
	applied, flagged, err := r.quickly(ctx)
	if err != nil && r.blind {
		return true, nil // who writes can keep others from reading, but not from trying to get the lock
	}
	if err != nil {
		return false, r.part.tableError(ctx, err)
	}
	r.from = r.to
	same := r.looked && slices.Equal(r.seen, applied)
	r.flagged = flagged
	if waits := r.announced; waits && (flagged || same) {
		return flagged || len(r.steps) > 0, nil
	}
	r.seen, r.looked = applied, true // what the steps are planned from
	if err := r.plan(ctx, applied, to); err != nil {
		return false, err
	}
	if len(applied) == 0 && len(r.steps) > 0 {
		if err := r.vet(ctx); err != nil {
			return false, err
		}
	}
	r.vetted = true
	switch {
	case len(r.steps) > 0:
		return true, nil
	case flagged && !r.options.globalLock:
		return false, r.dirtyNow(ctx, applied)
	default:
		return flagged, nil
	}
}

// quickly is applied, for a run that is to have the lock: what keeps it from an answer, such as the holder's ALTER
// TABLE, it would wait for without knowing whom it waits for.
func (r *run) quickly(ctx context.Context) (applied []int64, flagged bool, err error) {
	if !r.options.globalLock || r.part.state == nil {
		return r.applied(ctx)
	}
	soon, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	applied, flagged, err = r.applied(soon)
	r.blind = err != nil && (r.oneWriter() || soon.Err() != nil && ctx.Err() == nil)
	return applied, flagged, err
}

// applied reads the applied versions, in the order in which they were applied, and whether the state
// table may have something to say about them: with the lock, that another run is recorded as running
// or that a step was not finished, otherwise, that it is there.
func (r *run) applied(ctx context.Context) (applied []int64, flagged bool, err error) {
	switch {
	case r.part.state == nil:
		applied, r.ready, err = r.part.table.Applied(ctx, r.db)
	default:
		applied, flagged, r.ready, err = r.part.table.AppliedAndFlag(ctx, r.db, r.part.state, r.question(), r.absent)
		if err == nil && r.ready && !flagged {
			err = r.hidden(ctx)
		}
	}
	r.to, r.absent = plan.Newest(applied), err == nil && !r.ready
	if r.absent && r.part.state != nil && !r.options.globalLock {
		flagged, err = r.part.state.IsThere(ctx, r.db) // which a version table without rows can't tell
	}
	if err == nil && r.absent && r.options.bound {
		r.schemaMissing, err = r.part.schemaMissing(ctx, r.db)
	}
	if err != nil {
		r.to = -1
	}
	return applied, flagged, err
}

// hidden is the refusal to read the state table where, without the lock, the look has not found one.
func (r *run) hidden(ctx context.Context) error {
	if r.options.globalLock {
		return nil // the look has read it
	}
	return r.part.state.Hidden(ctx, r.db)
}

// question is what applied asks of the state table.
func (r *run) question() history.Question {
	if !r.options.globalLock {
		return history.Question{There: true}
	}
	return r.part.busy()
}

// owned reads the applied versions of a table that has to be there: one that is not, is no empty one.
func (r *run) owned(ctx context.Context, db *sql.DB, settle bool) (history.Rows, error) {
	rows, err := r.part.table.Owned(ctx, db, settle)
	r.to = plan.Newest(rows.Applied)
	if err != nil {
		r.to = -1
	}
	return rows, err
}

// foreign returns those of the versions that have a row of another runner's.
func (r *run) foreign(rows history.Rows, of []int64) (list []int64) {
	for _, v := range of {
		if rows.Foreign(v, r.keys[v]) {
			list = append(list, v)
		}
	}
	return list
}

// makeTable makes sure of the version table.
func (r *run) makeTable(ctx context.Context) error {
	if r.blind { // now nobody is in the way
		if _, _, err := r.applied(ctx); err != nil {
			return r.part.tableError(ctx, err)
		}
	}
	if r.ready {
		return nil
	}
	if !r.vetted { // the look has failed
		applied, _, err := r.applied(ctx)
		if err != nil {
			return r.part.tableError(ctx, err)
		}
		if len(applied) == 0 {
			if err := r.vet(ctx); err != nil {
				return err
			}
		}
	}
	if err := r.part.table.Create(ctx, r.db); err != nil {
		return r.part.tableError(ctx, err)
	}
	return nil
}

// begin reads the starting point and plans again, from it, so that nothing but the migrations
// themselves is left to go wrong.
func (r *run) begin(ctx context.Context, to goal) error {
	if err := r.readStart(ctx, to); err != nil {
		return err
	}
	facts, err := r.facts(ctx)
	if err != nil {
		return err
	}
	if err := r.judge(ctx, facts); err != nil {
		return err
	}
	if len(r.steps)+len(r.unfinished) == 0 {
		return r.giveUp(ctx)
	}
	if err := r.enter(ctx); err != nil {
		return err
	}
	if err := r.connect(ctx); err != nil {
		return err
	}
	return r.resume(ctx)
}

// readStart reads the starting point and plans from it.
func (r *run) readStart(ctx context.Context, to goal) (err error) {
	if r.found, err = r.owned(ctx, r.db, false); err != nil {
		return r.part.tableError(ctx, err)
	}
	part := *r.part
	part.table = r.found.Table(part.table)
	r.part, r.start = &part, r.found.Applied
	return r.plan(ctx, r.start, to)
}

// judge refuses what must not be done, and forgets the marks of steps that were finished.
func (r *run) judge(ctx context.Context, facts history.Facts) error {
	if len(facts.Running) > 0 {
		r.warnOther("it is recorded as running, with the lock")
	}
	facts = r.part.own(facts)
	if err := r.admit(ctx, facts, r.start); err != nil {
		return err
	}
	for _, s := range facts.Dirty {
		if !finished(s, r.start) {
			continue
		}
		if err := r.forget(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// giveUp is for a run that has nothing to do. What runs that were cut off had begun is finished: there is
// nothing to undo.
func (r *run) giveUp(ctx context.Context) error {
	if len(r.inherited) == 0 {
		return nil
	}
	if err := r.part.state.Runs.Crash(ctx, r.db, r.part.set.Namespace); err != nil {
		return r.part.stateError(ctx, err)
	}
	return nil
}

// enter takes over from runs that were cut off, and has the state table say what this one is about to do.
func (r *run) enter(ctx context.Context) (err error) {
	if !r.options.oneTransaction() { // which undoes nothing by Downs
		if err := r.inherit(ctx, r.start); err != nil {
			return err
		}
	}
	if err := r.stamp(ctx); err != nil {
		return err
	}
	if r.mariadb, err = r.isMariaDB(ctx); err != nil {
		return err
	}
	if r.lock == nil {
		return nil
	}
	return r.register(ctx)
}

// resume clears away what was left unfinished. After it the first step is next.
func (r *run) resume(ctx context.Context) error {
	r.recorder.Found(r.found)
	for _, s := range r.unfinished {
		if err := r.recover(ctx, s); err != nil {
			return err
		}
	}
	r.begun = true
	return nil
}

// plan decides the steps that lead from the applied versions to the goal: down first, then up.
func (r *run) plan(ctx context.Context, applied []int64, to goal) error {
	r.from = plan.Newest(applied)
	known := r.part.set.Versions()
	down, pending, err := to(known, applied)
	if err != nil {
		return err
	}
	if unknown, _ := plan.Diff(down, known); len(unknown) > 0 {
		return unknownError(unknown)
	}
	remaining, _ := plan.Diff(applied, down)
	if late := plan.Late(pending, remaining); r.options.strictOrder && len(late) > 0 {
		return fmt.Errorf("%w: versions %v are pending and lower than %d, the newest applied (WithStrictOrder)",
			ErrMergeMigrations, late, plan.Newest(remaining))
	}
	if err := errors.Join(r.load(ctx, down, directionDown), r.load(ctx, pending, directionUp)); err != nil {
		return fmt.Errorf("%w: %w", ErrRollForward, err)
	}
	r.steps = nil
	for _, v := range down {
		r.steps = append(r.steps, r.step(v).down())
	}
	for _, v := range pending {
		r.steps = append(r.steps, r.step(v))
	}
	return errors.Join(r.reversible(), r.transactional(), r.connections())
}

// connections refuses a pool in which the run would wait for a connection for ever. The migrations work on one. The
// lock has one for itself, and notes on one more which connection a step is on that no row lock covers.
func (r *run) connections() error {
	limit := r.db.Stats().MaxOpenConnections
	need, why := 1, ""
	if r.options.globalLock && !r.oneWriter() && len(r.steps) > 0 {
		need, why = need+1, "the lock takes a connection for itself"
		if slices.ContainsFunc(r.steps, unfenced) {
			need, why = need+1, "the lock takes a connection for itself, and one for steps that are not transactional"
		}
	}
	if limit == 0 || limit >= need {
		return nil
	}
	return fmt.Errorf("this run needs %d connections, and the pool has SetMaxOpenConns(%d): %s", need, limit, why)
}

// apply runs the planned steps in order, up to the first that fails.
func (r *run) apply(ctx context.Context) error {
	r.events.send(RunStarted{From: r.from, Steps: r.planned()})
	r.warnIrreversible()
	defer r.session.Rest() // what comes next may need the connection
	for _, step := range r.steps {
		if ctx.Err() != nil {
			return fmt.Errorf("the run ended before migration %s: %w", ref(step.Version, step.Source), stopped(ctx, nil))
		}
		if err := r.do(ctx, step); err != nil {
			r.failed = &failure{step: step, leftNothing: r.leftNothing(ctx, step, err), maybeRecorded: r.maybeRecorded(step, err)}
			if r.failed.maybeRecorded {
				r.record(step)
			}
			return err
		}
		r.record(step)
	}
	return nil
}

// record remembers a step that this run has to take back if it fails. What a run that was cut off had done the other
// way round is not owed any more.
func (r *run) record(step plannedStep) {
	same := func(v int64) bool { return v == step.Version }
	if step.Direction == directionDown {
		r.undone, r.mine = append(r.undone, step.Version), slices.DeleteFunc(r.mine, same)
		return
	}
	r.mine, r.undone = append(r.mine, step.Version), slices.DeleteFunc(r.undone, same)
	r.keys[step.Version] = r.recorder.Key()
}

func (r *run) planned() []Step {
	steps := make([]Step, len(r.steps))
	for i, s := range r.steps {
		steps[i] = s.Step
	}
	return steps
}

// verify reads the applied versions again after a run that had no error.
func (r *run) verify(ctx context.Context, db *sql.DB) error {
	rows, err := r.owned(ctx, db, false)
	if err != nil {
		return r.part.tableError(ctx, err)
	}
	now := rows.Applied
	if foreign := r.foreign(rows, r.mine); len(foreign) > 0 {
		return r.otherRunner(fmt.Sprintf("it applied %v too", foreign))
	}
	want, _ := plan.Diff(slices.Concat(r.start, r.mine), r.undone)
	if missing, _ := plan.Diff(want, now); len(missing) > 0 {
		return fmt.Errorf("versions %v were applied and are not in the version table", missing)
	}
	gone, _ := plan.Diff(r.undone, now)
	if left, _ := plan.Diff(r.undone, gone); len(left) > 0 {
		return fmt.Errorf("versions %v were undone and are still in the version table", left)
	}
	if schema := rows.Astray(); schema != "" {
		r.events.send(Warning{Message: fmt.Sprintf("connections do not find the version table %s any more: it is in the schema %q, and their "+
			"search_path does not lead there (ALTER DATABASE or ALTER ROLE … SET search_path): name the schema with WithVersionTable",
			r.part.table.Name(), schema)})
	}
	r.kept, r.off = len(r.mine), len(r.undone)
	return nil
}
