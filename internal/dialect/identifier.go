package dialect

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pressly/goose/v3"
)

// Name is the name of a table, and of its schema if one was given, as the server stores them.
type Name struct {
	Schema, Table string
}

// Quotes says whether ParseName and Quote know how the dialect writes identifiers. The names of
// other dialects go to goose as they are.
func (d Dialect) Quotes() bool {
	switch d.Goose {
	case goose.DialectPostgres, goose.DialectMySQL, goose.DialectSQLite3:
		return true
	}
	return false
}

// ParseName reads a table name as goose is given it: plain or quoted, with or without a schema
// before a dot. goose puts the name into its statements as it is; so that nothing but a name gets
// there, anything else is refused. A plain name is folded as the server folds it.
func (d Dialect) ParseName(s string) (Name, error) {
	var parts []string
	rest := s
	for {
		part, tail, err := d.nextPart(rest)
		if err != nil {
			return Name{}, fmt.Errorf("table name %q: %w", s, err)
		}
		parts = append(parts, part)
		if tail == "" {
			break
		}
		rest = tail[1:] // the dot
	}
	switch len(parts) {
	case 1:
		return Name{Table: parts[0]}, nil
	case 2:
		return Name{Schema: parts[0], Table: parts[1]}, nil
	}
	return Name{}, fmt.Errorf("table name %q: more than a schema and a table", s)
}

// Quote renders the name for a statement, so that the server takes it literally.
func (d Dialect) Quote(n Name) string {
	if n.Schema == "" {
		return d.quotePart(n.Table)
	}
	return d.quotePart(n.Schema) + "." + d.quotePart(n.Table)
}

// Literal renders a text for a statement, whatever the server is set to take a backslash for. With a literal
// instead of an argument every driver needs one round trip.
func (d Dialect) Literal(s string) string {
	s = strings.ReplaceAll(s, "'", "''")
	switch {
	case !strings.Contains(s, `\`):
		return "'" + s + "'"
	case d.Goose == goose.DialectPostgres:
		return "E'" + strings.ReplaceAll(s, `\`, `\\`) + "'"
	case d.Goose == goose.DialectMySQL:
		return fmt.Sprintf("_utf8mb4 X'%x'", strings.ReplaceAll(s, "''", "'"))
	}
	return "'" + s + "'"
}

// nextPart takes one identifier off s. tail is empty or begins with a dot.
func (d Dialect) nextPart(s string) (part, tail string, err error) {
	if s == "" {
		return "", "", fmt.Errorf("a part of it is empty")
	}
	if s[0] == d.quote() {
		part, tail, err = unquote(s)
	} else {
		end := strings.IndexByte(s, '.')
		if end < 0 {
			end = len(s)
		}
		part, tail, err = s[:end], s[end:], checkPlain(s[:end])
		if d.Goose == goose.DialectPostgres {
			part = foldASCII(part)
		}
	}
	if err == nil && tail != "" && tail[0] != '.' {
		err = fmt.Errorf("text after a quoted part")
	}
	if err == nil {
		err = d.checkLength(part)
	}
	return part, tail, err
}

func unquote(s string) (part, tail string, err error) {
	quote := s[0]
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == 0:
			return "", "", fmt.Errorf("a NUL in it")
		case s[i] != quote:
			b.WriteByte(s[i])
		case i+1 < len(s) && s[i+1] == quote:
			b.WriteByte(quote)
			i++
		case b.Len() == 0:
			return "", "", fmt.Errorf("a part of it is empty")
		default:
			return b.String(), s[i+1:], nil
		}
	}
	return "", "", fmt.Errorf("a quote is not closed")
}

// foldASCII folds as PostgreSQL does in a multi-byte encoding: letters beyond ASCII stay.
func foldASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r - 'A' + 'a'
		}
		return r
	}, s)
}

func checkPlain(s string) error {
	if s == "" {
		return fmt.Errorf("a part of it is empty")
	}
	for i, r := range s {
		if r == '_' || unicode.IsLetter(r) || i > 0 && (unicode.IsDigit(r) || r == '$') {
			continue
		}
		return fmt.Errorf("%q needs quotes", s)
	}
	return nil
}

func (d Dialect) quotePart(s string) string {
	q := string(d.quote())
	return q + strings.ReplaceAll(s, q, q+q) + q
}

func (d Dialect) quote() byte {
	if d.Goose == goose.DialectMySQL {
		return '`'
	}
	return '"'
}

// checkLength refuses what is too long for the server: PostgreSQL, which counts bytes, would cut the
// name silently and then use another table (NAMEDATALEN, PostgreSQL manual 4.1.1); MySQL counts
// characters.
func (d Dialect) checkLength(part string) error {
	length, limit, unit := len(part), 1<<10, "bytes"
	switch d.Goose {
	case goose.DialectPostgres:
		limit = 63
	case goose.DialectMySQL:
		length, limit, unit = utf8.RuneCountInString(part), 64, "characters"
	}
	if length > limit {
		return fmt.Errorf("%q is longer than %d %s", part, limit, unit)
	}
	return nil
}
