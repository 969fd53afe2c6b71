package gooseplus_test

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
)

const cutFunction = "-- +goose Up\nCREATE TABLE a (id int);\n\nCREATE FUNCTION f() RETURNS int AS $$\nBEGIN\n  PERFORM 1;\n  RETURN 1;\nEND;\n$$ LANGUAGE plpgsql;\n-- +goose Down\nDROP TABLE a;\n"

// TestStatementsCutInTwo are faults of the file, which say where.
func TestStatementsCutInTwo(t *testing.T) {
	t.Parallel()
	const put = "put -- +goose StatementBegin before the function (or other statement) and -- +goose StatementEnd after it"
	for situation, s := range map[string]struct {
		dialect, content string
		want             string // "" if there is no fault
	}{
		"a dollar quote":                       {"postgres", cutFunction, "migration 1 (sql/base/1_a.sql) up: line 4: goose ends a statement at a semicolon inside the quote $$: " + put},
		"a dollar quote with lines of Windows": {"postgres", strings.ReplaceAll(cutFunction, "\n", "\r\n"), "up: line 4: goose ends"},
		"a byte order mark":                    {"postgres", "\ufeff" + cutFunction, "up: line 4: goose ends"},
		"a tag":                                {"pgx", strings.ReplaceAll(cutFunction, "$$", "$body$"), "inside the quote $body$: " + put},
		"in the Down":                          {"postgres", "-- +goose Up\nSELECT 1;\n-- +goose Down\nDO $$\nBEGIN\n  PERFORM 1;\nEND $$;\n", "migration 1 (sql/base/1_a.sql) down: line 4: goose ends"},
		"never closed":                         {"postgres", "-- +goose Up\n-- +goose StatementBegin\nDO $$\nBEGIN\n  PERFORM 1;\nEND;\n-- +goose StatementEnd\n", "up: line 3: the dollar quote $$ has no end"},
		"a string":                             {"postgres", "-- +goose Up\nINSERT INTO a VALUES ('x;\ny');\n", "line 2: goose ends a statement at a semicolon inside the quote '"},
		"a string of MySQL":                    {"mysql", "-- +goose Up\nINSERT INTO a VALUES ('it''s;\ny');\n", "line 2: goose ends a statement at a semicolon inside the quote '"},
		"a trigger":                            {"sqlite", "-- +goose Up\nCREATE TRIGGER t AFTER INSERT ON a\nBEGIN\n  DELETE FROM b;\nEND;\n", "line 3: goose ends a statement at a semicolon inside the body after BEGIN: " + put},
		"a procedure":                          {"mariadb", "-- +goose Up\nCREATE PROCEDURE p() BEGIN\n  SELECT 1;\nEND;\n", "line 2: goose ends a statement at a semicolon inside the body after BEGIN"},
		"an SQL function":                      {"postgres", "-- +goose Up\nCREATE FUNCTION f() RETURNS int BEGIN ATOMIC\n  SELECT 1;\nEND;\n", "line 2: goose ends"},

		"a command of psql":        {"postgres", "-- +goose Up\nSELECT 1;\n\\connect shop\nSELECT 2;\n", "line 3: \\connect is a command of psql and no SQL: remove it"},
		"rows for COPY":            {"postgres", "-- +goose Up\nCREATE TABLE a (id int);\n-- rows\nCOPY public.a (id) FROM stdin WITH (FORMAT csv);\n", "line 4: COPY FROM STDIN waits for rows"},
		"a delimiter":              {"mysql", "-- +goose Up\nSELECT 1;\nDELIMITER //\nCREATE PROCEDURE p() SELECT 1//\nDELIMITER ;\n", "line 3: DELIMITER is a command of the mysql client"},
		"a NUL":                    {"sqlite", "-- +goose Up\nCREATE TABLE a (id int);\nCREATE TABLE b (id int); \x00\nCREATE TABLE c (id int);\n", "migration 1 (sql/base/1_a.sql) up: line 3: it has a NUL byte"},
		"a NUL in the Down":        {"mysql", "-- +goose Up\nSELECT 1;\n-- +goose Down\nSELECT '\x00';\n", "down: line 4: it has a NUL byte"},
		"a NUL in another dialect": {"clickhouse", "-- +goose Up\nSELECT 1\x00;\n", "up: line 2: it has a NUL byte"},

		"COPY from a file":        {"postgres", "-- +goose Up\nCOPY a FROM '/from stdin';\nINSERT INTO copy VALUES ('COPY a FROM stdin');\n", ""},
		"a column delimiter":      {"mysql", "-- +goose Up\nCREATE TABLE a (\n  delimiter int\n);\n", ""},
		"annotated":               {"postgres", strings.Replace(strings.Replace(cutFunction, "CREATE FUNCTION", "-- +goose StatementBegin\nCREATE FUNCTION", 1), "plpgsql;", "plpgsql;\n-- +goose StatementEnd", 1), ""},
		"on one line":             {"postgres", "-- +goose Up\nDO $$ BEGIN PERFORM 1; END $$;\n", ""},
		"dollars of MySQL":        {"mysql", "-- +goose Up\nSELECT 1 AS a$$b;\nSELECT 2 AS $$;\n", ""},
		"backslashes of MySQL":    {"mysql", "-- +goose Up\nINSERT INTO a VALUES ('C:\\');\nINSERT INTO a VALUES ('D:\\');\n", ""},
		"apostrophes in comments": {"postgres", "-- +goose Up\nSELECT 1 -- don't\n;\nSELECT /* isn't */ 2;\n", ""},
		"a trigger on one line":   {"sqlite", "-- +goose Up\nCREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM b; END;\nSELECT 1;\n", ""},
	} {
		t.Run(situation, func(t *testing.T) {
			fsys := fstest.MapFS{"sql/base/1_a.sql": {Data: []byte(s.content)}}
			err := gooseplus.New(nil, gooseplus.WithDialect(s.dialect), gooseplus.WithFS(fsys)).Err()
			if s.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var failed *gooseplus.MigrationError
			if !errors.As(err, &failed) || failed.Version != 1 || failed.Source != "sql/base/1_a.sql" || !strings.Contains(err.Error(), s.want) {
				t.Errorf("%v, want %q", err, s.want)
			}
		})
	}

	t.Run("a run is refused before its first step", func(t *testing.T) {
		db := openSQLite(t)
		fsys := folder("sql/base/1_a.sql")
		fsys["sql/base/2_t.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TRIGGER t AFTER INSERT ON a BEGIN\n  DELETE FROM a;\nEND;\n")}
		err := sqlite(db, fsys).Migrate(context.Background())
		wantIs(t, err, gooseplus.ErrRollForward)
		if !strings.Contains(err.Error(), "sql/base/2_t.sql) up: line 2: ") {
			t.Errorf("%v", err)
		}
		untouched(t, db)
	})
}

