package migset

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Mistyped refuses a version that is neither known nor applied, nor between two versions of its kind. A run to such a
// version would do nothing, or undo everything.
func Mistyped(version int64, known, applied []int64) error {
	all, exists := look(version, known, applied)
	same := slices.DeleteFunc(slices.Clone(all), func(v int64) bool { return kind(v) != kind(version) })
	if exists || len(same) > 0 && same[0] < version && version < same[len(same)-1] {
		return nil
	}
	return notThere(version, all)
}

// UnknownVersion refuses every version that is neither known nor applied.
func UnknownVersion(version int64, known, applied []int64) error {
	if all, exists := look(version, known, applied); !exists {
		return notThere(version, all)
	}
	return nil
}

// look returns all versions in ascending order, and whether the given one is among them, or 0.
func look(version int64, known, applied []int64) (all []int64, exists bool) {
	all = slices.Concat(known, applied)
	slices.Sort(all)
	all = slices.Compact(all)
	_, exists = slices.BinarySearch(all, version)
	return all, exists || version == 0
}

// kind is 0 for versions that are counted, and the number of digits for time stamps.
func kind(version int64) int {
	if version < sequentialBelow {
		return 0
	}
	return len(fmt.Sprint(version))
}

// notThere is the error of a version that doesn't exist. It names the nearest of all versions, which are in ascending order.
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

// sameTime reads version as a time stamp, and returns the time stamp of the same time with the given number of digits; 0 if
// version is none.
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
