package gooseplus

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gooseplus/gooseplus/internal/failure"
	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/plan"
	"github.com/gooseplus/gooseplus/internal/wait"
)

// migrate is a run, up or down. Its numbered lines are the stages that the package documentation
// describes.
func (m *Migrator) migrate(ctx context.Context, to goal) error {
	return m.migrateIf(ctx, everywhere(to), nil)
}

// migrateIf is migrate with a goal for each namespace. Before the run changes anything under the lock, it asks vet, unless that is
// nil, whose error refuses the run.
func (m *Migrator) migrateIf(ctx context.Context, goals goals, vet func(context.Context, *run) error) error {
	// 1. Resolve.
	return m.run(ctx, func(ctx context.Context, r *run) error {
		// 2. Look.
		look := func(ctx context.Context) (bool, error) {
			needed, err := r.looking.look(ctx, goals)
			if err == nil && r.parts.haveSteps() {
				err = r.sessions.findPath(ctx)
			}
			return needed, err
		}
		if needed, err := look(ctx); err != nil || !needed {
			return err
		}
		// 3. Hold the lock, and under it make sure of the version tables.
		return r.withLock(ctx, look, func(ctx context.Context) error {
			if err := r.looking.makeTables(ctx); err != nil {
				return err
			}
			if vet != nil {
				if err := vet(ctx, r); err != nil {
					return err
				}
			}
			// 4. Read the starting points and plan from them.
			if err := r.begin(ctx, goals); err != nil || !r.parts.haveSteps() {
				return r.settle(ctx, err)
			}
			// 5. Undo and apply, and verify the result.
			err := r.apply(ctx)
			if err == nil {
				err = r.verify(ctx)
			}
			// 6. and 7. On failure, the way back, which is verified too.
			if err != nil {
				err = r.wayBack(ctx, err)
			}
			return r.settle(ctx, err)
		})
		// 8. Record the outcome and release.
	})
}

// run is one call of Migrate & co on one database: over one migration set, or over those of all namespaces under one
// lock, one deadline and with one way back. It is used by one goroutine.
type run struct {
	options  *options
	whole    *target // shared by the parts: the state table, the schema; the only part's target if there is one part
	db       site
	events   *stream
	started  time.Time
	parts    parts
	working  parts // the parts with something to do, or to undo if another part fails
	failed   *part // whose step ended the run, nil if none did
	holding  *holding
	patience *wait.Patience // with a server that doesn't answer
	stamps   environments
	sessions sessions
	looking  looking
	progress progress
}

// progress is how far a run has got.
type progress struct {
	waited     bool        // the observers know that it waits
	waitEnds   func(error) // tells them that the wait is over; nil if it is, or if there was none
	warned     bool        // the observers know that another runner is at work
	elsewhere  bool        // without the lock, it has met another runner at a step
	begun      bool        // its first step is next, or taken
	stateReady bool        // without the lock: it has made sure of the state table
}

// run calls what with a new run, unless the configuration has faults, and tells the observers how it
// ended.
func (m *Migrator) run(ctx context.Context, what func(context.Context, *run) error) (err error) {
	known, db, done, err := m.openAny(ctx)
	if err != nil {
		return m.refuse(ctx, err)
	}
	defer done()
	ctx, cancel := m.withTimeout(ctx)
	defer cancel()
	r := m.newRun(known, db, m.newStream(ctx))
	ctx, end := r.events.begin(ctx, RunRequested{Namespaces: known.namespaces()})
	defer end()
	for _, w := range known.warnings {
		r.events.send(Warning{Message: w})
	}
	for _, p := range r.parts {
		for _, w := range p.target.set.Warnings {
			p.events.send(Warning{Message: w})
		}
	}
	defer func() { r.finish(ctx, err, m.ended) }()
	return m.named(what(ctx, r))
}

func (m *Migrator) newRun(known *targets, db site, events *stream) *run {
	r := &run{
		options: &m.options, db: db, events: events, started: time.Now(), patience: new(wait.Patience),
	}
	r.looking.run, r.sessions = r, sessions{run: r, keeper: m.keeper, found: cmp.Or(m.found, newFoundPath())}
	whole := *known.whole
	r.whole = &whole
	for i, t := range known.parts {
		p := &part{run: r, target: r.whole, events: events, ledger: plan.NewLedger(history.Rows{}), end: ending{from: -1, to: -1}}
		if known.several() {
			own := *t
			p.target, p.events = &own, events.share(m.options.tenant, t.set.Namespace)
		}
		p.row.id, p.row.started = strings.ToLower(rand.Text()), r.started.Add(time.Duration(i)*time.Microsecond) // they are recorded in their order
		p.mark.part, p.admission.part, p.end.seal.part, p.files.target, p.files.goose = p, p, p, p.target, m.options.gooseOptions
		r.parts = append(r.parts, p)
	}
	return r
}

// endWait tells the observers that the wait for another runner is over.
func (r *run) endWait(err error) {
	if r.progress.waitEnds != nil {
		r.progress.waitEnds(err)
		r.progress.waitEnds = nil
	}
}

