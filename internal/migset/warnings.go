package migset

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gooseplus/gooseplus/internal/envfs"
)

// findWarnings returns what is no fault in the folders, but probably unintended.
func findWarnings(s *Set) (list []string) {
	warn := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	for _, environment := range s.Files.Missing {
		warn("environment %q has no folder %s: it counts as empty", environment, s.Files.Folders[environment])
	}
	for _, path := range s.Files.Ignored {
		warn("%s is ignored: %s", path, namingRule)
	}
	for _, path := range s.Files.Stray {
		warn("%s is ignored: migrations are not read from its folder", path)
	}
	list = append(list, s.Files.Odd...)
	if c, uncovered := s.Checkpoints.unused(s.Versions()); len(uncovered) > 0 {
		warn("%s is not used, because it doesn't cover versions %v: write a checkpoint for these environments (gooseplus checkpoint)", c.Source, uncovered)
	}
	if len(s.List) == 0 {
		warn("there are no migrations at all")
	}
	if gaps := gaps(s.Versions(), s.Files); len(gaps) > 0 {
		warn("the numbering has a gap: there is no version %s", strings.Join(gaps, ", "))
	}
	return list
}

// sequentialBelow is the limit of counted versions. Versions from there on are dates and times.
const sequentialBelow = 10_000_000

// gaps returns the versions that are missing where versions are numbered one by one. A version in the folder of another
// environment is not missing. The other folders are listed only if there is a gap.
func gaps(present []int64, files *envfs.Overlay) []string {
	present = slices.DeleteFunc(present, func(v int64) bool { return v < 1 || v >= sequentialBelow })
	present = slices.Compact(present)
	if len(present) == 0 || present[len(present)-1]-present[0] == int64(len(present)-1) {
		return nil
	}
	lowest, highest := present[0], present[len(present)-1]
	present = append(present, slices.DeleteFunc(files.Elsewhere(), func(v int64) bool { return v < lowest || v > highest })...)
	slices.Sort(present)
	return holes(slices.Compact(present))
}

// holes returns what is missing between the sorted numbers, unless they seem to have been given in larger steps, such as
// 10, 20, 30.
func holes(present []int64) (list []string) {
	steps, missing := 0, int64(0)
	for i := 1; i < len(present); i++ {
		before, after := present[i-1], present[i]
		switch after - before {
		case 1:
			steps++
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
