package conformance

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dialect"
)

// The migration of these tests changes a table that somebody else is using.
const (
	addNote  = "ALTER TABLE users ADD COLUMN note VARCHAR(10);"
	dropNote = "ALTER TABLE users DROP COLUMN note;"
)

var (
	noteVersions = []int64{1, 10, 12}
	noteTables   = []string{"teams", "users"}
)

// crowd is a deployment beside which another session works.
type crowd struct {
	*place
	fsys  fstest.MapFS
	other *sql.Tx // keeps the table users, or on SQLite the database
	once  sync.Once
}

// crowded deploys what the migration changes. Nobody is in its way yet.
func crowded(t *testing.T, p *place, more map[string]*fstest.MapFile, opts ...gooseplus.Option) *crowd {
	t.Helper()
	if err := p.migrator(append(opts, from(files(earlier)))...).Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	named := maps.Clone(earlier)
	maps.Copy(named, more)
	return &crowd{place: p, fsys: files(named)}
}

// block keeps a long SELECT's lock on the table, or on SQLite, where readers are in nobody's way until a
// COMMIT, that of a writer.
func (c *crowd) block(t *testing.T) {
	t.Helper()
	var err error
	if c.other, err = c.db.BeginTx(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.letGo)
	statement := "SELECT count(*) FROM users"
	if c.dialect == "sqlite" {
		statement = "UPDATE users SET id = id"
	}
	if _, err := c.other.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

// ready repairs a dirty database before the next try: on a busy machine the way back can time out too. The statements that still
// wait have changed nothing. MariaDB would execute them later, so they are killed.
func (c *crowd) ready(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, gooseplus.ErrDirty) {
		return
	}
	eventually(t, "the database is not dirty any more, and nothing waits", func() bool {
		if c.dialect == "mysql" {
			for _, id := range column[int64](t, c.db, "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND command = 'Query' AND id <> CONNECTION_ID()") {
				_, _ = c.db.Exec(fmt.Sprintf("KILL %d", id)) // or it has ended
				return false
			}
		}
		return c.migrator(from(c.fsys)).Force(context.Background(), 10) == nil
	})
}

func (c *crowd) letGo() {
	c.once.Do(func() {
		if c.other != nil {
			_ = c.other.Rollback()
		}
	})
}

// patience is the shortest that the server knows, and a migration timeout with room for two or
// more of it where the machine has little else to do.
func (c *crowd) patience() (lock, timeout time.Duration) {
	if c.dialect == "mysql" {
		return time.Second, 3 * time.Second
	}
	return 50 * time.Millisecond, time.Second
}

func (c *crowd) limited(retries int) gooseplus.Option {
	lock, _ := c.patience()
	return gooseplus.WithStatementTimeouts(gooseplus.StatementTimeouts{Lock: lock, Retries: retries})
}

// steps counts what the observers are told of one version.
type steps struct {
	version  int64
	source   string // as messages have it
	warned   func() // called at each warning
	started  int
	finished int
	warnings []string
}

// aboutNote is for the migration of these tests.
func aboutNote() *steps { return &steps{version: 12, source: " (sql/base/12_note.sql)"} }

func (s *steps) watch() gooseplus.Option {
	return gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
		switch e := e.(type) {
		case gooseplus.MigrationStarted:
			if e.Step.Version == s.version {
				s.started++
			}
		case gooseplus.MigrationFinished:
			if e.Step.Version == s.version {
				s.finished++
			}
		case gooseplus.Warning:
			s.warnings = append(s.warnings, e.Message)
			if s.warned != nil {
				s.warned()
			}
		}
	})
}

// want asserts that the version had so many pairs of events, and that each of the attempts but the
// last was announced, without SQL text.
func (s *steps) want(t *testing.T, pairs int, direction string) {
	t.Helper()
	if s.started != pairs || s.finished != pairs {
		t.Errorf("%d MigrationStarted and %d MigrationFinished, want %d of each", s.started, s.finished, pairs)
	}
	for i, w := range s.warnings {
		prefix := fmt.Sprintf("migration %d%s %s: attempt %d failed", s.version, s.source, direction, i+1)
		if !strings.HasPrefix(w, prefix) || strings.Contains(w, "TABLE") {
			t.Errorf("warning %d is %q", i+1, w)
		}
	}
}

// wantContention asserts that err has the driver's error, with the code that somebody was in the way.
func wantContention(t *testing.T, p *place, err error) {
	t.Helper()
	d, lookup := dialect.Lookup(p.dialect)
	if lookup != nil {
		t.Fatal(lookup)
	}
	if !d.Contention(err) {
		t.Errorf("error %v has none of a lock", err)
	}
}

