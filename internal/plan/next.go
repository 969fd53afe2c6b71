package plan

import "slices"

// Next is the first of the planned versions that a run has not dealt with, 0 if there is none: a version of its starting
// point is to be undone, and any other one to be applied. first says that it is the first of them all.
func Next(start, planned, applied []int64) (version int64, first bool) {
	for i, v := range planned {
		if slices.Contains(start, v) == slices.Contains(applied, v) {
			return v, i == 0
		}
	}
	return 0, false
}