// TestNUL: in a pair and in a definition too.
func TestNUL(t *testing.T) {
	t.Parallel()
	pair := fstest.MapFS{"sql/base/1_a.up.sql": {Data: []byte("CREATE TABLE a (id int);\n\x00CREATE TABLE b (id int);\n")}, "sql/base/1_a.down.sql": {Data: []byte("DROP TABLE a;")}}
	err := gooseplus.New(nil, gooseplus.WithDialect("sqlite"), gooseplus.WithFS(pair)).Err()
	if err == nil || !strings.Contains(err.Error(), "migration 1 (sql/base/1_a.up.sql) up: line 2: it has a NUL byte") {
		t.Errorf("a pair: %v", err)
	}
	var d gooseplus.Definitions
	d.Define(1).UpAction(gooseplus.TxFunc(func(context.Context, *sql.Tx) error { return nil })).Down("DROP TABLE a;\x00")
	err = gooseplus.New(nil, gooseplus.WithDialect("sqlite"), gooseplus.WithFS(fstest.MapFS{}), gooseplus.WithDefinitions(&d)).Err()
	if err == nil || !strings.Contains(err.Error(), "its Down: it has a NUL byte") {
		t.Errorf("a definition: %v", err)
	}
}

// TestStatementsRefusedInTransactions are warnings: a migration may be applied already.
func TestStatementsRefusedInTransactions(t *testing.T) {
	t.Parallel()
	const index = "CREATE INDEX CONCURRENTLY i ON a (b);"
	for situation, s := range map[string]struct {
		dialect string
		fsys    fstest.MapFS
		want    string
	}{
		"in a goose file": {"postgres", fstest.MapFS{"sql/base/1_a.sql": migrationFile(index, "DROP INDEX i;")},
			`1 (sql/base/1_a.sql): "CREATE INDEX CONCURRENTLY i …" can't run in a transaction: put -- +goose NO TRANSACTION at the beginning of the file`},
		"in a Down": {"pgx", fstest.MapFS{"sql/base/1_a.sql": migrationFile("SELECT 1;", "DROP INDEX CONCURRENTLY i;")}, `"DROP INDEX CONCURRENTLY i; …" can't run`},
		"among others of a half": {"postgres", fstest.MapFS{"sql/base/1_a.up.sql": {Data: []byte("SET x = 1;\n" + index)}},
			`1 (sql/base/1_a.up.sql): a statement in "SET x = 1; …" can't run in a transaction: put it into a file of its own, with -- +goose NO TRANSACTION`},
		"annotated":              {"postgres", fstest.MapFS{"sql/base/1_a.sql": {Data: []byte("-- +goose NO TRANSACTION\n-- +goose Up\n" + index + "\n-- +goose Down\nDROP INDEX i;\n")}}, ""},
		"alone in a half":        {"postgres", fstest.MapFS{"sql/base/1_a.up.sql": {Data: []byte("-- why\n" + index)}, "sql/base/1_a.down.sql": {Data: []byte("DROP INDEX i;")}}, ""},
		"VACUUM on SQLite":       {"sqlite", fstest.MapFS{"sql/base/1_a.sql": migrationFile("VACUUM;", "SELECT 1;")}, `"VACUUM; …" can't run in a transaction`},
		"DROP DATABASE on MySQL": {"mysql", fstest.MapFS{"sql/base/1_a.sql": migrationFile("DROP DATABASE d;", "SELECT 1;")}, ""},
	} {
		t.Run(situation, func(t *testing.T) {
			got := strings.Join(gooseplus.New(nil, gooseplus.WithDialect(s.dialect), gooseplus.WithFS(s.fsys)).Warnings(), "\n")
			if s.want == "" && got != "" || !strings.Contains(got, s.want) {
				t.Errorf("warnings %q, want %q", got, s.want)
			}
		})
	}
}

