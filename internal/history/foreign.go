package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

// Foreign is a table with the history of another tool, or of goose under another name.
type Foreign struct {
	Tool  string
	Table string // quoted
	// Version is the last version as the tool writes it, "" if there is none. Number is its number, 0 if it isn't a number.
	Version string
	Number  int64
	Dirty   bool  // the tool says that this version has failed
	Err     error // why the table can't be read
}

// Strangers are the tables of a schema that are neither a version table nor a state table of the asker.
type Strangers struct {
	Schema string
	Tables int
}

// LookForeign returns the histories of other tools in the schema of a version table, or in the schema that the version table
// would be created in, and with beside in the schema that connections create tables in. If there are none, it returns what
// other tables are there. Tables with the names in own are the asker's: if one of them has an applied version, nothing is
// foreign. A schema without histories takes one statement; with beside, a version table with a schema in its name takes one
// or two more.
func LookForeign(ctx context.Context, db Querier, v *Versions, own []string, beside bool) (found []Foreign, strangers []Strangers, err error) {
	if v.own == nil {
		return nil, nil, nil
	}
	tables, strangers, err := v.candidates(ctx, db, own, beside)
	if err != nil {
		return nil, nil, err
	}
	var ours []Foreign
	for _, t := range tables {
		k := t.kind()
		h := Foreign{Table: v.dialect.Quote(dialect.Name{Schema: t.schema, Table: t.name})}
		switch {
		case k == nil:
		case !t.beside && v.among(own, t.name):
			ours = append(ours, h)
		default:
			h.Tool = k.tool
			some := false
			if some, h.Err = k.read(ctx, db, &h); some || h.Err != nil {
				found = append(found, h)
			}
			if ctx.Err() != nil {
				return nil, nil, h.Err
			}
		}
	}
	if len(found)+len(strangers) == 0 {
		return nil, nil, nil
	}
	for _, h := range ours {
		if some, err := gooseKind.read(ctx, db, &h); err != nil || some {
			return nil, nil, err
		}
	}
	return found, strangers, nil
}

// Relations are the names of what has rows in a schema, and of sequences, without the version tables in own and their state tables.
func Relations(ctx context.Context, db Querier, v *Versions, schema string, own []string) (names []string, err error) {
	if v.own == nil {
		return nil, nil
	}
	err = each(ctx, db, v.own.server.relations(schema), func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		if !v.among(own, name) && !v.among(own, strings.TrimSuffix(name, suffix)) {
			names = append(names, name)
		}
		return err
	})
	return names, err
}

// among says whether a name is in a list, as far as the server tells names apart.
func (v *Versions) among(list []string, name string) bool {
	return slices.ContainsFunc(list, func(one string) bool { return v.dialect.Fold(one) == v.dialect.Fold(name) })
}

type foreignTable struct {
	schema, name string
	columns      []string // in lower case
	beside       bool     // in another schema than the version table
}

// candidates are those of the version table's schema, and with beside those of the schema that connections create tables in, if
// that is another one.
func (v *Versions) candidates(ctx context.Context, db Querier, own []string, beside bool) (list []foreignTable, strangers []Strangers, err error) {
	places := []dialect.Name{v.own.name}
	if beside && v.own.name.Schema != "" {
		var schema string
		err := db.QueryRowContext(ctx, v.own.server.creating()).Scan(&schema)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, nil, err
		}
		if err == nil && v.dialect.Fold(schema) != v.dialect.Fold(v.own.name.Schema) {
			places = append(places, dialect.Name{Schema: schema, Table: v.own.name.Table})
		}
	}
	for i, place := range places {
		some, others, err := v.own.candidates(ctx, db, place, own)
		if err != nil {
			return nil, nil, err
		}
		for _, t := range some {
			t.beside = i > 0
			list = append(list, t)
		}
		if others.Tables > 0 {
			strangers = append(strangers, others)
		}
	}
	return list, strangers, nil
}

