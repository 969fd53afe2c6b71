// Package redact removes passwords from texts: errors in which a driver quotes the DSN that it could not parse, and
// SQL statements that failed. A DSN that could not be parsed often has the cause in its password, so where a text can
// be read in two ways, the longer password counts.
package redact

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const hidden = "xxxxx"

// span is a password in a text.
type span struct {
	start, end int
	rest       string // of the DSN that the password is part of
	dsn        bool   // a driver can quote fractions of it elsewhere in the text
}

// Text returns s with every password that it recognises replaced by xxxxx.
func Text(s string) string {
	if !strings.ContainsAny(s, ":=@'\"($ ") { // such as the name of a tenant
		return s
	}
	found := find(s)
	if len(s) <= mostTraced {
		for _, f := range slices.Clone(found) {
			if f.dsn {
				found = append(found, traces(s, s[f.start:f.end], f.rest)...)
			}
		}
	}
	return mask(s, found)
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
	for _, f := range found {
		s.secrets = append(s.secrets, source[f.start:f.end])
	}
	return s
}

// Text is the text without the passwords, as the function Text returns it.
func (s Secrets) Text() string { return s.text }

// Hide is Text for an error that is about the source: it hides the source's passwords too, whole or in fractions.
func (s Secrets) Hide(text string) string {
	var found []span
	for _, secret := range s.secrets {
		found = append(found, traces(text, secret, s.text)...)
	}
	return Text(mask(text, found))
}

func find(s string) []span {
	return slices.Concat(userinfos(s), values(s), quotedKeys(s), statements(s), inserts(s), remains(s))
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
		if start < end {
			b.WriteString(s[at:start])
			b.WriteString(hidden)
			at = end
		}
	}
	b.WriteString(s[at:])
	return b.String()
}

// shortest is how long a fraction of a password has to be to be told from the words around it.
const shortest = 3

var (
	goQuoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	token    = regexp.MustCompile("[^\\s\"'`]+")
	word     = regexp.MustCompile(`[\pL\pN_]+`)
)

// traces finds a secret in s, and the fractions of it that drivers quote: "invalid port", "no such host". Words that are
// in the rest of the secret's source too, such as the name of a user whose password it is, are not hidden.
func traces(s, secret, rest string) []span {
	secret = strings.Trim(secret, " \t\r\n'\"")
	if len(strings.Trim(secret, "x")) < shortest { // a single letter, or hidden already
		return nil
	}
	telling := func(part string) bool {
		return len(part) >= shortest && part != hidden && strings.Contains(secret, part) && !strings.Contains(rest, part)
	}
	var found []span
	for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret), strings.Trim(strconv.Quote(secret), `"`)} {
		for at := 0; !strings.Contains(rest, form); {
			i := strings.Index(s[at:], form)
			if i < 0 {
				break
			}
			found = append(found, span{start: at + i, end: at + i + len(form)})
			at += i + len(form)
		}
	}
	for _, q := range goQuoted.FindAllStringIndex(s, -1) {
		if text, err := strconv.Unquote(s[q[0]:q[1]]); err == nil && telling(strings.TrimPrefix(text, ":")) {
			found = append(found, span{start: q[1] - 1 - len(strings.TrimPrefix(s[q[0]+1:q[1]-1], ":")), end: q[1] - 1})
		}
	}
	for _, t := range token.FindAllStringIndex(s, -1) {
		start, end := t[0], t[1]
		start += len(s[start:end]) - len(strings.TrimLeft(s[start:end], ":(,=@"))
		end -= len(s[start:end]) - len(strings.TrimRight(s[start:end], ":,.;)"))
		if telling(s[start:end]) {
			found = append(found, span{start: start, end: end})
			continue
		}
		for _, w := range word.FindAllStringIndex(s[t[0]:t[1]], -1) {
			if telling(s[t[0]+w[0] : t[0]+w[1]]) {
				found = append(found, span{start: t[0] + w[0], end: t[0] + w[1]})
			}
		}
	}
	return found
}
