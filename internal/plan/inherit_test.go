package plan

import (
	"slices"
	"testing"
)

// TestInheritOfNothing: a dead run that planned no migration, such as one of Force, leaves neither a duty nor a starting point.
func TestInheritOfNothing(t *testing.T) {
	t.Parallel()
	l := NewLedger(at(1, 2))
	l.Inherit([]Dead{{Start: []int64{7}}, {}})
	if start := l.Start(); !slices.Equal(start, []int64{1, 2}) || len(l.Owed()) > 0 {
		t.Errorf("the starting point is %v, owed are %v", start, l.Owed())
	}
}

// TestDebtOfADeadRun: a step the other way settles it, and a version of the dead run that is gone by now is not lost by this one.
func TestDebtOfADeadRun(t *testing.T) {
	t.Parallel()
	l := NewLedger(at(1, 2, 3))
	l.Inherit([]Dead{{Start: []int64{1}, Planned: []int64{2, 3}}, {Start: []int64{1}, Planned: []int64{2}}})
	if lost := l.Lost(at(1, 2)); len(lost) > 0 {
		t.Errorf("lost %v", lost)
	}
	l.Record(Change{Version: 3, Down: true}, 0)
	if got := l.Recorded(); !slices.Equal(got, []int64{2}) {
		t.Errorf("recorded %v", got)
	}
}

// TestSince: the oldest dead run that planned anything counts.
func TestSince(t *testing.T) {
	t.Parallel()
	dead := []Dead{{Start: []int64{1, 2}, Planned: []int64{3}}, {Start: []int64{1}, Planned: []int64{2}}, {Start: []int64{1, 2, 3}}}
	equal(t, "Since", Since(dead, []int64{1, 2, 3}), []int64{2, 3})
}

// TestDoubt: what a lost answer was about may be recorded, and is not lost if it isn't.
func TestDoubt(t *testing.T) {
	t.Parallel()
	l := NewLedger(at(1))
	l.Fail(Failure{Change: Change{Version: 2}, Besides: []int64{3}, MaybeRecorded: true}, 0)
	if lost := l.Lost(at(1)); !l.Doubtful() || len(lost) > 0 {
		t.Errorf("doubtful: %t, lost %v", l.Doubtful(), lost)
	}
	equal(t, "Recorded", l.Recorded(), []int64{3, 2})
	l = NewLedger(at(1))
	if l.Doubt(); !l.Doubtful() {
		t.Error("no doubt")
	}
}
