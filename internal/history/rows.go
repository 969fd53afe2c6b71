package history

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gooseplus/gooseplus/internal/failure"
)

var (
	// ErrRecorded is the error of a step up whose version another process has recorded meanwhile.
	ErrRecorded = failure.Outcome("the version is recorded already")
	// ErrNotRecorded is the error of a step down whose version another process has taken back meanwhile.
	ErrNotRecorded = failure.Outcome("the version is not recorded any more")
)

// insert records a version and returns the key of its row. It returns ErrRecorded if a row with a key above last, the last key
// that the run knows, has recorded the version. Where the server returns the key, arguments keep the text the same.
func (t *table) insert(ctx context.Context, db Querier, version, last int64) (key int64, err error) {
	if returning := t.server.terms().returning; returning != "" {
		err = db.QueryRowContext(ctx, t.sql(fmt.Sprintf(insertNew, "$1", "$2"))+returning, version, last).Scan(&key)
		if errors.Is(err, sql.ErrNoRows) {
			err = ErrRecorded
		}
		return key, err
	}
	result, err := db.ExecContext(ctx, t.inserting(version, last))
	n, err := rowsAffected(result, err)
	if err == nil && n == 0 {
		err = ErrRecorded
	}
	if err != nil {
		return 0, err
	}
	return result.LastInsertId()
}

// insertNew inserts a version unless a row with a higher key than the given one has recorded it.
const insertNew = "INSERT INTO {table} (version_id, is_applied) SELECT %[1]s, TRUE FROM (SELECT 1 AS one) AS n" +
	" WHERE NOT EXISTS (SELECT 1 FROM {table} AS v WHERE v.id > %[2]s AND v.version_id = %[1]s AND v.is_applied)"

func (t *table) inserting(version, last int64) string {
	return t.sql(fmt.Sprintf(insertNew, fmt.Sprint(version), fmt.Sprint(last)))
}

// insertBeside is insert in one text with other statements. It doesn't tell the key.
func (t *table) insertBeside(ctx context.Context, db Querier, version, last int64, others []string) error {
	n, err := t.write(ctx, db, append(slices.Clone(others), t.inserting(version, last))...)
	if err == nil && n == 0 {
		err = ErrRecorded
	}
	return err
}

// insertAll records versions in their order. It returns ErrRecorded if a row with a key above last, the last key that the run
// knows, has recorded one of them.
func (t *table) insertAll(ctx context.Context, db Querier, versions []int64, last int64) error {
	for some := range slices.Chunk(versions, 500) {
		numbers, rows := make([]string, len(some)), make([]string, len(some))
		for i, version := range some {
			numbers[i], rows[i] = t.sql("?", version), t.sql("(?, TRUE)", version)
		}
		recorded, err := count(ctx, db, t.sql("SELECT 1 FROM {table} WHERE id > ? AND is_applied AND version_id IN (", last)+strings.Join(numbers, ", ")+")")
		if err == nil && recorded > 0 {
			return ErrRecorded
		}
		if err == nil {
			_, err = executeAll(ctx, db, []string{t.sql("INSERT INTO {table} (version_id, is_applied) VALUES ") + strings.Join(rows, ", ")})
		}
		if err != nil {
			return fmt.Errorf("failed to insert versions %d to %d: %w", some[0], some[len(some)-1], err)
		}
	}
	return nil
}

// remove takes back a version, and executes other statements before.
func (t *table) remove(ctx context.Context, db Querier, version int64, others ...string) error {
	n, err := t.write(ctx, db, append(slices.Clone(others), t.sql("DELETE FROM {table} WHERE version_id = ?", version))...)
	switch {
	case err != nil:
		return fmt.Errorf("failed to delete version %d: %w", version, err)
	case n == 0:
		return ErrNotRecorded
	}
	return nil
}

