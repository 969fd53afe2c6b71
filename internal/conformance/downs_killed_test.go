package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
)

const downVictimEnv = "GOOSEPLUS_DOWN_VICTIM" // a downOrder, in JSON

// downOrder is what the process does that gets killed: it goes down, and stops before the given statement after
// its run has started.
type downOrder struct {
	Driver, Dialect, DSN, Call string
	Statement                  int
}

// TestDownVictim is no test but that process.
func TestDownVictim(t *testing.T) {
	text := os.Getenv(downVictimEnv)
	if text == "" {
		return
	}
	var o downOrder
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	p := &place{target: target{driver: o.Driver, dialect: o.Dialect}, dsn: o.DSN}
	p.db = p.open(t)
	db, f := p.flaky(t)
	var n atomic.Int64 // the lock is asked for meanwhile
	f.before = func(statement string) {
		if n.Load() == 0 && !strings.Contains(statement, "DROP TABLE t003") {
			return
		}
		if n.Add(1) == int64(o.Statement) {
			fmt.Println("stopped")
			select {}
		}
	}
	m := p.locking(db, from(chain(3)))
	var err error
	if o.Call == "Goto" {
		err = m.Goto(context.Background(), 1)
	} else {
		err = m.RollbackTo(context.Background(), 0)
	}
	fmt.Println("ended", err)
	os.Exit(0)
}

