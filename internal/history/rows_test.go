package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"testing"
)

func owned(t *testing.T, table *Versions, db *sql.DB) Rows {
	t.Helper()
	r, err := table.Owned(t.Context(), db, false)
	if err != nil {
		t.Fatalf("Owned: %v", err)
	}
	return r
}

func TestOwned(t *testing.T) {
	t.Parallel()
	const table = `CREATE TABLE v (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL,
		is_applied INTEGER NOT NULL, tstamp TIMESTAMP DEFAULT (datetime('now')))`
	const insert = `INSERT INTO v (version_id, is_applied) VALUES `
	for _, tc := range []struct {
		name string
		rows string
		want []int64
	}{
		{"a new table", `(0, 1)`, nil},
		{"in the order of application", `(0, 1), (3, 1), (1, 1), (20, 1), (10, 1)`, []int64{3, 1, 20, 10}},
		{"without the zero version", `(2, 1), (1, 1)`, []int64{2, 1}},
		{"taken back", `(0, 1), (1, 1), (2, 1), (2, 0)`, []int64{1}},
		{"taken back and applied again", `(0, 1), (1, 1), (2, 1), (1, 0), (1, 1)`, []int64{2, 1}},
		{"twice", `(0, 1), (1, 1), (2, 1), (1, 1)`, []int64{2, 1}},
	} {
		for _, d := range dialects {
			for _, awaitWriters := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s: %s, awaitWriters %t", d, tc.name, awaitWriters), func(t *testing.T) {
					t.Parallel()
					db := openTemp(t)
					exec(t, db, table, insert+tc.rows)
					r, err := newVersions(t, d, "v").Owned(t.Context(), db, awaitWriters)
					if err != nil || !slices.Equal(r.Applied, tc.want) {
						t.Errorf("got %v, %v, want %v", r.Applied, err, tc.want)
					}
				})
			}
		}
	}
}

func TestOwnedNeedsATable(t *testing.T) {
	t.Parallel()
	for _, d := range dialects {
		for _, awaitWriters := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, awaitWriters %t", d, awaitWriters), func(t *testing.T) {
				t.Parallel()
				db, table := openTemp(t), newVersions(t, d, "v")
				if r, err := table.Owned(t.Context(), db, awaitWriters); err == nil {
					t.Errorf("without a table: got %v", r.Applied)
				}
				exec(t, db, `CREATE TABLE v (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL, is_applied INTEGER NOT NULL, tstamp TIMESTAMP)`)
				if r, err := table.Owned(t.Context(), db, awaitWriters); (err == nil) != (table.own != nil) || len(r.Applied) > 0 {
					t.Errorf("without a row: got %v, %v", r.Applied, err)
				}
				create(t, table, db)
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				if _, err := table.Owned(ctx, db, awaitWriters); !errors.Is(err, context.Canceled) {
					t.Errorf("a context that ended: got %v", err)
				}
				_ = db.Close()
				if _, err := table.Owned(t.Context(), db, awaitWriters); err == nil {
					t.Error("a closed database: no error")
				}
			})
		}
	}
}

func TestForeign(t *testing.T) {
	t.Parallel()
	rows := Rows{keys: map[int64][]int64{1: {7}, 2: {9, 8}}}
	for _, tc := range []struct {
		name         string
		version, key int64
		want         bool
	}{
		{"its own row", 1, 7, false},
		{"another's row", 1, 6, true},
		{"a row whose key is not known", 1, 0, false},
		{"its own row and another's", 2, 8, true},
		{"two rows, and no key is known", 2, 0, true},
		{"no row", 3, 5, false},
		{"no row, and no key is known", 3, 0, false},
	} {
		if got := rows.Foreign(tc.version, tc.key); got != tc.want {
			t.Errorf("%s: got %t", tc.name, got)
		}
	}
	if (Rows{Applied: []int64{1}}).Foreign(1, 7) {
		t.Error("without any keys a row is foreign")
	}
}

