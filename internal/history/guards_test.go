package history

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	driverof "github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/dbtest"
	"github.com/gooseplus/gooseplus/internal/dialect"
)

// scripted is a MySQL server with the answers of a test. It has no rows.
type scripted struct {
	exec func(statement string) (driver.Result, error)
	log  []string
}

func (s *scripted) Connect(context.Context) (driver.Conn, error) { return s, nil }
func (s *scripted) Driver() driver.Driver                        { return nil }
func (s *scripted) Prepare(string) (driver.Stmt, error)          { return nil, errors.ErrUnsupported }
func (s *scripted) Begin() (driver.Tx, error)                    { return nil, errors.ErrUnsupported }
func (s *scripted) Close() error                                 { s.log = append(s.log, "closed"); return nil }

func (s *scripted) ExecContext(_ context.Context, statement string, _ []driver.NamedValue) (driver.Result, error) {
	s.log = append(s.log, statement)
	return s.exec(statement)
}

func (s *scripted) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return &brokenRows{end: io.EOF}, nil
}

// state is the state table on the scripted server, whose sessions have the given autocommit.
func (s *scripted) state(t *testing.T, autocommits bool) (*sql.DB, *State) {
	t.Helper()
	d, err := dialect.Lookup("mysql")
	must(t, err)
	state, err := NewState(d, "v")
	must(t, err)
	state.server = mysql{d, autocommits}
	db := sql.OpenDB(s)
	t.Cleanup(func() { must(t, db.Close()) })
	return db, state
}

// TestClaimMeetsAnother: a claim that InnoDB has rolled back is made again, and any other error is returned.
func TestClaimMeetsAnother(t *testing.T) {
	for name, tc := range map[string]struct {
		number   uint16
		attempts int
	}{"a deadlock": {1213, claimAttempts}, "a lock timeout": {1205, 1}} {
		s := &scripted{exec: func(statement string) (driver.Result, error) {
			if strings.HasPrefix(statement, "INSERT") {
				return nil, &driverof.MySQLError{Number: tc.number}
			}
			return driver.ResultNoRows, nil
		}}
		db, state := s.state(t, true)
		var refused *driverof.MySQLError
		_, err := state.Steps.Claim(t.Context(), db, Step{Run: "r"})
		if !errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		}
		if got := len(slices.DeleteFunc(s.log, func(statement string) bool { return !strings.HasPrefix(statement, "INSERT") })); got != tc.attempts {
			t.Errorf("%s: %d claims, want %d", name, got, tc.attempts)
		}
	}
}

// hiding is a MySQL server for a user who may not read its tables: the catalog has none.
type hiding struct{ scripted }

func (h *hiding) Connect(context.Context) (driver.Conn, error) { return h, nil }

func (h *hiding) QueryContext(_ context.Context, statement string, _ []driver.NamedValue) (driver.Rows, error) {
	if strings.Contains(statement, "information_schema") {
		return &brokenRows{end: io.EOF}, nil
	}
	return nil, &driverof.MySQLError{Number: 1142}
}

