package migset

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Mistyped refuses a version that is neither known nor applied, nor between two versions of its kind. It would mean
// nothing at all, or the undoing of everything.
func Mistyped(version int64, known, applied []int64) error {
	all := union(known, applied)
	if _, exists := slices.BinarySearch(all, version); exists || version == 0 {
		return nil
	}
	var same []int64
	for _, v := range all {
		if kind(v) == kind(version) {
			same = append(same, v)
		}
	}
	if len(same) > 0 && same[0] < version && version < same[len(same)-1] {
		return nil
	}
	return notThere(version, all)
}

// UnknownVersion refuses every version that is neither known nor applied.
func UnknownVersion(version int64, known, applied []int64) error {
	all := union(known, applied)
	if _, exists := slices.BinarySearch(all, version); exists || version == 0 {
		return nil
	}
	return notThere(version, all)
}

func union(known, applied []int64) []int64 {
	all := slices.Concat(known, applied)
	slices.Sort(all)
	return slices.Compact(all)
}

// kind tells versions that are counted, for which it is 0, from time stamps, for which it is the number of digits.
func kind(version int64) int {
	if version < sequentialBelow {
		return 0
	}
	return len(fmt.Sprint(version))
}

// notThere says of a version that doesn't exist which others do, of all in ascending order.
func notThere(version int64, all []int64) error {
	text := fmt.Sprintf("version %d doesn't exist", version)
	if len(all) == 0 {
		return errors.New(text + ": there are no migrations. Nothing was touched")
	}
	near := version
	if meant, date := sameTime(version, kind(all[len(all)-1])); meant != 0 {
		text += fmt.Sprintf(" (did you mean %d, the date %s?)", meant, date)
		near = meant
	}
	switch at, _ := slices.BinarySearch(all, near); at {
	case len(all):
		text += fmt.Sprintf(": the newest is %d", all[at-1])
	case 0:
		text += fmt.Sprintf(": the lowest is %d, and 0 is before it", all[0])
	default:
		text += fmt.Sprintf(": the nearest are %d and %d", all[at-1], all[at])
	}
	return errors.New(text + ". Nothing was touched")
}

// stamps are the layouts of time stamps.
var stamps = []string{"20060102", "200601021504", "20060102150405"}

// sameTime is the time stamp of so many digits for the time that version is a time stamp of, 0 if it is none.
func sameTime(version int64, digits int) (meant int64, date string) {
	text := fmt.Sprint(version)
	for _, layout := range stamps {
		at, err := time.Parse(layout, text)
		if err != nil || at.Year() < 1970 || at.Year() > 2200 || digits == len(text) {
			continue
		}
		for _, other := range stamps {
			if len(other) == digits {
				_, _ = fmt.Sscan(at.Format(other), &meant)
				return meant, at.Format(time.DateOnly)
			}
		}
	}
	return 0, ""
}
