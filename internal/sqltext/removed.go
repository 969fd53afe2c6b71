package sqltext

import (
	"slices"
	"strings"

	"github.com/gooseplus/gooseplus/internal/lazy"
)

// Removal is what a statement removes. The names are as the statement spells them.
type Removal struct {
	Kind   string // Schema, Extension or Type; "" for a table
	Name   string
	Column string // of a table, "" for the whole of it
}

// The kinds of what goes with all that depends on it, tables and columns among them.
const (
	Schema    = "schema"
	Extension = "extension"
	Type      = "type"
)

var kinds = map[string]string{"schema": Schema, "database": Schema, "extension": Extension, "type": Type, "domain": Type}

const (
	identifier = `(?:"(?:[^"]|"")+"|` + "`(?:[^`]|``)+`" + `|\[[^\]]+\]|[\pL\pN_][\pL\pN_$]*)`
	dottedName = identifier + `(?:\s*\.\s*` + identifier + `)*`
)

var (
	removing = wordsOf("drop")
	dropped  = lazy.Regexp(`(?i)\bdrop\s+(tables?|schema|database|extension|type|domain)\s+(?:if\s+exists\s+)?(` + dottedName + `(?:\s*,\s*` + dottedName + `)*)`)
	altered  = lazy.Regexp(`(?i)\balter\s+table\s+(?:if\s+exists\s+)?(?:only\s+)?(` + dottedName + `)([^;]*)`)
	without  = lazy.Regexp(`(?i)\bdrop\s+(column\s+)?(?:if\s+exists\s+)?(` + identifier + `)`)
	oneName  = lazy.Regexp(dottedName)
	// noColumn are the words that follow DROP in an ALTER TABLE where it removes something else.
	noColumn = []string{"index", "key", "constraint", "primary", "foreign", "check", "partition", "default", "not", "identity", "expression", "if"}
)

// Removals are what the statements of a text remove.
func Removals(text string) (list []Removal) {
	if !removing.in(text) {
		return nil
	}
	text = WithoutComments(text)
	for _, m := range dropped().FindAllStringSubmatch(text, -1) {
		for _, name := range oneName().FindAllString(m[2], -1) {
			list = append(list, Removal{Kind: kinds[strings.ToLower(m[1])], Name: name})
		}
	}
	for _, m := range altered().FindAllStringSubmatch(text, -1) {
		for _, c := range without().FindAllStringSubmatch(m[2], -1) {
			if c[1] != "" || !slices.Contains(noColumn, strings.ToLower(c[2])) {
				list = append(list, Removal{Name: m[1], Column: c[2]})
			}
		}
	}
	return list
}

// Renamed are the tables and the columns that the statements of a text give other names.
func Renamed(text string) (list []Removal) {
	if !renaming.in(text) {
		return nil
	}
	for _, r := range renames(WithoutComments(text)) {
		list = append(list, r.from)
	}
	return list
}

// Made are the tables and the columns that the statements of a text create, or give that name.
func Made(text string) (list []Removal) {
	text = WithoutComments(text)
	for _, m := range createdTable().FindAllStringSubmatch(text, -1) {
		list = append(list, Removal{Name: m[1]})
	}
	for _, m := range altered().FindAllStringSubmatch(text, -1) {
		for _, c := range addedColumn().FindAllStringSubmatch(m[2], -1) {
			list = append(list, Removal{Name: m[1], Column: c[1]})
		}
	}
	for _, r := range renames(text) {
		list = append(list, r.to)
	}
	return list
}

// rename is a table, or a column of one, that gets another name.
type rename struct{ from, to Removal }

// renames finds them in a text without comments.
func renames(text string) (list []rename) {
	for _, m := range altered().FindAllStringSubmatch(text, -1) {
		for _, to := range renamedTable().FindAllStringSubmatch(m[2], -1) {
			list = append(list, rename{Removal{Name: m[1]}, Removal{Name: to[1]}})
		}
		for _, c := range renamedColumn().FindAllStringSubmatch(m[2], -1) {
			if !slices.Contains(noRenamed, strings.ToLower(c[1])) {
				list = append(list, rename{Removal{Name: m[1], Column: c[1]}, Removal{Name: m[1], Column: c[2]}})
			}
		}
	}
	for _, m := range renamedTables().FindAllString(text, -1) {
		for _, pair := range renamedPair().FindAllStringSubmatch(m, -1) {
			list = append(list, rename{Removal{Name: pair[1]}, Removal{Name: pair[2]}})
		}
	}
	return list
}

var (
	createdTable  = lazy.Regexp(`(?i)\bcreate\s+(?:or\s+replace\s+)?table\s+(?:if\s+not\s+exists\s+)?(` + dottedName + `)`)
	addedColumn   = lazy.Regexp(`(?i)\badd\s+(?:column\s+)?(?:if\s+not\s+exists\s+)?(` + identifier + `)`)
	renaming      = wordsOf("rename change")
	renamedTable  = lazy.Regexp(`(?i)\brename\s+(?:to|as)\s+(` + dottedName + `)`)
	renamedColumn = lazy.Regexp(`(?i)\b(?:rename|change)\s+(?:column\s+)?(` + identifier + `)\s+(?:to\s+)?(` + identifier + `)`)
	renamedTables = lazy.Regexp(`(?i)\brename\s+table\s[^;]*`)
	renamedPair   = lazy.Regexp(`(?i)(` + dottedName + `)\s+to\s+(` + dottedName + `)`)
	// noRenamed are the words that follow RENAME in an ALTER TABLE where it renames something else.
	noRenamed = []string{"to", "as", "index", "key", "constraint"}
)

// MayKeep says whether a text may succeed although an object that it is to make is there already: it says so, or calls what may.
func MayKeep(text string) bool {
	return asking.in(text) || exists.in(text) && ifNotExists().MatchString(text)
}

var (
	exists      = wordsOf("exists")
	ifNotExists = lazy.Regexp(`(?i)\bif\s+not\s+exists\b`)
)
