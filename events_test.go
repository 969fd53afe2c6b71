package gooseplus_test

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gooseplus/gooseplus"
)

func observedLogger() (*zap.Logger, *observer.ObservedLogs) {
	core, logs := observer.New(zapcore.DebugLevel)
	return zap.New(core), logs
}

// record is an observer that writes down the events as short texts.
type record struct {
	mu     sync.Mutex
	events []string
}

func (r *record) observe(_ context.Context, event gooseplus.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := fmt.Sprintf("%T", event)
	switch e := event.(type) {
	case gooseplus.RunRequested, gooseplus.LockWaitFinished, gooseplus.WayBackFinished:
		return
	case gooseplus.RunStarted:
		text = fmt.Sprintf("run from %d, %d steps", e.From, len(e.Steps))
	case gooseplus.MigrationStarted:
		text = fmt.Sprintf("%s %d", e.Step.Direction, e.Step.Version)
	case gooseplus.MigrationFinished:
		text = fmt.Sprintf("%s %d done, failed %t", e.Step.Direction, e.Step.Version, e.Err != nil)
	case gooseplus.WayBackStarted:
		text = "way back"
	case gooseplus.RunFinished:
		undone := ""
		if e.Undone > 0 {
			undone = fmt.Sprintf(" undone %d,", e.Undone)
		}
		text = fmt.Sprintf("end at %d from %d, applied %d,%s failed %t", e.To, e.From, e.Applied, undone, e.Err != nil)
	case gooseplus.Warning:
		text = "warning"
	}
	r.events = append(r.events, text)
}

func (r *record) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	events := r.events
	r.events = nil
	return events
}

func TestEvents(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	var seen record
	run := func(want ...string) {
		t.Helper()
		if got := seen.take(); !slices.Equal(got, want) {
			t.Errorf("events\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
		}
	}
	fsys := folder("sql/base/1_a.sql", "sql/base/2_b.sql")
	mustMigrate(t, sqlite(db, fsys, gooseplus.WithObserver(seen.observe)))
	run("run from 0, 2 steps", "up 1", "up 1 done, failed false", "up 2", "up 2 done, failed false",
		"end at 2 from 0, applied 2, failed false")

	mustMigrate(t, sqlite(db, fsys, gooseplus.WithObserver(seen.observe)))
	run("end at 2 from 2, applied 0, failed false")

	fsys["sql/base/3_c.sql"] = migrationFile("CREATE TABLE c (id INTEGER);", "DROP TABLE c;")
	fsys["sql/base/4_bad.sql"] = migrationFile("CREATE TABLE c (id INTEGER);", "")
	err := sqlite(db, fsys, gooseplus.WithObserver(seen.observe)).Migrate(context.Background())
	wantIs(t, err, gooseplus.ErrRollForward)
	run("run from 2, 2 steps", "warning", "up 3", "up 3 done, failed false", "up 4", "up 4 done, failed true",
		"way back", "down 3", "down 3 done, failed false", "end at 2 from 2, applied 0, failed true")
}

func TestObserverThatPanics(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	logger, logs := observedLogger()
	var seen record
	calls := 0
	m := sqlite(db, folder("sql/base/1_a.sql"), gooseplus.WithLogger(logger),
		gooseplus.WithObserver(func(context.Context, gooseplus.Event) { calls++; panic("no geese here") }),
		gooseplus.WithObserver(seen.observe))
	mustMigrate(t, m)
	applied(t, db, 1)
	if n := len(seen.take()); n != 4 || calls != 5 {
		t.Errorf("of 5 events the observer that panics saw %d, and the other one %d", calls, n)
	}
	if n := logs.FilterMessageSnippet("no geese here").Len(); n != 1 {
		t.Errorf("the panics of one run are logged %d times, want once", n)
	}
	mustMigrate(t, m)
	if n := logs.FilterMessageSnippet("no geese here").Len(); n != 2 {
		t.Errorf("the panics of two runs are logged %d times, want twice", n)
	}
}

// TestRunWaitsForItsObservers: an observer reads the database as it is between two steps, without a lock of its own.
func TestRunWaitsForItsObservers(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	var seen []string
	var m *gooseplus.Migrator
	m = sqlite(db, folder("sql/base/1_a.sql", "sql/base/2_b.sql"), gooseplus.WithObserver(func(ctx context.Context, e gooseplus.Event) {
		version, err := m.Version(ctx)
		if err != nil {
			t.Error(err)
		}
		seen = append(seen, fmt.Sprintf("%T at %d", e, version))
	}))
	mustMigrate(t, m)
	want := []string{
		"gooseplus.RunRequested at 0", "gooseplus.RunStarted at 0", "gooseplus.MigrationStarted at 0", "gooseplus.MigrationFinished at 1",
		"gooseplus.MigrationStarted at 1", "gooseplus.MigrationFinished at 2", "gooseplus.RunFinished at 2",
	}
	if !slices.Equal(seen, want) {
		t.Errorf("seen\n  %s\nwant\n  %s", strings.Join(seen, "\n  "), strings.Join(want, "\n  "))
	}
}

// TestObserverHasOneEventAtATime: the runs of several tenants share it.
func TestObserverHasOneEventAtATime(t *testing.T) {
	t.Parallel()
	const tenants = 16
	var inside atomic.Int64
	ended := make(map[string]int) // without a lock of its own
	m := sqlite(nil, folder("sql/base/1_a.sql"), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
		if n := inside.Add(1); n > 1 {
			t.Errorf("%T: %d events at once", e, n)
		}
		defer inside.Add(-1)
		for range 100 { // a chance for the others
			runtime.Gosched()
		}
		if e, ok := e.(gooseplus.RunFinished); ok {
			ended[e.Tenant] += e.Applied
		}
	}))
	var list []gooseplus.Tenant
	for i := range tenants {
		path := filepath.Join(t.TempDir(), "tenant.db")
		list = append(list, gooseplus.Tenant{Name: fmt.Sprintf("tenant %d", i), Open: func(context.Context) (*sql.DB, error) {
			return sql.Open("sqlite", "file:"+path)
		}})
	}
	r, err := m.MigrateTenants(context.Background(), tenantsOf(list...), gooseplus.WithConcurrency(8))
	if err != nil || r.Migrated != tenants {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, tenant := range list {
		if ended[tenant.Name] != 1 {
			t.Errorf("%s: %d applied by its last event, want 1", tenant.Name, ended[tenant.Name])
		}
	}
}