// Rows are the applied versions with the keys of their rows.
type Rows struct {
	Applied  []int64 // in the order in which they were applied
	keys     map[int64][]int64
	last     int64  // the highest key of any row
	zero     bool   // the table has the zero version, without which it would have no row when nothing is applied
	schema   string // the schema that the table's name leads to on a new connection to PostgreSQL; "" is none
	versions *Versions
}

// Owned reads the applied versions with the keys of their rows. A missing table is an error. With awaitWriters it first waits, where
// the database can, for open transactions that have written to the table: a COMMIT whose answer was lost may still be
// running.
func (v *Versions) Owned(ctx context.Context, db *sql.DB, awaitWriters bool) (r Rows, err error) {
	if v.own == nil || !awaitWriters || v.own.server.terms().writers == "" {
		return v.OwnedIn(ctx, db)
	}
	err = inTransaction(ctx, db, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, v.own.sql(v.own.server.terms().writers)); err != nil {
			return err
		}
		r, err = v.OwnedIn(ctx, tx)
		return err
	})
	return r, err
}

// OwnedIn is Owned where the caller's transaction, or connection, sees it.
func (v *Versions) OwnedIn(ctx context.Context, db Querier) (Rows, error) {
	list, schema, err := v.rows(ctx, db, false)
	switch {
	case err != nil:
		return Rows{}, err
	case len(list) == 0 && v.own == nil: // goose's answer for some databases that have no such table
		return Rows{}, fmt.Errorf("the table %s is gone, or no longer on the search path", v.Name())
	}
	r := Rows{Applied: newest(list), keys: make(map[int64][]int64), schema: schema, versions: v}
	ended := make(map[int64]bool) // versions that were taken back: their older rows are history
	for _, found := range list {
		r.last, r.zero = max(r.last, found.key), r.zero || found.version == 0
		ended[found.version] = ended[found.version] || !found.applied
		if !ended[found.version] && found.key != 0 {
			r.keys[found.version] = append(r.keys[found.version], found.key)
		}
	}
	return r, nil
}

// AddZero adds the zero version to a table without it, which other tools or people have filled.
func (r Rows) AddZero(ctx context.Context, db *sql.DB) error {
	if r.zero || r.versions == nil {
		return nil
	}
	return r.versions.insertZero(ctx, db)
}

// Table is the table was with the schema in which the server has found it: a migration may change the search_path of new
// connections.
func (r Rows) Table(was *Versions) *Versions {
	if was.own == nil || was.located || r.schema == "" || strings.HasPrefix(r.schema, "pg_temp") {
		return was
	}
	n := was.own.name
	n.Schema = r.schema
	located, err := NewVersions(was.dialect, was.dialect.Quote(n))
	if err != nil { // goose can't spell the name
		return was
	}
	located.located, located.given = true, was.given
	return located
}

// Astray is the table's schema if the name in the configuration doesn't lead there any more, otherwise "".
func (r Rows) Astray() string {
	if r.versions == nil || !r.versions.located || r.versions.own.name.Schema == r.schema {
		return ""
	}
	return r.versions.own.name.Schema
}

// Foreign says whether version has a row with another key than the given one. 0 is an unknown key, and may be the key of a
// single row.
func (r Rows) Foreign(version, key int64) bool {
	keys := r.keys[version]
	return len(keys) > 1 || len(keys) == 1 && key != 0 && keys[0] != key
}

// Versions are the applied versions in the order in which they were applied.
func (r Rows) Versions() []int64 { return r.Applied }

// Keys are the keys of the rows of a version. Some databases have none.
func (r Rows) Keys(version int64) []int64 { return r.keys[version] }

// Fingerprint is the same for the same rows of applied versions.
func (r Rows) Fingerprint() [sha256.Size]byte {
	var b []byte
	for _, version := range r.Applied {
		b = strconv.AppendInt(b, version, 10)
		for _, key := range r.keys[version] {
			b = strconv.AppendInt(append(b, ' '), key, 10)
		}
		b = append(b, '\n')
	}
	return sha256.Sum256(b)
}
