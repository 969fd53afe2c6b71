// Package redact removes passwords from texts: errors in which a driver quotes the DSN that it could not parse, and
// SQL statements that failed. A DSN that could not be parsed often has the cause in its password, so where a text can
// be read in two ways, the longer password counts.
package redact

import (
	"iter"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const hidden = "xxxxx"

// span is a password in a text.
type span struct {
	start, end int
	rest       string // of the DSN that the password is part of
	dsn        bool   // a driver can quote fractions of it elsewhere in the text
	perhaps    bool   // only its place says that it may be a password
}

// Text returns s with every password that it recognises replaced by xxxxx.
func Text(s string) string {
	if !strings.ContainsAny(s, ":=@'\"($ ") { // such as the name of a tenant
		return s
	}
	return mask(s, findAll(s))
}

// findAll finds the passwords in a text, and the parts of them that a driver quotes elsewhere in the text.
func findAll(s string) []span {
	found := find(s)
	if len(s) <= mostTraced {
		for _, f := range slices.Clone(found) {
			if f.dsn {
				found = append(found, traces(s, s[f.start:f.end], f.rest)...)
			}
		}
	}
	return found
}

// mostTraced is the length of a text that is searched for fractions of the passwords in itself. Longer ones are
// statements, not the errors of drivers.
const mostTraced = 16 << 10

// Secrets are the passwords in a text.
type Secrets struct {
	text    string // the text without them
	secrets []string
}

// In finds the passwords in a DSN or in a SQL statement.
func In(source string) Secrets {
	found := find(source)
	s := Secrets{text: mask(source, found)}
	sure, perhaps := make(map[int]bool), 0
	for _, f := range found {
		sure[f.start] = sure[f.start] || !f.perhaps
	}
	for _, f := range found {
		if f.perhaps && !sure[f.start] {
			if perhaps++; perhaps > mostPerhaps || f.end-f.start < shortestPerhaps {
				continue
			}
		}
		s.secrets = append(s.secrets, source[f.start:f.end])
	}
	return s
}

// Of the strings that may be passwords, the first ones are hidden in other texts, if they are as long as passwords: what is
// hidden for no reason may be what tells the cause of an error.
const (
	mostPerhaps     = 20
	shortestPerhaps = 6
)

// Text is the text without the passwords, as the function Text returns it.
func (s Secrets) Text() string { return s.text }

// Hide is Text for an error that is about the source: it hides the source's passwords too, and every three characters of
// them. All of that is looked for in the text as it is: what is hidden first could have been what tells the rest.
func (s Secrets) Hide(text string) string {
	found := findAll(text)
	for _, secret := range s.secrets {
		found = append(found, traces(text, secret, s.text)...)
	}
	return mask(text, found)
}

// text is what passwords are looked for in, once as it is and once in lower case.
type text struct{ s, lower string }

func newText(s string) text {
	lower := []byte(s)
	for i, c := range lower {
		if 'A' <= c && c <= 'Z' {
			lower[i] = c + 'a' - 'A'
		}
	}
	return text{s, string(lower)}
}

func (t text) has(words ...string) bool {
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(t.lower, word) })
}

// places are where a word is in a part of the text, in capitals or not.
func (t text) places(word string, from, to int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for at := from; at < to; at++ {
			n := strings.Index(t.lower[at:to], word)
			if n < 0 {
				return
			}
			if at += n; !yield(at) {
				return
			}
		}
	}
}

// find finds passwords. Each search looks first for what the text has to have: a statement can have megabytes.
func find(s string) []span {
	t := newText(s)
	found := slices.Concat(statements(t), remains(s))
	if t.has("@", "://") {
		found = append(found, userinfos(s)...)
	}
	if t.has("pass", "pwd", "token", "secret", "key") {
		found = slices.Concat(found, values(s), quotedKeys(s), queryKeys(s))
	}
	if t.has("pass", "pwd", "token", "secret", "api", "private", "encryption") {
		found = append(found, inserts(t)...)
	}
	return found
}

// mask replaces spans, which may overlap.
func mask(s string, found []span) string {
	slices.SortFunc(found, func(a, b span) int { return a.start - b.start })
	var b strings.Builder
	at := 0
	for i := 0; i < len(found); {
		start, end := found[i].start, found[i].end
		for i++; i < len(found) && found[i].start < end; i++ {
			end = max(end, found[i].end)
		}
		for start < end && s[start] == ' ' { // the space before a secret tells nothing
			start++
		}
		if start < end {
			b.WriteString(s[at:start])
			b.WriteString(hidden)
			at = end
		}
	}
	b.WriteString(s[at:])
	return b.String()
}

// shortest is how long a part of a password has to be to be told from the words around it.
const shortest = 3

// traces finds a secret in s and every part of it that has three characters, as drivers quote them: "invalid port", "no such
// host". Parts that are in the rest of the secret's source too, such as the name of a user whose password it is, are not
// hidden. A word with such a part is hidden as a whole.
func traces(s, secret, rest string) (found []span) {
	secret = strings.Trim(secret, " \t\r\n'\"")
	if len(strings.Trim(secret, "x")) < shortest { // a single letter, or hidden already
		return nil
	}
	parts := make(map[string]bool) // false: it is in the rest
	for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret), strings.Trim(strconv.Quote(secret), `"`)} {
		for i := 0; i+shortest <= len(form); i++ {
			parts[form[i:i+shortest]] = true
		}
	}
	for i := 0; i+shortest <= len(s); i++ {
		part := s[i : i+shortest]
		if !parts[part] {
			continue
		}
		if part == "xxx" || strings.Contains(rest, part) {
			parts[part] = false
			continue
		}
		start, end := i, i+shortest
		for r, n := utf8.DecodeLastRuneInString(s[:start]); start > 0 && inWord(r) && inWordAt(s, start); r, n = utf8.DecodeLastRuneInString(s[:start]) {
			start -= n
		}
		for r, n := utf8.DecodeRuneInString(s[end:]); end < len(s) && inWord(r); r, n = utf8.DecodeRuneInString(s[end:]) {
			end += n
		}
		found = append(found, span{start: start, end: end})
	}
	return found
}

func inWord(r rune) bool {
	return r == '_' || r == utf8.RuneError || unicode.IsLetter(r) || unicode.IsDigit(r)
}

func inWordAt(s string, i int) bool {
	r, _ := utf8.DecodeRuneInString(s[i:])
	return inWord(r)
}
