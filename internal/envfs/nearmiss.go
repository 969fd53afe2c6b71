package envfs

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// NearMissError says that an environment has no folder, beside a folder with a similar name. Otherwise a service with a
// misspelt environment would boot without its migrations, and nobody would notice.
type NearMissError struct {
	Environment, DidYouMean, Base string
}

func (e *NearMissError) Error() string {
	return fmt.Sprintf("environment %q has no folder in %q: did you mean %q? (if not, add the folder %s, even an empty one)",
		e.Environment, e.Base, e.DidYouMean, path.Join(e.Base, e.Environment))
}

// nearMiss returns the folder that was probably meant by environment, or "". A misspelling doesn't hide a folder that is
// an environment of this run itself.
func nearMiss(environment string, folders, environments []string) string {
	for _, folder := range folders {
		if !slices.Contains(environments, folder) && (nearly(environment, folder) || abbreviates(environment, folder)) {
			return folder
		}
	}
	return ""
}

// nearly says whether two names differ by a slip of the keyboard. Names that differ in their digits (eu1, eu2) or in a
// short part (staging-eu, staging-us) are different on purpose.
func nearly(a, b string) bool {
	if only(unicode.IsDigit, a) != only(unicode.IsDigit, b) {
		return false
	}
	a, b = fold(a), fold(b)
	if a == b {
		return true
	}
	x, y := strings.Split(a, "-"), strings.Split(b, "-")
	if len(x) == len(y) {
		for i := range x {
			if x[i] != y[i] && !slip(x[i], y[i]) {
				return false
			}
		}
	}
	return slip(a, b)
}

// abbreviates says whether environment is a word cut short (prod, production), and not a name without a part (test,
// test-eu). Too many words begin with the same one or two letters.
func abbreviates(environment, folder string) bool {
	environment, folder = fold(environment), fold(folder)
	rest, begins := strings.CutPrefix(folder, environment)
	word := environment[strings.LastIndex(environment, "-")+1:]
	return begins && utf8.RuneCountInString(word) >= 3 && only(unicode.IsLetter, word+rest) == word+rest
}

// only returns the characters of s for which is returns true.
func only(is func(rune) bool, s string) string {
	return strings.Map(func(r rune) rune {
		if is(r) {
			return r
		}
		return -1
	}, s)
}

func fold(s string) string { return strings.ReplaceAll(strings.ToLower(s), "_", "-") }

// slip allows one edit, two in a long word, none in one too short to tell.
func slip(a, b string) bool {
	x, y := []rune(a), []rune(b)
	edits := 1
	if min(len(x), len(y)) >= 8 {
		edits = 2
	}
	return min(len(x), len(y)) >= 3 && within(edits, x, y)
}

// within says whether so many edits make b of a: insertions, deletions, substitutions and swaps of neighbours.
func within(edits int, a, b []rune) bool {
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	if len(a)+len(b) == 0 || edits == 0 {
		return len(a)+len(b) == 0
	}
	edits--
	return len(a) > 0 && within(edits, a[1:], b) ||
		len(b) > 0 && within(edits, a, b[1:]) ||
		len(a) > 0 && len(b) > 0 && within(edits, a[1:], b[1:]) ||
		len(a) > 1 && len(b) > 1 && a[0] == b[1] && a[1] == b[0] && within(edits, a[2:], b[2:])
}
