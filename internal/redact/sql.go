package redact

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gooseplus/gooseplus/internal/lazy"
)

// quotedKey is a name of what is secret with a value after a colon or an arrow, as in JSON and hstore.
var (
	quotedKey   = lazy.Regexp(`(?i)["']` + keyNames + `\\*["']$`)
	quotedValue = lazy.Regexp(`^(?:\\+"(.*?)\\+"|"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.|'')*)'|([^\s,}\]\[{"'\\]+))`)
)

func quotedKeys(s string) (found []span) {
	for at := 0; ; {
		i := strings.IndexAny(s[at:], ":=")
		if i < 0 {
			return found
		}
		name := strings.TrimRight(s[max(at, at+i-100):at+i], space)
		arrow := s[at+i] == '='
		at += i + 1
		if name == "" || name[len(name)-1] != '"' && name[len(name)-1] != '\'' || arrow && !strings.HasPrefix(s[at:], ">") {
			continue
		}
		name = quotedKey().FindString(name)
		if name == "" {
			continue
		}
		at += len(s[at:]) - len(strings.TrimLeft(strings.TrimPrefix(s[at:], ">"), space))
		value := quotedValue().FindStringSubmatchIndex(s[at:])
		for group := 2; group < len(value); group += 2 {
			if value[group] >= 0 {
				found = append(found, span{start: at + value[group], end: at + value[group+1], rest: name, dsn: true})
			}
		}
	}
}

// words is what a part of a clause begins with: a word in lower case, and the pattern from there on. Only the places where the
// word is are compared with the pattern: a statement can have megabytes.
type words struct {
	word    string
	pattern func() *regexp.Regexp
}

func begin(word, pattern string) words {
	return words{word, lazy.Regexp(`^(?i:` + pattern + `)`)}
}

// clause comes before a password in SQL.
type clause struct {
	begin words
	// then comes somewhere behind begin in the same statement, unless it has no word.
	then words
	// bare says that the password may not be in quotes, which is an error in most clauses, that the server quotes.
	bare bool
}

var thenPassword = begin("password", `PASSWORD\s+`)

var clauses = []clause{
	{begin("identified", `IDENTIFIED\b`), begin("replace", `REPLACE\s+`), false},
	{begin("attach", `ATTACH\b`), begin("key", `KEY\s+`), false},
	{begin("crypt", `crypt\s*\(\s*`), words{}, false},
	{begin("identified", `IDENTIFIED\s+(?:(?:WITH|VIA)\s+\S+\s+)?(?:BY|AS|USING)\s+(?:PASSWORD\s*\(?\s*)?`), words{}, true},
	{begin("set", `SET\s+PASSWORD\s+(?:FOR\s+\S+\s*)?(?:=|TO\s)\s*(?:\w*PASSWORD\s*\(\s*)?`), words{}, true},
	{begin("create", `CREATE\s+(?:ROLE|USER|GROUP)\b`), thenPassword, true},
	{begin("alter", `ALTER\s+(?:ROLE|USER|GROUP)\b`), thenPassword, true},
	{begin("pragma", `PRAGMA\s+(?:\w+\.)?(?:re|hex)?key\s*[=(]\s*`), words{}, true},
	{words{"bearer", lazy.Regexp(`^Bearer\s+`)}, words{}, true},
}

// ends are the ends of the clauses of a kind.
func (c clause) ends(t text) (list []int) {
	over := 0 // where the statement at hand ends
	for at := 0; ; {
		end, ok := t.find(c.begin, at, len(t.s))
		if !ok {
			return list
		}
		at = end
		if c.then.word != "" {
			if over < at {
				if n := strings.IndexByte(t.s[at:], ';'); n >= 0 {
					over = at + n
				} else {
					over = len(t.s)
				}
			}
			if end, ok = t.find(c.then, at, over); !ok {
				at = over
				continue
			}
			at = end
		}
		list = append(list, at)
	}
}

// find finds the first words that begin in s[from:to], and where they end.
func (t text) find(w words, from, to int) (end int, ok bool) {
	for i := range t.places(w.word, from, to) {
		if i > 0 && inName(t.s[i-1]) {
			continue
		}
		if m := w.pattern().FindStringIndex(t.s[i:]); m != nil {
			return i + m[1], true
		}
	}
	return 0, false
}

// names are the ends of the names that end with password, with what can be between a name and its value.
func names(t text) (list []int) {
	for _, word := range []string{"password", "passphrase"} {
		for i := range t.places(word, 0, len(t.s)) {
			start := i
			for word == "password" && start > 0 && i-start < mostName && inName(t.s[start-1]) {
				start--
			}
			if start > 0 && (inName(t.s[start-1]) && i-start < mostName || strings.IndexByte(`'".`, t.s[start-1]) >= 0) {
				continue
			}
			rest := strings.TrimLeft(t.s[i+len(word):], space)
			list = append(list, len(t.s)-len(strings.TrimLeft(strings.TrimPrefix(rest, "("), space)))
		}
	}
	return list
}

