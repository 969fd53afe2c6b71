// Package foreign finds what other tools for migrations, or goose under another name, have written down in a schema of
// what they did there.
package foreign

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

// Querier is a pool, a connection or a transaction.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// History is what one table says.
type History struct {
	Tool  string
	Table string // as it is called in statements
	// Version is the last one, as the tool writes it; "" if it has none. Number is that as a number, 0 if it is none.
	Version string
	Number  int64
	Dirty   bool  // the tool says that it has failed in this version
	Err     error // why the table can't be read
}

// Look returns the histories in the schema of a version table that exists, or in the one that it would be created in.
// Tables of the names in own are the asker's: if one of them has an applied version, nothing is foreign. An empty
// schema takes one statement.
func Look(ctx context.Context, db Querier, d dialect.Dialect, version dialect.Name, own []string) ([]History, error) {
	tables, err := candidates(ctx, db, d, version)
	if err != nil {
		return nil, err
	}
	var found []History
	var ours []table
	for _, t := range tables {
		k := t.kind()
		switch {
		case k == nil:
		case slices.ContainsFunc(own, func(name string) bool { return sameTable(d, name, t.name) }):
			ours = append(ours, t)
		default:
			h := History{Tool: k.tool, Table: d.Quote(dialect.Name{Schema: t.schema, Table: t.name})}
			some := false
			if some, h.Err = k.read(ctx, db, &h); some || h.Err != nil {
				found = append(found, h)
			}
			if ctx.Err() != nil {
				return nil, h.Err
			}
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	for _, t := range ours {
		h := History{Table: d.Quote(dialect.Name{Schema: t.schema, Table: t.name})}
		if some, err := gooseKind.read(ctx, db, &h); err != nil || some {
			return nil, err
		}
	}
	return found, nil
}

func sameTable(d dialect.Dialect, a, b string) bool {
	if d.Goose == goose.DialectPostgres {
		return a == b
	}
	return strings.EqualFold(a, b)
}

type table struct {
	schema, name string
	columns      []string // in lower case
}

// candidates are the tables that are called like one of the kinds, or have a column by which one is known.
func candidates(ctx context.Context, db Querier, d dialect.Dialect, version dialect.Name) (list []table, err error) {
	rows, err := db.QueryContext(ctx, candidatesQuery(d, version))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var schema, name, column string
		if err := rows.Scan(&schema, &name, &column); err != nil {
			return nil, err
		}
		if n := len(list); n == 0 || list[n-1].name != name || list[n-1].schema != schema {
			list = append(list, table{schema: schema, name: name})
		}
		last := &list[len(list)-1]
		last.columns = append(last.columns, strings.ToLower(column))
	}
	return list, rows.Err()
}

func candidatesQuery(d dialect.Dialect, version dialect.Name) string {
	names, columns := literals(d, kindNames()), literals(d, telling)
	switch d.Goose {
	case goose.DialectPostgres:
		schema := "(SELECT oid FROM pg_namespace WHERE nspname = " + d.Literal(version.Schema) + ")"
		atlas := "FALSE"
		if version.Schema == "" {
			schema = "COALESCE((SELECT relnamespace FROM pg_class WHERE oid = to_regclass(" + d.Literal(d.Quote(version)) + "))," +
				" (SELECT oid FROM pg_namespace WHERE nspname = current_schema()))"
			atlas = "refobjid = (SELECT oid FROM pg_namespace WHERE nspname = 'atlas_schema_revisions')"
		}
		// pg_depend is what has an index by the schema: there may be thousands of them.
		return `SELECT n.nspname, c.relname, a.attname
			FROM (SELECT DISTINCT objid, refobjid FROM pg_depend WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_namespace'::regclass
				AND (refobjid = ` + schema + ` OR ` + atlas + `)) AS d
			JOIN pg_class c ON c.oid = d.objid AND c.relkind IN ('r', 'p') JOIN pg_namespace n ON n.oid = c.relnamespace
			JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
			WHERE lower(c.relname) IN (` + names + `)
				OR EXISTS (SELECT 1 FROM pg_attribute v WHERE v.attrelid = c.oid AND v.attname IN (` + columns + `))
			ORDER BY 1, 2`
	case goose.DialectMySQL:
		schema := "COALESCE(NULLIF(" + d.Literal(version.Schema) + ", ''), DATABASE())"
		return `SELECT table_schema, table_name, column_name FROM information_schema.columns WHERE table_schema = ` + schema + `
			AND (LOWER(table_name) IN (` + names + `) OR table_name IN (SELECT table_name FROM information_schema.columns
				WHERE table_schema = ` + schema + ` AND LOWER(column_name) IN (` + columns + `))) ORDER BY 1, 2`
	default:
		schema := version.Schema
		if schema == "" {
			schema = "main"
		}
		info := "pragma_table_info(m.name, " + d.Literal(schema) + ")"
		return `SELECT ` + d.Literal(schema) + `, m.name, c.name FROM ` + d.Quote(dialect.Name{Table: schema}) + `.sqlite_master AS m, ` + info + ` AS c
			WHERE m.type = 'table' AND (lower(m.name) IN (` + names + `)
				OR EXISTS (SELECT 1 FROM ` + info + ` AS v WHERE lower(v.name) IN (` + columns + `))) ORDER BY 1, 2`
	}
}

func literals(d dialect.Dialect, list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = d.Literal(s)
	}
	return strings.Join(quoted, ", ")
}

// read says whether the table has any history, and notes the last version.
func (k *kind) read(ctx context.Context, db Querier, h *History) (some bool, err error) {
	rows, err := db.QueryContext(ctx, fmt.Sprintf(k.query, h.Table))
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	type entry struct {
		text           string
		number, failed int64
	}
	var list []entry
	for rows.Next() {
		var version sql.NullString
		var e entry
		if err := rows.Scan(&version, &e.failed); err != nil {
			return false, err
		}
		e.text, e.number = version.String, number(version.String)
		list = append(list, e)
	}
	if err := rows.Err(); err != nil {
		return false, err
	}
	if k.goose { // a version that was taken back may have rows
		seen := make(map[string]bool)
		list = slices.DeleteFunc(list, func(e entry) bool { // the newest come first
			past := seen[e.text]
			seen[e.text] = true
			return past || e.failed != 0 || e.number <= 0
		})
	}
	for _, e := range list {
		if k.counts && e.number <= 0 && e.failed == 0 {
			continue // before the first
		}
		some = true
		h.Dirty = h.Dirty || e.failed != 0 && !k.goose
		if k.versions && (e.number > h.Number || h.Version == "") {
			h.Number, h.Version = e.number, e.text
		}
	}
	if h.Number < 0 {
		h.Number, h.Version = 0, ""
	}
	return some, nil
}

// number is that which a version begins with, if that is followed by nothing or by a name.
func number(version string) int64 {
	digits := version
	if i := strings.IndexFunc(version, func(r rune) bool { return (r < '0' || r > '9') && r != '-' }); i >= 0 {
		if version[i] == '.' && i+1 < len(version) && version[i+1] >= '0' && version[i+1] <= '9' {
			return 0 // 1.2 is no version here
		}
		digits = version[:i]
	}
	digits, _, _ = strings.Cut(digits, "-")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		if version == "-1" {
			return -1
		}
		return 0
	}
	return n
}
