package dump

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/gooseplus/gooseplus/internal/catalog"
	"github.com/gooseplus/gooseplus/internal/dialect"
)

func literalMySQL(s string) string {
	return "'" + strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), "'", "''") + "'"
}

// mysqlDump is one reading of a database of MySQL or MariaDB, on one connection.
type mysqlDump struct {
	Source
	conn     *sql.Conn
	database string
}

func (s Source) readMySQL(ctx context.Context) (list []string, err error) {
	conn, err := s.DB.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	d := mysqlDump{Source: s, conn: conn}
	if _, err := conn.ExecContext(ctx, "SET time_zone = '+00:00', sql_mode = '', sql_quote_show_create = 1"); err != nil {
		return nil, err
	}
	if err := conn.QueryRowContext(ctx, "SELECT DATABASE()").Scan(&d.database); err != nil {
		return nil, err
	}
	for _, part := range []func(context.Context) ([]string, error){d.sequences, d.functions, d.tables, d.rows, d.views, d.procedures, d.triggers, d.events} {
		some, err := part(ctx)
		if err != nil {
			return nil, err
		}
		list = append(list, some...)
	}
	for i, s := range list {
		list[i] = strings.ReplaceAll(s, dialect.QuotedMySQL(d.database)+".", "")
	}
	return list, nil
}

// named are the names of what information_schema has of this database, in their order.
func (d mysqlDump) named(ctx context.Context, column1, table, where string) (list []string, err error) {
	list, err = column(ctx, d.conn, fmt.Sprintf("SELECT %s FROM information_schema.%s WHERE %s", column1, table, strings.ReplaceAll(where, "{db}", literalMySQL(d.database))))
	return slices.DeleteFunc(list, func(name string) bool { return slices.Contains(d.Ignore, name) }), err
}

// show returns the columns of a SHOW CREATE, by their names in lower case.
func (d mysqlDump) show(ctx context.Context, what, name string) (map[string]string, error) {
	rows, err := d.conn.QueryContext(ctx, "SHOW CREATE "+what+" "+dialect.QuotedMySQL(name))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	values, places := make([]sql.RawBytes, len(columns)), make([]any, len(columns))
	for i := range values {
		places[i] = &values[i]
	}
	found := make(map[string]string)
	for rows.Next() {
		if err := rows.Scan(places...); err != nil {
			return nil, err
		}
		for i, c := range columns {
			found[strings.ToLower(c)] = string(values[i])
		}
	}
	return found, rows.Err()
}

// definer is whose rights something has: those of whoever executes the checkpoint, as it would be without the clause.
var definer = regexp.MustCompile("(?i)^(create\\s+(?:or\\s+replace\\s+)?(?:algorithm\\s*=\\s*\\w+\\s+)?)definer\\s*=\\s*(?:`(?:[^`]|``)*`|\\S+?)(?:@(?:`(?:[^`]|``)*`|\\S+))?\\s+")

func anybodys(statement string) string { return definer.ReplaceAllString(statement, "$1") }

// each calls add for what information_schema has of this database, with the columns of its SHOW CREATE.
func (d mysqlDump) each(ctx context.Context, what, name, table, where string, add func(name string, shown map[string]string) error) error {
	names, err := d.named(ctx, name, table, where)
	for _, name := range names {
		shown, err := d.show(ctx, what, name)
		if err == nil {
			err = add(name, shown)
		}
		if err != nil {
			return err
		}
	}
	return err
}

func (d mysqlDump) sequences(ctx context.Context) (list []string, err error) {
	where := "table_schema = {db} AND table_type = 'SEQUENCE' ORDER BY table_name"
	err = d.each(ctx, "SEQUENCE", "table_name", "tables", where, func(name string, shown map[string]string) error {
		var next string
		if err := d.conn.QueryRowContext(ctx, "SELECT next_not_cached_value FROM "+dialect.QuotedMySQL(name)).Scan(&next); err != nil {
			return err
		}
		list = append(list, shown["create table"]+shown["create sequence"]+";", fmt.Sprintf("DO SETVAL(%s, %s, 0);", dialect.QuotedMySQL(name), next))
		return nil
	})
	return list, err
}

const mysqlTables = "table_schema = {db} AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY table_name"

func (d mysqlDump) tables(ctx context.Context) (list []string, err error) {
	err = d.each(ctx, "TABLE", "table_name", "tables", mysqlTables, func(_ string, shown map[string]string) error {
		list = append(list, shown["create table"]+";")
		return nil
	})
	return list, err
}