// TestDownKilled kills a process in a run down, from its first Down to its end, before each of its statements. The next
// release applies what is missing, and is done.
func TestDownKilled(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	calls := [][]string{{"RollbackTo", "Goto"}} // in turn: only their ends differ
	if os.Getenv("GOOSEPLUS_CHAOS") != "" {
		calls = [][]string{{"RollbackTo"}, {"Goto"}}
	}
	for _, x := range having().oneDriverEach(t, 0) {
		for _, calls := range calls {
			t.Run(x.name+" "+calls[0], func(t *testing.T) {
				t.Parallel()
				p := x.place(t)
				for statement, over := 1, false; !over; statement++ { // the first of the calls has the most
					call := calls[statement%len(calls)]
					if err := p.locking(p.db, from(chain(3))).Migrate(ctx); err != nil {
						t.Fatal(err)
					}
					ended := killDown(t, p, downOrder{p.driver, p.dialect, p.dsn, call, statement})
					over = ended && call == calls[0]
					m := p.locking(p.db, from(chain(4)))
					err := m.Migrate(ctx)
					if errors.Is(err, gooseplus.ErrDirty) && !p.transactionalDDL && !ended {
						continueDirty(t, p, m)
						err = m.Migrate(ctx)
					}
					if err != nil {
						t.Fatalf("killed before statement %d: %v", statement, err)
					}
					versions := p.state(t).versions
					slices.Sort(versions)
					if fmt.Sprint(versions) != "[1 2 3 4]" {
						t.Fatalf("killed before statement %d: %v", statement, p.state(t))
					}
					if got := fmt.Sprint(p.state(t).tables); got != "[t001 t002 t003 t004]" {
						t.Fatalf("killed before statement %d: tables %s", statement, got)
					}
					if err := m.RollbackTo(ctx, 3); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	}
}

// continueDirty is what a person does: what is gone is no longer recorded.
func continueDirty(t *testing.T, p *place, m *gooseplus.Migrator) {
	t.Helper()
	if err := m.Force(context.Background(), int64(len(p.state(t).tables))); err != nil {
		t.Fatal(err)
	}
}

// killDown starts the process and kills it when it has stopped. It returns true if it came to its end.
func killDown(t *testing.T, p *place, o downOrder) (ended bool) {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestDownVictim$")
	cmd.Env = append(os.Environ(), downVictimEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	s := &process{cmd: cmd, said: make(chan remark, 1), heard: make(chan struct{})}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 512)
	n, _ := out.Read(buf)
	close(s.heard)
	said := string(buf[:n])
	s.kill()
	switch {
	case strings.HasPrefix(said, "stopped"):
		return false
	case strings.HasPrefix(said, "ended <nil>"):
		return true
	}
	t.Fatalf("the process said %q", said)
	return false
}

// TestInheritedPlan: of what is missing or new since the start of a run that was cut off, only what it had planned is
// taken over: other rows are somebody else's.
func TestInheritedPlan(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		set := map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_b.sql": table("b"), "3_c.sql": table("c")}
		if err := p.locking(p.db, from(files(set))).Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		record{p}.stale(t, "[1,2]") // and 3 came from elsewhere
		set["4_bad.sql"] = script("INSERT INTO nowhere VALUES (1);", "SELECT 1;")
		err := p.locking(p.db, from(files(set))).Migrate(ctx)
		wantStuck(t, err, 0, 3)
		wantText(t, err, "another process")
		p.want(t, []int64{1, 2, 3}, []string{"a", "b", "c"})
	})
}

// TestRowThatVanished: a step whose row is gone is no step that was undone. Its Down is executed, or the run says that
// nobody knows what is there, and later runs do.
func TestRowThatVanished(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	vanish := "DELETE FROM goose_db_version WHERE version_id = 1;"
	for name, s := range map[string]struct {
		files  map[string]*fstest.MapFile
		dirty  bool
		tables []string
	}{
		"its Down is executed": {map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_b.sql": script(vanish, "SELECT 1;"), "3_c.sql": table("c")}, false, nil},
		"outside a transaction": {map[string]*fstest.MapFile{"1_a.sql": noTransaction("CREATE TABLE a (id INTEGER);", "DROP TABLE a;"),
			"2_b.sql": noTransaction(vanish, "SELECT 1;")}, false, nil},
		"it has none":      {map[string]*fstest.MapFile{"1_a.sql": script("CREATE TABLE a (id INTEGER);", ""), "2_b.sql": script(vanish, "SELECT 1;")}, true, []string{"a"}},
		"its Down fails":   {map[string]*fstest.MapFile{"1_a.sql": script("CREATE TABLE a (id INTEGER);", "DROP TABLE never;"), "2_b.sql": script(vanish, "SELECT 1;")}, true, []string{"a"}},
		"and a step fails": {map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_b.sql": script(vanish, "SELECT 1;"), "3_x.sql": script("INSERT INTO nowhere VALUES (1);", "DROP TABLE IF EXISTS never;")}, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			onEachLocked(t, func(t *testing.T, p *place, lock gooseplus.Option) {
				err := p.migrator(from(files(s.files)), lock).Migrate(ctx)
				if s.dirty {
					wantIs(t, err, gooseplus.ErrRollBack)
					wantIs(t, err, gooseplus.ErrDirty)
					wantText(t, err, "1_a.sql")
					wantIs(t, p.migrator(from(files(s.files)), lock).MigrateTo(ctx, 1), gooseplus.ErrDirty)
				} else {
					wantIs(t, err, gooseplus.ErrRollForward)
					wantIsNot(t, err, gooseplus.ErrDirty)
				}
				if got := fmt.Sprint(p.state(t).tables); got != fmt.Sprint(s.tables) {
					t.Errorf("tables %s, want %v: %v", got, s.tables, err)
				}
			})
		})
	}
	t.Run("the row of a Down is still there", func(t *testing.T) {
		onEachLocked(t, func(t *testing.T, p *place, lock gooseplus.Option) {
			if p.dialect != "postgres" {
				return // nothing else takes a DELETE for done that a trigger prevents
			}
			m := p.migrator(from(chain(2)), lock)
			if err := m.Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			p.exec(t, "CREATE FUNCTION back() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO goose_db_version SELECT OLD.*; RETURN NULL; END $$",
				"CREATE TRIGGER back AFTER DELETE ON goose_db_version FOR EACH ROW WHEN (OLD.version_id = 2) EXECUTE FUNCTION back()")
			err := m.RollbackTo(ctx, 1)
			wantIs(t, err, gooseplus.ErrRollBack)
			wantIs(t, err, gooseplus.ErrDirty)
			wantText(t, err, "is still in the version table")
			wantIs(t, m.Migrate(ctx), gooseplus.ErrDirty)
		})
	})
}
