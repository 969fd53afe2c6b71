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