// finish tells the observers, and whoever has started many runs, how this one ended.
func (r *run) finish(ctx context.Context, err error, ended func(outcome)) {
	r.disconnect(ctx)
	sum := outcome{touched: r.progress.begun}
	for _, p := range r.parts {
		e := p.end
		p.events.send(RunFinished{
			From: e.from, To: e.to, Applied: e.applied, Undone: e.undone, Duration: time.Since(p.row.started), Err: p.errorOf(err),
		})
		sum.from, sum.to = max(sum.from, e.from), max(sum.to, e.to)
		sum.applied, sum.undone = sum.applied+e.applied, sum.undone+e.undone
		sum.touched = sum.touched || len(p.admission.unfinished) > 0
	}
	if r.parts.any(func(p *part) bool { return p.end.from < 0 }) {
		sum.from = -1
	}
	if r.parts.any(func(p *part) bool { return p.end.to < 0 }) {
		sum.to = -1
	}
	if ended != nil {
		if err == nil && sum.applied > 0 {
			sum.trail = trailOf(r)
		}
		ended(sum)
	}
}

// begin reads the starting points and plans again, from them, so that nothing but the migrations themselves is left to
// go wrong. Each stage is for all parts before the next one.
func (r *run) begin(ctx context.Context, goals goals) error {
	var faults []error
	for _, p := range r.parts {
		err := p.target.named(p.readStart(ctx, goals.of(p)))
		if errors.Is(err, ErrMigrationTable) {
			return err
		}
		faults = append(faults, err)
	}
	if err := allOf(faults); err != nil {
		return err
	}
	if err := r.admit(ctx); err != nil {
		return err
	}
	needed := r.parts.busy()
	for _, p := range r.parts {
		switch {
		case !needed:
			if err := r.holding.giveUpInheritance(ctx, p); err != nil {
				return err
			}
		case (parts{p}.busy() || len(r.holding.inheritedBy(p)) > 0) && len(p.target.set.List)+len(p.steps) > 0:
			// A part with nothing to do takes over from its own dead runs: if another part fails now, their work is undone too.
			r.working = append(r.working, p)
		}
	}
	if len(r.working) == 0 {
		return nil
	}
	if r.parts.any(func(p *part) bool { return len(p.steps) > 0 && p.steps[0].Direction == directionDown }) {
		slices.Reverse(r.working) // a later namespace may have built on an earlier one
	}
	if err := r.prepare(ctx); err != nil {
		return err
	}
	for _, p := range r.working {
		if err := p.clearUnfinished(ctx); err != nil {
			return p.target.named(err)
		}
	}
	r.progress.begun = true
	return nil
}

// prepare has the state table say what the run is about to do, and opens the sessions.
func (r *run) prepare(ctx context.Context) error {
	if err := r.sessions.ask(ctx); err != nil {
		return err
	}
	for _, p := range r.working {
		if err := p.found.AddZero(ctx, r.db.own); err != nil {
			return p.target.named(p.target.tableError(ctx, err))
		}
		var err error
		if r.looking.others, err = r.looking.others.lookBefore(ctx, p); err != nil {
			return p.target.named(err)
		}
		if err := p.inherit(ctx, r.holding.inheritedBy(p)); err != nil {
			return p.target.named(err)
		}
	}
	if err := r.stamps.announce(ctx, r); err != nil {
		return err
	}
	for _, p := range r.working {
		if err := (memory{p}).adopt(ctx); err != nil {
			return p.target.named(err)
		}
	}
	if r.holding != nil {
		if err := r.holding.register(ctx, r.working); err != nil {
			return err
		}
	}
	return r.sessions.connect(ctx)
}

// apply takes the steps of one part after the other, up to the first that fails.
func (r *run) apply(ctx context.Context) error {
	for _, p := range r.working {
		if len(p.steps) == 0 {
			continue
		}
		if err := p.apply(ctx); err != nil {
			r.failed = p
			return p.target.named(err)
		}
	}
	return nil
}

// verify reads the applied versions again after a run that had no error. With RollbackTransaction it looks from inside
// the transaction, and commits it: a trigger that is put off to the COMMIT may change what it has seen, so it comes before.
func (r *run) verify(ctx context.Context) error {
	db := r.db.own
	if r.sessions.outer != nil {
		db = r.sessions.outer.DB()
		if early := r.whole.dialect.Deferred(); early != "" {
			if _, err := db.ExecContext(ctx, early); err != nil {
				return r.committing().target.named(commitError(ctx, err))
			}
		}
	}
	for _, p := range r.working {
		if err := p.verify(ctx, db); err != nil {
			return p.target.named(err)
		}
	}
	if r.sessions.outer == nil {
		return nil
	}
	err := r.sessions.outer.Commit(ctx)
	if err == nil {
		return nil
	}
	p := r.committing()
	return p.target.named(p.committed(ctx, commitError(ctx, err)))
}

func commitError(ctx context.Context, err error) error {
	return fmt.Errorf("commit: %w", failure.Tidy{Err: failure.Stopped(ctx, err)})
}

// committing is the part that the error of the shared COMMIT is about. If the answer was lost, the applied versions of any part
// that has recorded something show whether the COMMIT was executed.
func (r *run) committing() *part {
	return r.working[max(0, slices.IndexFunc(r.working, func(p *part) bool { return len(p.ledger.Recorded()) > 0 }))]
}
