package sqltext

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Masked is the beginning of a text, at most size bytes, on one line, without comments, and with a question mark in the
// place of each string and number: values may be data. A string that isn't closed, because a server shows only the beginning
// of a statement, is one too.
func (q Quoting) Masked(text string, size int) string {
	var b strings.Builder
	for i := 0; i < len(text) && b.Len() <= size; {
		n, closed := q.span(text, i)
		switch piece := text[i : i+n]; {
		case strings.HasPrefix(piece, "--"), strings.HasPrefix(piece, "/*"), piece[0] == '#' && q.Backslashes:
			b.WriteByte(' ')
		case piece[0] == '\'', piece[0] == '$' && n > 1, piece[0] == '"' && (q.Backslashes || !closed):
			b.WriteByte('?')
		case piece[0] >= '0' && piece[0] <= '9' && !endsInName(text[:i]):
			n = strings.IndexFunc(text[i:], func(r rune) bool { return r != '.' && r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) })
			if n < 0 {
				n = len(text) - i
			}
			b.WriteByte('?')
		default:
			b.WriteString(piece)
		}
		i += n
	}
	masked := strings.Join(strings.Fields(strings.ToValidUTF8(b.String(), "")), " ")
	if len(masked) <= size {
		return masked
	}
	for !utf8.RuneStart(masked[size]) {
		size--
	}
	return strings.TrimRight(masked[:size], " ") + " …"
}

// EndsInComment says whether the last line of a text has a comment, so that nothing may follow it on that line.
func EndsInComment(text string) bool {
	q := Quoting{Dollars: true}
	for i := 0; i < len(text); {
		n, _ := q.span(text, i)
		if strings.HasPrefix(text[i:], "--") && i+n == len(text) && !strings.HasSuffix(text, "\n") {
			return true
		}
		i += n
	}
	return false
}
