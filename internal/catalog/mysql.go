package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

// mysqlReader reads one database of a MySQL or MariaDB server.
type mysqlReader struct {
	Catalog
	dialect.Dialect
	schema string
	others []string // the names of views and sequences
}

// readMySQL reads each table with SHOW CREATE TABLE, which says the same on MySQL and MariaDB, and more than
// information_schema does.
func readMySQL(ctx context.Context, db *sql.DB, scope Scope) (Catalog, error) {
	r := &mysqlReader{Catalog: make(Catalog), Dialect: dialect.Dialect{Goose: goose.DialectMySQL}, schema: scope.Schema}
	if r.schema == "" {
		if err := db.QueryRowContext(ctx, "SELECT COALESCE(DATABASE(), '')").Scan(&r.schema); err != nil {
			return nil, err
		}
	}
	if err := r.tables(ctx, db); err != nil {
		return nil, err
	}
	for _, query := range mysqlQueries { // few users may read mysql.procs_priv
		if err := Each(ctx, db, r.written(query), r.object); err != nil && !r.Denied(err) {
			return nil, fmt.Errorf("%w in the query %s", err, query)
		}
	}
	if scope.IgnoreIn == "" || scope.IgnoreIn == r.schema {
		r.withoutTables(scope.Ignore)
	}
	return r.Catalog, nil
}

// name is qualified: a name alone could mean an object of another database.
func (r *mysqlReader) name(name string) string {
	return r.Quote(dialect.Name{Schema: r.schema, Table: name})
}

func (r *mysqlReader) quoted(name string) string { return r.Quote(dialect.Name{Table: name}) }

// written writes out {schema}, {others}, {in}, which qualifies a name, and the quoted name in a {column}.
func (r *mysqlReader) written(query string) string {
	return mysqlAbbreviation.ReplaceAllStringFunc(query, func(short string) string {
		switch word := strings.Trim(short, "{}"); word {
		case "schema":
			return r.Literal(r.schema)
		case "others":
			list := "''"
			for _, name := range r.others { // the connection may have another character set than the server's names
				list += ", CONVERT(" + r.Literal(name) + " USING utf8mb4)"
			}
			return list
		case "in":
			return r.Literal(r.quoted(r.schema) + ".")
		default:
			return "'`', REPLACE(" + word + ", '`', '``'), '`'"
		}
	})
}

var mysqlAbbreviation = regexp.MustCompile(`\{[\w.]+\}`)

// object adds the object in a row of mysqlQueries, and its parts.
func (r *mysqlReader) object(rows *sql.Rows) error {
	var o Object
	var definition, definer, mode, list sql.NullString
	if err := rows.Scan(&o.Kind, &o.Name, &o.Of, &definition, &o.Weak, &o.Drop, &definer, &mode, &list); err != nil {
		return err
	}
	o.Definition = definition.String
	r.add(o)
	part := Object{Of: o.Key()}
	if definer.Valid {
		part.Kind, part.Name, part.Definition = "definer", "of "+o.Key(), definer.String
		r.add(part)
		part.Kind, part.Definition = "SQL mode", mode.String
		r.add(part)
	}
	if list.Valid { // such as enum('a','b')
		base, quoted, _ := strings.Cut(strings.TrimSuffix(list.String, ")"), "(")
		values := strings.Split(strings.ReplaceAll(quoted, "','", "'\x00'"), "\x00")
		for _, v := range values {
			r.add(Object{Kind: base + " value", Name: o.Name + "." + v, Of: o.Key()})
		}
		part.Kind, part.Name, part.Definition, part.Weak = "order of the values", "of "+o.Name, strings.Join(values, ", "), true
		r.add(part)
	}
	return nil
}

