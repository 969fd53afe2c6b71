package migset

import (
	"fmt"
	"slices"
	"strings"
)

// findWarnings returns what the folders have that is no fault, but rather not meant.
func (s *Set) findWarnings() (list []string) {
	for _, environment := range s.Files.Missing {
		list = append(list, fmt.Sprintf("environment %q has no folder %s: it counts as empty",
			environment, s.Files.Folders[environment]))
	}
	for _, path := range s.Files.Ignored {
		list = append(list, fmt.Sprintf("%s is ignored: %s", path, namingRule))
	}
	for _, path := range s.Files.Stray {
		list = append(list, fmt.Sprintf("%s is ignored: it is in none of the folders that migrations are read from", path))
	}
	list = append(list, s.Files.Odd...)
	if len(s.List) == 0 {
		list = append(list, "there are no migrations at all")
	}
	if gaps := s.gaps(); len(gaps) > 0 {
		list = append(list, fmt.Sprintf("the numbering has a gap: there is no version %s", strings.Join(gaps, ", ")))
	}
	return list
}

// sequentialBelow is beyond what anybody counts to; versions from there on are dates and times.
const sequentialBelow = 10_000_000

// gaps returns the versions that are missing where versions are numbered one by one. Those in the folder
// of another environment are not missing; they are looked for only if there is a gap.
func (s *Set) gaps() []string {
	var present []int64
	for _, m := range s.List {
		if m.Version > 0 && m.Version < sequentialBelow {
			present = append(present, m.Version)
		}
	}
	if present = slices.Compact(present); len(present) == 0 {
		return nil
	}
	lowest, highest := present[0], present[len(present)-1]
	if highest-lowest == int64(len(present)-1) {
		return nil
	}
	for _, v := range s.Files.Elsewhere() {
		if v > lowest && v < highest {
			present = append(present, v)
		}
	}
	slices.Sort(present)
	return holes(slices.Compact(present))
}

// holes returns what is missing between the sorted numbers, unless these seem to have been given in larger
// steps, such as 10, 20, 30.
func holes(present []int64) (list []string) {
	steps, missing := 0, int64(0)
	for i := 1; i < len(present); i++ {
		before, after := present[i-1], present[i]
		switch after - before {
		case 1:
			steps++
			continue
		case 2:
			list = append(list, fmt.Sprint(before+1))
		default:
			list = append(list, fmt.Sprintf("%d to %d", before+1, after-1))
		}
		missing += after - before - 1
	}
	if len(list) > steps && missing >= int64(len(present)) {
		return nil
	}
	return list
}
