package gooseplus

import (
	"context"
	"fmt"
	"slices"

	"github.com/gooseplus/gooseplus/internal/plan"
)

// Accept has the state table remember the file of an applied migration as it is now: the edit is right ([ErrEdited]). It also
// remembers, as they are, all applied migrations that it doesn't know yet. It executes no migration, and takes the lock if
// there is one. A version that isn't applied, or has no migration here, is an error.
func (m *Migrator) Accept(ctx context.Context, version int64) error {
	return m.runOne(ctx, func(ctx context.Context, p *part) error {
		if p.target.state == nil {
			return fmt.Errorf("dialect %s: gooseplus remembers no sums here", p.target.dialect.Goose)
		}
		nothing := fmt.Errorf("version %d: it isn't applied, or has no migration in this configuration: there is nothing to accept", version)
		if err := p.look(ctx); err != nil {
			return p.target.tableError(ctx, err)
		}
		if p.view.absent {
			return nothing
		}
		return p.run.withLock(ctx, always, func(ctx context.Context) (err error) {
			if p.found, err = p.owned(ctx, p.run.db.own, false); err != nil {
				return p.target.tableError(ctx, err)
			}
			if _, known := p.target.set.Find(version); !known || !slices.Contains(p.found.Applied, version) {
				return nothing
			}
			p.row.accepted, p.end.from, p.ledger = true, p.end.to, plan.NewLedger(p.found)
			if p.run.holding != nil {
				if err := p.run.holding.register(ctx, p.run.parts); err != nil {
					return err
				}
			}
			if err := (memory{p}).adopt(ctx); err != nil {
				return err
			}
			list, err := asNow(p.target.set, []int64{version}, p.row.id)
			if err != nil {
				return err
			}
			memory{p}.addDowns(ctx, list)
			if err := p.target.state.Versioned.Put(ctx, p.run.db.own, p.target.set.Namespace, list...); err != nil {
				return p.target.stateError(ctx, err)
			}
			return nil
		})
	})
}
