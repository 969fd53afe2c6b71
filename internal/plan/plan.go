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

// WayBack returns what a run that recorded mine has to undo so that a database that was at before
// and is at after returns to before, newest first. It never names a version that was applied
// before the run, nor one that somebody else applied meanwhile.
func WayBack(before, after, mine []int64) []int64 {
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

// Diff compares two sets of versions: missing are those of want that have lacks, extra those of
// have that nobody wants. Both are in ascending order.
func Diff(want, have []int64) (missing, extra []int64) {
	return without(want, set(have)), without(have, set(want))
}

// Newest returns the highest version, or 0.
func Newest(versions []int64) int64 {
	var newest int64
	for _, v := range versions {
		newest = max(newest, v)
	}
	return newest
}

func without(versions []int64, drop map[int64]bool) []int64 {
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
