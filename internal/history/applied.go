package history

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Applied is what the state table knows of an applied version beside the version table.
type Applied struct {
	Version     int64
	Source      string
	Sum         string // in hexadecimal; "" for a Go function
	Application string // the version of the application that applied it
	Duration    time.Duration
	Requires    int64  // the lowest version that a program must know to work with this database, 0 for any
	Down        string // the stored Down; "" if none is stored. Only Downs reads it
	Stored      bool   // there is one
	// Run is the id of the run that applied it, or that has found it applied by something that is no run; "" if an earlier version has
	// recorded it.
	Run string
}

const kindApplied = "applied"

// Sums add up the rows of applied versions, so that a look at many costs one number.
type Sums struct {
	Count    int
	Checksum int64
	Requires int64 // the highest
}

// Add adds a row.
func (s *Sums) Add(a Applied) {
	s.Count++
	s.Checksum += checksumKey(a.Sum)
	s.Requires = max(s.Requires, a.Requires)
}

func (s *Sums) parse(text string) (err error) {
	parts := strings.Split(text, "/")
	if len(parts) != 3 {
		return fmt.Errorf("state table: sums %q", text)
	}
	var n [3]int64
	for i, part := range parts {
		if n[i], err = strconv.ParseInt(part, 10, 64); err != nil {
			return fmt.Errorf("state table: sums %q: %w", text, err)
		}
	}
	*s = Sums{int(n[0]), n[1], n[2]}
	return nil
}

// checksumKey is a part of a sum that 60,000 of can be added up.
func checksumKey(sum string) int64 {
	key, _ := strconv.ParseInt(sum[:min(len(sum), 12)], 16, 64)
	return key
}

// Versioned are the rows of the applied versions of a namespace.
type Versioned struct {
	t     *table
	stays bool
}

// Staying is for a transaction that has certainly not removed the table.
func (v Versioned) Staying() Versioned { return Versioned{v.t, true} }

func appliedID(namespace string, version int64) string {
	return markID(kindApplied, Mark{Namespace: namespace, Version: version}, "")
}

// Put writes the row of an applied version, in place of an earlier one.
func (v Versioned) Put(ctx context.Context, db Querier, namespace string, rows ...Applied) error {
	if len(rows) == 0 {
		return nil
	}
	var values []string
	for _, a := range rows {
		by := ""
		if a.Run != "" {
			by = runID(a.Run)
		}
		values = append(values, v.t.sql("(?, 'applied', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", appliedID(namespace, a.Version), namespace, a.Version,
			cut(a.Source, 255), a.Sum, checksumKey(a.Sum), a.Duration.Milliseconds(), cut(a.Application, 255), a.Requires, a.Down, by))
	}
	columns := []string{"source", "checksum", "checksum_key", "duration_ms", "application", "requires", "down_sql", "run_id"}
	list := strings.Join(columns, ", ")
	return v.write(ctx, db, v.t.sql("INSERT INTO {table} (id, kind, namespace, version_id, ")+list+") VALUES "+strings.Join(values, ", ")+v.t.orChange(columns...))
}

// write executes a statement that may do nothing where the table is gone: a migration may have dropped or renamed it in the
// same transaction, which must not fail for that.
func (v Versioned) write(ctx context.Context, db Querier, statement string) error {
	if _, pool := db.(*sql.DB); pool {
		_, err := v.t.write(ctx, db, statement)
		return err
	}
	if !v.stays { // otherwise the server has less to do
		statement = v.t.server.unlessGone(statement)
	}
	_, err := db.ExecContext(ctx, statement)
	if err != nil {
		if l, checkErr := v.t.layout(ctx, db); checkErr == nil && !l.there() {
			return nil
		}
	}
	return err
}

// Claim has a run be the one that has applied all versions of a namespace, or has found them applied.
func (v Versioned) Claim(ctx context.Context, db Querier, namespace, run string) error {
	return v.write(ctx, db, v.t.sql("UPDATE {table} SET run_id = ? WHERE kind = 'applied' AND namespace = ?", runID(run), namespace))
}

// Remove removes the row of a version that was taken back.
func (v Versioned) Remove(ctx context.Context, db Querier, namespace string, versions ...int64) error {
	if len(versions) == 0 {
		return nil
	}
	var ids []string
	for _, version := range versions {
		ids = append(ids, v.t.sql("?", appliedID(namespace, version)))
	}
	return v.write(ctx, db, v.t.sql("DELETE FROM {table} WHERE id IN (")+strings.Join(ids, ", ")+")")
}

// List reads the rows of a namespace, by version. A table that is missing, or of an earlier version, has none.
func (v Versioned) List(ctx context.Context, db Querier, namespace string) (map[int64]Applied, error) {
	return v.list(ctx, db, v.t.sql("SELECT version_id, source, checksum, duration_ms, application, requires, '', run_id,"+
		" CASE WHEN COALESCE(down_sql, '') = '' THEN 0 ELSE 1 END FROM {table} WHERE kind = 'applied' AND namespace = ?", namespace))
}

// Downs reads the rows of those of the versions that have a stored Down, as List does.
func (v Versioned) Downs(ctx context.Context, db Querier, namespace string, versions []int64) (map[int64]Applied, error) {
	if len(versions) == 0 {
		return nil, nil
	}
	var ids []string
	for _, version := range versions {
		ids = append(ids, v.t.sql("?", appliedID(namespace, version)))
	}
	return v.list(ctx, db, v.t.sql("SELECT version_id, source, checksum, duration_ms, application, requires, down_sql, run_id, 1"+
		" FROM {table} WHERE down_sql <> '' AND id IN (")+strings.Join(ids, ", ")+")")
}

func (v Versioned) list(ctx context.Context, db Querier, query string) (map[int64]Applied, error) {
	list := make(map[int64]Applied)
	err := each(ctx, db, query, func(rows *sql.Rows) error {
		var a Applied
		var ms int64
		err := rows.Scan(&a.Version, &a.Source, &a.Sum, &ms, &a.Application, &a.Requires, &a.Down, &a.Run, &a.Stored)
		a.Run = without(runPrefix, a.Run)
		a.Duration = time.Duration(ms) * time.Millisecond
		list[a.Version] = a
		return err
	})
	if err == nil {
		return list, nil
	}
	if l, layoutErr := v.t.layout(ctx, db); layoutErr == nil && !l.columns["checksum"] && !(!l.there() && v.t.dialect.Denied(err)) {
		return nil, nil
	}
	return nil, err
}
