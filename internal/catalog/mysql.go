package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// mysqlReader reads one database of a MySQL or MariaDB server.
type mysqlReader struct {
	q       querier
	schema  string
	catalog Catalog
}

// readMySQL reads on one connection. What SHOW CREATE TABLE says is the same on MySQL and MariaDB, and more than there
// is in information_schema.
func readMySQL(ctx context.Context, db *sql.DB, scope Scope) (Catalog, error) {
	r := &mysqlReader{q: db, schema: scope.Schema, catalog: make(Catalog)}
	if r.schema == "" {
		if err := db.QueryRowContext(ctx, "SELECT COALESCE(DATABASE(), '')").Scan(&r.schema); err != nil {
			return nil, err
		}
	}
	for _, read := range []func(context.Context) error{
		r.database, r.tables, r.columns, r.views, r.triggers, r.order, r.routines, r.events, r.grants, r.routineGrants,
	} {
		if err := read(ctx); err != nil {
			return nil, err
		}
	}
	if scope.IgnoreIn == "" || scope.IgnoreIn == r.schema {
		ignored := make(map[string]bool)
		for _, name := range scope.Ignore {
			ignored["table "+name] = true
		}
		r.catalog.without(ignored)
	}
	return r.catalog, nil
}

// each calls scan for each row of a query with the name of the database as its one argument.
func (r *mysqlReader) each(ctx context.Context, query string, scan func(*sql.Rows) error) error {
	return rows(ctx, r.q, query, []any{r.schema}, scan)
}

// name is that of something in the database for a statement. There, a name alone can mean what is in another database.
func (r *mysqlReader) name(name string) string { return backquote(r.schema) + "." + backquote(name) }

func backquote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

func (r *mysqlReader) database(ctx context.Context) error {
	return r.each(ctx, `SELECT CONCAT_WS(' ', default_character_set_name, default_collation_name) FROM information_schema.schemata WHERE schema_name = ?`,
		func(rows *sql.Rows) error {
			o := Object{Kind: "character set", Name: "of the database"}
			if err := rows.Scan(&o.Definition); err != nil {
				return err
			}
			r.catalog.add(o)
			return nil
		})
}

func (r *mysqlReader) tables(ctx context.Context) error {
	kinds := make(map[string]string)
	err := r.each(ctx, `SELECT table_name, table_type, COALESCE(table_comment, '') FROM information_schema.tables
			WHERE table_schema = ? AND table_type NOT LIKE '%VIEW%'`,
		func(rows *sql.Rows) error {
			var name, kind, comment string
			if err := rows.Scan(&name, &kind, &comment); err != nil {
				return err
			}
			kinds[name] = kind
			if key := "table " + name; comment != "" && kind != "SEQUENCE" {
				r.catalog.add(Object{Kind: "comment", Name: "on " + key, Of: key, Definition: comment})
			}
			return nil
		})
	if err != nil {
		return err
	}
	for name, kind := range kinds {
		what, word := "TABLE", "table"
		if kind == "SEQUENCE" {
			what, word = "SEQUENCE", "sequence"
		}
		var shown, text string
		err := r.q.QueryRowContext(ctx, "SHOW CREATE "+what+" "+r.name(name)).Scan(&shown, &text)
		if err != nil {
			return err
		}
		if word == "sequence" {
			_, definition, _ := strings.Cut(text, backquote(name))
			r.catalog.add(Object{Kind: word, Name: name, Definition: oneLine(definition), Drop: "DROP SEQUENCE " + r.name(name)})
			continue
		}
		r.table(name, text)
	}
	return nil
}

var (
	tableCounter  = regexp.MustCompile(` AUTO_INCREMENT=\d+`)
	tableComment  = regexp.MustCompile(` COMMENT='(?:[^'\\]|\\.|'')*'`)
	columnComment = regexp.MustCompile(` COMMENT '(?:[^'\\]|\\.|'')*'`)
	columnCheck   = regexp.MustCompile(` CHECK \(.*\)$`)
	lineName      = regexp.MustCompile("^[A-Z ]*`((?:[^`]|``)*)`")
)