// TestContentionEnds has the other session let go when the first attempts have failed. Until then
// others can go on to read the table: the migration doesn't queue in front of them for ever.
func TestContentionEnds(t *testing.T) {
	t.Parallel()
	for _, lock := range []bool{false, true} {
		t.Run(fmt.Sprintf("global lock %t", lock), func(t *testing.T) {
			onDatabases(t, func(t *testing.T, p *place) {
				if lock && p.dialect == "sqlite" {
					return // the run can't even be recorded: there is one writer
				}
				c := crowded(t, p, map[string]*fstest.MapFile{"12_note.sql": script(addNote, dropNote)}, gooseplus.WithGlobalLock(lock))
				c.block(t)
				told := aboutNote()
				told.warned = func() {
					ctx, cancel := context.WithTimeout(context.Background(), patience)
					defer cancel()
					if err := p.db.QueryRowContext(ctx, "SELECT count(*) FROM users").Scan(new(int)); err != nil {
						t.Errorf("another session can't read the table: %v", err)
					}
					if len(told.warnings) == 2 {
						c.letGo()
					}
				}
				err := p.migrator(from(c.fsys), c.limited(0), told.watch(), gooseplus.WithGlobalLock(lock)).Migrate(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				told.want(t, 1, "up")
				if len(told.warnings) < 2 {
					t.Errorf("%d warnings, want 2 or more", len(told.warnings))
				}
				p.want(t, noteVersions, noteTables)
				p.exec(t, "INSERT INTO users (id, note) VALUES (1, 'x')")
			})
		})
	}
}

func TestContentionStays(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	note := map[string]*fstest.MapFile{"12_note.sql": script(addNote, dropNote)}

	t.Run("to the migration timeout", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			c := crowded(t, p, note)
			c.block(t)
			_, timeout := c.patience()
			longEnough(t, timeout, func(timeout time.Duration) bool {
				told := aboutNote()
				err := p.migrator(from(c.fsys), c.limited(0), gooseplus.WithMigrationTimeout(timeout), told.watch()).Migrate(ctx)
				// The timeout may also end between two statements.
				if failed := wantFailed(t, err, 12); failed.Statement != "" && failed.Statement != addNote {
					t.Errorf("Statement = %q", failed.Statement)
				}
				wantIs(t, err, context.DeadlineExceeded)
				wantText(t, err, "the migration timeout of "+timeout.String()+" is over")
				told.want(t, 1, "up")
				if len(told.warnings) == 0 { // it was tried once
					return false
				}
				wantText(t, err, "attempt ")
				wantContention(t, p, err)
				return true
			})
			c.letGo()
			p.want(t, earlierVersions, earlierTables)
			p.exec(t, addNote) // it isn't there, and nobody is left in the way
		})
	})

	t.Run("to the migration timeout, in the middle of an attempt", func(t *testing.T) {
		// MariaDB may execute what is cut off, and not every driver of SQLite heeds a context while it waits
		for _, x := range having(server, transactionalDDL) {
			t.Run(x.name, func(t *testing.T) {
				t.Parallel()
				p := x.place(t)
				c := crowded(t, p, note)
				c.block(t)
				longEnough(t, 3*time.Second, func(limit time.Duration) bool {
					err := p.migrator(from(c.fsys), gooseplus.WithMigrationTimeout(limit*3/2),
						gooseplus.WithStatementTimeouts(gooseplus.StatementTimeouts{Lock: limit})).Migrate(ctx)
					wantFailed(t, err, 12)
					wantIs(t, err, context.DeadlineExceeded)
					if !strings.Contains(err.Error(), "attempt 2: ") {
						return false // the first one has taken all of the time
					}
					wantText(t, err, "(attempt 1: ")
					wantContention(t, p, err) // the first one's
					return true
				})
				c.letGo()
				p.want(t, earlierVersions, earlierTables)
				p.exec(t, addNote)
			})
		}
	})

	t.Run("to the end of the caller's context", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			if !p.transactionalDDL {
				return // it may end in an attempt, and MariaDB may still execute that
			}
			c := crowded(t, p, note)
			c.block(t)
			gone := errors.New("the pod is evicted")
			ctx, cancel := context.WithCancelCause(ctx)
			told := aboutNote()
			told.warned = func() { cancel(gone) }
			err := p.migrator(from(c.fsys), c.limited(0), told.watch()).Migrate(ctx)
			if failed := wantFailed(t, err, 12); failed.Statement != addNote {
				t.Errorf("Statement = %q", failed.Statement)
			}
			wantIs(t, err, gone)
			wantIs(t, err, context.Canceled)
			wantContention(t, p, err)
			told.want(t, 1, "up")
			c.letGo()
			p.want(t, earlierVersions, earlierTables)
			p.exec(t, addNote)
		})
	})

	for retries, attempts := range map[int]int{2: 3, -1: 1} {
		t.Run(fmt.Sprintf("for %d retries", retries), func(t *testing.T) {
			onDatabases(t, func(t *testing.T, p *place) {
				c := crowded(t, p, note)
				c.block(t)
				told := aboutNote()
				db, counter := p.counted(t)
				err := p.over(db, from(c.fsys), c.limited(retries), told.watch()).Migrate(ctx)
				wantFailed(t, err, 12)
				wantContention(t, p, err)
				wantIsNot(t, err, context.DeadlineExceeded)
				n := 0
				for _, s := range counter.take() {
					if s == addNote {
						n++
					}
				}
				if n != attempts || len(told.warnings) != attempts-1 {
					t.Errorf("%d attempts and %d warnings, want %d attempts", n, len(told.warnings), attempts)
				}
				told.want(t, 1, "up")
				c.letGo()
				p.want(t, earlierVersions, earlierTables)
			})
		})
	}

	t.Run("without the option", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			if p.dialect == "mysql" && !p.isMariaDB() {
				return // MySQL has no WAIT
			}
			up := map[string]string{
				"postgres": "SET LOCAL lock_timeout = '50ms';\n" + addNote,
				"mysql":    "ALTER TABLE users WAIT 1 ADD COLUMN note VARCHAR(10);",
				"sqlite":   addNote,
			}[p.dialect]
			c := crowded(t, p, map[string]*fstest.MapFile{"12_note.sql": script(up, dropNote)})
			c.block(t)
			told := aboutNote()
			err := p.migrator(from(c.fsys), told.watch()).Migrate(ctx)
			wantFailed(t, err, 12)
			wantContention(t, p, err)
			if len(told.warnings) > 0 {
				t.Errorf("warnings %q", told.warnings)
			}
			c.letGo()
			p.want(t, earlierVersions, earlierTables)
		})
	})
}

