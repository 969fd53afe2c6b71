package redact

import (
	"regexp"
	"strings"
)

// quotedKey is a name of what is secret with a value after a colon or an arrow, as in JSON and hstore.
var (
	quotedKey   = regexp.MustCompile(`(?i)["']` + keyNames + `\\*["']$`)
	quotedValue = regexp.MustCompile(`^(?:\\+"(.*?)\\+"|"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.|'')*)'|([^\s,}\]\[{"'\\]+))`)
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
		name = quotedKey.FindString(name)
		if name == "" {
			continue
		}
		at += len(s[at:]) - len(strings.TrimLeft(strings.TrimPrefix(s[at:], ">"), space))
		value := quotedValue.FindStringSubmatchIndex(s[at:])
		for group := 2; group < len(value); group += 2 {
			if value[group] >= 0 {
				found = append(found, span{at + value[group], at + value[group+1], name, true})
			}
		}
	}
}

// clause comes before a password in SQL.
type clause struct {
	word    string // is in each text that the pattern matches
	pattern *regexp.Regexp
	// bare says that the password may not be in quotes, which is an error in most clauses, that the server quotes.
	bare bool
}

var clauses = []clause{
	{"pass", regexp.MustCompile(`(?i)(?:^|[^'"\w.])(?:\w*password|passphrase)\s*\(?\s*`), false},
	{"identified", regexp.MustCompile(`(?i)\bIDENTIFIED\b[^;]*?\bREPLACE\s+`), false},
	{"attach", regexp.MustCompile(`(?i)\bATTACH\b[^;]*?\bKEY\s+`), false},
	{"crypt", regexp.MustCompile(`(?i)\bcrypt\s*\(\s*`), false},
	{"identified", regexp.MustCompile(`(?i)\bIDENTIFIED\s+(?:(?:WITH|VIA)\s+\S+\s+)?(?:BY|AS|USING)\s+(?:PASSWORD\s*\(?\s*)?`), true},
	{"password", regexp.MustCompile(`(?i)\bSET\s+PASSWORD\s+(?:FOR\s+\S+\s*)?(?:=|TO\s)\s*(?:\w*PASSWORD\s*\(\s*)?`), true},
	{"password", regexp.MustCompile(`(?i)\b(?:CREATE|ALTER)\s+(?:ROLE|USER|GROUP)\b[^;]*?\bPASSWORD\s+`), true},
	{"pragma", regexp.MustCompile(`(?i)\bPRAGMA\s+(?:\w+\.)?(?:re|hex)?key\s*[=(]\s*`), true},
	{"bearer", regexp.MustCompile(`\bBearer\s+`), true},
}

var bareWord = regexp.MustCompile(`^[^\s;'"]+`)

// statements finds passwords in SQL.
func statements(s string, has func(words ...string) bool) (found []span) {
	for _, c := range clauses {
		if !has(c.word) {
			continue
		}
		for _, m := range c.pattern.FindAllStringIndex(s, -1) {
			at := m[1]
			if start, end, ok := literal(s[at:]); ok {
				found = append(found, span{start: at + start, end: at + end})
			} else if w := bareWord.FindString(s[at:]); c.bare && !strings.EqualFold(w, "NULL") && !strings.EqualFold(w, "RANDOM") {
				found = append(found, span{start: at, end: at + len(w)})
			}
		}
	}
	return found
}

var dollarTag = regexp.MustCompile(`^\$\w*\$`)

var wordFollows = regexp.MustCompile(`^[\pL\pN_]`)

// literal finds the content of the string that s begins with. One that isn't closed, since a server shows only the
// beginning of a statement, ends with the line.
func literal(s string) (start, end int, ok bool) {
	if tag := dollarTag.FindString(s); tag != "" {
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
			case !wordFollows.MatchString(s[i+1:]): // or the quote is part of a password, and not doubled
				return start, i, true
			}
		case '\n':
			return start, i, true
		}
	}
	return start, len(s), true
}

var (
	insert     = regexp.MustCompile(`(?i)\b(?:INSERT|REPLACE)\s+(?:\w+\s+)*?INTO\s+[^\s(]+\s*\(([^()]*)\)`)
	secretName = regexp.MustCompile(`(?i)^` + keyNames + `$`)
)

// inserts finds the values of the columns that are called like a secret.
func inserts(s string) (found []span) {
	for _, m := range insert.FindAllStringSubmatchIndex(s, -1) {
		secret := make(map[int]bool)
		for i, column := range strings.Split(s[m[2]:m[3]], ",") {
			if secretName.MatchString(strings.Trim(strings.TrimSpace(column), "\"`")) {
				secret[i] = true
			}
		}
		if len(secret) > 0 {
			found = append(found, rows(s, m[1], secret)...)
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
