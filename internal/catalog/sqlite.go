package catalog

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"unicode"
)

// readSQLite reads sqlite_master. SQLite edits the text of a table when it is altered, and so does it for the name of a
// table that is renamed: the texts are compared word by word, and not as they are written.
func readSQLite(ctx context.Context, db *sql.DB, _ string, ignore map[string]bool) (Catalog, error) {
	c, ignored := make(Catalog), make(map[string]bool)
	query := `SELECT type, name, tbl_name, COALESCE(sql, '') FROM sqlite_master WHERE name NOT LIKE 'sqlite\_%' ESCAPE '\'`
	err := rows(ctx, db, query, nil, func(r *sql.Rows) error {
		var kind, name, table, text string
		if err := r.Scan(&kind, &name, &table, &text); err != nil {
			return err
		}
		words := sqlWords(text)
		switch kind {
		case "table":
			c.sqliteTable(name, words)
		case "view":
			c.add(Object{Kind: kind, Name: name, Definition: strings.Join(words, " ")})
		default:
			c.add(Object{Kind: kind, Name: name + " on " + table, Of: "table " + table, Definition: strings.Join(words, " ")})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for key, o := range c { // a trigger can be that of a view
		if o.Of == "" {
			continue
		}
		if _, ok := c[o.Of]; !ok {
			o.Of = "view " + strings.TrimPrefix(o.Of, "table ")
			c[key] = o
		}
	}
	for name := range ignore {
		ignored["table "+name] = true
	}
	c.without(ignored)
	return c, nil
}

// sqliteTable adds a table with its columns and constraints, of which each stands between two commas.
func (c Catalog) sqliteTable(name string, words []string) {
	table := Object{Kind: "table", Name: name}
	first := slices.Index(words, "(")
	if first < 0 || len(words) > 1 && words[1] == "virtual" {
		table.Definition = strings.Join(words, " ")
		c.add(table)
		return
	}
	var item []string
	depth, i := 0, first
	for ; i < len(words); i++ {
		w := words[i]
		if w == ")" {
			depth--
		}
		if depth == 0 && w == ")" || depth == 1 && w == "," {
			c.sqliteItem(table, item)
			item = nil
		} else if depth > 0 {
			item = append(item, w)
		}
		if w == "(" {
			depth++
		}
		if depth == 0 {
			break
		}
	}
	table.Definition = strings.Join(words[min(i+1, len(words)):], " ") // STRICT, WITHOUT ROWID
	c.add(table)
}

func (c Catalog) sqliteItem(table Object, words []string) {
	if len(words) == 0 {
		return
	}
	switch strings.ToLower(words[0]) {
	case "constraint", "primary", "unique", "check", "foreign":
		c.add(Object{Kind: "constraint", Name: strings.Join(words, " ") + " on " + table.Name, Of: table.Key()})
		return
	}
	column := Object{Kind: "column", Name: table.Name + "." + strings.Trim(words[0], `"`), Of: table.Key()}
	rest := words[1:]
	if at := slices.Index(rest, "default"); at >= 0 && at+1 < len(rest) {
		end := expressionEnd(rest, at+1)
		c.add(Object{Kind: "default", Name: "of " + column.Name, Of: column.Key(), Definition: strings.Join(rest[at+1:end], " ")})
		rest = slices.Concat(rest[:at], rest[end:])
	}
	column.Definition = strings.Join(rest, " ")
	c.add(column)
}

// expressionEnd returns where the value that begins at a word ends: it is one word, with a sign before it, or
// something in parentheses.
func expressionEnd(words []string, at int) int {
	if words[at] == "-" || words[at] == "+" {
		at++
	}
	depth := 0
	for ; at < len(words); at++ {
		switch words[at] {
		case "(":
			depth++
		case ")":
			depth--
		}
		if depth == 0 {
			return at + 1
		}
	}
	return len(words)
}

// sqlWords splits SQL into its words without comments. Words that are not quoted are in lower case, and quotes around a
// name that doesn't need them are taken off.
func sqlWords(text string) (words []string) {
	runes := []rune(text)
	for i := 0; i < len(runes); {
		r := runes[i]
		rest := runes[i:]
		switch {
		case unicode.IsSpace(r):
			i++
		case hasPrefix(rest, "--"):
			i += until(rest, "\n")
		case hasPrefix(rest, "/*"):
			i += until(rest, "*/")
		case r == '\'' || r == '"' || r == '`' || r == '[':
			n := quotedLength(rest)
			words = append(words, unquoted(string(rest[:n])))
			i += n
		case wordRune(r):
			n := slices.IndexFunc(rest, func(r rune) bool { return !wordRune(r) })
			if n < 0 {
				n = len(rest)
			}
			words = append(words, strings.ToLower(string(rest[:n])))
			i += n
		default:
			words = append(words, string(r))
			i++
		}
	}
	return words
}

func wordRune(r rune) bool {
	return r == '_' || r == '$' || r == '.' || unicode.IsLetter(r) || unicode.IsDigit(r)
}

func hasPrefix(runes []rune, prefix string) bool {
	return len(runes) >= len(prefix) && string(runes[:len(prefix)]) == prefix
}

func until(runes []rune, end string) int {
	for i := range runes {
		if hasPrefix(runes[i:], end) {
			return i + len(end)
		}
	}
	return len(runes)
}

// quotedLength is the length of what stands in quotes, in which the closing one is doubled.
func quotedLength(runes []rune) int {
	end := runes[0]
	if end == '[' {
		end = ']'
	}
	for i := 1; i < len(runes); i++ {
		if runes[i] != end {
			continue
		}
		if i+1 < len(runes) && runes[i+1] == end && end != ']' {
			i++
			continue
		}
		return i + 1
	}
	return len(runes)
}

func unquoted(word string) string {
	if word[0] == '\'' || len(word) < 3 {
		return word
	}
	name := word[1 : len(word)-1]
	if !strings.ContainsFunc(name, func(r rune) bool { return !wordRune(r) || r == '.' }) {
		return strings.ToLower(name) // SQLite's names have no case
	}
	return `"` + name + `"`
}