func TestInsertOwn(t *testing.T) {
	t.Parallel()
	db, table := openTemp(t), newVersions(t, "sqlite", "v")
	create(t, table, db)
	r := table.Recorder()
	r.Step(false)
	if err := r.Insert(t.Context(), db, insertRequest(5)); err != nil {
		t.Fatal(err)
	}
	key := r.Key()
	if key == 0 || owned(t, table, db).Foreign(5, key) || !owned(t, table, db).Foreign(5, key+1) {
		t.Errorf("Key() = %d, which is not that of the row", key)
	}

	t.Run("a version that somebody has recorded", func(t *testing.T) {
		r := table.Recorder()
		r.Step(false)
		err := r.Insert(t.Context(), db, insertRequest(5))
		if !errors.Is(err, ErrRecorded) || !r.Reached() || r.Recorded() || r.Key() != 0 {
			t.Errorf("got %v, reached %t, recorded %t, key %d", err, r.Reached(), r.Recorded(), r.Key())
		}
		wantRows(t, db, table, 0, 5)
	})
	t.Run("the next step has no key", func(t *testing.T) {
		r.Step(false)
		if r.Key() != 0 || r.Reached() {
			t.Errorf("Key() = %d, Reached() = %t", r.Key(), r.Reached())
		}
	})
	t.Run("a row that says it was taken back is no obstacle", func(t *testing.T) {
		exec(t, db, `INSERT INTO v (version_id, is_applied) VALUES (6, 1), (6, 0)`)
		r.Found(owned(t, table, db))
		r.Step(false)
		if err := r.Insert(t.Context(), db, insertRequest(6)); err != nil {
			t.Error(err)
		}
		wantApplied(t, table, db, true, 5, 6)
		r.Step(false)
		if err := r.Insert(t.Context(), db, insertRequest(6)); !errors.Is(err, ErrRecorded) {
			t.Errorf("again: %v", err)
		}
	})
	t.Run("a dialect without keys", func(t *testing.T) {
		db, table := openTemp(t), newVersions(t, "turso", "v")
		create(t, table, db)
		r := table.Recorder()
		r.Step(false)
		if err := r.Insert(t.Context(), db, insertRequest(1)); err != nil || r.Key() != 0 || !r.Recorded() {
			t.Errorf("got %v, key %d, recorded %t", err, r.Key(), r.Recorded())
		}
		if owned(t, table, db).Foreign(1, 0) {
			t.Error("the row is foreign")
		}
	})
	t.Run("in a transaction that is rolled back", func(t *testing.T) {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Step(false)
		if err := r.Insert(t.Context(), tx, insertRequest(7)); err != nil || r.Key() == 0 {
			t.Errorf("got %v, key %d", err, r.Key())
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		if slices.Contains(owned(t, table, db).Applied, 7) || owned(t, table, db).Foreign(7, r.Key()) {
			t.Error("version 7 is there")
		}
	})
	t.Run("names that need quotes", func(t *testing.T) {
		db, table := openTemp(t), newVersions(t, "sqlite", `"Acme ""Corp"" $1 ?"`)
		create(t, table, db)
		insert(t, table, db, 3, 1)
		if got := owned(t, table, db).Applied; !slices.Equal(got, []int64{3, 1}) {
			t.Errorf("got %v", got)
		}
	})
}

// asPostgres inserts as PostgreSQL does.
type asPostgres struct{ server }

func (a asPostgres) terms() terms {
	terms := a.server.terms()
	terms.returning = postgres{}.terms().returning
	return terms
}

// TestInsertNext: a run has the server look only at rows that it doesn't know, and finds out what others have recorded.
func TestInsertNext(t *testing.T) {
	t.Parallel()
	t.Run("as PostgreSQL", func(t *testing.T) { // whose statements SQLite understands too
		t.Parallel()
		table := newVersions(t, "sqlite", "v")
		table.own.server, table.dialect = asPostgres{table.own.server}, newVersions(t, "postgres", "v").dialect
		insertNext(t, table)
	})
	t.Run("as SQLite", func(t *testing.T) {
		t.Parallel()
		insertNext(t, newVersions(t, "sqlite", "v"))
	})
}

func insertNext(t *testing.T, table *Versions) {
	db := openTemp(t)
	create(t, table, db)
	insertTx := func(t *testing.T, r *Recorder, version int64, want error) {
		t.Helper()
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Step(false)
		err = r.Insert(t.Context(), tx, insertRequest(version))
		if !errors.Is(err, want) || r.Recorded() != (err == nil) || (r.Key() != 0) != (err == nil) {
			t.Errorf("version %d: got %v, recorded %t, key %d, want %v", version, err, r.Recorded(), r.Key(), want)
		}
		if err == nil {
			err = tx.Commit()
		} else {
			err = tx.Rollback()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	begin := func() *Recorder {
		r := table.Recorder()
		r.Found(owned(t, table, db))
		return r
	}

	first := begin()
	insertTx(t, first, 1, nil)
	insertTx(t, first, 2, nil)
	if next := first.Key(); first.last != next && !table.dialect.OneWriter() {
		t.Errorf("a runner alone has the server look at all rows above %d, with %d the last", first.last, next)
	}
	second := begin()
	insertTx(t, second, 3, nil)
	insertTx(t, first, 3, ErrRecorded)
	insertTx(t, first, 4, nil) // with a condition, from here on
	insertTx(t, second, 4, ErrRecorded)
	insertTx(t, second, 5, nil)
	insertTx(t, first, 5, ErrRecorded)
	wantApplied(t, table, db, true, 1, 2, 3, 4, 5)

	t.Run("a gap that nobody has filled", func(t *testing.T) {
		r := begin()
		exec(t, db, `UPDATE sqlite_sequence SET seq = seq + 10 WHERE name = 'v'`)
		insertTx(t, r, 6, nil)
		if r.last == r.Key() {
			t.Error("the gap was not seen")
		}
		insertTx(t, r, 6, ErrRecorded)
	})
	t.Run("a runner that has not looked", func(t *testing.T) {
		insertTx(t, table.Recorder(), 6, ErrRecorded)
	})
	t.Run("a key that was rolled back and is given again", func(t *testing.T) {
		r, key := begin(), int64(0)
		for _, version := range []int64{8, 9} {
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			other := r
			if version == 9 {
				other = begin()
			}
			other.Step(false)
			if err := other.Insert(t.Context(), tx, insertRequest(version)); err != nil {
				t.Fatal(err)
			}
			if version == 8 {
				key = other.Key()
				r.Again()
				err = tx.Rollback()
			} else if err = tx.Commit(); other.Key() != key {
				t.Errorf("the keys are %d and %d: the test shows nothing", key, other.Key())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		insertTx(t, r, 9, ErrRecorded)
		exec(t, db, "DELETE FROM v WHERE version_id = 9")
	})
	t.Run("outside a transaction, where nothing takes the row back", func(t *testing.T) {
		r := begin()
		insertTx(t, begin(), 7, nil)
		r.Step(false)
		if err := r.Insert(t.Context(), db, insertRequest(7)); !errors.Is(err, ErrRecorded) {
			t.Errorf("got %v", err)
		}
		wantApplied(t, table, db, true, 1, 2, 3, 4, 5, 6, 7)
	})
}

// TestUnrecorded: the row of a version that this runner hasn't recorded is somebody else's.
func TestUnrecorded(t *testing.T) {
	t.Parallel()
	db, table := openTemp(t), newVersions(t, "sqlite", "v")
	create(t, table, db)
	insert(t, table, db, 4)
	r := table.Recorder()
	r.Unrecorded()
	if found, err := r.GetMigration(t.Context(), nil, 4); err != nil || !found.IsApplied {
		t.Errorf("GetMigration: %v, %v", found, err)
	}
	if err := r.Delete(t.Context(), db, 4); err != nil || !r.Reached() || !r.Recorded() {
		t.Errorf("got %v, reached %t, recorded %t", err, r.Reached(), r.Recorded())
	}
	wantApplied(t, table, db, true, 4)
	r.Step(true)
	if err := r.Delete(t.Context(), db, 4); err != nil {
		t.Error(err)
	}
	wantApplied(t, table, db, true)
}

// TestRecordedBeside: a version that is recorded already is found out also in one text with other statements.
func TestRecordedBeside(t *testing.T) {
	onEach(t, "v", func(t *testing.T, p place) {
		v, err := NewVersions(p.table.dialect, "v")
		must(t, err)
		create(t, v, p.db)
		others := []string{"UPDATE " + v.Name() + " SET is_applied = is_applied"}
		must(t, v.own.insertBeside(t.Context(), p.db, 5, 0, others))
		if err := v.own.insertBeside(t.Context(), p.db, 5, 0, others); !errors.Is(err, ErrRecorded) {
			t.Errorf("error %v", err)
		}
		if err := v.own.insertBeside(t.Context(), p.db, 6, 0, []string{"UPDATE nowhere SET n = 1"}); err == nil || errors.Is(err, ErrRecorded) {
			t.Errorf("error %v of another statement", err)
		}
	})
}

// TestRowsOfVersionsWithoutTheirTable: a migration may drop the state table in its transaction. Every other error of a row is
// returned, since what it says would be forgotten.
func TestRowsOfVersionsWithoutTheirTable(t *testing.T) {
	onEach(t, "v", func(t *testing.T, p place) {
		put := func(before string) error {
			must(t, p.table.Ensure(t.Context(), p.db))
			tx, err := p.db.Begin()
			must(t, err)
			defer tx.Rollback()
			_, err = tx.Exec(before)
			must(t, err)
			if err := p.table.Versioned.Put(t.Context(), tx, "", Applied{Version: 1}); err != nil {
				return err
			}
			return tx.Commit()
		}
		must(t, put("DROP TABLE "+p.table.Name()))
		if put("ALTER TABLE "+p.table.Name()+" DROP COLUMN down_sql") == nil {
			t.Error("no error of a row that was not written")
		}
	})
}
