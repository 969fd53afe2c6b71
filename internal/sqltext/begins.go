package sqltext

import "strings"

// Begin is where a statement begins, and the end of what it is in: a text, or the body of a function.
type Begin struct{ At, End int }

// Begins are the places in a text at which statements begin, in order: at first, behind semicolons that are in no quotes and no
// comments, in blocks, in the bodies of functions, and in comments that a server executes. A place that may be one, though it need not be, counts too.
func (q Quoting) Begins(text string) []Begin { return q.begins(text, true) }

// begins looks into the bodies of functions, but not into bodies in bodies.
func (q Quoting) begins(text string, within bool) (list []Begin) {
	begins, bodies := true, false // whether a statement begins here, and whether its dollar quotes have statements in them
	for i := 0; i < len(text); {
		if n := wordLength(text[i:]); n > 0 {
			word := text[i : i+n]
			if begins {
				list = append(list, Begin{i, len(text)})
			}
			bodies = bodies || functions.has(word) || begins && isDo.has(word)
			begins = blocks.has(word)
			i += n
			continue
		}
		switch c := text[i]; c {
		case ';':
			begins, bodies = true, false
			i++
		case ' ', '\t', '\n', '\f', '\r':
			i++
		case '\'', '"', '`', '$', '-', '/', '#':
			n, closed := q.Skip(text, i)
			begins = begins && n > 1 && (c == '-' || c == '/' || c == '#') // a comment
			if c == '$' && bodies && within {
				tag := len(dollarTag().FindString(text[i:]))
				for _, b := range q.begins(text[i+tag:max(i+tag, i+n-tag)], false) {
					list = append(list, Begin{i + tag + b.At, i + tag + b.End})
				}
			}
			switch {
			case closed:
				i += n
			case c == '$':
				return list // no server executes what is in it
			default:
				i++
			}
		default:
			begins = false
			i++
		}
	}
	return list
}

var isDo = wordsOf("do")

// blocks are the words behind which a statement of a block begins.
var blocks = wordsOf("begin then else loop do")

// Skip is the length of what begins at i: a quoted text, a comment, or one character, and whether a quote is closed. Of a comment
// that a server executes it is that of the sign for it. A backtick is a quote.
func (q Quoting) Skip(text string, i int) (length int, closed bool) {
	rest := text[i:]
	switch {
	case strings.HasPrefix(rest, "/*!"), strings.HasPrefix(rest, "/*M!"):
		n := strings.IndexByte(rest, '!') + 1
		return n + len(rest[n:]) - len(strings.TrimLeft(rest[n:], "0123456789")), true
	case rest[0] == '`':
		return quotedBy(rest, '`', false)
	}
	return q.span(text, i)
}
