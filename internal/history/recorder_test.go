package history

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

func insertRequest(version int64) database.InsertRequest {
	return database.InsertRequest{Version: version}
}

func TestRecorderAnswersFromTheDirection(t *testing.T) {
	t.Parallel()
	// There is no database to ask: a nil one would panic.
	r := newVersions(t, "sqlite", "v").Recorder()
	if exists, err := r.TableExists(t.Context(), nil); err != nil || !exists {
		t.Errorf("TableExists: got %t, %v", exists, err)
	}
	r.Step(false)
	if found, err := r.GetMigration(t.Context(), nil, 7); !errors.Is(err, database.ErrVersionNotFound) || found != nil {
		t.Errorf("up: got %v, %v", found, err)
	}
	r.Step(true)
	if found, err := r.GetMigration(t.Context(), nil, 7); err != nil || !found.IsApplied || found.Timestamp.IsZero() {
		t.Errorf("down: got %v, %v", found, err)
	}
	r.Step(false)
	if _, err := r.GetMigration(t.Context(), nil, 7); !errors.Is(err, database.ErrVersionNotFound) {
		t.Errorf("up again: got %v", err)
	}
}

func TestRecorded(t *testing.T) {
	t.Parallel()
	db, table := openTemp(t), newVersions(t, "sqlite", "v")
	create(t, table, db)
	r := table.Recorder()
	want := func(situation string, reached, recorded bool) {
		t.Helper()
		if r.Reached() != reached || r.Recorded() != recorded {
			t.Errorf("%s: Reached() = %t, Recorded() = %t", situation, r.Reached(), r.Recorded())
		}
	}
	want("new", false, false)
	r.Step(false)
	want("a step begins", false, false)
	if err := r.Insert(t.Context(), db, insertRequest(1)); err != nil {
		t.Fatal(err)
	}
	want("inserted", true, true)
	r.Step(true)
	want("the next step begins", false, false)
	if err := r.Delete(t.Context(), db, 1); err != nil {
		t.Fatal(err)
	}
	want("deleted", true, true)

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	r.Step(false)
	if err := r.Insert(ended, db, insertRequest(1)); err == nil {
		t.Error("inserted under a context that ended")
	}
	want("an insert failed", true, false)
	r.Step(true)
	if err := r.Delete(ended, db, 1); err == nil {
		t.Error("deleted under a context that ended")
	}
	want("a delete failed", true, false)
	wantApplied(t, table, db, true)

	r.Again()
	want("it is tried again", false, false)
	r.Unrecorded()
	r.Again()
	if err := r.Delete(ended, db, 1); err != nil {
		t.Errorf("tried again, the step is not what it was: %v", err)
	}
}

func TestRecorderDrivesAProvider(t *testing.T) {
	t.Parallel()
	db, table := openTemp(t), newVersions(t, "sqlite", `"My Versions"`)
	create(t, table, db)
	r := table.Recorder()
	fsys := fstest.MapFS{
		"1_a.sql": {Data: []byte("-- +goose Up\nCREATE TABLE a (i INTEGER);\n-- +goose Down\nDROP TABLE a;")},
		"2_b.sql": {Data: []byte("-- +goose Up\nCREATE TABLE b (i INTEGER);\nbroken;\n")},
		"3_c.sql": {Data: []byte("-- +goose NO TRANSACTION\n-- +goose Up\nCREATE TABLE c (i INTEGER);\nbroken;\n-- +goose Down\nDROP TABLE c;")},
	}
	p, err := goose.NewProvider(goose.DialectCustom, db, fsys, goose.WithStore(r), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name     string
		version  int64
		down     bool
		fails    bool
		recorded bool
		applied  []int64
		tables   []string
	}{
		{"up", 1, false, false, true, []int64{1}, []string{"a"}},
		{"up, failing in a transaction", 2, false, true, false, []int64{1}, []string{"a"}},
		{"up, failing without a transaction", 3, false, true, false, []int64{1}, []string{"a", "c"}},
		{"down of what is half-applied", 3, true, false, true, []int64{1}, []string{"a"}},
		{"down", 1, true, false, true, nil, nil},
		{"down of what somebody else has taken back", 1, true, true, false, nil, nil},
	} {
		r.Step(step.down)
		if step.version == 3 && step.down {
			r.Unrecorded()
		}
		if _, err := p.ApplyVersion(t.Context(), step.version, !step.down); (err != nil) != step.fails {
			t.Fatalf("%s: got %v", step.name, err)
		}
		if r.Recorded() != step.recorded {
			t.Errorf("%s: Recorded() = %t", step.name, r.Recorded())
		}
		wantApplied(t, table, db, true, step.applied...)
		if got := userTables(t, db); !slices.Equal(got, step.tables) {
			t.Errorf("%s: the tables are %v, want %v", step.name, got, step.tables)
		}
	}
}

func userTables(t *testing.T, db *sql.DB) (names []string) {
	t.Helper()
	found, err := db.Query(`SELECT name FROM sqlite_master WHERE type = 'table' AND length(name) = 1 ORDER BY name`)
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	for found.Next() {
		var name string
		if err := found.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return names
}
