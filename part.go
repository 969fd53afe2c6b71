package gooseplus

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/gooseplus/gooseplus/internal/drive"
	"github.com/gooseplus/gooseplus/internal/failure"
	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/plan"
)

// part is what a run does with one migration set: the set of a namespace, or the only one.
type part struct {
	run       *run
	target    *target // this run's own copy, with the tables as the server calls them
	events    *stream
	view      view    // of the last look
	planned   []int64 // what was applied when the steps were planned
	steps     steps
	files     files
	driver    *drive.Driver // nil as long as there is nothing to do
	admission admission
	found     history.Rows // when the starting point was read
	ledger    *plan.Ledger // from then on
	failed    *plannedStep // the step that ended the run, nil if none of this part's did
	mark      mark
	row       row
	end       ending
}

// row is the part's row in the state table.
type row struct {
	id         string
	started    time.Time
	registered bool // it is there
	forced     bool // of a run that executes nothing, see Force
	accepted   bool // and of Accept
}

// ending is the state in which a part ends.
type ending struct {
	from, to        int64        // the highest version applied at first, and as read last; -1 when it can't be read, or was not
	applied, undone int          // how many of the versions that the run changed stay so
	rows            history.Rows // as verified, of a run without an error
	err             error        // of the way back, nil if there was none
	seal            seal
}

// errorOf is the error of the part in a run that ends with err: each part has its own way back.
func (p *part) errorOf(err error) error {
	if len(p.run.parts) == 1 || p.end.err == nil {
		return err
	}
	return p.end.err
}

// readStart reads the starting point and plans from it.
func (p *part) readStart(ctx context.Context, goal goal) (err error) {
	if p.found, err = p.owned(ctx, p.run.db.own, false); err != nil {
		return p.target.tableError(ctx, err)
	}
	p.target.table = p.found.Table(p.target.table)
	p.ledger = plan.NewLedger(p.found)
	return p.plan(ctx, p.found.Applied, goal)
}

// owned reads the applied versions of a table that must exist: a missing table is not an empty one.
func (p *part) owned(ctx context.Context, db *sql.DB, awaitWriters bool) (history.Rows, error) {
	rows, err := p.target.table.Owned(ctx, db, awaitWriters)
	p.end.to = plan.Newest(rows.Applied)
	if err != nil {
		p.end.to = -1
	}
	return rows, err
}

// inherit takes over the starting point of runs that were cut off, newest first, and the duty to undo what they did. If somebody
// else has applied a migration since, as goose can, it takes over neither: that migration may build on their work. It tells
// the observers.
func (p *part) inherit(ctx context.Context, cutOff []history.Run) error {
	var dead []plan.Dead
	for _, d := range cutOff {
		dead = append(dead, plan.Dead{Start: d.Start, Planned: d.Planned})
	}
	theirs, err := p.notOf(ctx, cutOff, plan.Since(dead, p.found.Applied))
	if err != nil {
		return err
	}
	duty := p.run.options.rollback == RollbackDown && len(theirs) == 0
	then := "if this run fails, it also undoes what that run applied"
	switch {
	case len(theirs) > 0:
		then = fmt.Sprintf("another process has applied %v since, so what that run applied stays, also if this run fails", theirs)
	case !duty:
		then = "what it applied stays, also if this run fails"
	}
	for _, d := range cutOff {
		p.events.send(Warning{Message: fmt.Sprintf("the run of %s, started %s, was cut off: %s", d.Holder, d.Started.Format(time.RFC3339), then)})
	}
	if len(theirs) > 0 || p.run.options.oneTransaction() { // which undoes nothing by Downs
		return nil
	}
	p.ledger.Inherit(dead)
	for _, d := range cutOff {
		p.run.stamps.inherited = append(p.run.stamps.inherited, d.ID)
	}
	known := slices.DeleteFunc(p.ledger.Owed(), func(v int64) bool { _, ok := p.target.set.Find(v); return !ok })
	return p.files.load(ctx, known, directionDown)
}

