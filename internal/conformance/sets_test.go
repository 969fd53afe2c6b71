package conformance

import (
	"context"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
)

func halfOf(content string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(content)} }

// TestNothingIsLeft: a first statement that the server refused is no reason to call a migration dirty, where nobody wrote a
// Down for it.
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	everywhere := map[string]*fstest.MapFile{
		"a syntax error":                     script("CREATE TABEL b (id INTEGER);", ""),
		"a syntax error of a routine":        script("CREATE OR REPLACE VIEW v ASS SELECT 1;", ""),
		"a syntax error without transaction": noTransaction("CREATE TABEL b (id INTEGER);", ""),
		"transactions of its own":            script("CREATE TABEL b (id INTEGER);\nCOMMIT;\nBEGIN;", ""),
		"half a pair":                        halfOf("CREATE TABEL b (id INTEGER)"),
	}
	onDatabases(t, func(t *testing.T, p *place) {
		m := func(file *fstest.MapFile) *gooseplus.Migrator {
			name := "2_b.sql"
			if !strings.Contains(string(file.Data), "+goose") {
				name = "2_b.up.sql"
			}
			return p.migrator(from(files(map[string]*fstest.MapFile{"1_a.sql": table("a"), name: file})))
		}
		for situation, file := range everywhere {
			err := m(file).Migrate(ctx)
			wantIs(t, err, gooseplus.ErrRollForward)
			wantIsNot(t, err, gooseplus.ErrDirty)
			if status, err := m(file).Status(ctx); err != nil || status.Dirty {
				t.Errorf("%s: dirty %t, %v", situation, status.Dirty, err)
			}
			p.want(t, nil, nil)
		}
		if p.transactionalDDL { // what is refused for another reason is rolled back too
			own := script("INSERT INTO nowhere VALUES (1);\nCOMMIT;\nBEGIN;", "")
			err := m(own).Migrate(ctx)
			wantIs(t, err, gooseplus.ErrRollForward)
			wantIsNot(t, err, gooseplus.ErrDirty)
			p.want(t, nil, nil)
		}
	})
}

