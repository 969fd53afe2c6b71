package sqltext

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"github.com/gooseplus/gooseplus/internal/lazy"
)

// Sum is the SHA-256 of a text in its canonical form, in hexadecimal.
func (q Quoting) Sum(text string) string {
	sum := sha256.Sum256(q.canonical(text))
	var digits [2 * sha256.Size]byte
	hex.Encode(digits[:], sum[:])
	return string(digits[:])
}

// special are the bytes that a text's canonical form may be without, or that may begin what it has as it is.
var special = [256]bool{'\n': true, '-': true, '/': true, '#': true, '\'': true, '"': true, '`': true, '[': true, '$': true}

// canonical is a text without its comments, empty lines and trailing spaces, with the line ends of Unix. Quoted texts and
// bodies keep everything except carriage returns at the end of a line, which goose removes too. The annotations of goose
// and of this library are no comments, except allow-lock, and neither are the comments that a server executes or obeys (/*!, /*M! and /*+). Each
// boot makes it of every file.
func (q Quoting) canonical(text string) []byte {
	text = strings.ReplaceAll(strings.TrimPrefix(text, "\ufeff"), "\r\n", "\n")
	c := canon{out: make([]byte, 0, len(text))}
	for i := 0; i < len(text); {
		b := text[i]
		switch {
		case b == '\n':
			c.newline()
			i++
			continue
		case c.commented && (b == ' ' || b == '\t'): // it goes with the comment
			c.commented = false
			i++
			continue
		case !special[b]:
			end := i + 1
			for end < len(text) && !special[text[end]] {
				end++
			}
			c.plain(text[i:end])
			i = end
			continue
		}
		n, _ := q.span(text, i)
		piece := text[i : i+max(n, 1)]
		i += len(piece)
		switch {
		case strings.HasPrefix(piece, "--"), piece[0] == '#' && q.Backslashes:
			c.line(piece)
		case strings.HasPrefix(piece, "/*!"), strings.HasPrefix(piece, "/*M!"), strings.HasPrefix(piece, "/*+"):
			c.verbatim(piece)
		case strings.HasPrefix(piece, "/*"):
			c.space()
		case len(piece) > 1:
			c.verbatim(piece)
		default:
			c.plain(piece)
		}
	}
	c.trim()
	for len(c.out) > c.kept && c.out[len(c.out)-1] == '\n' {
		c.out = c.out[:len(c.out)-1]
	}
	return c.out
}

// canon collects a canonical text.
type canon struct {
	out       []byte
	kept      int  // what is before is quoted: it is never trimmed
	commented bool // a comment was left out just before
}

func (c *canon) verbatim(piece string) {
	c.out = append(c.out, piece...)
	c.kept, c.commented = len(c.out), false
}

// line is a comment to the end of a line.
func (c *canon) line(piece string) {
	text := strings.TrimRight(piece, "\r\n")
	if strings.HasPrefix(text, "-- +goose ") && tidy(text) {
		c.out = append(c.out, text...)
	} else if note := strings.TrimSpace(strings.TrimLeft(text, "-")); strings.HasPrefix(note, "+goose") && !allowsLock().MatchString(note) {
		c.out = append(c.out, "-- "+strings.Join(strings.Fields(note), " ")...)
	}
	if text != piece {
		c.newline()
	}
}

// space stands for a comment between two words. Of the spaces on both sides of the comment, one goes with it.
func (c *canon) space() {
	if n := len(c.out); n > 0 && c.out[n-1] != ' ' && c.out[n-1] != '\t' && c.out[n-1] != '\n' {
		c.out = append(c.out, ' ')
	}
	c.commented = true
}

// allowsLock matches an annotation that changes nothing of what a file does.
var allowsLock = lazy.Regexp(`(?i)^\+gooseplus\s+allow-lock\b`)

// tidy says whether a line has single spaces only, and none at its end.
func tidy(line string) bool {
	before := byte('-')
	for i := range len(line) {
		b := line[i]
		if b < ' ' || b >= utf8.RuneSelf || b == ' ' && before == ' ' {
			return false
		}
		before = b
	}
	return before != ' '
}

func (c *canon) plain(piece string) {
	c.out = append(c.out, piece...)
	c.commented = false
}

// newline ends a line, unless it is empty.
func (c *canon) newline() {
	c.trim()
	if n := len(c.out); n > 0 && c.out[n-1] != '\n' {
		c.out = append(c.out, '\n')
	}
	c.commented = false
}

// trim removes the spaces at the end.
func (c *canon) trim() {
	for n := len(c.out); n > c.kept && (c.out[n-1] == ' ' || c.out[n-1] == '\t'); n-- {
		c.out = c.out[:n-1]
	}
}
