package envfs

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// NearMissError says that an environment has no folder while one of nearly its name is there. A
// misspelt environment would otherwise boot without its migrations, and nobody would notice.
type NearMissError struct {
	Environment, DidYouMean, Base string
}

func (e *NearMissError) Error() string {
	return fmt.Sprintf("environment %q has no folder in %q: did you mean %q? (if not, add the folder %s, even an empty one)",
		e.Environment, e.Base, e.DidYouMean, path.Join(e.Base, e.Environment))
}

// nearMiss finds the folder that was probably meant by environment, or "". Folders that are
// environments of this run themselves are not what a misspelling hides.
func nearMiss(environment string, folders, environments []string) string {
	for _, folder := range folders {
		if !slices.Contains(environments, folder) && (nearly(environment, folder) || abbreviates(environment, folder)) {
			return folder
		}
	}
	return ""
}

// nearly tells a slip of the keyboard from another name. Names that differ in their digits (eu1,
// eu2) or in a short part (staging-eu, staging-us) are different on purpose.
func nearly(a, b string) bool {
	if digits(a) != digits(b) {
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

// abbreviates tells a word cut short (prod, production) from a name with another part (test,
// test-eu). A word of one or two letters is the beginning of too many others.
func abbreviates(environment, folder string) bool {
	environment, folder = fold(environment), fold(folder)
	rest, begins := strings.CutPrefix(folder, environment)
	word := environment[strings.LastIndex(environment, "-")+1:]
	return begins && utf8.RuneCountInString(word) >= 3 && letters(word) && letters(rest)
}

func letters(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsLetter(r) })
}

// slip allows one edit, two in a long word, none in one too short to tell.
func slip(a, b string) bool {
	x, y := []rune(a), []rune(b)
	limit := 1
	if min(len(x), len(y)) >= 8 {
		limit = 2
	}
	return min(len(x), len(y)) >= 3 && distance(x, y) <= limit
}

func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return r
		}
		return -1
	}, s)
}

func fold(s string) string { return strings.ReplaceAll(strings.ToLower(s), "_", "-") }

// distance is the optimal string alignment distance: insertions, deletions, substitutions and
// swaps of neighbours.
func distance(a, b []rune) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
