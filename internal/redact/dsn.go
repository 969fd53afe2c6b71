package redact

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gooseplus/gooseplus/internal/lazy"
)

// userinfo finds passwords that stand between a user and a host. The password is the first group.
var userinfo = []func() *regexp.Regexp{
	// scheme://user:password@host. The last @ before a space ends the password.
	lazy.Regexp(`://[^:/@\s]*:(\S*)@`),
	// scheme://user@domain:password@host, which is not scheme://user@host:port/db?option=a@b.
	lazy.Regexp(`://[^:/\s]*@[^:/\s]*:(\d*[^\d/?\s]\S*|\d+)@`),
	// scheme://user:pass, the beginning of a URL whose password has a # or the like in it. It is not a host with a port.
	lazy.Regexp("://[^:/@\\s\\[\"'`]+:(\\d*[^\\d,:@/?#\\s\"'`\\\\)\\]}][^@/?#\\s\"'`]*)"),
}

// goSQLDriver is user:password@net(address)/db, where net and address may be left out. It is no URL: the password doesn't begin
// with two slashes.
var goSQLDriver = lazy.Regexp("[^\\s:/\"'`]*:(/?[^\\s/]\\S*)@(?:[\\w.+-]*\\(|(?:tcp|unix)?/)")

// spaced finds passwords with a space in them, in one DSN: they don't have in them what between says.
var spaced = []struct {
	words            []string // one of them is in each text that the pattern matches
	pattern, between func() *regexp.Regexp
}{
	{[]string{"://"}, lazy.Regexp("://[^:/\\s\"'`]*:((?:[^\\s\\d/\"'`]|\\d+[^\\d,:@/?#\\s\"'`\\\\)\\]}])[^\\n\"'`]* [^\\n\"'`]*)@"), lazy.Regexp(`://`)},
	{[]string{"@tcp(", "@unix("}, lazy.Regexp("[^\\s:/\"'`]*:([^\\s/][^\\n]* [^\\n]*)@(?:tcp|unix)\\("), lazy.Regexp(`@(tcp|unix)\(`)},
}

// unparsed is what can't be told from user:password@host, in a text that is known to be a DSN: a driver that needs another form says
// so. A port is no password.
var (
	unparsed = lazy.Regexp(`^[^:@=/?\[]*:(.+)@|^[^:@=/?\[]*:(.+)$`)
	port     = lazy.Regexp(`^\d+(?:[/?].*)?$`)
)

// DSN is Text for a DSN of a server, perhaps one that no driver can read.
func DSN(s string) string {
	if strings.Contains(s, "://") {
		return Text(s)
	}
	m := unparsed().FindStringSubmatchIndex(s)
	switch {
	case m == nil:
	case m[2] >= 0:
		return s[:m[2]] + hidden + s[m[3]:]
	case !port().MatchString(s[m[4]:]):
		return s[:m[4]] + hidden
	}
	return Text(s)
}

func userinfos(s string) (found []span) {
	for _, pattern := range userinfo {
		for _, m := range pattern().FindAllStringSubmatchIndex(s, -1) {
			after, _, _ := strings.Cut(s[m[3]:], " ")
			found = append(found, span{start: m[2], end: m[3], rest: s[m[0]:m[2]] + after, dsn: true})
		}
	}
	for at := 0; ; { // the texts without a space that have an @, many of which are addresses
		i := strings.IndexByte(s[at:], '@')
		if i < 0 {
			break
		}
		start, end := at+strings.LastIndexAny(s[at:at+i], space)+1, len(s)
		if n := strings.IndexAny(s[at+i:], space); n >= 0 {
			end = at + i + n
		}
		if at = end; !strings.Contains(s[start:end], ":") {
			continue
		}
		for _, m := range goSQLDriver().FindAllStringSubmatchIndex(s[start:end], -1) {
			after, _, _ := strings.Cut(s[start+m[3]:], " ")
			found = append(found, span{start: start + m[2], end: start + m[3], rest: s[start+m[0]:start+m[2]] + after, dsn: true})
		}
	}
	for _, p := range spaced {
		if !slices.ContainsFunc(p.words, func(word string) bool { return strings.Contains(s, word) }) {
			continue
		}
		for _, m := range p.pattern().FindAllStringSubmatchIndex(s, -1) {
			if !p.between().MatchString(s[m[2]:m[3]]) {
				found = append(found, span{start: m[2], end: m[3], rest: s[m[0]:m[2]], dsn: true})
			}
		}
	}
	return found
}

// keyNames are the names of what is secret.
const keyNames = `(?:\w*(?:password|passwd|pwd|passphrase)|(?:\w+_)?pass|\w*token|\w*secret(?:[_-]?(?:access[_-]?)?key)?|\w*(?:api|private|encryption)[_-]?key)`

var (
	// key is the name before an equals sign, in libpq's, ADO's and query strings, and in SQL.
	key = lazy.Regexp(`(?i)\b` + keyNames + `$`)
	// quoted is a value in quotes, ODBC's braces, or quotes that %q has escaped.
	quoted = lazy.Regexp(`^(?:'(?:[^'\\]|\\.|'')*'|"(?:[^"]|"")*"|\{(?:[^}]|\}\})*\}|\\"(?:[^"\\]|\\[^"])*\\")`)
	// afterQuoted is what follows a value in quotes.
	afterQuoted = lazy.Regexp("^(?:\\s|$|\\\\n|[;&,]\\s*(?:\\w[\\w.-]*\\s*=|\\s|$)|[:)\\]}\"'`][\\s,.:;)\\]}\"'`]*(?:\\s|$))")
	// next is what ends a value without quotes: the next key, what closes the text, or the end of the line. A space
	// does not: drivers quote a DSN whose password has spaces.
	next = lazy.Regexp("^(?:\\s+[\\w.-]+\\s*=|[;&]\\s*\\w[\\w.-]*=|[\"'`)\\]}][,.:;]?(?:\\s|$)|;?[ \\t]*(?:\\n|$))")
	// pair is a keyword with its value.
	pair = lazy.Regexp("\\w+\\s*=\\s*[^\\s'\"`]+")
)