// table reads the lines of a SHOW CREATE TABLE. Of the columns it takes what is nowhere else; what begins with a word is
// an index or a constraint, and the rest after the closing parenthesis is of the table itself.
func (r *mysqlReader) table(name, text string) {
	key, alter := "table "+name, "ALTER TABLE "+r.name(name)
	var options []string
	inside := true
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, ")") {
			inside = false
		}
		line = strings.TrimSuffix(strings.TrimSpace(line), ",")
		switch {
		case strings.HasPrefix(line, "CREATE "):
		case strings.HasPrefix(line, "`"): // MariaDB tells the check of a column only here
			if check := columnCheck.FindString(columnComment.ReplaceAllString(line, "")); check != "" {
				column := name + "." + lineNamed(line)
				r.catalog.add(Object{Kind: "check", Name: "of " + column, Of: "column " + column, Definition: strings.TrimSpace(check)})
			}
		case !inside:
			line = tableComment.ReplaceAllString(tableCounter.ReplaceAllString(line, ""), "")
			options = append(options, strings.TrimPrefix(line, ") "))
		case strings.HasPrefix(line, "PRIMARY KEY"):
			r.catalog.add(Object{Kind: "primary key", Name: "of " + name, Of: key, Definition: line, Drop: alter + " DROP PRIMARY KEY"})
		case strings.HasPrefix(line, "CONSTRAINT"):
			r.catalog.add(Object{Kind: "constraint", Name: lineNamed(line) + " on " + name, Of: key, Definition: line,
				Drop: alter + " DROP CONSTRAINT " + backquote(lineNamed(line))})
		case strings.HasPrefix(line, "PERIOD"), strings.HasPrefix(line, "CHECK"):
			r.catalog.add(Object{Kind: "constraint", Name: line + " on " + name, Of: key})
		default:
			r.catalog.add(Object{Kind: "index", Name: lineNamed(line) + " on " + name, Of: key, Definition: line,
				Drop: alter + " DROP INDEX " + backquote(lineNamed(line))})
		}
	}
	r.catalog.add(Object{Kind: "table", Name: name, Definition: strings.Join(options, " "), Drop: "DROP TABLE " + r.name(name)})
}

func lineNamed(line string) string {
	if m := lineName.FindStringSubmatch(line); m != nil {
		return strings.ReplaceAll(m[1], "``", "`")
	}
	return oneLine(line)
}

func (r *mysqlReader) columns(ctx context.Context) error {
	return r.each(ctx, `SELECT c.table_name, c.column_name, c.column_type, c.data_type, c.is_nullable, c.extra,
			COALESCE(c.generation_expression, ''), COALESCE(c.collation_name, ''), c.column_default, c.column_comment
		FROM information_schema.columns c JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
		WHERE c.table_schema = ? AND t.table_type NOT LIKE '%VIEW%' AND t.table_type <> 'SEQUENCE'`,
		func(rows *sql.Rows) error {
			var table, column, typ, base, nullable, extra, generated, collation, comment string
			var fallback sql.NullString
			if err := rows.Scan(&table, &column, &typ, &base, &nullable, &extra, &generated, &collation, &fallback, &comment); err != nil {
				return err
			}
			alter := "ALTER TABLE " + r.name(table)
			o := Object{Kind: "column", Name: table + "." + column, Of: "table " + table, Drop: alter + " DROP COLUMN " + backquote(column)}
			if values, ok := listed(typ, base); ok {
				typ = base
				for _, v := range values {
					r.catalog.add(Object{Kind: base + " value", Name: o.Name + "." + v, Of: o.Key()})
				}
				r.catalog.add(Object{Kind: "order of the values", Name: "of " + o.Name, Of: o.Key(), Definition: strings.Join(values, ", "), Weak: true})
			}
			if nullable == "NO" {
				typ += " not null"
			}
			o.Definition = strings.Join(strings.Fields(fmt.Sprintf("%s %s %s %s", typ, collation, extra, generated)), " ")
			r.catalog.add(o)
			if fallback.Valid && fallback.String != "NULL" {
				r.catalog.add(Object{Kind: "default", Name: "of " + o.Name, Of: o.Key(), Definition: fallback.String,
					Drop: alter + " ALTER COLUMN " + backquote(column) + " DROP DEFAULT"})
			}
			if comment != "" {
				r.catalog.add(Object{Kind: "comment", Name: "on " + o.Key(), Of: o.Key(), Definition: comment})
			}
			return nil
		})
}

// listed returns the values of an enum or a set, quoted as they are.
func listed(typ, base string) (values []string, ok bool) {
	if base != "enum" && base != "set" {
		return nil, false
	}
	list := strings.TrimSuffix(strings.TrimPrefix(typ, base+"("), ")")
	return strings.Split(strings.ReplaceAll(list, "','", "'\x00'"), "\x00"), true
}

func (r *mysqlReader) views(ctx context.Context) error {
	return r.programs(ctx, `SELECT 'view', table_name, '',
			CONCAT(view_definition, ' with check option ', check_option, ', security ', security_type), definer, ''
		FROM information_schema.views WHERE table_schema = ?`)
}

func (r *mysqlReader) triggers(ctx context.Context) error {
	return r.programs(ctx, `SELECT 'trigger', trigger_name, event_object_table,
			CONCAT_WS(' ', action_timing, event_manipulation, 'on', event_object_table, action_statement), definer, sql_mode
		FROM information_schema.triggers WHERE trigger_schema = ?`)
}

