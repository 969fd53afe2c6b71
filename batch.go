package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/gooseplus/gooseplus/internal/drive"
	"github.com/gooseplus/gooseplus/internal/failure"
	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// batchStatements is how many statements a batch has at most. Each table that a transaction creates costs the server some of
// its locks, which all connections share: by default 6400 (max_locks_per_transaction, max_connections).
const batchStatements = 300

// batch is migrations that run as one text in one transaction. It takes a few round trips and one write to the disk instead
// of as many as there are migrations.
type batch struct {
	steps steps
	texts []string // of the steps
}

// batches are the planned steps, with runs of migrations that can be in one transaction as one step each. Only a part without
// any applied version has them: nobody uses what they create yet.
func (p *part) batches() steps {
	quoting, known := p.target.dialect.Quoting()
	if !p.run.options.batches || p.run.options.oneTransaction() || !p.target.dialect.TransactionalDDL || !known ||
		len(p.found.Applied)+len(p.ledger.Owed()) > 0 {
		return p.steps
	}
	var list, together steps
	var texts []string
	count := 0
	end := func() {
		if len(together) > 1 {
			list = append(list, p.batch(together, texts))
		} else {
			list = append(list, together...)
		}
		together, texts, count = nil, nil, 0
	}
	alone := false
	for _, step := range p.steps {
		statements := p.statements(step)
		company := quoting.Company(statements)
		alone = alone || company == sqltext.NoneAfter
		if alone || company != sqltext.Any || step.checkpoint != nil || !step.Transactional || step.sections[0].Function {
			end()
			list = append(list, step)
			continue
		}
		if len(together) > 0 && count+len(statements) > batchStatements {
			end()
		}
		// A statement may end in a comment, or have no semicolon.
		together, texts, count = append(together, step), append(texts, strings.Join(statements, "\n;\n")), count+len(statements)
	}
	end()
	return list
}

// batch makes one step of several.
func (p *part) batch(list steps, texts []string) plannedStep {
	last := list[len(list)-1]
	s := plannedStep{Step: last.Step, sections: last.sections, batch: &batch{list, texts}}
	for _, step := range list {
		s.sections[0].Watched = s.sections[0].Watched || step.sections[0].Watched
		s.sections[0].Plain = s.sections[0].Plain && step.sections[0].Plain
	}
	return s
}

// timeout is how long a batch may take: as long as its migrations together.
func (b *batch) timeout(each time.Duration) time.Duration {
	n := time.Duration(len(b.steps))
	if each > math.MaxInt64/n {
		return each
	}
	return each * n
}

// takeBatch takes a batch. If that fails and nothing of it is left, it returns neither true nor an error: its migrations then
// run one by one, so that the error names the migration to blame.
func (p *part) takeBatch(ctx context.Context, step plannedStep) (done bool, err error) {
	if ctx.Err() != nil {
		return false, fmt.Errorf("the run ended before migration %s: %w", ref(step.batch.steps[0].Version, step.batch.steps[0].Source), failure.Stopped(ctx, nil))
	}
	steps := step.batch.steps.public()
	limited, cancel := failure.Limit(ctx, step.batch.timeout(p.run.options.migrationTimeout), "migration timeout")
	defer cancel()
	limited, end := p.events.begin(limited, BatchStarted{Steps: steps})
	defer end()
	started := time.Now()
	result := p.driver.Take(limited, step.drive())
	if result.Err != nil {
		result.Err = failure.Tidy{Err: result.Err}
		result = p.end.seal.doubted(ctx, result)
	}
	p.events.send(BatchFinished{Steps: steps, Duration: time.Since(started), Err: result.Err})
	if result.Err == nil {
		return true, p.note(step, result)
	}
	if result.LeftNothing && !result.MaybeRecorded && ctx.Err() == nil && !errors.Is(result.Err, ErrLockLost) && !errors.Is(result.Err, drive.ErrOtherRunner) {
		return false, nil
	}
	if errors.Is(result.Err, drive.ErrOtherRunner) {
		p.warnOther("it is at migration " + ref(step.Version, step.Source) + " too")
	}
	first := steps[0]
	result.Err = fmt.Errorf("migrations %s to %s in one transaction: %w", ref(first.Version, first.Source), ref(step.Version, step.Source), result.Err)
	return false, p.note(step, result)
}

// versions are the versions of steps, in their order.
func (s steps) versions() []int64 {
	list := make([]int64, len(s))
	for i, step := range s {
		list[i] = step.Version
	}
	return list
}
