package gooseplus

import (
	"fmt"

	"github.com/gooseplus/gooseplus/internal/migset"
	"github.com/gooseplus/gooseplus/internal/plan"
)

// A goal says what a run has to do, of the known and the applied versions: which to undo, in that
// order, and which to apply after that, lowest first. Its error refuses the run.
type goal func(known, applied []int64) (down, up []int64, err error)

// goals are the goal of each namespace.
type goals func(namespace string) goal

func (g goals) of(p *part) goal { return g(p.target.set.Namespace) }

// everywhere is the same goal for all namespaces.
func everywhere(same goal) goals { return func(string) goal { return same } }

func upTo(version int64) goal {
	return func(known, applied []int64) (down, up []int64, err error) {
		return nil, plan.Pending(known, applied, version), nil
	}
}

func undoLast(steps int) goal {
	return func(_, applied []int64) (down, up []int64, err error) { return plan.Last(applied, steps), nil, nil }
}

func undoAbove(version int64) goal {
	return func(_, applied []int64) (down, up []int64, err error) { return plan.Above(applied, version), nil, nil }
}

func exactly(version int64) goal {
	return func(known, applied []int64) (down, up []int64, err error) {
		return plan.Above(applied, version), plan.Pending(known, applied, version), nil
	}
}

// existing is a goal, unless its version looks mistyped.
func existing(version int64, goal goal) goal {
	return func(known, applied []int64) (down, up []int64, err error) {
		if err := migset.Mistyped(version, known, applied); err != nil {
			return nil, nil, err
		}
		return goal(known, applied)
	}
}

// exactlyThese is the goal that these versions are applied, and no others. It never goes down.
func exactlyThese(versions []int64) goal {
	return func(known, applied []int64) (down, up []int64, err error) {
		if unknown, _ := plan.Diff(versions, known); len(unknown) > 0 {
			return nil, nil, fmt.Errorf("%w: %v", ErrUnknownVersion, unknown)
		}
		missing, extra := plan.Diff(versions, applied)
		if len(extra) > 0 {
			return nil, nil, fmt.Errorf("the shadow has the versions %v, which the database doesn't have: use an empty shadow", extra)
		}
		return nil, missing, nil
	}
}
