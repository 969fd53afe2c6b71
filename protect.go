package gooseplus

import (
	"context"
	"fmt"
	"slices"

	"github.com/gooseplus/gooseplus/internal/history"
)

// LockVersion protects a version. From then on no run undoes it, nor a lower version while it is applied:
// [Migrator.Rollback], [Migrator.RollbackTo] and [Migrator.Goto] return [ErrVersionLocked], and the way back
// of a failed run ends there if the run itself applied it. The version must be known or applied; it need not
// be applied yet. Protecting it again changes nothing. It takes the lock if there
// is one.
//
// Dialects that gooseplus leaves to goose (see [WithDialect]) can't remember it, which is an error.
func (m *Migrator) LockVersion(ctx context.Context, version int64) error {
	return m.protect(ctx, version, func(ctx context.Context, p *part, mark history.Mark) error {
		if _, known := p.target.set.Find(version); !known && !slices.Contains(p.view.applied, version) {
			return fmt.Errorf("version %d is neither known nor applied", version)
		}
		return p.marked(ctx, p.target.state.Marks.Protect(ctx, p.run.db.own, mark))
	})
}

// UnlockVersion ends the protection of a version by [Migrator.LockVersion]. If the version isn't protected, nothing
// happens. It takes the lock if there is one.
func (m *Migrator) UnlockVersion(ctx context.Context, version int64) error {
	return m.protect(ctx, version, func(ctx context.Context, p *part, mark history.Mark) error {
		return p.marked(ctx, p.target.state.Marks.Unprotect(ctx, p.run.db.own, mark))
	})
}

// marked is the error of a mark that could not be written.
func (p *part) marked(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	return p.target.stateError(ctx, err)
}

func (m *Migrator) protect(ctx context.Context, version int64, do func(context.Context, *part, history.Mark) error) error {
	if version < 1 {
		return fmt.Errorf("version %d: the lowest version is 1", version)
	}
	return m.runOne(ctx, func(ctx context.Context, p *part) error {
		if p.target.state == nil {
			return fmt.Errorf("dialect %s: gooseplus can't remember a protected version here", p.target.dialect.Goose)
		}
		look := func(ctx context.Context) error {
			if err := p.look(ctx); err != nil {
				return p.target.tableError(ctx, err)
			}
			return nil
		}
		if err := look(ctx); err != nil {
			return err
		}
		return p.run.withLock(ctx, always, func(ctx context.Context) error {
			if err := p.run.ensureState(ctx); err != nil {
				return err
			}
			if err := look(ctx); err != nil {
				return err
			}
			m, _ := p.target.set.Find(version)
			return do(ctx, p, history.Mark{Namespace: p.target.set.Namespace, Version: version, Source: m.Source})
		})
	})
}
