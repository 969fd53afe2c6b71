package catalog

import (
	"fmt"
	"slices"
	"strings"
)

// Change says what has happened to an object.
type Change int

const (
	Added Change = iota
	Removed
	Altered
)

// Difference is a difference between two catalogs.
type Difference struct {
	Change Change
	Object // as it is, or as it was if it was Removed
	Was    Object
}

// Diff returns the differences, sorted by key. Differences that follow from another are left out: those in the parts of an object
// that came or went, and those in a copy that also are in the original.
func Diff(before, after Catalog) []Difference {
	var list []Difference
	for key, o := range after {
		was, ok := before[key]
		switch {
		case !ok:
			list = append(list, Difference{Change: Added, Object: o})
		case was.Definition != o.Definition:
			list = append(list, Difference{Change: Altered, Object: o, Was: was})
		}
	}
	for key, o := range before {
		if _, ok := after[key]; !ok {
			list = append(list, Difference{Change: Removed, Object: o})
		}
	}
	changed := [3]map[string]bool{{}, {}, {}} // by Change
	touched := make(map[string]bool)
	for _, d := range list {
		changed[d.Change][d.Key()] = true
		if d.Change == Altered {
			touched[d.Key()] = true
		}
		if !d.Weak {
			touched[d.Of] = true
		}
	}
	list = slices.DeleteFunc(list, func(d Difference) bool {
		parent := changed[d.Change][d.Of]
		if d.Change == Altered {
			parent = changed[Added][d.Of] || changed[Removed][d.Was.Of]
		}
		return parent || changed[d.Change][d.CopyOf] || d.Weak && touched[d.Of]
	})
	slices.SortFunc(list, func(a, b Difference) int { return strings.Compare(a.Key(), b.Key()) })
	return list
}

// Leftover tells the difference between the catalogs before an Up and after its Down.
func (d Difference) Leftover() string {
	return d.told("%s is left behind", "%s is not put back", "%s is not as it was: before %q, now %q")
}

// Again tells the difference between the catalogs after the first Up and after the second.
func (d Difference) Again() string {
	return d.told("%s is there only the second time", "%s was there only the first time", "%s differs: first %q, then %q")
}

func (d Difference) told(added, removed, altered string) string {
	if d.Change == Altered {
		was, is := apart(d.Was.Definition, d.Definition)
		return fmt.Sprintf(altered, d.Key(), was, is)
	}
	if d.Change == Removed {
		added = removed
	}
	return fmt.Sprintf(added, d.Key()) + colon(d.Definition)
}

func colon(definition string) string {
	if definition == "" {
		return ""
	}
	return ": " + cut([]rune(oneLine(definition)), 0)
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// limit is how many characters of a definition a message has.
const limit = 300

// cut shortens a text for a message, and begins at a place in the text.
func cut(text []rune, from int) string {
	before, after := "", ""
	if from > 0 {
		before = "… "
	}
	text = text[min(from, len(text)):]
	if len(text) > limit {
		text, after = text[:limit], " …"
	}
	return before + string(text) + after
}

// apart shortens two texts for a message, around the place where they begin to differ. White space is shown only if there is no
// other difference.
func apart(a, b string) (string, string) {
	x, y := []rune(oneLine(a)), []rune(oneLine(b))
	if slices.Equal(x, y) {
		x, y = []rune(a), []rune(b)
	}
	same := 0
	for same < min(len(x), len(y)) && x[same] == y[same] {
		same++
	}
	const context = 50
	if same+context <= limit {
		return cut(x, 0), cut(y, 0)
	}
	return cut(x, same-context), cut(y, same-context)
}
