package history

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

// ownRows are the rows of a version table on a database that gooseplus knows well.
type ownRows struct {
	table
	given   dialect.Name // the name of the configuration, which may lead to another table by now
	located bool         // the table's name has the schema in which the server has found it
}

func (o *ownRows) list(ctx context.Context, db Querier) (list []row, schema string, err error) {
	leadsTo := "NULL"
	if terms := o.server.terms(); terms.leadsTo != "" && o.given.Schema == "" {
		leadsTo = o.sql(terms.leadsTo, o.dialect.Quote(o.given))
	}
	err = each(ctx, db, "SELECT id, version_id, is_applied, "+leadsTo+" FROM "+o.quoted+" ORDER BY id DESC", func(rows *sql.Rows) error {
		var r row
		var found sql.NullString
		err := rows.Scan(&r.key, &r.version, &r.applied, &found)
		list, schema = append(list, r), found.String
		return err
	})
	return list, schema, err
}

// times has the server render the times: drivers and their DSNs differ in how they read such a column, and only the
// server knows the time zone in which its clock was written down. (A column without a time zone holds the wall clock of
// the session that wrote it; the session that reads is assumed to have the same time zone.)
func (o *ownRows) times(ctx context.Context, db Querier) (list []row, err error) {
	query := "SELECT version_id, is_applied, " + o.server.terms().appliedAt + " FROM " + o.quoted + " ORDER BY id DESC"
	err = each(ctx, db, query, func(rows *sql.Rows) error {
		var r row
		var at sql.NullInt64
		err := rows.Scan(&r.version, &r.applied, &at)
		r.at, r.timed = at.Int64, at.Valid
		list = append(list, r)
		return err
	})
	return list, err
}

func (o *ownRows) insert(ctx context.Context, db Querier, version, last int64) (int64, error) {
	return o.server.insert(ctx, db, &o.table, version, last)
}

func (o *ownRows) remove(ctx context.Context, db Querier, version int64) error {
	n, err := executeAll(ctx, db, []string{o.sql("DELETE FROM {table} WHERE version_id = ?", version)})
	if err != nil {
		return fmt.Errorf("failed to delete version %d: %w", version, err)
	}
	if n == 0 {
		return ErrNotRecorded
	}
	return nil
}

// insertUnlessRecorded is a statement that inserts the row of a version unless a row with a key above last says that the
// version is applied: the run knows the other rows. from stands between the values and the condition.
func insertUnlessRecorded(table, version, from, last string) string {
	return "INSERT INTO " + table + " (version_id, is_applied) SELECT " + version + ", TRUE" + from +
		" WHERE NOT EXISTS (SELECT 1 FROM " + table + " AS v WHERE v.id > " + last + " AND v.version_id = " + version + " AND v.is_applied)"
}

// insertUnlessRecorded executes that statement where a driver tells the key of the row.
func (t *table) insertUnlessRecorded(ctx context.Context, db Querier, from string, version, last int64) (key int64, err error) {
	result, err := db.ExecContext(ctx, insertUnlessRecorded(t.quoted, strconv.FormatInt(version, 10), from, strconv.FormatInt(last, 10)))
	n, err := rowsAffected(result, err)
	if err == nil && n == 0 {
		err = ErrRecorded
	}
	if err != nil {
		return 0, err
	}
	return result.LastInsertId()
}

// Rows are the applied versions with the keys of their rows. Where gooseplus leaves the dialect to goose, there are no
// keys.
type Rows struct {
	Applied  []int64 // in the order in which they were applied
	keys     map[int64][]int64
	last     int64     // the highest key of any row
	schema   string    // where the table's name leads, on PostgreSQL, for a connection as it begins; "" is nowhere
	versions *Versions // the table, as it was asked
}

// Owned reads the applied versions with the keys of their rows. If settle is true it first waits, where the database
// can, for open transactions that have written to the table: a COMMIT whose answer was lost may still be under way.
// A missing table is an error.
func (v *Versions) Owned(ctx context.Context, db *sql.DB, settle bool) (r Rows, err error) {
	if v.own == nil || !settle {
		return v.owned(ctx, db)
	}
	wait := v.own.server.terms().settle
	if wait == "" {
		return v.owned(ctx, db)
	}
	err = inTransaction(ctx, db, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, v.own.sql(wait)); err != nil {
			return err
		}
		r, err = v.owned(ctx, tx)
		return err
	})
	if err != nil {
		return Rows{}, err
	}
	return r, nil
}

func (v *Versions) owned(ctx context.Context, db Querier) (Rows, error) {
	list, schema, err := v.rows.list(ctx, db)
	switch {
	case err != nil:
		return Rows{}, err
	case len(list) == 0:
		return Rows{}, v.errGone()
	}
	r := Rows{Applied: newest(list), keys: make(map[int64][]int64), schema: schema, versions: v}
	for _, found := range list {
		r.last = max(r.last, found.key)
		if found.applied && found.key != 0 {
			r.keys[found.version] = append(r.keys[found.version], found.key)
		}
	}
	return r, nil
}

// Table is the table that the rows are of, by the name that the server has for it: a migration may change the
// search_path with which connections begin. was is the table that was asked.
func (r Rows) Table(was *Versions) *Versions {
	if was.own == nil || was.own.located || r.schema == "" || strings.HasPrefix(r.schema, "pg_temp") {
		return was
	}
	n := was.own.name
	n.Schema = r.schema
	located, err := NewVersions(was.dialect, was.dialect.Quote(n))
	if err != nil { // goose can't spell the name
		return was
	}
	located.own.located, located.own.given = true, was.own.given
	return located
}

// Astray is the schema of a table that its name alone doesn't lead to any more, "" if it does.
func (r Rows) Astray() string {
	if r.versions == nil || r.versions.own == nil || !r.versions.own.located || r.versions.own.name.Schema == r.schema {
		return ""
	}
	return r.versions.own.name.Schema
}

// Foreign says whether version has a row other than the one with the given key. An unknown key, 0, is taken for the key
// of a single row.
func (r Rows) Foreign(version, key int64) bool {
	keys := r.keys[version]
	return len(keys) > 1 || len(keys) == 1 && key != 0 && keys[0] != key
}

// Versions are the applied versions in the order in which they were applied.
func (r Rows) Versions() []int64 { return r.Applied }

// Keys are those of the rows of a version. Some databases have none.
func (r Rows) Keys(version int64) []int64 { return r.keys[version] }