// TestDeniedIsNotMissing: tables that the user may not read are not taken for tables that don't exist.
func TestDeniedIsNotMissing(t *testing.T) {
	ctx := t.Context()
	db := sql.OpenDB(new(hiding))
	defer db.Close()
	_, state := new(scripted).state(t, true)
	v := newVersions(t, "mysql", "v")
	for name, read := range map[string]func() (any, error){
		"facts":                  func() (any, error) { return state.Read(ctx, db) },
		"facts of a known table": func() (any, error) { return state.ReadThere(ctx, db) },
		"what is hidden":         func() (any, error) { return nil, state.Hidden(ctx, db) },
		"runs":                   func() (any, error) { return state.Runs.Recorded(ctx, db) },
		"rows of versions":       func() (any, error) { return state.Versioned.List(ctx, db, "") },
		"Downs":                  func() (any, error) { return state.Versioned.Downs(ctx, db, "", []int64{1}) },
		"versions":               func() (any, error) { versions, _, err := v.Applied(ctx, db); return versions, err },
		"a look":                 func() (any, error) { return v.AppliedAndFlag(ctx, db, state, Question{}, false) },
		"times":                  func() (any, error) { return v.Entries(ctx, db) },
	} {
		if got, err := read(); !v.dialect.Denied(err) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if missing, err := v.Missing(ctx, db, &driverof.MySQLError{Number: 1142}); missing || !v.dialect.Denied(err) {
		t.Errorf("the version table counts as missing: %t, %v", missing, err)
	}
}

// TestDriverWithoutResult: a driver that returns nothing at all is an error, and no panic.
func TestDriverWithoutResult(t *testing.T) {
	db, state := (&scripted{exec: func(string) (driver.Result, error) { return nil, nil }}).state(t, true)
	if _, err := state.Steps.Claim(t.Context(), db, Step{Run: "r"}); err == nil || !strings.Contains(err.Error(), "neither a result nor an error") {
		t.Errorf("Claim: %v", err)
	}
}

// TestWritesAreWhole: more than one statement, or a session that doesn't commit by itself, needs a transaction. If the
// transaction can't be rolled back, its connection is closed.
func TestWritesAreWhole(t *testing.T) {
	for name, tc := range map[string]struct {
		autocommits bool
		statements  []string
		fail        string // with this statement everything that follows fails
		want        []string
	}{
		"one statement":                 {true, []string{"a"}, "", []string{"a"}},
		"one, without autocommit":       {false, []string{"a"}, "", []string{"START TRANSACTION READ WRITE", "a", "COMMIT"}},
		"two statements":                {true, []string{"a", "b"}, "", []string{"START TRANSACTION READ WRITE", "a", "b", "COMMIT"}},
		"the second fails":              {true, []string{"a", "b"}, "b", []string{"START TRANSACTION READ WRITE", "a", "b", "ROLLBACK"}},
		"the ROLLBACK fails too":        {true, []string{"a", "lost"}, "lost", []string{"START TRANSACTION READ WRITE", "a", "lost", "ROLLBACK", "closed"}},
		"the COMMIT fails and the rest": {false, []string{"a"}, "COMMIT", []string{"START TRANSACTION READ WRITE", "a", "COMMIT", "ROLLBACK", "closed"}},
	} {
		broke := false
		s := &scripted{exec: func(statement string) (driver.Result, error) {
			if broke || statement == tc.fail {
				broke = statement != "b"
				return nil, errors.New("it fails")
			}
			return driver.RowsAffected(1), nil
		}}
		db, state := s.state(t, tc.autocommits)
		_, err := state.write(t.Context(), db, tc.statements...)
		if (err != nil) != (tc.fail != "") || fmt.Sprint(s.log) != fmt.Sprint(tc.want) {
			t.Errorf("%s: %v, %q, want %q", name, err, s.log, tc.want)
		}
	}
}

// TestWritesInAnySession: it doesn't matter that sessions begin read-only, serializable, or without autocommit.
func TestWritesInAnySession(t *testing.T) {
	ctx := t.Context()
	onEach(t, "goose_db_version", func(t *testing.T, p place) {
		must(t, p.table.Ensure(ctx, p.db))
		switch p.name {
		case "postgres":
			_, err := p.db.Exec("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database());" +
				" EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = serializable', current_database()); END $$")
			must(t, err)
			p.db.SetMaxIdleConns(0) // the next connection is a new one
		case "mysql":
			p.db.SetMaxOpenConns(1)
			for _, s := range []string{"SET autocommit = 0", "SET SESSION TRANSACTION READ ONLY"} {
				_, err := p.db.Exec(s)
				must(t, err)
			}
		}
		must(t, p.table.Marks.Stamp(ctx, p.db, "test"))
		must(t, p.table.Runs.Start(ctx, p.db, Run{ID: "r"}))
		if p.name == "mysql" { // what is not committed goes
			_, err := p.db.Exec("ROLLBACK")
			must(t, err)
		}
		facts, err := p.table.Read(ctx, p.db)
		must(t, err)
		if len(facts.Environments) != 1 || len(facts.Running) != 1 {
			t.Errorf("%+v", facts)
		}
	})
}

// TestTryCutOff: a run whose row or fence somebody has locked is not declared dead, and one that has ended stays as it ended.
func TestTryCutOff(t *testing.T) {
	ctx := t.Context()
	onEach(t, "goose_db_version", func(t *testing.T, p place) {
		must(t, p.table.Ensure(ctx, p.db))
		outcome := func(id string, cutOff bool, want Outcome) {
			t.Helper()
			done, err := p.table.Runs.TryCutOff(ctx, p.db, id, time.Now())
			must(t, err)
			var got Outcome
			must(t, p.db.QueryRow("SELECT outcome FROM "+p.table.Name()+" WHERE id = '"+runID(id)+"'").Scan(&got))
			if done != cutOff || got != want {
				t.Errorf("%s: %t, %s, want %t, %s", id, done, got, cutOff, want)
			}
		}
		for _, id := range []string{"ended", "fenced", "old", "dead"} {
			must(t, p.table.Runs.Start(ctx, p.db, Run{ID: id}))
		}
		ours, err := p.table.Runs.End(ctx, p.db, "ended", 1, Migrated, "", time.Now())
		if must(t, err); !ours {
			t.Error("a run that ran has not ended")
		}
		outcome("ended", true, Migrated)
		outcome("dead", true, CutOff)
		if !p.rows {
			return
		}
		for id, row := range map[string]string{"fenced": fenceID("fenced"), "old": runID("old")} {
			tx, err := p.db.Begin()
			must(t, err)
			_, err = tx.Exec("SELECT id FROM " + p.table.Name() + " WHERE id = '" + row + "' FOR UPDATE")
			must(t, err)
			outcome(id, false, Running)
			must(t, tx.Rollback())
			outcome(id, true, CutOff)
		}
	})
}

// TestMarkFencedWaits: a run that is being declared dead marks no step.
func TestMarkFencedWaits(t *testing.T) {
	ctx := t.Context()
	onEach(t, "goose_db_version", func(t *testing.T, p place) {
		if !p.rows {
			return
		}
		must(t, p.table.Ensure(ctx, p.db))
		must(t, p.table.Runs.Start(ctx, p.db, Run{ID: "r"}))
		tx, err := p.db.Begin()
		must(t, err)
		_, err = tx.Exec("DELETE FROM " + p.table.Name() + " WHERE id = '" + fenceID("r") + "'")
		must(t, err)
		marked := make(chan error, 1)
		go func() {
			ours, err := p.table.Steps.MarkFenced(ctx, p.db, Step{Run: "r", Mark: Mark{Version: 1}})
			if ours {
				err = errors.New("the run is ours")
			}
			marked <- err
		}()
		select {
		case err := <-marked:
			t.Errorf("it didn't wait: %v", err)
		case <-time.After(300 * time.Millisecond):
			must(t, tx.Commit())
			must(t, <-marked)
		}
		_ = tx.Rollback()
		if n := p.count(t, "kind = 'dirty'"); n != 0 {
			t.Errorf("%d marks", n)
		}
	})
}

// TestTransactional: a table of another engine may keep a part of a statement that failed. It counts in every database of the
// server, so the server is this test's alone.
func TestTransactional(t *testing.T) {
	ctx := t.Context()
	db := dbtest.OwnMySQL(t, false).NewDatabase(t).Open(t, "mysql")
	versions, err := NewVersions(dialect.Dialect{Goose: goose.DialectMySQL}, "goose_db_version")
	must(t, err)
	if !versions.Transactional(ctx, db) {
		t.Error("no table isn't transactional")
	}
	_, err = db.Exec("CREATE VIEW seen AS SELECT 1 AS one")
	must(t, err)
	if !versions.Transactional(ctx, db) {
		t.Error("a view isn't transactional")
	}
	for _, kind := range []string{"", " WITH SYSTEM VERSIONING", " PARTITION BY HASH (id) PARTITIONS 2"} {
		if _, err := db.Exec("CREATE TABLE other (id INTEGER) ENGINE = MyISAM" + kind); err != nil {
			continue // MySQL has no tables of this kind
		}
		if versions.Transactional(ctx, db) {
			t.Errorf("MyISAM%s is transactional", kind)
		}
		_, err = db.Exec("DROP TABLE other")
		must(t, err)
	}
	must(t, db.Close())
	if versions.Transactional(ctx, db) {
		t.Error("a server that doesn't answer is transactional")
	}
}
