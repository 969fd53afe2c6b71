package redact

import (
	"slices"
	"strings"

	"github.com/gooseplus/gooseplus/internal/lazy"
	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// Parts of patterns. A quote that a letter follows is not the end of a name, but of a string with a mistake in it.
const (
	gap      = `(?:\s|/\*.*?\*/|--[^\n]*\n)`
	single   = `'(?:[^'\\\n]|''|\\.)*'\B`
	double   = `"(?:[^"\n]|"")*"\B`
	name     = `(?:` + single + `|` + double + "|`[^`\n]*`|" + `[^\s'"` + "`" + `@;,=:()]+)`
	oneName  = name + `(?:\s*@\s*` + name + `)?`
	manyName = oneName + `(?:\s*,\s*` + oneName + `)*`
)

// account makes words of a pattern in which a space is a gap, " ?" perhaps one, and NAME, NAMES and VALUES stand for such.
func account(pattern string) words {
	word := pattern[:strings.IndexAny(pattern, ` (\`)]
	return words{strings.ToLower(word), lazy.Regexp(`^(?is:` + strings.NewReplacer(
		" ?", gap+`*`, " ", gap+`+`, "NAMES", manyName, "NAME", oneName, "VALUES", name+`(?:\s*,\s*`+name+`)*`).Replace(pattern) + `)`)}
}

// accountStatements are the beginnings of statements in which every string can be a password, whatever the word before it: that
// word can be mistyped. The names and the settings that belong to the beginning are none.
var accountStatements = []words{
	account(`CREATE USER MAPPING(?: IF NOT EXISTS)? FOR NAME(?: SERVER NAME)?`),
	account(`ALTER USER MAPPING(?: IF EXISTS)? FOR NAME(?: SERVER NAME)?`),
	account(`CREATE(?: OR REPLACE)? (?:ROLE|USER|GROUP|SERVER|SUBSCRIPTION|FOREIGN DATA WRAPPER)\b(?: ?IF NOT EXISTS\b)?(?: ?NAMES)?`),
	account(`ALTER (?:ROLE|USER|GROUP) NAME(?: IN DATABASE NAME)? SET ` + setting + `(?: ?=| TO\b) ?VALUES`),
	account(`ALTER (?:ROLE|USER|GROUP|SERVER|SUBSCRIPTION|FOREIGN DATA WRAPPER)\b(?: ?IF EXISTS\b)?(?: ?NAMES)?`),
	account(`SET (?:P[a-z]+ FOR\b(?: ?NAME)?|(?:PAS|PW)[a-z]*\b)`),
	account(`CHANGE (?:MASTER|REPLICATION)\b`),
	account(`GRANT `),
}

// setting is the name of a setting of a role, unless it could be a mistyped PASSWORD.
const setting = `"?(?:[^p\W]|p[^aw\W]|pa[^s\W])[\w.]*"?`

// harmless are strings in such statements that are no passwords: the names of accounts in a list, options, the end of a role, and
// what only PostgreSQL has in double quotes.
var harmless = lazy.Regexp(`^(?is:` + strings.Join([]string{
	`,\s*` + name + `\s*@\s*` + name,
	`[(,]\s*(?:(?:SET|ADD)\s+)?(?:host|port|dbname|user|slot_name)\s*=?\s*'[^'\s,;]*'\B`,
	`VALID\s+UNTIL\s+'[^'\n]*'\B`,
	`(?:IN\s+(?:ROLE|GROUP|DATABASE)|ADMIN|(?:ADD|DROP)\s+USER|(?:RENAME|OWNER)\s+TO|SERVER|WRAPPER|PUBLICATION|GRANTED\s+BY)\s+` + double + `(?:\s*,\s*` + double + `)*`,
}, "|") + `)`)

// grantees are those to whom something is granted. Passwords come behind them.
var grantees = account(`TO\b(?: ?NAMES)?`).pattern

// accounts finds what may be passwords because a statement about accounts or servers has it in quotes.
func accounts(t text) (found []span) {
	over := 0 // what is before has been searched
	for _, b := range beginnings(t) {
		if b.At < over {
			continue
		}
		for _, w := range accountStatements {
			if !strings.HasPrefix(t.lower[b.At:], w.word) {
				continue
			}
			if m := w.pattern().FindStringIndex(near(t.s[:b.End], b.At)); m != nil {
				var some []span
				some, over = stringsIn(t.s[:b.End], b.At+m[1], w.word == "grant")
				found = append(found, some...)
				break
			}
		}
	}
	return found
}

// beginnings are where the statements of a text begin, if one of them may be about accounts: quotes and comments are not the same
// for all servers.
func beginnings(t text) (list []sqltext.Begin) {
	if !slices.ContainsFunc(accountStatements, func(w words) bool { _, ok := t.find(w, 0, len(t.s)); return ok }) {
		return nil
	}
	list = sqltext.Quoting{Dollars: true}.Begins(t.s)
	if strings.ContainsAny(t.s, `\#`) {
		list = append(list, sqltext.Quoting{Dollars: true, Backslashes: true}.Begins(t.s)...)
		slices.SortStableFunc(list, func(a, b sqltext.Begin) int { return a.At - b.At })
	}
	return list
}

// longestOfLines is how long a password of several lines can be.
const longestOfLines = 4 << 10

// stringsIn finds the strings of a statement that goes on at a place, and where the statement ends. Before the grantees of a GRANT
// there are none.
func stringsIn(s string, at int, grant bool) (found []span, over int) {
	counts, lines := !grant, longestOfLines
	for i := at; i < len(s); {
		n := 1
		switch c := s[i]; {
		case c == ';':
			return found, i
		case c == '\'' || c == '"' || c == '$':
			start, end, ok := stringOf(s[i:], lines)
			if !ok {
				break
			}
			if counts {
				found = append(found, span{start: i + start, end: i + end, perhaps: true})
			}
			if n = end + start; strings.HasPrefix(s[i+end:], "\n") {
				lines = 0 // it isn't closed, nor is any that comes next
			}
		case c == '`' || c == '-' || c == '/' || c == '#':
			n = passed(s, i)
		case !counts && wordBegins(s, i):
			if end := grantees().FindStringIndex(near(s, i)); end != nil {
				counts, n = true, end[1]
			}
		case counts && (c == '(' || c == ',' || wordBegins(s, i)):
			n = max(1, len(harmless().FindString(near(s, i))))
		}
		i += n
	}
	return found, len(s)
}

// near is what is compared with a pattern: a regular expression is slow in a long text, even if it matches only at the beginning.
func near(s string, at int) string { return s[at:min(len(s), at+800)] }

func wordBegins(s string, i int) bool { return inName(s[i]) && (i == 0 || !inName(s[i-1])) }

// passed is the length of the name in backticks or of the comment at i. What isn't closed is none.
func passed(s string, i int) int {
	if s[i] == '#' && i > 0 && strings.IndexByte(space, s[i-1]) < 0 {
		return 1
	}
	n, closed := sqltext.Quoting{Dollars: true, Backslashes: s[i] == '#'}.Skip(s, i)
	if !closed || s[i] == '/' && !strings.HasSuffix(s[i:i+n], "*/") {
		return 1
	}
	return n
}
