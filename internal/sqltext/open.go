package sqltext

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gooseplus/gooseplus/internal/lazy"
)

// A Quoting is what a database takes for quotes and comments, beside ' and ", -- and /* */.
type Quoting struct {
	Dollars     bool // $$ and $tag$, E'\'', comments in comments and to a carriage return: PostgreSQL
	Backslashes bool // \' in every string, `, comments with #: MySQL
	Brackets    bool // [ ] and ` around names: SQLite
}

// Open returns the quote that is open at the end of a text, "" if none is, and where it begins.
func (q Quoting) Open(text string) (quote string, at int) {
	i := 0
	for i < len(text) {
		step, closed := q.span(text, i)
		if !closed {
			return openedBy(text[i:]), i
		}
		i += step
	}
	return "", 0
}

func openedBy(rest string) string {
	if tag := dollarTag().FindString(rest); tag != "" {
		return tag
	}
	return rest[:1]
}

var dollarTag = lazy.Regexp(`^\$(?:[\pL_][\pL\d_]*)?\$`)

// span is the length of what begins at i: a quoted text, a comment, or one character. A comment counts as closed in
// any case.
func (q Quoting) span(text string, i int) (length int, closed bool) {
	rest := text[i:]
	switch c := rest[0]; {
	case strings.HasPrefix(rest, "--") && !q.minus(text, i), c == '#' && q.Backslashes:
		return q.line(rest), true
	case strings.HasPrefix(rest, "/*"):
		length, _ = q.comment(rest)
		return length, true
	case c == '\'', c == '"':
		return quotedBy(rest, c, q.Backslashes || q.Dollars && c == '\'' && escapes(text[:i]))
	case c == '`' && (q.Backslashes || q.Brackets):
		return quotedBy(rest, c, false)
	case c == '[' && q.Brackets:
		if end := strings.IndexByte(rest, ']'); end >= 0 {
			return end + 1, true
		}
		return len(rest), true
	case c == '$' && q.Dollars && !endsInName(text[:i]):
		tag := dollarTag().FindString(rest)
		if tag == "" {
			return 1, true
		}
		if end := strings.Index(rest[len(tag):], tag); end >= 0 {
			return end + 2*len(tag), true
		}
		return len(rest), false
	}
	return 1, true
}

// line is the length of the comment at the beginning of a text that goes to the end of the line. A carriage return ends it for
// PostgreSQL; one before a line feed belongs to that.
func (q Quoting) line(rest string) int {
	end := strings.IndexByte(rest, '\n') + 1
	if end == 0 {
		end = len(rest)
	}
	comment := strings.TrimRight(rest[:end], "\r\n")
	if at := strings.IndexByte(comment, '\r'); q.Dollars && at >= 0 {
		return at + 1
	}
	return end
}

// minus says whether the -- at i is two operators, as in 5--1: for MySQL a comment has a space after it. goose leaves out
// lines that begin with one.
func (q Quoting) minus(text string, i int) bool {
	return q.Backslashes && i > 0 && text[i-1] != '\n' && i+2 < len(text) && text[i+2] > ' '
}

// quotedBy is the length of a string that begins with the quote c. A doubled quote is the end of one string and the
// beginning of another.
func quotedBy(rest string, c byte, escapes bool) (length int, closed bool) {
	if !escapes { // also a dump's megabytes
		if i := strings.IndexByte(rest[1:], c); i >= 0 {
			return i + 2, true
		}
		return len(rest), false
	}
	for i := 1; i < len(rest); i++ {
		switch rest[i] {
		case '\\':
			i++
		case c:
			return i + 1, true
		}
	}
	return len(rest), false
}

// openComment says whether a text has a comment without an end.
func (q Quoting) openComment(text string) bool {
	for i := 0; i < len(text); {
		if strings.HasPrefix(text[i:], "/*") {
			if _, closed := q.comment(text[i:]); !closed {
				return true
			}
		}
		n, _ := q.span(text, i)
		i += n
	}
	return false
}

// comment is the length of the comment at the beginning of a text.
func (q Quoting) comment(rest string) (length int, closed bool) {
	depth := 0
	for i := 0; i+1 < len(rest); i++ {
		switch {
		case rest[i:i+2] == "/*" && (depth == 0 || q.Dollars):
			depth++
			i++
		case rest[i:i+2] == "*/":
			depth--
			i++
			if depth == 0 {
				return i + 1, true
			}
		}
	}
	return len(rest), false
}

// OnlyComments says whether a text has nothing to execute. MySQL and MariaDB execute the inside of a comment that begins with
// /*!, and MariaDB also that of /*M!.
func (q Quoting) OnlyComments(text string) bool {
	for {
		text = strings.TrimSpace(text)
		switch {
		case text == "":
			return true
		case strings.HasPrefix(text, "--"), q.Backslashes && strings.HasPrefix(text, "#"):
			text = text[q.line(text):]
		case !strings.HasPrefix(text, "/*"), strings.HasPrefix(text, "/*!"), strings.HasPrefix(text, "/*M!"):
			return false
		default:
			length, closed := q.comment(text)
			if !closed {
				return false // the server may have something to say about that
			}
			text = text[length:]
		}
	}
}

// escapes says whether the string after before is one of PostgreSQL's with an E.
func escapes(before string) bool {
	n := len(before)
	return n > 0 && (before[n-1] == 'E' || before[n-1] == 'e') && !endsInName(before[:n-1])
}

func endsInName(before string) bool {
	r, _ := utf8.DecodeLastRuneInString(before)
	return r == '_' || r == '$' || unicode.IsLetter(r) || unicode.IsDigit(r)
}

// routine matches the beginning of a statement that can have a body of statements.
var routine = lazy.Regexp(`(?is)^create\s+(?:or\s+(?:replace|alter)\s+|definer\s*=\s*\S+\s+|temp(?:orary)?\s+|aggregate\s+)*` +
	`(?:trigger|procedure|function|event|package)\b`)

var (
	beginWord = lazy.Regexp(`(?i)\bbegin\b`)
	endOfBody = lazy.Regexp(`(?i)\bend(?:\s+[\pL_][\pL\d_]*)?\s*;*\s*$`)
)

// OpenBody says whether a statement creates a routine whose body of statements, from BEGIN on, has no END, and where
// that begins.
func (q Quoting) OpenBody(statement string) (at int, open bool) {
	if !routine().MatchString(q.Uncommented(statement)) {
		return 0, false
	}
	bare := q.Bare(statement)
	begin := beginWord().FindStringIndex(bare)
	if begin == nil || endOfBody().MatchString(strings.TrimSpace(bare)) {
		return 0, false
	}
	return begin[0], true
}

// Bare has spaces instead of what is quoted and of comments, so that it is as long as the text.
func (q Quoting) Bare(text string) string {
	b := []byte(text)
	for i := 0; i < len(text); {
		n, _ := q.span(text, i)
		if n > 1 {
			for j := i; j < min(i+n, len(b)); j++ {
				b[j] = ' '
			}
		}
		i += max(n, 1)
	}
	return string(b)
}

// Meta finds a line outside of quotes that begins with a backslash, which is a command of psql, and says where it begins.
func (q Quoting) Meta(text string) (command string, at int) {
	if !strings.Contains(text, `\`) {
		return "", 0
	}
	for i := 0; i < len(text); {
		if text[i] == '\\' && (i == 0 || text[i-1] == '\n') {
			line, _, _ := strings.Cut(text[i:], "\n")
			return strings.Fields(line)[0], i
		}
		n, _ := q.span(text, i)
		i += max(n, 1)
	}
	return "", 0
}
