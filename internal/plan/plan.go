// Package plan decides which versions a run applies and which it takes back. Its functions are pure: they see sets of
// versions and no database.
//
// Applied versions are in the order in which they were applied, oldest first. Known versions are in ascending order.
package plan

import "slices"

// Pending returns the known versions up to and including target that are not applied, lowest first, which is the order to
// apply them in.
func Pending(known, applied []int64, target int64) []int64 {
	if slices.Equal(known, applied) {
		return nil
	}
	have := set(applied)
	return ascending(pick(known, func(v int64) bool { return v <= target && !have[v] }))
}

// Late returns the pending versions that are lower than the newest applied one.
func Late(pending, applied []int64) []int64 {
	newest := Newest(applied)
	return pick(pending, func(v int64) bool { return v < newest })
}

// Last returns the n versions that were applied last, newest first, which is the order to undo them in. It returns all of
// them if there are fewer.
func Last(applied []int64, n int) []int64 {
	return reversed(applied[max(0, len(applied)-n):])
}

// Above returns the applied versions that are higher than version, newest first as they were applied, which is the order
// to undo them in.
func Above(applied []int64, version int64) []int64 {
	return pick(reversed(applied), func(v int64) bool { return v > version })
}

// wayBack returns the versions that a run which recorded mine has to undo so that a database that was at before and is at
// after returns to before, newest first. It never names a version that was applied before the run, nor one that another
// runner applied meanwhile.
func wayBack(before, after, mine []int64) []int64 {
	was, own := set(before), set(mine)
	return pick(reversed(after), func(v int64) bool {
		back := own[v] && !was[v]
		own[v] = false // a version once
		return back
	})
}

// reapply returns the versions that a run which took back undone has to apply again, the last one first. undone is in the
// order in which they were undone. It never names a version that wasn't applied before the run, nor one that is applied
// now.
func reapply(before, after, undone []int64) []int64 {
	was, is := set(before), set(after)
	return pick(reversed(undone), func(v int64) bool {
		again := was[v] && !is[v]
		is[v] = true // a version once
		return again
	})
}

// Diff compares two sets of versions: missing are the wanted versions that have lacks, extra are the versions in have that
// nobody wants. Both are in ascending order.
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
	if slices.Equal(versions, others) {
		return nil
	}
	drop := set(others)
	return ascending(pick(versions, func(v int64) bool { return !drop[v] }))
}

// pick returns the versions for which is returns true, in their order.
func pick(versions []int64, is func(int64) bool) (picked []int64) {
	for _, v := range versions {
		if is(v) {
			picked = append(picked, v)
		}
	}
	return picked
}

func reversed(versions []int64) []int64 {
	versions = slices.Clone(versions)
	slices.Reverse(versions)
	return versions
}

// ascending sorts the versions in place, each once.
func ascending(versions []int64) []int64 {
	slices.Sort(versions)
	return slices.Compact(versions)
}

func set(versions []int64) map[int64]bool {
	s := make(map[int64]bool, len(versions))
	for _, v := range versions {
		s[v] = true
	}
	return s
}
