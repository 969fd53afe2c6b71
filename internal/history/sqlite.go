package history

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"strings"

	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/mutex"
)

// sqlite is SQLite. A schema is an attached database there, and there is one writer at a time.
type sqlite struct{ dialect.Dialect }

func (sqlite) terms() terms {
	return terms{
		appliedAt:   "CAST(strftime('%s', tstamp) AS INTEGER) * 1000000", // its clock is UTC
		onDuplicate: " ON CONFLICT (id) DO UPDATE SET ",
		assign:      "% = excluded.%",
		sums:        "CAST(COUNT(*) AS TEXT) || '/' || CAST(COALESCE(SUM(checksum_key), 0) AS TEXT) || '/' || CAST(COALESCE(MAX(requires), 0) AS TEXT)",
	}
}

func attached(n dialect.Name) string { return cmp.Or(n.Schema, "main") }

func (s sqlite) there(n dialect.Name) string {
	return "SELECT 1 FROM " + s.Quote(dialect.Name{Table: attached(n)}) + ".sqlite_master WHERE type = 'table' AND name = " + s.Literal(n.Table) + " COLLATE NOCASE"
}

func (sqlite) unsafe(*table) string    { return "" }
func (sqlite) unsafeByDefault() string { return "" }

func (s sqlite) columns(n dialect.Name) string {
	return "SELECT name, 0 FROM pragma_table_info(" + s.Literal(n.Table) + ", " + s.Literal(attached(n)) + ")"
}

func (sqlite) schemas([]string, string, string) (string, []any) { return "", nil }

func (s sqlite) candidates(version dialect.Name, names, columns, own string) string {
	schema := s.Literal(attached(version))
	master, info := s.Quote(dialect.Name{Schema: attached(version), Table: "sqlite_master"}), "pragma_table_info(m.name, "+schema+")"
	return `SELECT ` + schema + `, m.name, c.name FROM ` + master + ` AS m, ` + info + ` AS c
			WHERE m.type = 'table' AND (lower(m.name) IN (` + names + `)
				OR EXISTS (SELECT 1 FROM ` + info + ` AS v WHERE lower(v.name) IN (` + columns + `)))
		UNION ALL SELECT ` + schema + `, '', count(*) FROM ` + master + ` AS m
			WHERE m.type = 'table' AND lower(m.name) NOT IN (` + own + `) AND m.name NOT LIKE 'sqlite\_%' ESCAPE '\'
		ORDER BY 1, 2`
}

func (sqlite) creating() string { return "SELECT 'main'" }

func (s sqlite) relations(schema string) string {
	return "SELECT name FROM " + s.Quote(dialect.Name{Schema: schema, Table: "sqlite_master"}) + " WHERE type IN ('table', 'view')"
}

func (sqlite) write(ctx context.Context, pool *sql.DB, statements []string) (affected int64, err error) {
	err = inTransaction(ctx, pool, func(tx *sql.Tx) error {
		affected, err = executeAll(ctx, tx, statements)
		return err
	})
	return affected, err
}

func (sqlite) read(_ context.Context, pool *sql.DB, f func(Querier) error) error { return f(pool) }

// upgrade is one transaction, which fails if another process has upgraded the table since the look at it.
func (s sqlite) upgrade(ctx context.Context, pool *sql.DB, t *table, old layout) error {
	list := []string{t.sql("UPDATE {table} SET status = 0"), t.sql("DROP TABLE {table}"), t.creation()}
	if old.remembers() { // otherwise no existing column can become the key
		var err error
		if list, err = t.upgrade(ctx, pool, old); err != nil {
			return err
		}
	}
	_, err := s.write(ctx, pool, list)
	return err
}

// mutex is a file beside the database's file, one for each state table. The PRAGMA, unlike a SELECT, reads nothing of the file, which
// somebody else may have locked.
func (s sqlite) mutex(ctx context.Context, state *State, db, pool *sql.DB, _ mutex.Lease) (mutex.Mutex, error) {
	var file string
	found := false
	err := each(ctx, db, "PRAGMA database_list", func(rows *sql.Rows) error {
		var number int
		var name, path sql.NullString
		err := rows.Scan(&number, &name, &path)
		if folded(name.String) == folded(attached(state.name)) {
			file, found = path.String, true
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case !found:
		return nil, fmt.Errorf("there is no database %s", attached(state.name))
	case file == "": // a database in memory
		return mutex.Memory{Key: pool}, nil
	}
	return mutex.File{Path: file + "." + url.PathEscape(folded(state.name.Table)), Beside: file}, nil
}

// folded is a name without the difference that SQLite doesn't make: that between ASCII letters in upper and lower case.
func folded(name string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, name)
}

func (sqlite) activity(context.Context, *sql.DB, Connection) (Activity, error) {
	return Activity{Gone: true}, nil
}

func (sqlite) blocker(context.Context, *sql.DB, *table, string, string) (Activity, error) {
	return Activity{Gone: true}, nil
}

func (sqlite) end(context.Context, *sql.DB, Connection, Activity) error { return nil }

func (sqlite) unlessGone(statement string) string { return statement }

// blockers doesn't know: the lock of a file has no owner that others see.
func (sqlite) blockers(context.Context, *sql.DB, []Waiting) ([]Blocker, error) { return nil, nil }