// TestCutFunction: the server gets nothing of a function that goose cuts in two.
func TestCutFunction(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, p *place) {
		body := "CREATE TRIGGER f AFTER INSERT ON a FOR EACH ROW BEGIN\n  DELETE FROM a;\nEND;"
		if p.dialect == "postgres" {
			body = "CREATE FUNCTION f() RETURNS int AS $$\nBEGIN\n  PERFORM 1;\n  RETURN 1;\nEND;\n$$ LANGUAGE plpgsql;"
		}
		err := p.migrator(from(files(map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_f.sql": script(body, "")}))).Migrate(context.Background())
		wantIs(t, err, gooseplus.ErrRollForward)
		wantIsNot(t, err, gooseplus.ErrDirty)
		wantText(t, err, "2 (sql/base/2_f.sql) up: line 2: ")
		wantText(t, err, "-- +goose StatementBegin")
		if _, err := p.db.Exec("SELECT 1 FROM goose_db_version"); err == nil {
			t.Error("there is a version table")
		}
		record{p}.wantNoState(t)
		whole := "-- +goose StatementBegin\n" + body + "\n-- +goose StatementEnd"
		drop := "DROP TRIGGER f;"
		if p.dialect == "postgres" {
			drop = "DROP FUNCTION f();"
		}
		m := p.migrator(from(files(map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_f.sql": script(whole, drop)})))
		if err := m.Migrate(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := m.RollbackTo(context.Background(), 0); err != nil {
			t.Fatal(err)
		}
	})
}

// TestAloneInAHalf: a half that is one statement which PostgreSQL refuses in a transaction runs outside one.
func TestAloneInAHalf(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		if p.dialect != "postgres" {
			return
		}
		d := new(gooseplus.Definitions)
		d.Define(4).Up("VACUUM a").Down("VACUUM (ANALYZE) a")
		m := p.migrator(gooseplus.WithDefinitions(d), from(files(map[string]*fstest.MapFile{
			"1_a.sql":      table("a"),
			"2_i.up.sql":   halfOf("-- slowly\n/* but */ create  index\n\tconcurrently i ON a (id);\n"),
			"2_i.down.sql": halfOf("DROP INDEX CONCURRENTLY IF EXISTS i"),
			"3_v.up.sql":   halfOf("VACUUM ANALYZE a;"),
			"3_v.down.sql": halfOf("REINDEX (VERBOSE) TABLE CONCURRENTLY a;"),
		})))
		if got := m.Warnings(); len(got) > 0 {
			t.Errorf("warnings %q", got)
		}
		if err := m.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		p.want(t, []int64{1, 2, 3, 4}, []string{"a"})
		if err := m.RollbackTo(ctx, 0); err != nil {
			t.Fatal(err)
		}
		p.want(t, nil, nil)
	})
}

// TestLongLine: half a pair has a line that is longer than goose reads.
func TestLongLine(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	long := strings.Repeat("x", 5<<20)
	onDatabases(t, func(t *testing.T, p *place) {
		kind := "TEXT"
		if p.dialect == "mysql" {
			kind = "LONGTEXT"
		}
		m := p.migrator(from(files(map[string]*fstest.MapFile{
			"1_a.up.sql":   halfOf("CREATE TABLE a (t " + kind + ")"),
			"1_a.down.sql": halfOf("DROP TABLE a"),
			"2_a.up.sql":   halfOf("INSERT INTO a VALUES ('" + long + "')"),
			"2_a.down.sql": halfOf("DELETE FROM a WHERE t = '" + long + "'"),
		})))
		if err := m.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		if n := column[int64](t, p.db, "SELECT length(t) FROM a"); len(n) != 1 || n[0] != 5<<20 {
			t.Errorf("lengths %v", n)
		}
		if err := m.Rollback(ctx, 1); err != nil {
			t.Fatal(err)
		}
		if n := column[int64](t, p.db, "SELECT count(*) FROM a"); n[0] != 0 {
			t.Errorf("%d rows", n[0])
		}
	})
}

// TestCommentsOfAHalf: PostgreSQL ends a comment at a carriage return too, and only MySQL and MariaDB know comments with #. Each
// database gets what it would execute.
func TestCommentsOfAHalf(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		behind := p.dialect == "postgres"
		pair := func(name, up, down string) gooseplus.Option {
			return from(files(map[string]*fstest.MapFile{name + ".up.sql": {Data: []byte(up)}, name + ".down.sql": {Data: []byte(down)}}))
		}
		both := p.migrator(pair("1_ab", "-- create a\rCREATE TABLE a (id INTEGER);\nCREATE TABLE b (id INTEGER);\n", "-- drop a\rDROP TABLE a;\nDROP TABLE b;\n"))
		if err := both.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		tables := []string{"b"}
		if behind {
			tables = []string{"a", "b"}
		}
		p.want(t, []int64{1}, tables)
		if err := both.Rollback(ctx, 1); err != nil {
			t.Fatal(err)
		}
		p.want(t, nil, nil)

		alone := p.migrator(pair("1_c", "-- create c\rCREATE TABLE c (id INTEGER);", "-- drop c\rDROP TABLE c;"))
		if err := alone.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		tables = nil
		if behind {
			tables = []string{"c"}
		}
		p.want(t, []int64{1}, tables)
		if err := alone.Rollback(ctx, 1); behind != (err == nil) {
			t.Errorf("a Down behind a comment: %v", err)
		}
		if err := alone.Force(ctx, 0); err != nil {
			t.Fatal(err)
		}

		err := p.migrator(pair("1_d", "# nothing", "# nothing")).Migrate(ctx)
		if p.dialect == "mysql" != (err == nil) {
			t.Errorf("a comment of MySQL: %v", err)
		}
	})
}
