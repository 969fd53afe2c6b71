package catalog

import (
	"context"
	"database/sql"
	"regexp"
	"slices"
	"strings"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

// readSQLite reads sqlite_master. SQLite edits the text of a table when the table is altered, or another table is renamed. So the
// texts are compared word by word, and not as they are written. Names have no case. Tables in which a virtual table keeps
// its rows are left out.
func readSQLite(ctx context.Context, db *sql.DB, scope Scope) (Catalog, error) {
	c := make(Catalog)
	query := `SELECT type, name, tbl_name, COALESCE(sql, '') FROM sqlite_master WHERE name NOT LIKE 'sqlite\_%' ESCAPE '\'
		AND tbl_name NOT IN (SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'shadow')`
	err := Each(ctx, db, query, func(r *sql.Rows) error {
		var kind, name, table, text string
		if err := r.Scan(&kind, &name, &table, &text); err != nil {
			return err
		}
		words := sqlWords(text)
		o := Object{Kind: kind, Name: strings.ToLower(name), Definition: strings.Join(words, " "),
			Drop: "DROP " + strings.ToUpper(kind) + " main." + dialect.Quoted(name)}
		switch kind {
		case "table":
			c.sqliteTable(o, "ALTER TABLE main."+dialect.Quoted(name), words)
			return nil
		case "index", "trigger":
			o.Of = "table " + strings.ToLower(table)
			o.Name += " on " + strings.ToLower(table)
		}
		c.add(o)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for key, o := range c { // a view can have a trigger too
		if o.Of == "" {
			continue
		}
		if _, ok := c[o.Of]; !ok {
			o.Of = "view " + strings.TrimPrefix(o.Of, "table ")
			c[key] = o
		}
	}
	var ignored []string
	for _, name := range scope.Ignore {
		ignored = append(ignored, strings.ToLower(name))
	}
	c.withoutTables(ignored)
	return c, nil
}

// sqliteTable adds a table with its columns and constraints, which commas separate.
func (c Catalog) sqliteTable(table Object, alter string, words []string) {
	first := slices.Index(words, "(")
	if first < 0 || len(words) > 1 && words[1] == "virtual" {
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
			c.sqliteItem(table, alter, item)
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

func (c Catalog) sqliteItem(table Object, alter string, words []string) {
	if len(words) == 0 {
		return
	}
	if slices.Contains(constraintWords, words[0]) {
		o := Object{Kind: "constraint", Name: strings.Join(words, " ") + " on " + table.Name, Of: table.Key()}
		if words[0] == "constraint" && len(words) > 2 {
			o.Name, o.Definition = words[1]+" on "+table.Name, strings.Join(words[2:], " ")
		}
		c.add(o)
		return
	}
	name := strings.Trim(words[0], `"`)
	column := Object{Kind: "column", Name: table.Name + "." + name, Of: table.Key(), Drop: alter + " DROP COLUMN " + dialect.Quoted(name)}
	var list []string
	for i, clause := range clauses(words[1:]) {
		text := strings.Join(clause, " ")
		switch {
		case i == 0: // the type
			column.Definition = text
		case clause[0] == "default":
			c.add(Object{Kind: "default", Name: "of " + column.Name, Of: column.Key(), Definition: strings.TrimPrefix(text, "default ")})
		default:
			list = append(list, text)
		}
	}
	slices.Sort(list) // they mean the same in any order
	column.Definition = strings.TrimSpace(column.Definition + " " + strings.Join(list, " "))
	c.add(column)
}

// constraintWords begin the constraint of a table, and clauseWords the constraint of a column. A name that is such a word keeps
// its quotes.
var (
	constraintWords = []string{"constraint", "primary", "unique", "check", "foreign"}
	clauseWords     = []string{"constraint", "primary", "unique", "check", "not", "null", "default", "collate", "references", "generated", "as"}
)

// clauses splits the text after the name of a column into the type, which may be empty, and the constraints.
func clauses(words []string) [][]string {
	list := [][]string{nil}
	depth := 0
	for i, w := range words {
		last := &list[len(list)-1]
		if depth == 0 && slices.Contains(clauseWords, w) && !continues(*last, words[i:]) {
			list = append(list, nil)
			last = &list[len(list)-1]
		}
		*last = append(*last, w)
		switch w {
		case "(":
			depth++
		case ")":
			depth--
		}
	}
	return list
}

// continues says whether a word that can begin a constraint belongs to the clause before it.
func continues(clause, words []string) bool {
	if len(clause) == 0 {
		return false
	}
	if len(clause) == 2 && clause[0] == "constraint" { // after its name
		return true
	}
	switch last := clause[len(clause)-1]; words[0] {
	case "null":
		return last == "not" || last == "set" || last == "default"
	case "default":
		return last == "set"
	case "as":
		return last == "always"
	case "not":
		return len(words) > 1 && words[1] == "deferrable"
	}
	return false
}

// sqlToken is a comment, a text or a name in quotes (a quote within is doubled), a number, a word, or another character.
// A quote or a comment that is not closed goes on to the end.
var sqlToken = regexp.MustCompile(`(?s)--[^\n]*|/\*.*?(?:\*/|$)|'(?:[^']|'')*(?:'|$)|"(?:[^"]|"")*(?:"|$)|` + "`(?:[^`]|``)*(?:`|$)" +
	`|\[[^\]]*(?:\]|$)|\p{Nd}[\p{L}\p{Nd}_$.]*|[\p{L}\p{Nd}_$]+|\S`)

var plainWord = regexp.MustCompile(`^[\p{L}\p{Nd}_$]*$`)

// sqlWords splits SQL into words without comments. Words without quotes become lower case, and names lose the quotes that they
// don't need. A name with a dot is three words.
func sqlWords(text string) (words []string) {
	for _, w := range sqlToken.FindAllString(text, -1) {
		switch {
		case strings.HasPrefix(w, "--"), strings.HasPrefix(w, "/*"):
			continue
		case w[0] == '"' || w[0] == '`' || w[0] == '[':
			w = unquoted(w)
		case w[0] != '\'':
			w = strings.ToLower(w)
		}
		words = append(words, w)
	}
	return words
}

func unquoted(word string) string {
	if len(word) < 3 {
		return word
	}
	name := word[1 : len(word)-1]
	lower := strings.ToLower(name)
	if !plainWord.MatchString(name) || slices.Contains(constraintWords, lower) || slices.Contains(clauseWords, lower) {
		return `"` + name + `"`
	}
	return lower
}
