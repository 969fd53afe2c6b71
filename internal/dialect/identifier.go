package dialect

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/pressly/goose/v3"
)

// Name is the name of a table as the server stores it, and the name of its schema if one was given.
type Name struct {
	Schema, Table string
}

// Quotes says whether ParseName and Quote know how the dialect writes identifiers. The names of other dialects go to goose
// as they are.
func (d Dialect) Quotes() bool {
	_, known := d.Quoting()
	return known
}

// ParseName reads a table name as goose takes it: plain or quoted, with or without a schema before a dot. goose puts the
// name into its statements as it is, so everything that isn't a name is refused. A plain name is folded as the server
// folds it.
func (d Dialect) ParseName(s string) (n Name, err error) {
	fail := func(err error) (Name, error) { return Name{}, fmt.Errorf("table name %q: %w", s, err) }
	for rest := s; ; rest = rest[1:] { // without the dot
		if n.Schema != "" {
			return fail(errors.New("more than a schema and a table"))
		}
		n.Schema = n.Table
		if n.Table, rest, err = nextPart(rest, d.Goose); err != nil {
			return fail(err)
		}
		if rest == "" {
			return n, nil
		}
	}
}

// Quote renders the name for a statement, so that the server takes it literally.
func (d Dialect) Quote(n Name) string {
	q := quoteMark(d.Goose)
	if n.Schema == "" {
		return doubled(n.Table, q)
	}
	return doubled(n.Schema, q) + "." + doubled(n.Table, q)
}

// Quoted is a name in the quotes of the SQL standard: those of PostgreSQL and SQLite.
func Quoted(name string) string { return doubled(name, `"`) }

// QuotedMySQL is a name in the quotes of MySQL.
func QuotedMySQL(name string) string { return doubled(name, "`") }

func doubled(name, q string) string { return q + strings.ReplaceAll(name, q, q+q) + q }

// Literal renders a text for a statement, and doesn't depend on what the server takes a backslash for. With a literal
// instead of an argument every driver needs one round trip. On a connection of MySQL with another character set than UTF-8 a
// text comes back as it was sent, whether it has a backslash or not: both are in that character set.
func (d Dialect) Literal(s string) string {
	literal := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	switch {
	case !strings.Contains(s, `\`):
	case d.Goose == goose.DialectPostgres:
		return "E" + strings.ReplaceAll(literal, `\`, `\\`)
	case d.Goose == goose.DialectMySQL && isASCII(s):
		return fmt.Sprintf("_utf8mb4 X'%x'", s)
	case d.Goose == goose.DialectMySQL:
		return "CONCAT(" + strings.ReplaceAll(literal, `\`, "', CHAR(92 USING ascii), '") + ")"
	}
	return literal
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

// nextPart takes one identifier off s. tail is empty or begins with a dot.
func nextPart(s string, of goose.Dialect) (part, tail string, err error) {
	if strings.HasPrefix(s, quoteMark(of)) {
		part, tail, err = unquote(s, quoteMark(of))
	} else {
		part, _, _ = strings.Cut(s, ".")
		tail = s[len(part):]
		if part != "" && !plainName.MatchString(part) {
			err = fmt.Errorf("%q needs quotes", part)
		}
		if of == goose.DialectPostgres {
			part = foldASCII(part)
		}
	}
	switch {
	case err != nil:
		return "", "", err
	case part == "":
		return "", "", errors.New("a part of it is empty")
	case tail != "" && tail[0] != '.':
		return "", "", errors.New("text after a quoted part")
	}
	return part, tail, checkLength(part, of)
}

var plainName = regexp.MustCompile(`^[\p{L}_][\p{L}\p{Nd}_$]*$`)

func unquote(s, quote string) (part, tail string, err error) {
	for rest := s[1:]; ; {
		before, after, closed := strings.Cut(rest, quote)
		part += before
		switch {
		case !closed:
			return "", "", errors.New("a quote is not closed")
		case strings.HasPrefix(after, quote): // doubled
			part, rest = part+quote, after[1:]
		case strings.Contains(part, "\x00"):
			return "", "", errors.New("a NUL in it")
		default:
			return part, after, nil
		}
	}
}

// foldASCII folds as PostgreSQL does in a multi-byte encoding: letters beyond ASCII stay.
func foldASCII(s string) string {
	return upperASCII.ReplaceAllStringFunc(s, strings.ToLower)
}

var upperASCII = regexp.MustCompile(`[A-Z]+`)

func quoteMark(of goose.Dialect) string {
	if of == goose.DialectMySQL {
		return "`"
	}
	return `"`
}

// checkLength refuses a name that is too long for the server. PostgreSQL, which counts bytes, would cut the name silently and
// use another table (NAMEDATALEN, manual 4.1.1). MySQL counts characters.
func checkLength(part string, of goose.Dialect) error {
	length, limit, unit := len(part), 1<<10, "bytes"
	switch of {
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