// queryKey is the key of an encrypted SQLite file, or of an API, in the query of a URI.
var queryKey = lazy.Regexp("(?i)^[?&](?:(?:_pragma_)?(?:hex|text)?key=|_pragma=(?:hex|text|re)*key(?:[(=]|%28|%3d)['\"]?)([^&\\s\"'`)]+)")

func queryKeys(s string) (found []span) {
	for at := 0; ; at++ {
		i := strings.IndexAny(s[at:], "?&")
		if i < 0 {
			return found
		}
		at += i
		if m := queryKey().FindStringSubmatchIndex(s[at:]); m != nil {
			found = append(found, span{start: at + m[2], end: at + m[3], rest: s[:at+m[2]], dsn: true})
		}
	}
}

// values finds the values of keys that stand for a password.
func values(s string) (found []span) {
	for at := 0; ; {
		i := strings.IndexByte(s[at:], '=') // also => and :=
		if i < 0 {
			break
		}
		name := strings.TrimRight(strings.TrimSuffix(s[at:at+i], ":"), space)
		at += i + 1
		if !key().MatchString(lastWord(name)) {
			continue
		}
		at += len(s[at:]) - len(strings.TrimLeft(strings.TrimPrefix(s[at:], ">"), space))
		end := at + valueEnd(s[at:])
		found = append(found, span{start: at, end: end, dsn: true})
		at = end
	}
	if len(found) > 0 && len(s) <= mostTraced {
		rest := strings.Join(pair().FindAllString(mask(s, found), -1), " ")
		for i := range found {
			found[i].rest = rest
		}
	}
	return found
}

const space = " \t\n\f\r"

// ends are what can end a value without quotes: what the pattern next begins with.
const ends = space + ";&\"'`)]}"

// lastWord is the word that s ends with, with hyphens in it: as much of it as can be a name.
func lastWord(s string) string {
	i := len(s)
	for i > 0 && len(s)-i < 100 && (s[i-1] == '_' || s[i-1] == '-' || s[i-1] < utf8.RuneSelf && inWord(rune(s[i-1]))) {
		i--
	}
	return s[i:]
}

func valueEnd(s string) int {
	if m := quoted().FindStringIndex(s); m != nil {
		if afterQuoted().MatchString(s[m[1]:]) {
			return m[1]
		}
	}
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' { // and what it escapes, be it twice
			for i < len(s)-1 && s[i] == '\\' {
				i++
			}
			continue
		}
		if strings.IndexByte(ends, s[i]) >= 0 && next().MatchString(s[i:]) {
			return i
		}
	}
	return len(s)
}

// leftovers are what remains of a password in the errors of drivers that took it for another part of the DSN. The DSN itself
// is not there, or not with its password. A password can hold quotes, and the driver's own words, so that each pattern takes
// as much as there is.
var leftovers = []struct {
	words   string // are in each text that the pattern matches
	pattern func() *regexp.Regexp
}{
	// net/url quotes what it was given. Which part of that is the password can't be told, since it was not parsed.
	{`parse "`, lazy.Regexp(`parse "[\w+.-]+://((?:[^"\\]|\\.)*)": (?:invalid|net/url|first path|missing protocol|[\w ]*(?:escape|port|userinfo|character|host))`)},
	{"cannot parse `", lazy.Regexp("cannot parse `((?s:.*))`: failed to parse as")},
	{`invalid port ":`, lazy.Regexp(`invalid port ":((?:[^"\\]|\\.)+)" after host`)},
	{`invalid URL escape "`, lazy.Regexp(`invalid URL escape "((?:[^"\\]|\\.)+)"`)},
	{`: parsing "`, lazy.Regexp(`strconv\.\w+: parsing "((?:[^"\\]|\\.)+)"`)},
	{`missing "=" after "`, lazy.Regexp(`missing "=" after "((?s:.+))" in connection info string`)},
	{`missing "=" after "`, lazy.Regexp(`missing "=" after "((?:[^"\\]|\\.)+)"`)},
	{"percent-encoded ", lazy.Regexp(`percent-encoded (?:token|value): "([^\n]*)"`)},
	{"URI query parameter:", lazy.Regexp(`URI query parameter: "([^\n]*)"`)},
	{"unexpected spaces found in", lazy.Regexp(`unexpected spaces found in "([^\n]*)"`)},
	{"lookup ", lazy.Regexp(`\blookup (\S+)@`)},
	{"database=", lazy.Regexp("\\bdatabase=([^`\\s]+)@")},
	{"default addr for network '", lazy.Regexp(`default addr for network '([^']*)' unknown`)},
}

func remains(s string) (found []span) {
	for _, l := range leftovers {
		if !strings.Contains(s, l.words) {
			continue
		}
		for _, m := range l.pattern().FindAllStringSubmatchIndex(s, -1) {
			found = append(found, span{start: m[2], end: m[3]})
		}
	}
	return found
}
