package history

import (
	"slices"
	"strings"
)

// kind is how one tool writes its history.
type kind struct {
	tool    string
	table   string   // in lower case; "" is any
	columns []string // that it has
	exactly bool     // and no other
	// query gives a version, or what else there is, and whether the tool failed in it, for each row of %s.
	query string
	// versions says that they are what the files are called; counts that 0 is before the first.
	versions, counts bool
	goose            bool // the flag is that a version was taken back
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
		query: "SELECT version, CASE WHEN success THEN 0 ELSE 1 END FROM %s WHERE type <> 'SCHEMA' AND version IS NOT NULL"},
	{tool: "Liquibase", table: "databasechangelog", columns: []string{"id", "author", "filename"}, query: rowsOf("id")},
	{tool: "tern", table: "schema_version", columns: []string{"version"}, exactly: true, versions: true, counts: true, query: rowsOf("version")},
	{tool: "dbmate, Rails or the like", table: "schema_migrations", columns: []string{"version"}, versions: true, query: rowsOf("version")},
	{tool: "sql-migrate", table: "gorp_migrations", columns: []string{"id", "applied_at"}, versions: true, query: rowsOf("id")},
	{tool: "Atlas", table: "atlas_schema_revisions", columns: []string{"version", "executed_at"}, versions: true, query: rowsOf("version")},
	{tool: "Django", table: "django_migrations", columns: []string{"app", "name", "applied"}, query: rowsOf("name")},
	{tool: "Alembic", table: "alembic_version", columns: []string{"version_num"}, query: rowsOf("version_num")},
	{tool: "bun", table: "bun_migrations", columns: []string{"name", "group_id"}, versions: true, query: rowsOf("name")},
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

// kind is the first one that the table is of, nil if it is of none.
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