// notOf returns the versions that somebody else has applied: neither the runs that were cut off nor the runs that they had taken
// over from. It returns none if one of these runs didn't record which versions it applied (history.Run.Remembers).
func (p *part) notOf(ctx context.Context, cutOff []history.Run, versions []int64) (list []int64, err error) {
	if len(versions) == 0 || slices.ContainsFunc(cutOff, func(d history.Run) bool { return len(d.Planned) > 0 && !d.Remembers }) {
		return nil, nil
	}
	st, db := p.target.state, p.run.db.own
	rows, err := st.Versioned.List(ctx, db, p.target.set.Namespace)
	if err != nil {
		return nil, p.target.stateError(ctx, err)
	}
	dead, err := st.Runs.List(ctx, db, history.CutOff, history.Crashed)
	if err != nil {
		return nil, p.target.stateError(ctx, err)
	}
	for _, v := range versions {
		if !slices.ContainsFunc(dead, func(d history.Run) bool { return d.ID == rows[v].Run }) {
			list = append(list, v)
		}
	}
	return list, nil
}

// clearUnfinished clears away the steps that were cut off. The first planned step comes next.
func (p *part) clearUnfinished(ctx context.Context) error {
	p.driver.Found(p.found)
	for _, s := range p.admission.unfinished {
		if err := p.admission.clearCutOff(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// apply takes the planned steps in order, up to the first that fails.
func (p *part) apply(ctx context.Context) error {
	p.events.send(RunStarted{From: p.end.from, Steps: p.steps.public()})
	for _, s := range p.steps {
		if s.Direction == directionUp && !s.Reversible {
			p.events.send(Warning{Message: fmt.Sprintf("migration %s has no Down: nothing can undo it", ref(s.Version, s.Source))})
		}
	}
	memory{p}.warnOfStoredDowns()
	defer p.driver.Rest() // what comes next may need the connection
	for _, next := range p.batches() {
		one := steps{next}
		if next.batch != nil {
			done, err := p.takeBatch(ctx, next)
			if err != nil {
				return err
			}
			if done {
				continue
			}
			one = next.batch.steps
		}
		for _, step := range one {
			if err := p.takeNext(ctx, step); err != nil {
				return err
			}
		}
	}
	return nil
}

// statements are the SQL of a step up that is loaded.
func (p *part) statements(step plannedStep) []string {
	if step.checkpoint != nil {
		return step.text
	}
	m, known := p.target.set.Find(step.Version)
	if !known {
		return nil // the state table has its Down
	}
	up, down := p.target.set.Sections(m, p.files.read[step.Version])
	if step.Direction == directionDown {
		return down.Statements
	}
	return up.Statements
}

// takeNext takes a step, and notes its result.
func (p *part) takeNext(ctx context.Context, step plannedStep) error {
	if ctx.Err() != nil {
		return fmt.Errorf("the run ended before migration %s: %w", ref(step.Version, step.Source), failure.Stopped(ctx, nil))
	}
	return p.note(step, p.take(ctx, step))
}

// note notes the result of a planned step, and returns its error.
func (p *part) note(step plannedStep, result drive.Result) error {
	if result.Err != nil {
		p.failed = &step
		p.ledger.Fail(plan.Failure{
			Change: step.change(), Besides: step.besides(), LeftNothing: result.LeftNothing, MaybeRecorded: result.MaybeRecorded,
		}, result.Key)
		return result.Err
	}
	for _, v := range step.besides() {
		p.ledger.Record(plan.Change{Version: v}, 0)
	}
	p.ledger.Record(step.change(), result.Key)
	return nil
}

// take takes one step in its direction, under the migration timeout.
func (p *part) take(ctx context.Context, step plannedStep) drive.Result {
	if err := p.mark.put(ctx, step); err != nil {
		return drive.Result{Err: p.target.migrationError(step, "", err), LeftNothing: true}
	}
	return p.takeMarked(ctx, step, false)
}

// takeMarked takes a step that is marked in the state table, or needs no mark. unrecorded says of a step down that the
// version table has no row of it.
func (p *part) takeMarked(ctx context.Context, step plannedStep, unrecorded bool) drive.Result {
	ctx, cancel := failure.Limit(ctx, p.run.options.migrationTimeout, "migration timeout")
	defer cancel()
	ctx, end := p.events.begin(ctx, MigrationStarted{Step: step.Step})
	defer end()
	started := time.Now()
	what := step.drive()
	what.Unrecorded = unrecorded
	result := p.driver.Take(ctx, what)
	if result.Err != nil {
		if errors.Is(result.Err, drive.ErrOtherRunner) {
			p.warnOther("it is at migration " + ref(step.Version, step.Source) + " too")
		}
		failed := p.target.migrationError(step, result.Statement, result.Err)
		failed.locate(p.target, result.Statement, true, p.statements(step), result.Number)
		for _, b := range result.Blockers {
			failed.Blockers = append(failed.Blockers, Blocker(b))
		}
		if p.run.options.redactedDetails {
			failed.Detail = ""
		}
		result.Err = failed
	}
	p.events.send(MigrationFinished{Step: step.Step, Duration: time.Since(started), Err: result.Err})
	return result
}

// verify reads the applied versions again after a run that had no error.
func (p *part) verify(ctx context.Context, db *sql.DB) error {
	rows, err := p.end.seal.read(ctx, db)
	if err != nil {
		return p.target.tableError(ctx, err)
	}
	switch m := p.ledger.Verify(rows); {
	case len(m.Foreign) > 0:
		return p.otherRunner(fmt.Sprintf("it applied %v too", m.Foreign))
	case len(m.Missing) > 0:
		return fmt.Errorf("versions %v were applied, but are missing from the version table", m.Missing)
	case len(m.Left) > 0:
		return fmt.Errorf("versions %v were undone, but are still in the version table", m.Left)
	}
	if schema := rows.Astray(); schema != "" {
		p.events.send(Warning{Message: fmt.Sprintf("connections no longer find the version table %s: it is in the schema %q, and their "+
			"search_path does not lead there (ALTER DATABASE or ALTER ROLE … SET search_path): name the schema with WithVersionTable",
			p.target.table.Name(), schema)})
	}
	p.end.applied, p.end.undone, p.end.rows = len(p.ledger.Recorded()), len(p.ledger.Undone()), rows
	return nil
}

// committed finds out whether a COMMIT that failed was executed: the answer may have been lost.
func (p *part) committed(ctx context.Context, failed error) error {
	ctx, cancel := p.run.holding.detached(ctx, p.run.options.rollbackTimeout)
	defer cancel()
	p.ledger.Doubt()
	rows, err := wayBack{p}.read(ctx)
	if err != nil || !p.ledger.Verify(rows).None() {
		return failed
	}
	p.events.send(Warning{Message: fmt.Sprintf("the transaction was committed, though the answer was lost: %v", failed)})
	return nil
}

// pendingAt is how many versions Migrate would change where these versions are applied. It doesn't ask the database.
func (m *Migrator) pendingAt(ctx context.Context, t *target, db site, applied []int64) (int, error) {
	r := m.newRun(&targets{parts: []*target{t}, whole: t}, db, new(stream)) // without observers
	defer r.disconnect(ctx)
	err := r.parts[0].plan(ctx, applied, upTo(math.MaxInt64))
	pending := 0
	for _, s := range r.parts[0].steps {
		pending += len(s.covered())
	}
	return pending, err
}

// warnOther tells the observers, once, that another runner is at work.
func (p *part) warnOther(what string) {
	if p.run.holding == nil && !p.run.progress.warned {
		p.run.progress.warned = true
		p.events.send(Warning{Message: "another process is migrating this database, and this run has no lock (WithGlobalLock(true)): " + what})
	}
}

// otherRunner is the error of a run that has found another runner at work. It warns the observers once.
func (p *part) otherRunner(what string) error {
	p.warnOther(what)
	return fmt.Errorf("%w: %s", drive.ErrOtherRunner, what)
}

// parts are all parts of a run, in the order of the namespaces.
type parts []*part

func (ps parts) any(is func(*part) bool) bool { return slices.ContainsFunc(ps, is) }

// haveSteps says whether there is a step to take.
func (ps parts) haveSteps() bool { return ps.any(func(p *part) bool { return len(p.steps) > 0 }) }

// busy says whether there is a step to take, or one to clear away.
func (ps parts) busy() bool {
	return ps.any(func(p *part) bool { return len(p.steps)+len(p.admission.unfinished) > 0 })
}

// flagged says whether the state table may have something to say.
func (ps parts) flagged() bool { return ps.any(func(p *part) bool { return p.view.flagged }) }

// empty says whether nothing is applied. An empty part beside one with applied versions is only new.
func (ps parts) empty() bool { return !ps.any(func(p *part) bool { return len(p.view.applied) > 0 }) }

// lackSchema says whether the schema that the run is bound to is to be created.
func (ps parts) lackSchema() bool { return ps.any(func(p *part) bool { return p.view.schemaMissing }) }

// touched says whether anything was changed that a way back could be about.
func (ps parts) touched() bool { return ps.any(func(p *part) bool { return p.ledger.Touched() }) }