func tenantsOf(list ...gooseplus.Tenant) iter.Seq2[gooseplus.Tenant, error] {
	return func(yield func(gooseplus.Tenant, error) bool) {
		for _, t := range list {
			if !yield(t, nil) {
				return
			}
		}
	}
}

func TestEventsOfARunThatCannotStart(t *testing.T) {
	t.Parallel()
	logger, logs := observedLogger()
	var seen []gooseplus.Event
	with := func(db *sql.DB, opts ...gooseplus.Option) *gooseplus.Migrator {
		return sqlite(db, folder("sql/base/1_a.sql"), append(opts, gooseplus.WithLogger(logger),
			gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) { seen = append(seen, e) }))...)
	}
	db := openSQLite(t)
	for name, run := range map[string]func() error{
		"a fault":     func() error { return with(db, gooseplus.WithTimeout(-1)).Migrate(context.Background()) },
		"no database": func() error { return with(nil).Rollback(context.Background(), 1) },
	} {
		t.Run(name, func(t *testing.T) {
			seen = nil
			logs.TakeAll()
			err := run()
			if err == nil {
				t.Fatal("the run could start")
			}
			if want := (gooseplus.RunFinished{From: -1, To: -1, Err: err}); len(seen) != 2 || seen[1] != gooseplus.Event(want) {
				t.Errorf("events %v, want %v", seen, want)
			}
			lines := logs.FilterMessage("database not migrated").All()
			if len(lines) != 1 || lines[0].Level != zapcore.WarnLevel || logs.Len() != 1 {
				t.Errorf("logs: %v", logs.All())
			}
		})
	}
	untouched(t, db)
}

func TestObserverContext(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	type key struct{}
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), key{}, "trace"))
	cancel()
	var alive, named int
	err := sqlite(db, folder("sql/base/1_a.sql"), gooseplus.WithObserver(func(ctx context.Context, _ gooseplus.Event) {
		if ctx.Err() == nil {
			alive++
		}
		if ctx.Value(key{}) == "trace" {
			named++
		}
	})).Migrate(ctx)
	wantIs(t, err, context.Canceled)
	if alive != 2 || named != 2 {
		t.Errorf("of two events, %d came with a live context and %d with its values", alive, named)
	}
}