// mysqlQueries read an object in each row: kind, name, key of the object that it is a part of, definition, which is NULL
// if the user may not see it, 1 if it is weak, the statement that drops it, definer and SQL mode, or NULL, and a type with
// a list of values, or NULL. A grant on a table is a part of nothing, because it outlives the table.
//
// Each query compares the column by which MariaDB finds the database with a literal: table_schema, and event_object_schema of
// triggers. Otherwise the server opens the tables of all databases.
var mysqlQueries = []string{
	`SELECT 'character set', 'of the database', '', CONCAT_WS(' ', default_character_set_name, default_collation_name), 0, '', NULL, NULL, NULL
		FROM information_schema.schemata WHERE schema_name = {schema}`,
	`SELECT 'comment', CONCAT('on table ', table_name), CONCAT('table ', table_name), table_comment, 0, '', NULL, NULL, NULL
		FROM information_schema.tables WHERE table_schema = {schema} AND table_type NOT LIKE '%VIEW%' AND table_type <> 'SEQUENCE' AND table_comment <> ''`,
	`SELECT 'column', CONCAT(c.table_name, '.', c.column_name), CONCAT('table ', c.table_name),
			CONCAT_WS(' ', IF(c.data_type IN ('enum', 'set'), c.data_type, c.column_type), IF(c.is_nullable = 'NO', 'not null', NULL),
				NULLIF(c.collation_name, ''), NULLIF(c.extra, ''), NULLIF(c.generation_expression, '')),
			0, CONCAT('ALTER TABLE ', {in}, {c.table_name}, ' DROP COLUMN ', {c.column_name}), NULL, NULL, IF(c.data_type IN ('enum', 'set'), c.column_type, NULL)` + mysqlColumns,
	`SELECT 'default', CONCAT('of ', c.table_name, '.', c.column_name), CONCAT('column ', c.table_name, '.', c.column_name), c.column_default,
			0, CONCAT('ALTER TABLE ', {in}, {c.table_name}, ' ALTER COLUMN ', {c.column_name}, ' DROP DEFAULT'), NULL, NULL, NULL` + mysqlColumns +
		` AND CAST(c.column_default AS BINARY) <> 'NULL'`,
	`SELECT 'comment', CONCAT('on column ', c.table_name, '.', c.column_name), CONCAT('column ', c.table_name, '.', c.column_name), c.column_comment,
			0, '', NULL, NULL, NULL` + mysqlColumns + ` AND c.column_comment <> ''`,
	// Only MariaDB has the algorithm there, and executes that comment.
	`SELECT 'view', table_name, '', CONCAT(view_definition, ' with check option ', check_option, ', security ', security_type
				/*M! , IF(algorithm = 'UNDEFINED', '', CONCAT(', algorithm ', LOWER(algorithm))) */),
			0, CONCAT('DROP VIEW ', {in}, {table_name}), definer, '', NULL
		FROM information_schema.views WHERE table_schema = {schema}`,
	`SELECT 'trigger', CONCAT(trigger_name, ' on ', event_object_table), CONCAT('table ', event_object_table),
			CONCAT_WS(' ', action_timing, event_manipulation, 'on', event_object_table, action_statement),
			0, CONCAT('DROP TRIGGER ', {in}, {trigger_name}), definer, sql_mode, NULL
		FROM information_schema.triggers WHERE event_object_schema = {schema}`,
	`SELECT 'order of the triggers', CONCAT(LOWER(CONCAT(action_timing, ' ', event_manipulation)), ' on ', event_object_table),
			CONCAT('table ', event_object_table), GROUP_CONCAT(trigger_name ORDER BY action_order SEPARATOR ', '), 1, '', NULL, NULL, NULL
		FROM information_schema.triggers WHERE event_object_schema = {schema} GROUP BY action_timing, event_manipulation, event_object_table`,
	`SELECT LOWER(routine_type), routine_name, '', CONCAT_WS(' ',
			(SELECT GROUP_CONCAT(CONCAT_WS(' ', parameter_mode, parameter_name, dtd_identifier) ORDER BY ordinal_position SEPARATOR ', ')
				FROM information_schema.parameters p WHERE p.specific_schema = routine_schema AND p.specific_name = routines.specific_name
					AND p.routine_type = routines.routine_type AND ordinal_position > 0),
			CONCAT('returns ', dtd_identifier), CASE is_deterministic WHEN 'YES' THEN 'deterministic' END, sql_data_access, 'security', security_type,
			routine_definition, routine_comment), 0, CONCAT('DROP ', routine_type, ' ', {in}, {routine_name}), definer, sql_mode, NULL
		FROM information_schema.routines WHERE routine_schema = {schema}`,
	// Without the times, most of which count from now.
	`SELECT 'event', event_name, '', CONCAT_WS(' ', event_type, interval_value, interval_field, status, 'on completion', on_completion,
			event_definition, event_comment), 0, CONCAT('DROP EVENT ', {in}, {event_name}), definer, sql_mode, NULL
		FROM information_schema.events WHERE event_schema = {schema}`,
	`SELECT 'grant', CONCAT('of ', privilege_type, IF(is_grantable = 'YES', ' with grant option', ''), ' on ', what, ' to ', grantee), '', '', 0, '', NULL, NULL, NULL
		FROM (SELECT privilege_type, 'the database' AS what, grantee, is_grantable FROM information_schema.schema_privileges WHERE table_schema = {schema}
			UNION ALL SELECT privilege_type, CONCAT('table ', table_name), grantee, is_grantable
				FROM information_schema.table_privileges WHERE table_schema = {schema}
			UNION ALL SELECT privilege_type, CONCAT('column ', table_name, '.', column_name), grantee, is_grantable
				FROM information_schema.column_privileges WHERE table_schema = {schema}) AS g`,
	// No view of information_schema has the grants on routines.
	`SELECT 'grant', CONCAT('of ', p.privilege, ' on ', LOWER(routine_type), ' ', routine_name, ' to ''', user, '''@''', host, ''''),
			CONCAT(LOWER(routine_type), ' ', routine_name), '', 0, '', NULL, NULL, NULL
		FROM mysql.procs_priv JOIN (SELECT 'execute' AS privilege UNION ALL SELECT 'alter routine' UNION ALL SELECT 'grant' UNION ALL SELECT 'show create routine') AS p
			ON FIND_IN_SET(p.privilege, LOWER(proc_priv)) WHERE db = {schema}`,
}