// TestEmptiedSearchPath: a dump of pg_dump is applied as it is, with a warning that says what to remove.
func TestEmptiedSearchPath(t *testing.T) {
	t.Parallel()
	dump := migrationFile("SET lock_timeout = 0;\nSELECT pg_catalog.set_config('search_path', '', false);\nCREATE TABLE public.a (id int);", "DROP TABLE a;")
	got := gooseplus.New(nil, gooseplus.WithFS(fstest.MapFS{"sql/base/1_a.sql": dump})).Warnings()
	want := "1 (sql/base/1_a.sql): line 3 empties the search_path, so that names without a schema are not found after it: " +
		"remove SELECT pg_catalog.set_config('search_path', '', false), which pg_dump has written"
	if !slices.Equal(got, []string{want}) {
		t.Errorf("warnings %q, want %q", got, want)
	}
	set := migrationFile("SELECT set_config('search_path', 'extensions', false);", "DROP TABLE a;")
	if got := gooseplus.New(nil, gooseplus.WithFS(fstest.MapFS{"sql/base/1_a.sql": set})).Warnings(); got != nil {
		t.Errorf("another search_path: warnings %q", got)
	}
}

// TestAloneOnSQLite: VACUUM, as half a pair and as a definition, is executed outside a transaction.
func TestAloneOnSQLite(t *testing.T) {
	t.Parallel()
	var d gooseplus.Definitions
	d.Define(3).Up("VACUUM").Down("VACUUM")
	d.Define(4).UpAction(gooseplus.TxFunc(func(context.Context, *sql.Tx) error { return nil })).Down("VACUUM")
	db := openSQLite(t)
	m := sqlite(db, fstest.MapFS{
		"sql/base/1_a.up.sql":   {Data: []byte("CREATE TABLE a (id INTEGER)")},
		"sql/base/1_a.down.sql": {Data: []byte("DROP TABLE a")},
		"sql/base/2_v.up.sql":   {Data: []byte("/* smaller */\n-- now\n vacuum ;\n")},
		"sql/base/2_v.down.sql": {Data: []byte("Vacuum")},
	}, gooseplus.WithDefinitions(&d))
	mustMigrate(t, m)
	applied(t, db, 1, 2, 3, 4)
	if err := m.RollbackTo(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	applied(t, db)
}

// TestLongLines: a pair is executed as one piece however long its lines are; goose's own files have a limit.
func TestLongLines(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	long := strings.Repeat("x", 5<<20)
	d := new(gooseplus.Definitions)
	d.Define(2).Up("INSERT INTO a VALUES ('" + long + "y')").DownAction(gooseplus.Replay(1))
	d.Define(3).UpAction(gooseplus.TxFunc(func(context.Context, *sql.Tx) error { return nil })).Down("DELETE FROM a WHERE t LIKE '%y'")
	db := openSQLite(t)
	fsys := fstest.MapFS{
		"sql/base/1_a.up.sql":   {Data: []byte("-- first\nDROP TABLE IF EXISTS a;\r\nCREATE TABLE a (t TEXT);\nINSERT INTO a VALUES ('" + long + "');")},
		"sql/base/1_a.down.sql": {Data: []byte("DELETE FROM a WHERE t = '" + long + "'; DROP TABLE a;")},
	}
	m := sqlite(db, fsys, gooseplus.WithDefinitions(d))
	if err := m.Err(); err != nil {
		t.Fatal(err)
	}
	mustMigrate(t, m)
	rows := func(want int) {
		t.Helper()
		var n int
		if err := db.QueryRow(`SELECT count(*) FROM a WHERE length(t) >= 5 << 20`).Scan(&n); err != nil || n != want {
			t.Errorf("%d rows, %v, want %d", n, err, want)
		}
	}
	rows(2)
	status, err := m.Status(ctx)
	if err != nil || !strings.HasPrefix(status.Migrations[0].Up, "DROP TABLE") || len(status.Migrations[0].Up) < 5<<20 {
		t.Errorf("%d bytes, %v", len(status.Migrations[0].Up), err)
	}
	if err := m.Rollback(ctx, 1); err != nil { // the Down of 3
		t.Fatal(err)
	}
	rows(1)
	if err := m.Rollback(ctx, 1); err != nil { // the Up of 1
		t.Fatal(err)
	}
	rows(1)
	if err := m.Rollback(ctx, 1); err != nil {
		t.Fatal(err)
	}
	applied(t, db)
	tables(t, db)

	fsys = fstest.MapFS{"sql/base/4_bad.up.sql": {Data: []byte("INSERT INTO nowhere VALUES ('" + long + "')")},
		"sql/base/4_bad.down.sql": {Data: []byte("SELECT 1")}}
	err = sqlite(db, fsys).Migrate(ctx)
	var failed *gooseplus.MigrationError
	if !errors.As(err, &failed) || !strings.HasPrefix(failed.Statement, "INSERT INTO nowhere") || len(err.Error()) > 1000 {
		t.Errorf("the statement has %d bytes", len(failed.Statement))
	}

	fsys["sql/base/5_g.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nSELECT 1;\nSELECT '" + long + "';\n")}
	if err := sqlite(nil, fsys).Err(); err == nil || !strings.Contains(err.Error(), "5 (sql/base/5_g.sql) up: line 3 is longer than the 4 MiB that goose reads") &&
		!strings.Contains(err.Error(), "line 3 is longer than the 4 MiB that goose reads") {
		t.Errorf("%v", err)
	}
}

// TestEncodings: files in the encodings that editors write work, or the error says what is wrong.
func TestEncodings(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	fsys := fstest.MapFS{
		"sql/base/1_a.sql":      {Data: []byte("\ufeff-- +goose Up\r\nCREATE TABLE a (id INTEGER);\r\n-- +goose Down\r\nDROP TABLE a;\r\n")},
		"sql/base/2_b.up.sql":   {Data: []byte("\ufeffCREATE TABLE b (id INTEGER);\r\n")},
		"sql/base/2_b.down.sql": {Data: []byte("\ufeffDROP TABLE b;\r\n")},
	}
	m := sqlite(db, fsys)
	if err := m.Err(); err != nil {
		t.Fatal(err)
	}
	mustMigrate(t, m)
	tables(t, db, "a", "b")
	if err := m.RollbackTo(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	tables(t, db)
	for _, name := range []string{"3_c.sql", "3_c.up.sql"} {
		utf16 := fstest.MapFS{"sql/base/" + name: {Data: []byte("\xff\xfe-\x00-\x00")}}
		if err := sqlite(nil, utf16).Err(); err == nil || !strings.Contains(err.Error(), "is encoded in UTF-16: save it as UTF-8") {
			t.Errorf("%v", err)
		}
	}
}
