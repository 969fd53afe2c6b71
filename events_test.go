package gooseplus_test

import (
	"context"
	"database/sql"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
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
	mustMigrate(t, sqlite(db, folder("sql/base/1_a.sql"), gooseplus.WithLogger(logger),
		gooseplus.WithObserver(func(context.Context, gooseplus.Event) { panic("no geese here") }),
		gooseplus.WithObserver(seen.observe)))
	applied(t, db, 1)
	if n := len(seen.take()); n != 4 {
		t.Errorf("the other observer saw %d events, want 4", n)
	}
	if n := logs.FilterMessageSnippet("no geese here").Len(); n != 4 {
		t.Errorf("%d panics are logged, want 4", n)
	}
}

func TestObserverThatBlocks(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	release := make(chan struct{})
	stuck := make(chan struct{})
	var once sync.Once
	var seen record
	mustMigrate(t, sqlite(db, folder("sql/base/1_a.sql", "sql/base/2_b.sql"),
		gooseplus.WithObserver(func(context.Context, gooseplus.Event) {
			once.Do(func() { close(stuck) })
			<-release
		}),
		gooseplus.WithObserver(seen.observe)))
	<-stuck
	applied(t, db, 1, 2)
	if n := len(seen.take()); n != 6 {
		t.Errorf("the other observer saw %d events, want 6", n)
	}
	close(release) // the goroutine ends, as goleak asserts
}

// TestObserverThatStaysBlocked: with a grace of an hour, a run that waits does not end in this test.
func TestObserverThatStaysBlocked(t *testing.T) {
	t.Parallel()
	for name, stick := range map[string]func(func()) gooseplus.Option{
		"an observer": func(wait func()) gooseplus.Option {
			return gooseplus.WithObserver(func(context.Context, gooseplus.Event) { wait() })
		},
		"the logger": func(wait func()) gooseplus.Option {
			return gooseplus.WithLogger(zap.New(zapcore.NewCore(
				zapcore.NewJSONEncoder(zapcore.EncoderConfig{}),
				zapcore.AddSync(writerFunc(func([]byte) { wait() })), zapcore.DebugLevel)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			var seen record
			m := sqlite(openSQLite(t), folder("sql/base/1_a.sql"), stick(func() { <-release }), gooseplus.WithObserver(seen.observe))
			m.SetObserverGrace(time.Nanosecond)
			mustMigrate(t, m)
			if !m.ObserversBehind() {
				t.Fatal("nobody is blocked: the test shows nothing")
			}
			m.SetObserverGrace(time.Hour)
			seen.take()
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					if err := m.Migrate(context.Background()); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			close(release)
			for m.ObserversBehind() {
				runtime.Gosched()
			}
		})
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

func TestObserverThatHasCaughtUp(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var seen record
	m := sqlite(openSQLite(t), folder("sql/base/1_a.sql"), gooseplus.WithObserver(func(ctx context.Context, e gooseplus.Event) {
		<-release
		for range 1000 { // so that a run that doesn't wait is over first
			runtime.Gosched()
		}
		seen.observe(ctx, e)
	}))
	m.SetObserverGrace(time.Nanosecond)
	mustMigrate(t, m)
	close(release)
	for m.ObserversBehind() {
		runtime.Gosched()
	}
	seen.take()
	m.SetObserverGrace(time.Hour)
	for range 10 {
		mustMigrate(t, m)
		if n := len(seen.take()); n != 1 {
			t.Fatalf("the run ended when the observer had taken %d of 1 event", n)
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
			if want := (gooseplus.RunFinished{From: -1, To: -1, Err: err}); len(seen) != 1 || seen[0] != gooseplus.Event(want) {
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
	if alive != 1 || named != 1 {
		t.Errorf("of one event, %d came with a live context and %d with its values", alive, named)
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