// order is that in which the triggers of the same time fire.
func (r *mysqlReader) order(ctx context.Context) error {
	return r.each(ctx, `SELECT trigger_name, event_object_table, LOWER(CONCAT(action_timing, ' ', event_manipulation)) FROM information_schema.triggers
		WHERE trigger_schema = ? ORDER BY action_order`, func(rows *sql.Rows) error {
		var trigger, table, when string
		if err := rows.Scan(&trigger, &table, &when); err != nil {
			return err
		}
		o := Object{Kind: "order of the triggers", Name: when + " on " + table, Of: "table " + table, Weak: true}
		o.Definition = strings.TrimPrefix(r.catalog[o.Key()].Definition+", "+trigger, ", ")
		r.catalog.add(o)
		return nil
	})
}

func (r *mysqlReader) routines(ctx context.Context) error {
	return r.programs(ctx, `SELECT LOWER(routine_type), routine_name, '', CONCAT_WS(' ',
			(SELECT GROUP_CONCAT(CONCAT_WS(' ', parameter_mode, parameter_name, dtd_identifier) ORDER BY ordinal_position SEPARATOR ', ')
				FROM information_schema.parameters p WHERE p.specific_schema = routine_schema AND p.specific_name = routines.specific_name
					AND p.routine_type = routines.routine_type AND ordinal_position > 0),
			CONCAT('returns ', dtd_identifier), CASE is_deterministic WHEN 'YES' THEN 'deterministic' END, sql_data_access, 'security', security_type,
			routine_definition, routine_comment), definer, sql_mode
		FROM information_schema.routines WHERE routine_schema = ?`)
}

// events are read without their times, which most count from now.
func (r *mysqlReader) events(ctx context.Context) error {
	return r.programs(ctx, `SELECT 'event', event_name, '', CONCAT_WS(' ', event_type, interval_value, interval_field, status, 'on completion', on_completion,
			event_definition, event_comment), definer, sql_mode
		FROM information_schema.events WHERE event_schema = ?`)
}

// programs adds what a query returns: kind, name, the name of the table that it is a part of or "", definition, definer and
// SQL mode.
func (r *mysqlReader) programs(ctx context.Context, query string) error {
	return r.each(ctx, query, func(rows *sql.Rows) error {
		var o Object
		var table, definer, mode string
		var definition sql.NullString // of what the user may not see
		if err := rows.Scan(&o.Kind, &o.Name, &table, &definition, &definer, &mode); err != nil {
			return err
		}
		o.Definition, o.Drop = definition.String, "DROP "+strings.ToUpper(o.Kind)+" "+r.name(o.Name)
		if table != "" {
			o.Of = "table " + table
			o.Name += " on " + table
		}
		r.catalog.add(o)
		r.catalog.add(Object{Kind: "definer", Name: "of " + o.Key(), Of: o.Key(), Definition: definer})
		r.catalog.add(Object{Kind: "SQL mode", Name: "of " + o.Key(), Of: o.Key(), Definition: mode})
		return nil
	})
}

// routineGrants are in no view of information_schema: who may not read the table that they are in doesn't see them.
func (r *mysqlReader) routineGrants(ctx context.Context) error {
	err := r.each(ctx, `SELECT LOWER(routine_type), routine_name, user, host, LOWER(proc_priv) FROM mysql.procs_priv WHERE db = ?`, func(rows *sql.Rows) error {
		var kind, name, user, host, privileges string
		if err := rows.Scan(&kind, &name, &user, &host, &privileges); err != nil {
			return err
		}
		on := kind + " " + name
		for privilege := range strings.SplitSeq(privileges, ",") {
			r.catalog.add(Object{Kind: "grant", Name: fmt.Sprintf("of %s on %s to '%s'@'%s'", privilege, on, user, host), Of: on})
		}
		return nil
	})
	const denied = 1142 // ER_TABLEACCESS_DENIED_ERROR
	var my *mysql.MySQLError
	if errors.As(err, &my) && my.Number == denied {
		return nil
	}
	return err
}

func (r *mysqlReader) grants(ctx context.Context) error {
	return r.each(ctx, `SELECT privilege_type, '', '', grantee, is_grantable FROM information_schema.schema_privileges WHERE table_schema = ?
		UNION ALL SELECT privilege_type, table_name, '', grantee, is_grantable FROM information_schema.table_privileges WHERE table_schema = `+literal(r.schema)+`
		UNION ALL SELECT privilege_type, table_name, column_name, grantee, is_grantable FROM information_schema.column_privileges WHERE table_schema = `+literal(r.schema),
		func(rows *sql.Rows) error {
			var privilege, table, column, grantee, grantable string
			if err := rows.Scan(&privilege, &table, &column, &grantee, &grantable); err != nil {
				return err
			}
			if grantable == "YES" {
				privilege += " with grant option"
			}
			// A grant on a table outlives it.
			on := "the database"
			switch {
			case column != "":
				on = "column " + table + "." + column
			case table != "":
				on = "table " + table
			}
			r.catalog.add(Object{Kind: "grant", Name: fmt.Sprintf("of %s on %s to %s", privilege, on, grantee)})
			return nil
		})
}

func literal(s string) string {
	return "'" + strings.NewReplacer("'", "''", `\`, `\\`).Replace(s) + "'"
}