func TestLogs(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	logger, logs := observedLogger()
	fsys := folder("sql/base/1_a.sql", "sql/test/2_b.sql")
	mustMigrate(t, sqlite(db, fsys, gooseplus.WithLogger(logger), gooseplus.WithEnvironments("test")))

	lines := logs.FilterMessage("migration applied").All()
	if len(lines) != 2 {
		t.Fatalf("%d lines, want one for each migration: %v", len(lines), logs.All())
	}
	fields := lines[1].ContextMap()
	for name, want := range map[string]any{
		"version": int64(2), "source": "sql/test/2_b.sql", "environment": "test", "direction": "up",
	} {
		if fields[name] != want {
			t.Errorf("field %s = %v, want %v", name, fields[name], want)
		}
	}
	if _, ok := fields["duration"].(time.Duration); !ok {
		t.Errorf("fields %v", fields)
	}

	logs.TakeAll()
	fsys["sql/base/3_bad.sql"] = migrationFile("INSERT INTO a VALUES ('password=hunter2secret', nothing);", "")
	err := sqlite(db, fsys, gooseplus.WithLogger(logger), gooseplus.WithEnvironments("test")).Migrate(context.Background())
	wantIs(t, err, gooseplus.ErrRollForward)
	for _, line := range logs.All() {
		if line.Level >= zapcore.ErrorLevel {
			t.Errorf("what is returned is logged at error level too: %v", line)
		}
		if text := fmt.Sprint(line.Message, line.ContextMap()); strings.Contains(text, "hunter2secret") {
			t.Errorf("data of the statement is in the log: %s", text)
		}
	}
	if logs.FilterMessage("migration failed").Len() != 1 {
		t.Errorf("logs: %v", logs.All())
	}
}

func TestLoggerThatTakesOneLevel(t *testing.T) {
	t.Parallel()
	for level, message := range map[zapcore.Level]string{
		zapcore.DebugLevel: "migration started",
		zapcore.InfoLevel:  "migration applied",
		zapcore.WarnLevel:  `environment "eu" has no folder sql/eu`,
	} {
		core, logs := observer.New(zap.LevelEnablerFunc(func(l zapcore.Level) bool { return l == level }))
		mustMigrate(t, sqlite(openSQLite(t), folder("sql/base/1_a.sql"), gooseplus.WithEnvironments("eu"),
			gooseplus.WithLogger(zap.New(core))))
		if logs.FilterMessageSnippet(message).Len() != 1 {
			t.Errorf("at level %v, logs: %v", level, logs.All())
		}
	}
}

func TestLoggerThatPanics(t *testing.T) {
	t.Parallel()
	t.Run("at each level", func(t *testing.T) {
		core, _ := observer.New(zap.LevelEnablerFunc(func(zapcore.Level) bool { panic("no geese here") }))
		db := openSQLite(t)
		mustMigrate(t, sqlite(db, folder("sql/base/1_a.sql"), gooseplus.WithLogger(zap.New(core))))
		applied(t, db, 1)
	})
	t.Run("at one level", func(t *testing.T) {
		core, logs := observer.New(zap.LevelEnablerFunc(func(l zapcore.Level) bool {
			if l == zapcore.DebugLevel {
				panic("no geese here")
			}
			return true
		}))
		db := openSQLite(t)
		mustMigrate(t, sqlite(db, folder("sql/base/1_a.sql"), gooseplus.WithLogger(zap.New(core))))
		applied(t, db, 1)
		if logs.FilterMessage("migration applied").Len() != 1 || logs.FilterMessageSnippet("no geese here").Len() == 0 {
			t.Errorf("logs: %v", logs.All())
		}
	})
	t.Run("without a core", func(t *testing.T) {
		db := openSQLite(t)
		mustMigrate(t, sqlite(db, folder("sql/base/1_a.sql"), gooseplus.WithLogger(new(zap.Logger))))
		applied(t, db, 1)
	})
}

func TestSilentByDefault(t *testing.T) { // not parallel: the logger that it sets is everybody's
	// zap.L() is asked when the run starts, so that a logger which the application sets later counts.
	db := openSQLite(t)
	m := sqlite(db, folder("sql/base/1_a.sql"))
	logger, logs := observedLogger()
	defer zap.ReplaceGlobals(logger)()
	mustMigrate(t, m)
	if logs.FilterMessage("database migrated").Len() != 1 {
		t.Errorf("logs: %v", logs.All())
	}
}
