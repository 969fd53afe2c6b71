package sqltext

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
)

// Sum is the SHA-256 of a text in its canonical form, in hexadecimal.
func (q Quoting) Sum(text string) string {
	sum := sha256.Sum256([]byte(q.canonical(text)))
	return hex.EncodeToString(sum[:])
}

// canonical is a text without its comments, empty lines and trailing spaces, with the line ends of Unix. Quoted texts and
// bodies keep everything except carriage returns at the end of a line, which goose removes too. The annotations of goose
// and of this library are no comments, except allow-lock, and neither are the comments that a server executes or obeys (/*! and /*+).
func (q Quoting) canonical(text string) string {
	text = strings.ReplaceAll(strings.TrimPrefix(text, "\ufeff"), "\r\n", "\n")
	c := canon{out: make([]byte, 0, len(text))}
	for i := 0; i < len(text); {
		switch b := text[i]; b {
		case '\n':
			c.newline()
			i++
			continue
		case ' ', '\t':
			c.blank(b)
			i++
			continue
		case '-', '/', '#', '\'', '"', '`', '[', '$':
		default:
			c.out = append(c.out, b)
			c.commented = false
			i++
			continue
		}
		n, _ := q.span(text, i)
		piece := text[i : i+max(n, 1)]
		i += len(piece)
		switch {
		case strings.HasPrefix(piece, "--"), piece[0] == '#' && q.Backslashes:
			c.line(piece)
		case strings.HasPrefix(piece, "/*!"), strings.HasPrefix(piece, "/*+"):
			c.verbatim(piece)
		case strings.HasPrefix(piece, "/*"):
			c.space()
		case len(piece) > 1:
			c.verbatim(piece)
		default:
			c.out = append(c.out, piece[0])
			c.commented = false
		}
	}
	c.trim()
	return string(c.out[:c.kept]) + strings.TrimRight(string(c.out[c.kept:]), "\n")
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
	text, ended := strings.CutSuffix(piece, "\n")
	if note := strings.TrimSpace(strings.TrimLeft(text, "-")); strings.HasPrefix(note, "+goose") && !allowsLock.MatchString(note) {
		c.out = append(c.out, "-- "+strings.Join(strings.Fields(note), " ")...)
	}
	if ended {
		c.newline()
	}
}

// allowsLock matches an annotation that changes nothing of what a file does.
var allowsLock = regexp.MustCompile(`(?i)^\+gooseplus\s+allow-lock\b`)

// space stands for a comment between two words. Of the spaces on both sides of the comment, one goes with it.
func (c *canon) space() {
	if n := len(c.out); n > 0 && c.out[n-1] != ' ' && c.out[n-1] != '\t' && c.out[n-1] != '\n' {
		c.out = append(c.out, ' ')
	}
	c.commented = true
}

func (c *canon) blank(b byte) {
	if !c.commented {
		c.out = append(c.out, b)
	}
	c.commented = false
}

// newline ends a line, unless it is empty.
func (c *canon) newline() {
	c.trim()
	if n := len(c.out); n > 0 && (c.out[n-1] != '\n' || n == c.kept) {
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
