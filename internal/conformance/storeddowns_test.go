package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus"
)

var storing = gooseplus.WithStoredDowns(true)

// TestStoredDowns: a release undoes what a newer one has applied, in every style and setting, and the newer one comes again.
func TestStoredDowns(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	lock := gooseplus.WithGlobalLock(true)
	for style := range releaseStyles {
		for setting, s := range map[string]struct {
			on   choice
			opts []gooseplus.Option
		}{
			"without lock":                     {having(), nil},
			"with the lock":                    {having(), []gooseplus.Option{lock}},
			"in one transaction with the lock": {having(transactionalDDL), []gooseplus.Option{inOne, lock}},
		} {
			if style != "goose files" && setting != "with the lock" {
				continue
			}
			t.Run(style+" "+setting, func(t *testing.T) {
				s.on.onDatabases(t, func(t *testing.T, p *place) {
					c := p.historyCase(t, style, s.opts...)
					newer, _ := c.migrator(release{newest: 4}, storing)
					if err := newer.Migrate(ctx); err != nil {
						t.Fatal(err)
					}
					full := c.tables()
					older, _ := c.migrator(release{newest: 2})
					wantIs(t, c.one(older).Goto(ctx, 2), gooseplus.ErrIrreversible)
					older, _ = c.migrator(release{newest: 2}, storing)
					if err := errors.Join(older.Migrate(ctx), c.one(older).Goto(ctx, 2)); err != nil {
						t.Fatal(err)
					}
					want := slices.DeleteFunc(slices.Clone(full), func(name string) bool { return name == "t003" || name == "t004" })
					if got := c.tables(); !slices.Equal(got, want) {
						t.Errorf("tables %v, want %v", got, want)
					}
					if err := newer.Migrate(ctx); err != nil {
						t.Fatal(err)
					}
					if err := c.one(older).Rollback(ctx, 3); err != nil { // the last one has a file
						t.Fatal(err)
					}
					want = slices.DeleteFunc(want, func(name string) bool { return name == "t002" })
					if got := c.tables(); !slices.Equal(got, want) {
						t.Errorf("tables %v, want %v", got, want)
					}
				})
			})
		}
	}
}

// difficult are Downs with what a literal, a template or a parser could stumble over.
func (x target) difficult() map[string]*fstest.MapFile {
	named := map[string]*fstest.MapFile{
		"02_text.sql": script("CREATE TABLE t2 (id INTEGER);", "INSERT INTO copy VALUES ('it''s <b> & {table} ? $1 :name %s \"q\" ü \u2028 ''\\\\''');\nDROP TABLE t2;"),
	}
	switch x.dialect {
	case "postgres":
		named["03_dollar.sql"] = script("CREATE TABLE t3 (id INTEGER);", "-- +goose StatementBegin\nDO $gooseplus$ BEGIN\n  INSERT INTO copy VALUES ('3; $$ $gooseplus_$');\nEND $gooseplus$;\n-- +goose StatementEnd\nDROP TABLE t3;")
		named["04_index.sql"] = noTransaction("CREATE INDEX CONCURRENTLY i4 ON copy (v);", "DROP INDEX CONCURRENTLY i4;")
	case "mysql":
		named["03_body.sql"] = script("CREATE TABLE t3 (id INTEGER);", "-- +goose StatementBegin\nCREATE TRIGGER tr BEFORE INSERT ON copy FOR EACH ROW BEGIN\n  SET NEW.v = CONCAT(NEW.v, '\\n');\nEND;\n-- +goose StatementEnd\nDROP TABLE t3;")
	case "sqlite":
		named["03_body.sql"] = script("CREATE TABLE t3 (id INTEGER);", "-- +goose StatementBegin\nCREATE TRIGGER tr AFTER INSERT ON copy BEGIN\n  UPDATE copy SET v = v || 'x; y';\nEND;\n-- +goose StatementEnd\nDROP TABLE t3;")
	}
	return named
}

// TestStoredDownsAreWhatTheFilesSay: a stored Down does what the Down of the file does, to the letter.
func TestStoredDownsAreWhatTheFilesSay(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		one := map[string]*fstest.MapFile{"01_copy.sql": script("CREATE TABLE copy (v VARCHAR(200));", "DROP TABLE copy;")}
		all := p.difficult()
		maps.Copy(all, one)
		var left []string
		for _, from := range []gooseplus.Option{from(files(all)), from(files(one))} {
			if err := p.migrator(gooseplus.WithFS(files(all)), storing).Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			if err := p.migrator(from, storing).Goto(ctx, 1); err != nil {
				t.Fatal(err)
			}
			p.want(t, []int64{1}, []string{"copy"})
			left = append(left, fmt.Sprintf("%q", column[string](t, p.db, "SELECT v FROM copy")))
			p.exec(t, "DELETE FROM copy")
			if p.dialect != "postgres" {
				p.exec(t, "DROP TRIGGER tr")
			}
		}
		if left[0] != left[1] || !strings.Contains(left[0], "{table} ?") {
			t.Errorf("the files left\n%s\nand the stored Downs\n%s", left[0], left[1])
		}
	})
}

