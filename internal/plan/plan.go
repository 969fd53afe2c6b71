// Package plan decides which versions a run applies and which it takes back. Its functions are
// pure: they see sets of versions and no database.
//
// Applied versions are always in the order in which they were applied, oldest first; known ones
// are in ascending order.
package plan

import "slices"

// Pending returns the known versions up to and including target that are not applied, lowest
// first, which is the order to apply them in.
func Pending(known, applied []int64, target int64) []int64 {
	if slices.Equal(known, applied) {
		return nil
	}
	have := set(applied)
	var pending []int64
	for _, v := range known {
		if v <= target && !have[v] {
			pending = append(pending, v)
		}
	}
	slices.Sort(pending)
	return slices.Compact(pending)
}

// Late returns those of the pending versions that are lower than the newest applied one.
func Late(pending, applied []int64) []int64 {
	newest := Newest(applied)
	var late []int64
	for _, v := range pending {
		if v < newest {
			late = append(late, v)
		}
	}
	return late
}

// Last returns the n versions that were applied last, newest first, which is the order to undo them
// in; all of them if there are fewer.
func Last(applied []int64, n int) []int64 {
	last := slices.Clone(applied[max(0, len(applied)-n):])
	slices.Reverse(last)
	return last
}

// Above returns the applied versions that are higher than version, newest first as they were
// applied, which is the order to undo them in.
func Above(applied []int64, version int64) []int64 {
	var above []int64
	for _, v := range slices.Backward(applied) {
		if v > version {
			above = append(above, v)
		}
	}
	return above
}

// wayBack returns what a run that recorded mine has to undo so that a database that was at before
// and is at after returns to before, newest first. It never names a version that was applied
// before the run, nor one that somebody else applied meanwhile.
func wayBack(before, after, mine []int64) []int64 {
	was, own := set(before), set(mine)
	var back []int64
	for _, v := range slices.Backward(after) {
		if own[v] && !was[v] {
			back = append(back, v)
			own[v] = false
		}
	}
	return back
}

// reapply is wayBack's other half, for a run that took versions back: of undone, in the order in
// which they were undone, it returns what has to be applied again, the last one first. It never
// names a version that wasn't applied before the run, nor one that is applied now.
func reapply(before, after, undone []int64) []int64 {
	was, is := set(before), set(after)
	var again []int64
	for _, v := range slices.Backward(undone) {
		if was[v] && !is[v] {
			again = append(again, v)
			is[v] = true
		}
	}
	return again
}

// Diff compares two sets of versions: missing are those of want that have lacks, extra those of
// have that nobody wants. Both are in ascending order.
func Diff(want, have []int64) (missing, extra []int64) {
	return without(want, have), without(have, want)
}

// Newest returns the highest version, or 0.
func Newest(versions []int64) int64 {
	var newest int64
	for _, v := range versions {
		newest = max(newest, v)
	}
	return newest
}

func without(versions, others []int64) []int64 {
	if len(versions) == 0 || slices.Equal(versions, others) {
		return nil
	}
	drop := set(others)
	var out []int64
	for _, v := range versions {
		if !drop[v] {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func set(versions []int64) map[int64]bool {
	s := make(map[int64]bool, len(versions))
	for _, v := range versions {
		s[v] = true
	}
	return s
}