// Views and sequences have columns too, which are left out. In a join MariaDB would compare each column with each table. Names
// that differ in case alone can be those of a table and of a view.
const mysqlColumns = ` FROM information_schema.columns c WHERE c.table_schema = {schema} AND CAST(CONVERT(c.table_name USING utf8mb4) AS BINARY) NOT IN ({others})`

func (r *mysqlReader) tables(ctx context.Context, db *sql.DB) error {
	kinds := make(map[string]string)
	err := Each(ctx, db, r.written(`SELECT table_name, CASE WHEN table_type LIKE '%VIEW%' THEN 'view' WHEN table_type = 'SEQUENCE' THEN 'sequence' ELSE 'table' END
			FROM information_schema.tables WHERE table_schema = {schema}`), func(rows *sql.Rows) error {
		var name, kind string
		err := rows.Scan(&name, &kind)
		if kinds[name] = kind; kind != "table" {
			r.others = append(r.others, name)
		}
		return err
	})
	if err != nil {
		return err
	}
	for name, kind := range kinds {
		if kind == "view" {
			continue // mysqlQueries read it
		}
		var shown, text string
		if err := db.QueryRowContext(ctx, "SHOW CREATE "+kind+" "+r.name(name)).Scan(&shown, &text); err != nil {
			return err
		}
		if kind == "sequence" {
			_, definition, _ := strings.Cut(text, r.quoted(name))
			r.add(Object{Kind: kind, Name: name, Definition: oneLine(definition), Drop: "DROP SEQUENCE " + r.name(name)})
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

// table adds what the lines of a SHOW CREATE TABLE say. A line that begins with a name is a column, of which only the
// check is taken: information_schema has the rest. The other lines are indexes and constraints. The lines after the
// closing parenthesis are about the table.
func (r *mysqlReader) table(name, text string) {
	table, alter := Object{Kind: "table", Name: name, Drop: "DROP TABLE " + r.name(name)}, "ALTER TABLE "+r.name(name)
	add := func(kind, name, definition, drop string) {
		r.add(Object{Kind: kind, Name: name, Of: table.Key(), Definition: definition, Drop: drop})
	}
	var options []string
	inside := true
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		inside = inside && !strings.HasPrefix(line, ")")
		line = strings.TrimSuffix(strings.TrimSpace(line), ",")
		named := lineNamed(line)
		switch {
		case strings.HasPrefix(line, "CREATE "):
		case strings.HasPrefix(line, "`"): // MariaDB shows the check of a column only here
			if check := columnCheck.FindString(columnComment.ReplaceAllString(line, "")); check != "" {
				column := name + "." + named
				r.add(Object{Kind: "check", Name: "of " + column, Of: "column " + column, Definition: strings.TrimSpace(check)})
			}
		case !inside:
			line = tableComment.ReplaceAllString(tableCounter.ReplaceAllString(line, ""), "")
			options = append(options, strings.TrimPrefix(line, ") "))
		case strings.HasPrefix(line, "PRIMARY KEY"):
			add("primary key", "of "+name, line, alter+" DROP PRIMARY KEY")
		case strings.HasPrefix(line, "CONSTRAINT"):
			add("constraint", named+" on "+name, line, alter+" DROP CONSTRAINT "+r.quoted(named))
		case strings.HasPrefix(line, "PERIOD"), strings.HasPrefix(line, "CHECK"):
			add("constraint", line+" on "+name, "", "")
		default:
			add("index", named+" on "+name, line, alter+" DROP INDEX "+r.quoted(named))
		}
	}
	table.Definition = strings.Join(options, " ")
	r.add(table)
}

func lineNamed(line string) string {
	if m := lineName.FindStringSubmatch(line); m != nil {
		return strings.ReplaceAll(m[1], "``", "`")
	}
	return oneLine(line)
}
