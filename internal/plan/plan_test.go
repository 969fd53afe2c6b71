package plan

import (
	"math"
	"slices"
	"testing"
)

func equal(t *testing.T, what string, got, want []int64) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestPending(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name           string
		known, applied []int64
		target         int64
		want           []int64
	}{
		{"a new database", []int64{1, 2, 3}, nil, math.MaxInt64, []int64{1, 2, 3}},
		{"nothing to do", []int64{1, 2}, []int64{2, 1}, math.MaxInt64, nil},
		{"nothing known", nil, []int64{1}, math.MaxInt64, nil},
		{"a gap is filled", []int64{1, 2, 3}, []int64{1, 3}, math.MaxInt64, []int64{2}},
		{"up to and including the target", []int64{1, 2, 3}, nil, 2, []int64{1, 2}},
		{"a target that doesn't exist", []int64{1, 5}, nil, 4, []int64{1}},
		{"a target below what is applied", []int64{1, 2, 3}, []int64{1, 2}, 1, nil},
		{"a target of zero", []int64{1}, nil, 0, nil},
		{"applied versions that nobody knows", []int64{2}, []int64{1, 9}, math.MaxInt64, []int64{2}},
		{"known in any order", []int64{3, 1, 2}, nil, math.MaxInt64, []int64{1, 2, 3}},
		{"each once", []int64{1, 1, 2, 2}, []int64{2, 2}, math.MaxInt64, []int64{1}},
		{"the highest version", []int64{math.MaxInt64}, nil, math.MaxInt64, []int64{math.MaxInt64}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			known, applied := slices.Clone(tc.known), slices.Clone(tc.applied)
			equal(t, "Pending", Pending(known, applied, tc.target), tc.want)
			equal(t, "known afterwards", known, tc.known)
			equal(t, "applied afterwards", applied, tc.applied)
		})
	}
}

func TestLate(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name                   string
		pending, applied, want []int64
	}{
		{"none", []int64{3, 4}, []int64{1, 2}, nil},
		{"below the newest", []int64{2, 5}, []int64{1, 3}, []int64{2}},
		{"below the newest, which was not the last to be applied", []int64{2, 5}, []int64{3, 1}, []int64{2}},
		{"a new database", []int64{1, 2}, nil, nil},
		{"nothing pending", nil, []int64{1}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			equal(t, "Late", Late(tc.pending, tc.applied), tc.want)
		})
	}
}

func TestWayBack(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name                      string
		before, after, mine, want []int64
	}{
		{"a new database", nil, []int64{1, 2, 3}, []int64{1, 2, 3}, []int64{3, 2, 1}},
		{"newest first as applied, not as numbered", []int64{5}, []int64{5, 2, 7, 3}, []int64{2, 7, 3}, []int64{3, 7, 2}},
		{"nothing was applied", []int64{1}, []int64{1}, nil, nil},
		{"one that another runner applied meanwhile", []int64{1}, []int64{1, 2, 3}, []int64{2}, []int64{2}},
		{"one that another runner took back meanwhile", []int64{1}, []int64{1, 3}, []int64{2, 3}, []int64{3}},
		{"one that was there before", []int64{1, 2}, []int64{1, 2, 3}, []int64{1, 2, 3}, []int64{3}},
		{"one of the start that is gone", []int64{1, 2}, []int64{1, 3}, []int64{3}, []int64{3}},
		{"nothing is left", []int64{1}, nil, []int64{2}, nil},
		{"each once, where it was applied last", nil, []int64{1, 2, 1}, []int64{1, 2, 2}, []int64{1, 2}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			after := slices.Clone(tc.after)
			equal(t, "WayBack", wayBack(tc.before, after, tc.mine), tc.want)
			equal(t, "after afterwards", after, tc.after)
		})
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name                       string
		want, have, missing, extra []int64
	}{
		{"the same in another order", []int64{1, 2}, []int64{2, 1}, nil, nil},
		{"both ways", []int64{3, 1, 2}, []int64{9, 2, 8}, []int64{1, 3}, []int64{8, 9}},
		{"each once", []int64{1, 1}, []int64{2, 2}, []int64{1}, []int64{2}},
		{"nothing wanted", nil, []int64{1}, nil, []int64{1}},
		{"nothing there", []int64{1}, nil, []int64{1}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			missing, extra := Diff(tc.want, tc.have)
			equal(t, "missing", missing, tc.missing)
			equal(t, "extra", extra, tc.extra)
		})
	}
}

func TestNewest(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		versions []int64
		want     int64
	}{{nil, 0}, {[]int64{3, 7, 2}, 7}, {[]int64{math.MaxInt64, 1}, math.MaxInt64}} {
		if got := Newest(tc.versions); got != tc.want {
			t.Errorf("Newest(%v) = %d, want %d", tc.versions, got, tc.want)
		}
	}
}

func TestLast(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		applied []int64
		n       int
		want    []int64
	}{
		{"the last applied, not the highest", []int64{1, 10, 5}, 2, []int64{5, 10}},
		{"all", []int64{1, 2}, 2, []int64{2, 1}},
		{"more than there are", []int64{1, 2}, 7, []int64{2, 1}},
		{"none", []int64{1, 2}, 0, nil},
		{"of nothing", nil, 3, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			applied := slices.Clone(tc.applied)
			equal(t, "Last", Last(applied, tc.n), tc.want)
			equal(t, "applied afterwards", applied, tc.applied)
		})
	}
}

func TestAbove(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		applied []int64
		version int64
		want    []int64
	}{
		{"newest as applied, not as numbered", []int64{1, 10, 5, 7}, 1, []int64{7, 5, 10}},
		{"what is below stays, whenever it was applied", []int64{10, 2, 11, 3}, 4, []int64{11, 10}},
		{"all", []int64{1, 2}, 0, []int64{2, 1}},
		{"a version that doesn't exist", []int64{1, 5}, 3, []int64{5}},
		{"none", []int64{1, 2}, 2, nil},
		{"the highest version", []int64{math.MaxInt64}, math.MaxInt64, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			applied := slices.Clone(tc.applied)
			equal(t, "Above", Above(applied, tc.version), tc.want)
			equal(t, "applied afterwards", applied, tc.applied)
		})
	}
}

func TestReapply(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name                        string
		before, after, undone, want []int64
	}{
		{"in the reverse of the order of undoing", []int64{1, 10, 5, 7}, []int64{1}, []int64{7, 5, 10}, []int64{10, 5, 7}},
		{"nothing was undone", []int64{1}, []int64{1}, nil, nil},
		{"one whose Down was rolled back after all", []int64{1, 2}, []int64{1}, []int64{2, 1}, []int64{2}},
		{"one that another runner applied again", []int64{1, 2, 3}, []int64{1, 3}, []int64{3, 2}, []int64{2}},
		{"one that another runner undid", []int64{1, 2, 3}, []int64{1}, []int64{3}, []int64{3}},
		{"one that was not there before", []int64{1}, []int64{1}, []int64{2}, nil},
		{"each once", []int64{1, 2}, nil, []int64{1, 2, 1}, []int64{1, 2}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			undone := slices.Clone(tc.undone)
			equal(t, "Reapply", reapply(tc.before, tc.after, undone), tc.want)
			equal(t, "undone afterwards", undone, tc.undone)
		})
	}
}