// TestStoredDownsThatAreLong: only MySQL has a limit, for the text as its column holds it.
func TestStoredDownsThatAreLong(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		limited := p.dialect == "mysql"
		for _, tc := range []struct {
			text   string
			length int
			stored bool
		}{{"ж", 10_800, true}, {"ж", 11_000, !limited}, {"x", 65_000, true}, {"x", 300_000, !limited}} {
			one := map[string]*fstest.MapFile{"1_one.sql": script("CREATE TABLE one (id INTEGER);", "DROP TABLE one;")}
			both := maps.Clone(one)
			both["2_long.sql"] = script("CREATE TABLE long_one (id INTEGER);",
				"-- +goose StatementBegin\nDROP TABLE /* "+strings.Repeat(tc.text, tc.length)+" */ long_one;\n-- +goose StatementEnd")
			if err := p.migrator(from(files(both)), storing).Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			err := p.migrator(from(files(one)), storing).Goto(ctx, 1)
			if tc.stored && err != nil {
				t.Errorf("%d times %s: %v", tc.length, tc.text, err)
			}
			if !tc.stored {
				wantIs(t, err, gooseplus.ErrIrreversible)
			}
			if err := p.migrator(from(files(both))).Goto(ctx, 0); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestStoredDownHalfWay: on MariaDB a Down can end half-way. The database is dirty then, and Force names versions that are right.
func TestStoredDownHalfWay(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(without(transactionalDDL)).onEach(t, func(t *testing.T, p *place) {
		named := release{newest: 4}.gooseFiles("")
		named["005_t.sql"] = script("CREATE TABLE t005 (id INTEGER);", "DROP TABLE t005;\nDROP TABLE missing;")
		older := p.migrator(append(release{newest: 2}.goose(), storing, gooseplus.WithGlobalLock(true))...)
		newer := p.migrator(from(files(named)), storing, gooseplus.WithGlobalLock(true))
		if err := newer.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		err := older.Goto(ctx, 2)
		wantIs(t, err, gooseplus.ErrNotUndone)
		wantIs(t, err, gooseplus.ErrDirty)
		err = older.Goto(ctx, 2)
		wantIs(t, err, gooseplus.ErrDirty)
		wantText(t, err, "Force(4) if nothing of the migration is left, or Force(5) if it is complete")
		if err := errors.Join(older.Force(ctx, 4), older.Goto(ctx, 2)); err != nil {
			t.Fatal(err)
		}
		p.want(t, upTo(2), []string{"t001", "t002"})
	})
}

// folderOf writes a release into a folder.
func (r release) folderOf(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, f := range r.gooseFiles("") {
		if err := os.WriteFile(filepath.Join(dir, name), f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// command runs gooseplus as a process.
func (p *place) command(t *testing.T, r release, want int, args ...string) (output string) {
	t.Helper()
	order := releaseOrder{Command: append([]string{"--driver", p.dialect, "--dsn", p.dsn, "--dir", r.folderOf(t), "--env-file", ""}, args...)}
	text, err := json.Marshal(order)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestReleaseProcess$")
	cmd.Env = append(os.Environ(), releaseEnv+"="+string(text))
	out, _ := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != want {
		t.Fatalf("%q: exit code %d, want %d: %s", args, code, want, out)
	}
	return string(out)
}

// TestStoredDownsOfProcesses: release 2 has migrated and stored its Downs, release 1 comes back, a person takes the database
// back with the command of release 1, and then release 2 comes again.
func TestStoredDownsOfProcesses(t *testing.T) {
	t.Parallel()
	onDatabases(t, func(t *testing.T, p *place) {
		one, two := release{newest: 2}, release{newest: 4}
		tables := []string{"t001", "t002", "t003", "t004"}
		p.release(t, releaseOrder{Newest: 4, Lock: true, Stored: true}).until(t, "done")

		p.release(t, releaseOrder{Newest: 2, Lock: true, Stored: true, Unknown: gooseplus.Warn}).until(t, "done")
		p.release(t, releaseOrder{Newest: 2, Lock: true, Stored: true, Unknown: gooseplus.Refuse}).until(t, "failed")
		p.want(t, upTo(4), tables)
		if out := p.command(t, one, 0, "status", "--stored-downs"); strings.Count(out, "unknown, Down stored") != 2 {
			t.Error(out)
		}
		if out := p.command(t, one, 7, "goto", "2", "--yes"); !strings.Contains(out, "applied versions [3 4] have no migration in this configuration") {
			t.Error(out)
		}
		p.command(t, one, 0, "down", "--stored-downs", "--yes")
		p.want(t, upTo(3), tables[:3])
		if out := p.command(t, one, 0, "goto", "2", "--stored-downs", "--yes"); !strings.Contains(out, "versions [3] are undone with their stored Downs") {
			t.Error(out)
		}
		p.want(t, upTo(2), tables[:2])
		p.release(t, releaseOrder{Newest: 2, Lock: true, Unknown: gooseplus.Refuse}).until(t, "done")

		p.release(t, releaseOrder{Newest: 4, Lock: true, Stored: true, Unknown: gooseplus.Refuse}).until(t, "done")
		p.want(t, upTo(4), tables)
		p.command(t, one, 0, "down-to", "2", "--stored-downs", "--yes")
		p.command(t, two, 0, "up", "--stored-downs")
		p.want(t, upTo(4), tables)
	})
}

// TestStoredDownsOfTenants: the same with the commands for tenants.
func TestStoredDownsOfTenants(t *testing.T) {
	t.Parallel()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		names := p.names(6)
		p.create(t, names...)
		query := "SELECT '" + strings.Join(names, "' UNION ALL SELECT '") + "'"
		tenants := func(r release, want int, args ...string) string {
			t.Helper()
			return p.command(t, r, want, append([]string{"tenants"}, append(args, "--schemas-query", query)...)...)
		}
		one, two := release{newest: 2}, release{newest: 4}
		in := func(newest int64) {
			t.Helper()
			for _, name := range names {
				p.wantIn(t, name, upTo(newest), -1)
			}
		}
		tenants(two, 0, "up", "--stored-downs")
		tenants(one, 0, "up", "--stored-downs")
		tenants(one, 6, "up", "--stored-downs", "--unknown-versions", "refuse")
		in(4)
		tenants(one, 6, "down-to", "2", "--yes")
		in(4)
		tenants(one, 0, "down-to", "2", "--stored-downs", "--yes")
		in(2)
		tenants(one, 0, "up", "--unknown-versions", "refuse")
		tenants(two, 0, "up", "--stored-downs")
		in(4)
	})
}

// TestStoredDownsOfAKilledRun: a process is killed on its way down. The other release, and the next run down, go on.
func TestStoredDownsOfAKilledRun(t *testing.T) {
	t.Parallel()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		const newest, pause = 6, 100 * time.Millisecond
		p.release(t, releaseOrder{Newest: newest, Lock: true, Stored: true, Pause: pause}).until(t, "done")
		cut := p.release(t, releaseOrder{Newest: 2, Lock: true, Stored: true, Pause: pause, Goto: 2})
		cut.until(t, "step 5")
		cut.kill()
		// MariaDB was sleeping, which leaves nothing. Migrate has no file for that step, and may refuse.
		down := p.release(t, releaseOrder{Newest: 2, Lock: true, Stored: true, Goto: 2})
		down.until(t, "done")
		p.want(t, upTo(2), []string{"t001", "t002"})
		p.release(t, releaseOrder{Newest: newest, Lock: true, Stored: true}).until(t, "done")
		p.want(t, upTo(newest), []string{"t001", "t002", "t003", "t004", "t005", "t006"})
	})
}

// TestStoredDownCharacterSets: whatever character set the connection has, the stored Down is that of the file.
func TestStoredDownCharacterSets(t *testing.T) {
	t.Parallel()
	having(server, without(transactionalDDL)).onDatabases(t, func(t *testing.T, p *place) {
		for _, set := range []string{"latin1", "utf8", "ascii", "cp1251", "gbk"} {
			with := *p
			with.dsn += "&charset=" + set
			db := with.open(t)
			defer db.Close()
			const down = `DROP TABLE a /* \ \u00e4 \" ä 日本 😀 */`
			m := p.over(db, storing, from(files(map[string]*fstest.MapFile{"1_a.sql": script("CREATE TABLE a (id INTEGER);", down+";")})))
			if err := m.Migrate(t.Context()); err != nil {
				t.Errorf("%s: %v", set, err)
				continue
			}
			var stored struct{ Statements []string }
			text := column[string](t, db, "SELECT down_sql FROM goose_db_version_lock WHERE kind = 'applied'")[0]
			if err := json.Unmarshal([]byte(text), &stored); err != nil || !slices.Equal(stored.Statements, []string{down + ";"}) {
				t.Errorf("%s: %q, %v", set, text, err)
			}
			if err := p.over(db, storing, from(fstest.MapFS{"sql/base/.keep": {}})).RollbackTo(t.Context(), 0); err != nil {
				t.Errorf("%s: %v", set, err)
			}
			p.want(t, nil, nil)
		}
	})
}