// TestContentionOnTheWayBack has another session in the way of a Down.
func TestContentionOnTheWayBack(t *testing.T) {
	t.Parallel()
	onDatabases(t, func(t *testing.T, p *place) {
		c := crowded(t, p, map[string]*fstest.MapFile{"12_note.sql": script(addNote, dropNote)})
		boom := errors.New("boom")
		fails := goose.NewGoMigration(13,
			&goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { c.block(t); return boom }},
			&goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return nil }})
		told := aboutNote()
		told.warned = c.letGo
		err := p.migrator(from(c.fsys), gooseplus.WithGoMigrations(fails), c.limited(0), told.watch()).Migrate(context.Background())
		wantFailed(t, err, 13)
		wantIs(t, err, boom)
		told.want(t, 2, "down")
		if len(told.warnings) == 0 {
			t.Error("nobody was in the way")
		}
		p.want(t, earlierVersions, earlierTables)
	})
}

// TestContentionAtTheVersionTable has it after the migration's own statements, all of which are
// taken back. The run still knows afterwards which row is its own.
func TestContentionAtTheVersionTable(t *testing.T) {
	t.Parallel()
	for _, x := range having(server, transactionalDDL) {
		t.Run(x.name, func(t *testing.T) {
			ctx := context.Background()
			p := x.place(t)
			c := crowded(t, p, map[string]*fstest.MapFile{
				"12_note.sql": table("note"), "13_bad.sql": script("INSERT INTO nowhere VALUES (1);", "SELECT 1;"),
			})
			c.block(t)
			if err := execTx(ctx, c.other, "LOCK TABLE goose_db_version IN SHARE MODE"); err != nil {
				t.Fatal(err)
			}
			told := aboutNote()
			told.warned = c.letGo
			err := p.migrator(from(c.fsys), c.limited(0), told.watch()).Migrate(ctx)
			wantFailed(t, err, 13)
			if len(told.warnings) == 0 {
				t.Error("nobody was in the way")
			}
			p.want(t, earlierVersions, earlierTables)
		})
	}
}

// TestContentionOutsideATransaction: such a migration may have left something, so that it is not
// tried again.
func TestContentionOutsideATransaction(t *testing.T) {
	t.Parallel()
	onDatabases(t, func(t *testing.T, p *place) {
		c := crowded(t, p, map[string]*fstest.MapFile{"12_note.sql": noTransaction(addNote, "SELECT 1;")})
		c.block(t)
		told := aboutNote()
		err := p.migrator(from(c.fsys), c.limited(0), told.watch()).Migrate(context.Background())
		wantFailed(t, err, 12)
		wantContention(t, p, err)
		wantIsNot(t, err, context.DeadlineExceeded)
		if p.dialect == "sqlite" {
			told.want(t, 0, "up") // who can't write can't mark the step either, so that it isn't begun
		} else {
			told.want(t, 2, "up") // and its Down
		}
		if len(told.warnings) > 0 {
			t.Errorf("warnings %q", told.warnings)
		}
		c.letGo()
		p.want(t, earlierVersions, earlierTables)
	})
}

// TestPanicIsNotTriedAgain: a panic is a fault of the program, whatever it panicked with.
func TestPanicIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	onDatabases(t, func(t *testing.T, p *place) {
		c := crowded(t, p, nil)
		c.block(t)
		calls := 0
		m := goose.NewGoMigration(12, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			calls++
			panic(execTx(ctx, tx, addNote))
		}}, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return nil }})
		err := p.migrator(from(c.fsys), gooseplus.WithGoMigrations(m), c.limited(0)).Migrate(context.Background())
		wantFailed(t, err, 12)
		wantContention(t, p, err)
		if calls != 1 {
			t.Errorf("it was called %d times", calls)
		}
		c.letGo()
		p.want(t, earlierVersions, earlierTables)
	})
}