// candidates are the tables with the name of a kind, or with a column by which a kind is known, where the version table is.
func (t *table) candidates(ctx context.Context, db Querier, version dialect.Name, own []string) (list []foreignTable, strangers Strangers, err error) {
	literals := func(texts []string) string {
		var quoted []string
		for _, s := range texts {
			quoted = append(quoted, t.dialect.Literal(strings.ToLower(s)))
		}
		return strings.Join(quoted, ", ")
	}
	for _, name := range slices.Clone(own) {
		own = append(own, name+suffix)
	}
	query := t.server.candidates(version, literals(kindNames()), literals(telling), literals(own))
	err = each(ctx, db, query, func(rows *sql.Rows) error {
		var schema, name, column string
		if err := rows.Scan(&schema, &name, &column); err != nil {
			return err
		}
		if name == "" {
			strangers.Schema = schema
			strangers.Tables, err = strconv.Atoi(column)
			return err
		}
		if n := len(list); n == 0 || list[n-1].name != name || list[n-1].schema != schema {
			list = append(list, foreignTable{schema: schema, name: name})
		}
		last := &list[len(list)-1]
		last.columns = append(last.columns, strings.ToLower(column))
		return nil
	})
	return list, strangers, err
}

// read says whether the table has any history, and notes the last version.
func (k *kind) read(ctx context.Context, db Querier, h *Foreign) (some bool, err error) {
	type entry struct {
		text           string
		number, failed int64
	}
	var list []entry
	err = each(ctx, db, fmt.Sprintf(k.query, h.Table), func(rows *sql.Rows) error {
		var version sql.NullString
		var e entry
		err := rows.Scan(&version, &e.failed)
		e.text, e.number = version.String, number(version.String)
		list = append(list, e)
		return err
	})
	if err != nil {
		return false, err
	}
	if k.goose { // the newest row of a version comes first, and counts
		seen := make(map[string]bool)
		list = slices.DeleteFunc(list, func(e entry) bool {
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
	return some, nil
}

// number is the number at the beginning of a version, if nothing or a name follows.
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
	if err != nil { // also of -1, which is before the first
		return 0
	}
	return n
}

// kind describes how one tool writes its history.
type kind struct {
	tool    string
	table   string   // in lower case; "" is any
	columns []string // it has these columns
	exactly bool     // and no others
	// query gives a version, or another text, and whether the tool failed in it, for each row of %s.
	query    string
	versions bool // files begin with these versions
	counts   bool // 0 is before the first version
	goose    bool // the flag says that a version was taken back
}

var gooseKind = kind{
	tool: "goose", columns: []string{"id", "version_id", "is_applied", "tstamp"}, exactly: true, versions: true, counts: true, goose: true,
	query: "SELECT version_id, CASE WHEN is_applied THEN 0 ELSE 1 END FROM %s ORDER BY id DESC",
}

// telling are the columns by which tables of any name are known.
var telling = []string{"version_id", "dirty", "installed_rank"}

func rowsOf(column string) string { return "SELECT " + column + ", 0 FROM %s" }

// kinds are tried in this order.
var kinds = []kind{
	gooseKind,
	{tool: "golang-migrate", columns: []string{"version", "dirty"}, exactly: true, versions: true, counts: true,
		query: "SELECT version, CASE WHEN dirty THEN 1 ELSE 0 END FROM %s"},
	{tool: "Flyway", columns: []string{"installed_rank", "version", "script", "checksum", "success"}, versions: true,
		query: "SELECT version, CASE WHEN success THEN 0 ELSE 1 END FROM %s WHERE type <> 'SCHEMA'"},
	{tool: "Liquibase", table: "databasechangelog", columns: []string{"id", "author", "filename"}, query: rowsOf("id")},
	{tool: "tern", table: "schema_version", columns: []string{"version"}, exactly: true, versions: true, counts: true, query: rowsOf("version")},
	{tool: "jjeffery/migration", table: "schema_migrations", columns: []string{"id", "applied_at", "failed"}, versions: true, counts: true,
		query: "SELECT id, CASE WHEN failed THEN 1 ELSE 0 END FROM %s"},
	{tool: "dbmate, Rails or the like", table: "schema_migrations", columns: []string{"version"}, versions: true, query: rowsOf("version")},
	{tool: "sql-migrate", table: "migrations", columns: []string{"id", "applied_at"}, exactly: true, versions: true, query: rowsOf("id")},
	{tool: "sql-migrate", table: "gorp_migrations", columns: []string{"id", "applied_at"}, versions: true, query: rowsOf("id")},
	{tool: "Atlas", table: "atlas_schema_revisions", columns: []string{"version", "executed_at"}, versions: true, query: rowsOf("version")},
	{tool: "Django", table: "django_migrations", columns: []string{"app", "name", "applied"}, query: rowsOf("name")},
	{tool: "Alembic", table: "alembic_version", columns: []string{"version_num"}, query: rowsOf("version_num")},
	{tool: "bun", table: "bun_migrations", columns: []string{"name", "group_id"}, versions: true, query: rowsOf("name")},
	{tool: "go-pg", table: "gopg_migrations", columns: []string{"version", "created_at"}, versions: true, query: rowsOf("version")},
	{tool: "Pop", table: "schema_migration", columns: []string{"version"}, versions: true, query: rowsOf("version")},
	{tool: "gormigrate", table: "migrations", columns: []string{"id"}, exactly: true, versions: true, query: rowsOf("id")},
	{tool: "sqlx", table: "_sqlx_migrations", columns: []string{"version", "success"}, versions: true,
		query: "SELECT version, CASE WHEN success THEN 0 ELSE 1 END FROM %s"},
	{tool: "Diesel", table: "__diesel_schema_migrations", columns: []string{"version", "run_on"}, versions: true, query: rowsOf("version")},
	{tool: "refinery", table: "refinery_schema_history", columns: []string{"version", "applied_on"}, versions: true, query: rowsOf("version")},
	{tool: "Prisma", table: "_prisma_migrations", columns: []string{"migration_name", "checksum"}, query: rowsOf("migration_name")},
	{tool: "Knex", table: "knex_migrations", columns: []string{"name", "batch"}, query: rowsOf("name")},
	{tool: "Sequelize", table: "sequelizemeta", columns: []string{"name"}, query: rowsOf("name")},
	{tool: "node-pg-migrate", table: "pgmigrations", columns: []string{"name", "run_on"}, query: rowsOf("name")},
	{tool: "Phinx", table: "phinxlog", columns: []string{"version", "migration_name"}, query: rowsOf("version")},
	{tool: "Doctrine", table: "doctrine_migration_versions", columns: []string{"version", "executed_at"}, query: rowsOf("version")},
	{tool: "Laravel", table: "migrations", columns: []string{"migration", "batch"}, query: rowsOf("migration")},
	{tool: "TypeORM", table: "migrations", columns: []string{"timestamp", "name"}, query: rowsOf("name")},
	{tool: "Doctrine", table: "migration_versions", columns: []string{"version", "executed_at"}, query: rowsOf("version")},
	{tool: "Yii", table: "migration", columns: []string{"version", "apply_time"}, query: rowsOf("version")},
	{tool: "Drizzle", table: "__drizzle_migrations", columns: []string{"hash", "created_at"}, query: "SELECT NULL, 0 FROM %s"},
	{tool: "MikroORM", table: "mikro_orm_migrations", columns: []string{"name", "executed_at"}, query: rowsOf("name")},
	{tool: "Kysely", table: "kysely_migration", columns: []string{"name", "timestamp"}, query: rowsOf("name")},
	{tool: "SeaORM", table: "seaql_migrations", columns: []string{"version", "applied_at"}, query: rowsOf("version")},
	{tool: "DbUp", table: "schemaversions", columns: []string{"scriptname", "applied"}, query: "SELECT NULL, 0 FROM %s"},
	{tool: "FluentMigrator", table: "versioninfo", columns: []string{"version", "appliedon"}, query: "SELECT NULL, 0 FROM %s"},
	{tool: "Entity Framework", table: "__efmigrationshistory", columns: []string{"migrationid", "productversion"}, query: "SELECT 1, 0 FROM %s"},
}

func kindNames() (names []string) {
	for _, k := range kinds {
		if k.table != "" && !slices.Contains(names, k.table) {
			names = append(names, k.table)
		}
	}
	return names
}

// kind is the first kind that fits the table, nil if none does.
func (t foreignTable) kind() *kind {
	for i := range kinds {
		k := &kinds[i]
		if k.table != "" && k.table != strings.ToLower(t.name) || k.exactly && len(t.columns) != len(k.columns) {
			continue
		}
		if !slices.ContainsFunc(k.columns, func(c string) bool { return !slices.Contains(t.columns, c) }) {
			return k
		}
	}
	return nil
}