func (d mysqlDump) rows(ctx context.Context) (list []string, err error) {
	names, err := d.named(ctx, "table_name", "tables", mysqlTables)
	for _, name := range names {
		columns, err := d.columns(ctx, name)
		if err != nil {
			return nil, err
		}
		if len(columns) == 0 {
			continue
		}
		var quoted, literals []string
		for _, c := range columns {
			quoted, literals = append(quoted, dialect.QuotedMySQL(c.name)), append(literals, c.literal())
		}
		keys, err := column(ctx, d.conn, "SELECT column_name FROM information_schema.statistics WHERE table_schema = DATABASE() AND index_name = 'PRIMARY' AND table_name = "+
			literalMySQL(name)+" ORDER BY seq_in_index")
		if err != nil {
			return nil, err
		}
		order := "" // an index might decide otherwise
		for i, key := range keys {
			order += map[bool]string{true: " ORDER BY ", false: ", "}[i == 0] + dialect.QuotedMySQL(key)
		}
		rows, err := column(ctx, d.conn, "SELECT CONCAT_WS(', ', "+strings.Join(literals, ", ")+") FROM "+dialect.QuotedMySQL(name)+order)
		if err != nil {
			return nil, err
		}
		list = append(list, inserts(dialect.QuotedMySQL(name)+" ("+strings.Join(quoted, ", ")+")", rows)...)
	}
	return list, err
}

type mysqlColumn struct{ name, kind string }

// literal is an expression of the server's for a literal of the column's value.
func (c mysqlColumn) literal() string {
	name := dialect.QuotedMySQL(c.name)
	switch {
	case strings.Contains(c.kind, "blob"), strings.Contains(c.kind, "binary"), strings.Contains(c.kind, "geometry"), strings.Contains(c.kind, "point"),
		strings.Contains(c.kind, "linestring"), strings.Contains(c.kind, "polygon"):
		return "IF(" + name + " IS NULL, 'NULL', CONCAT('x''', HEX(" + name + "), ''''))"
	case c.kind == "bit":
		return "IF(" + name + " IS NULL, 'NULL', CONCAT('b''', BIN(" + name + " + 0), ''''))"
	case c.kind == "float": // as text it would lose digits
		return "QUOTE(" + name + " + 0e0)"
	}
	return "QUOTE(" + name + ")"
}

func (d mysqlDump) columns(ctx context.Context, table string) (list []mysqlColumn, err error) {
	query := "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = " +
		literalMySQL(table) + " AND COALESCE(generation_expression, '') = '' ORDER BY ordinal_position"
	err = catalog.Each(ctx, d.conn, query, func(rows *sql.Rows) error {
		var c mysqlColumn
		err := rows.Scan(&c.name, &c.kind)
		list = append(list, c)
		return err
	})
	return list, err
}

// views come after those that their definitions name.
func (d mysqlDump) views(ctx context.Context) (list []string, err error) {
	var names []string
	definitions := make(map[string]string)
	err = d.each(ctx, "VIEW", "table_name", "views", "table_schema = {db} ORDER BY table_name", func(name string, shown map[string]string) error {
		names, definitions[name] = append(names, name), strings.ReplaceAll(shown["create view"], dialect.QuotedMySQL(d.database)+".", "")
		return nil
	})
	done := make(map[string]bool)
	for len(done) < len(names) {
		before := len(done)
		for _, name := range names {
			waits := slices.ContainsFunc(names, func(other string) bool {
				return other != name && !done[other] && strings.Contains(definitions[name], dialect.QuotedMySQL(other))
			})
			if !done[name] && !waits {
				done[name] = true
				list = append(list, anybodys(definitions[name])+";")
			}
		}
		if len(done) == before {
			return nil, fmt.Errorf("views that name each other: %v", names)
		}
	}
	return list, err
}

func (d mysqlDump) functions(ctx context.Context) ([]string, error) {
	return d.stored(ctx, "FUNCTION", "routines", "routine_name", "routine_schema = {db} AND routine_type = 'FUNCTION' ORDER BY routine_name")
}

func (d mysqlDump) procedures(ctx context.Context) ([]string, error) {
	return d.stored(ctx, "PROCEDURE", "routines", "routine_name", "routine_schema = {db} AND routine_type = 'PROCEDURE' ORDER BY routine_name")
}

func (d mysqlDump) triggers(ctx context.Context) ([]string, error) {
	return d.stored(ctx, "TRIGGER", "triggers", "trigger_name", "trigger_schema = {db} ORDER BY event_object_table, action_timing, event_manipulation, action_order")
}

func (d mysqlDump) events(ctx context.Context) ([]string, error) {
	return d.stored(ctx, "EVENT", "events", "event_name", "event_schema = {db} ORDER BY event_name")
}

// stored are programs that the server stores, each with the sql_mode that it was made with, and an event with the time zone that
// its times are in.
func (d mysqlDump) stored(ctx context.Context, what, table, name, where string) (list []string, err error) {
	err = d.each(ctx, what, name, table, where, func(name string, shown map[string]string) error {
		text := cmp.Or(shown["create "+strings.ToLower(what)], shown["sql original statement"])
		if text == "" {
			return fmt.Errorf("%s %s: this user may not read its text", what, name)
		}
		settings := "SET sql_mode = " + literalMySQL(shown["sql_mode"])
		if zone := shown["time_zone"]; zone != "" {
			settings += ", time_zone = " + literalMySQL(zone)
		}
		list = append(list, settings+";", anybodys(text)+";")
		return nil
	})
	if len(list) > 0 {
		list = append(list, "SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00';")
	}
	return list, err
}
