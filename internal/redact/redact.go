// Package redact removes passwords from texts that drivers produced. Some drivers quote the DSN
// they could not parse, password included. That it could not be parsed may well be for a character
// in the password, so where a text can be read in two ways the longer password counts.
package redact

import (
	"regexp"
	"strings"
)

const hidden = "xxxxx"

// userinfo finds passwords that stand between a user and a host.
var userinfo = []struct {
	pattern     *regexp.Regexp
	replacement string
}{
	// scheme://user:password@host. The last @ before a space ends the password.
	{regexp.MustCompile(`(://[^:/@\s]*):\S*@`), `$1:` + hidden + `@`},
	// scheme://user@domain:password@host, which is not scheme://user@host:port/db?option=a@b.
	{regexp.MustCompile(`(://[^:/\s]*@[^:/\s]*):(?:\d*[^\d/?\s]\S*|\d+)@`), `$1:` + hidden + `@`},
	// go-sql-driver: user:password@net(address)/db, where net and address may be left out. It is
	// no URL: the password doesn't begin with two slashes.
	{regexp.MustCompile("([^\\s:/\"'`]*):(?:/?[^\\s/]\\S*)?@([\\w.+-]*\\(|(?:tcp|unix)?/)"), `$1:` + hidden + `@$2`},
}

var (
	// key is a keyword with its equals sign, in libpq's, ADO's and query strings.
	key = regexp.MustCompile(`(?i)\b(?:\w*(?:password|passwd|pwd)|(?:\w+_)?pass|(?:auth|access)_?token)\s*=\s*`)
	// quoted is a value in quotes, ODBC's braces, or quotes that %q has escaped.
	quoted = regexp.MustCompile(`^(?:'(?:[^'\\]|\\.|'')*'|"(?:[^"]|"")*"|\{(?:[^}]|\}\})*\}|\\"(?:[^"\\]|\\[^"])*\\")`)
	// next is what ends a value without quotes: a space, the next key, or what closes the text.
	next = regexp.MustCompile("\\s|[;&]\\s*\\w[\\w.-]*=|[\"'`)\\]}][,.:;]?(?:\\s|$)|[;,](?:\\s|$)|$")
)

// Text returns s with every password that it recognises replaced by xxxxx.
func Text(s string) string {
	for _, u := range userinfo {
		s = u.pattern.ReplaceAllString(s, u.replacement)
	}
	return values(s)
}

// values hides the values of keys that stand for a password.
func values(s string) string {
	var b strings.Builder
	for {
		at := key.FindStringIndex(s)
		if at == nil {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:at[1]])
		s = s[at[1]:]
		end := valueEnd(s)
		if end > 0 {
			b.WriteString(hidden)
		}
		s = s[end:]
	}
}

func valueEnd(s string) int {
	end := 0
	if m := quoted.FindStringIndex(s); m != nil {
		end = m[1]
	}
	return end + next.FindStringIndex(s[end:])[0]
}