// mostName is how long a name can be.
const mostName = 100

func inName(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// bareWord is the word that s begins with.
func bareWord(s string) string {
	if i := strings.IndexAny(s, space+`;'"`); i >= 0 {
		return s[:i]
	}
	return s
}

// statements finds passwords in SQL.
func statements(t text) (found []span) {
	for _, at := range names(t) {
		if start, end, ok := literal(t.s[at:]); ok {
			found = append(found, span{start: at + start, end: at + end})
		}
	}
	for _, c := range clauses {
		for _, at := range c.ends(t) {
			if start, end, ok := literal(t.s[at:]); ok {
				found = append(found, span{start: at + start, end: at + end})
			} else if w := bareWord(t.s[at:]); c.bare && !strings.EqualFold(w, "NULL") && !strings.EqualFold(w, "RANDOM") {
				found = append(found, span{start: at, end: at + len(w)})
			}
		}
	}
	return append(found, accounts(t)...)
}

var dollarTag = lazy.Regexp(`^\$\w*\$`)

// literal finds the content of the string that s begins with. A string that isn't closed ends with the line: a server
// shows only the beginning of a statement.
func literal(s string) (start, end int, ok bool) { return stringOf(s, 0) }

// stringOf is literal for a string that may have several lines in a number of bytes, if it is closed there.
func stringOf(s string, lines int) (start, end int, ok bool) {
	if strings.HasPrefix(s, "$") {
		tag := dollarTag().FindString(s)
		if tag == "" {
			return 0, 0, false
		}
		if n := strings.Index(s[len(tag):], tag); n >= 0 {
			return len(tag), len(tag) + n, true
		}
		return len(tag), len(s), true
	}
	for _, prefix := range []string{"E", "e", "N", "n", "U&", "u&", ""} {
		if strings.HasPrefix(s, prefix+"'") {
			start = len(prefix) + 1
			break
		}
	}
	if start == 0 && strings.HasPrefix(s, `"`) {
		start = 1
	}
	if start == 0 {
		return 0, 0, false
	}
	quote := s[start-1]
	for i := start; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case quote:
			switch {
			case i+1 < len(s) && s[i+1] == quote:
				i++
			case !wordFollows(s[i+1:]): // or the quote is part of a password, and not doubled
				return start, i, true
			}
		case '\n':
			if lines == 0 {
				return start, i, true
			}
			if i > lines {
				return stringOf(s, 0)
			}
		}
	}
	if lines > 0 {
		return stringOf(s, 0)
	}
	return start, len(s), true
}

func wordFollows(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r)
}

var (
	insert     = lazy.Regexp(`^(?i:INSERT|REPLACE)\s+(?:\w+\s+){0,8}?(?i:INTO)\s+[^\s(]+\s*\(([^()]*)\)`)
	secretName = lazy.Regexp(`(?i)^` + keyNames + `$`)
)

// inserts finds the values of the columns that are called like a secret.
func inserts(t text) (found []span) {
	for _, word := range []string{"insert", "replace"} {
		for i := range t.places(word, 0, len(t.s)) {
			if i > 0 && inName(t.s[i-1]) {
				continue
			}
			m := insert().FindStringSubmatchIndex(t.s[i:])
			if m == nil {
				continue
			}
			secret := make(map[int]bool)
			column := 0
			for name := range strings.SplitSeq(t.s[i+m[2]:i+m[3]], ",") {
				if secretName().MatchString(strings.Trim(strings.TrimSpace(name), "\"`")) {
					secret[column] = true
				}
				column++
			}
			if len(secret) > 0 {
				found = append(found, rows(t.s, i+m[1], secret)...)
			}
		}
	}
	return found
}

// rows finds the strings in some columns of the rows in parentheses that begin somewhere in a statement.
func rows(s string, at int, columns map[int]bool) (found []span) {
	depth, column := 0, 0
	for i := at; i < len(s); i++ {
		switch s[i] {
		case '(':
			if depth++; depth == 1 {
				column = 0
			}
		case ')':
			depth--
		case ',':
			if depth == 1 {
				column++
			}
		case ';':
			return found
		case '\'', '"', '$':
			start, end, ok := literal(s[i:])
			if !ok {
				continue
			}
			if depth > 0 && columns[column] {
				found = append(found, span{start: i + start, end: i + end})
			}
			i += end
		}
	}
	return found
}
