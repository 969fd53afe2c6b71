package gooseplustest

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dbtest"
	"github.com/gooseplus/gooseplus/internal/locks"
)

// withLockTimeout is what all migrations need that are to have no finding.
var withLockTimeout = gooseplus.WithStatementTimeouts(gooseplus.StatementTimeouts{Lock: 2 * time.Second})

// lockBase is what exists before the migrations whose locks are tested.
const lockBase = `CREATE TABLE a (id BIGINT PRIMARY KEY, email VARCHAR(20), n INTEGER DEFAULT 1, d TEXT);
CREATE TABLE b (id BIGINT PRIMARY KEY, a BIGINT);
CREATE INDEX a_email ON a (email);
CREATE UNIQUE INDEX b_a ON b (a);
ALTER TABLE a ADD CONSTRAINT a_n CHECK (n > 0) NOT VALID;
ALTER TABLE a ADD CONSTRAINT a_d CHECK (d IS NOT NULL);
CREATE TABLE p (id BIGINT NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
CREATE TABLE q (id BIGINT NOT NULL);
CREATE MATERIALIZED VIEW mv AS SELECT id FROM a;
CREATE UNIQUE INDEX mv_id ON mv (id);
-- +goose StatementBegin
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
-- +goose StatementEnd
CREATE TRIGGER a_noted BEFORE UPDATE ON a FOR EACH ROW EXECUTE FUNCTION noted();`

// lockForms are statements with the locks that PostgreSQL's manual states (Explicit Locking; ALTER TABLE and the other commands'
// pages), and the kinds of their findings. A + stands behind a table that is rewritten.
var lockForms = []struct {
	statement string
	want      string // table lock, …
	findings  string
}{
	{"ALTER TABLE a ADD COLUMN x TEXT", "a ACCESS EXCLUSIVE", ""},
	{"ALTER TABLE a ADD COLUMN x INTEGER NOT NULL DEFAULT 0", "a ACCESS EXCLUSIVE", ""},
	{"ALTER TABLE a ADD COLUMN x DOUBLE PRECISION DEFAULT random()", "a+ ACCESS EXCLUSIVE", "rewrite"},
	{"ALTER TABLE a ADD COLUMN x BIGINT REFERENCES b", "a ACCESS EXCLUSIVE, b SHARE ROW EXCLUSIVE", ""},
	{"ALTER TABLE a ADD COLUMN x BIGINT CHECK (x > 0)", "a ACCESS EXCLUSIVE", "constraint"},
	{"ALTER TABLE a ALTER COLUMN n TYPE BIGINT", "a+ ACCESS EXCLUSIVE", "rewrite"},
	{"ALTER TABLE a ALTER COLUMN email TYPE VARCHAR(50)", "a ACCESS EXCLUSIVE", ""},
	{`ALTER TABLE a ALTER COLUMN email TYPE VARCHAR(20) COLLATE "C"`, "a ACCESS EXCLUSIVE", "index"},
	{"ALTER TABLE a DROP COLUMN email", "a ACCESS EXCLUSIVE", ""},
	{"ALTER TABLE a ALTER COLUMN n SET NOT NULL", "a ACCESS EXCLUSIVE", "not null"},
	{"ALTER TABLE a ALTER COLUMN d SET NOT NULL", "a ACCESS EXCLUSIVE", ""}, // proven by a_d
	{"ALTER TABLE a ALTER COLUMN d DROP NOT NULL", "a ACCESS EXCLUSIVE", ""},
	{"ALTER TABLE a ALTER COLUMN n SET DEFAULT 2", "a ACCESS EXCLUSIVE", ""},
	{"ALTER TABLE a ADD CONSTRAINT k CHECK (n < 100)", "a ACCESS EXCLUSIVE", "constraint"},
	{"ALTER TABLE a ADD CONSTRAINT k CHECK (n < 100) NOT VALID", "a ACCESS EXCLUSIVE", ""},
	{"ALTER TABLE a VALIDATE CONSTRAINT a_n", "a SHARE UPDATE EXCLUSIVE", ""},
	{"ALTER TABLE b ADD FOREIGN KEY (a) REFERENCES a", "a SHARE ROW EXCLUSIVE, b SHARE ROW EXCLUSIVE", "constraint"},
	{"ALTER TABLE b ADD FOREIGN KEY (a) REFERENCES a NOT VALID", "a SHARE ROW EXCLUSIVE, b SHARE ROW EXCLUSIVE", ""},
	{"ALTER TABLE b ADD UNIQUE (a)", "b ACCESS EXCLUSIVE", "index"},
	{"ALTER TABLE b ADD CONSTRAINT u UNIQUE USING INDEX b_a", "b ACCESS EXCLUSIVE", ""},
	{"ALTER TABLE a DROP CONSTRAINT a_n", "a ACCESS EXCLUSIVE", ""},
	{"CREATE INDEX x ON a (n)", "a SHARE", "index"},
	{"CREATE INDEX CONCURRENTLY x ON a (n)", "a SHARE UPDATE EXCLUSIVE", ""},
	{"DROP INDEX a_email", "a ACCESS EXCLUSIVE", ""},
	{"DROP INDEX CONCURRENTLY a_email", "a SHARE UPDATE EXCLUSIVE", ""},
	{"ALTER INDEX a_email RENAME TO x", "a SHARE UPDATE EXCLUSIVE", ""},
	{"REINDEX TABLE a", "a ACCESS EXCLUSIVE", "index"}, // SHARE on the table, and ACCESS EXCLUSIVE on its indexes
	{"REINDEX TABLE CONCURRENTLY a", "a SHARE UPDATE EXCLUSIVE", ""},
	{"CREATE TRIGGER x BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION noted()", "a SHARE ROW EXCLUSIVE", ""},
	{"DROP TRIGGER a_noted ON a", "a ACCESS EXCLUSIVE", ""},
	{"ALTER TABLE a DISABLE TRIGGER a_noted", "a SHARE ROW EXCLUSIVE", ""},
	{"ALTER TABLE a ENABLE TRIGGER ALL", "a SHARE ROW EXCLUSIVE", ""},
	{"ALTER TABLE p ATTACH PARTITION q FOR VALUES FROM (10) TO (20)", "p SHARE UPDATE EXCLUSIVE, q ACCESS EXCLUSIVE", "scan"},
	{"ALTER TABLE p DETACH PARTITION p1", "p ACCESS EXCLUSIVE, p1 ACCESS EXCLUSIVE", ""},
	{"ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY", "p SHARE UPDATE EXCLUSIVE, p1 ACCESS EXCLUSIVE", ""},
	{"CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20)", "p ACCESS EXCLUSIVE", ""},
	{"CLUSTER a USING a_email", "a+ ACCESS EXCLUSIVE", "rewrite"},
	{"VACUUM FULL a", "a+ ACCESS EXCLUSIVE", "rewrite"},
	{"VACUUM a", "a SHARE UPDATE EXCLUSIVE", ""},
	{"ANALYZE a", "a SHARE UPDATE EXCLUSIVE", ""},
	{"TRUNCATE b", "b ACCESS EXCLUSIVE", ""},
	{"DROP TABLE b", "b ACCESS EXCLUSIVE", ""},
	{"ALTER TABLE a RENAME TO c", "a ACCESS EXCLUSIVE", ""},
	{"ALTER TABLE a RENAME COLUMN n TO x", "a ACCESS EXCLUSIVE", ""},
	{"ALTER TABLE a SET (fillfactor = 70)", "a SHARE UPDATE EXCLUSIVE", ""},
	{"ALTER TABLE a ALTER COLUMN n SET STATISTICS 500", "a SHARE UPDATE EXCLUSIVE", ""},
	{"ALTER TABLE a ALTER COLUMN d SET STORAGE EXTERNAL", "a ACCESS EXCLUSIVE", ""},
	{"COMMENT ON TABLE a IS 'x'", "a SHARE UPDATE EXCLUSIVE", ""},
	{"GRANT SELECT ON a TO PUBLIC", "", ""}, // no lock of the table
	{"CREATE VIEW v AS SELECT id FROM a", "a ACCESS SHARE", ""},
	{"CREATE POLICY x ON a USING (id > 0)", "a ACCESS EXCLUSIVE", ""},
	{"ALTER TABLE a ENABLE ROW LEVEL SECURITY", "a ACCESS EXCLUSIVE", ""},
	{"ALTER TABLE q SET UNLOGGED", "q+ ACCESS EXCLUSIVE", "rewrite"},
	{"ALTER TABLE a REPLICA IDENTITY FULL", "a ACCESS EXCLUSIVE", ""},
	{"ALTER TABLE a OWNER TO CURRENT_USER", "a ACCESS EXCLUSIVE", ""},
	{"REFRESH MATERIALIZED VIEW mv", "a ACCESS SHARE, mv+ ACCESS EXCLUSIVE", "rewrite"},
	{"REFRESH MATERIALIZED VIEW CONCURRENTLY mv", "a ACCESS SHARE, mv EXCLUSIVE", "scan"},
	{"LOCK TABLE a IN SHARE MODE", "a SHARE", ""},
	{"UPDATE a SET n = 1", "a ROW EXCLUSIVE", ""},
	{"SELECT * FROM a FOR UPDATE", "a ROW SHARE", ""},
}

// lockEnd removes what lockBase and a form leave.
const lockEnd = `DROP TABLE IF EXISTS a, b, c, p, p1, p2, q CASCADE; DROP FUNCTION noted;`

// oneStatement is a migration of which nothing is looked at but what it leaves: its statements are traced as one.
func oneStatement(up string) *fstest.MapFile {
	return migration("-- +goose StatementBegin\n"+strings.ReplaceAll(up, "-- +goose Statement", "-- ")+"\n-- +goose StatementEnd", "SELECT 1;")
}

// TestLocksOfForms: PostgreSQL takes the locks that its manual states, and the findings are those of the form. One run has all
// forms, each with tables that are new.
func TestLocksOfForms(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{"sql/base/001_base.sql": migration(lockBase, "SELECT 1;")}
	file := func(i int) string { return fmt.Sprintf("sql/base/%03d_form.sql", 2*i+2) }
	for i, form := range lockForms {
		text := "-- +goose Up\n" + form.statement + ";\n"
		if alone(form.statement) {
			text = "-- +goose NO TRANSACTION\n" + text
		}
		fsys[file(i)] = &fstest.MapFile{Data: []byte(text)}
		if i > 0 {
			fsys[fmt.Sprintf("sql/base/%03d_base.sql", 2*i+1)] = oneStatement(lockEnd + "\n" + lockBase)
		}
	}
	db := dbtest.Postgres(t).NewDatabase(t).Open(t, "postgres")
	db.SetMaxOpenConns(2)
	report, err := gooseplus.New(db, withLockTimeout, files(fsys)).Trace(t.Context(), db)
	if err != nil {
		t.Error(err) // and the forms that were not reached fail
	}
	traced := make(map[string]locks.Migration)
	for _, m := range report.Migrations {
		traced[m.Source] = m
	}
	if base := traced["sql/base/001_base.sql"]; len(base.Statements) < 10 || len(base.Findings) > 0 {
		t.Errorf("new tables have %d statements and the findings %v", len(base.Statements), base.Findings)
	}
	for i, form := range lockForms {
		t.Run(form.statement, func(t *testing.T) {
			m := traced[file(i)]
			if len(m.Statements) == 0 {
				t.Fatal("it was not executed")
			}
			var have, kinds []string
			for _, l := range m.Statements[0].Locks {
				table := l.Table
				if l.Rewrite {
					table += "+"
				}
				have = append(have, table+" "+l.Mode)
			}
			for _, f := range m.Findings {
				kinds = append(kinds, f.Kind)
				if f.Line == 0 || f.File != file(i) || f.Table == "" {
					t.Errorf("it doesn't say where: %+v", f)
				}
			}
			if got := strings.Join(have, ", "); got != form.want {
				t.Errorf("it locks %q, want %q", got, form.want)
			}
			if got := strings.Join(kinds, ", "); got != form.findings {
				t.Errorf("findings %q, want %q: %v", got, form.findings, m.Findings)
			}
			want := locks.Observed
			if alone(form.statement) {
				want = locks.Documented
			}
			if m.Statements[0].Known != want {
				t.Errorf("known: %s, want %s", m.Statements[0].Known, want)
			}
		})
	}
}

// emptied is a database for the next of several cases. That nothing is left of the last one is what Locks looks at first.
func emptied(t *testing.T, db *sql.DB) *sql.DB {
	t.Helper()
	mustExec(t, db, `DO $$ DECLARE s TEXT; BEGIN
		FOR s IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP EXECUTE format('DROP SCHEMA %I CASCADE', s); END LOOP;
		CREATE SCHEMA public; END $$`)
	return db
}

func alone(statement string) bool {
	return strings.Contains(statement, "CONCURRENTLY") && !strings.Contains(statement, "MATERIALIZED") || strings.HasPrefix(statement, "VACUUM")
}

// locksTest calls Locks for a database of its own, and returns what it reported.
func locksTest(t *testing.T, db *sql.DB, opts ...gooseplus.Option) (errors []string, log string) {
	t.Helper()
	r := &errorRecorder{recorder: recorder{TB: t, name: t.Name()}}
	defer r.end()
	r.do(func() { Locks(r, gooseplus.New(db, opts...)) })
	return r.errors, r.text()
}

type errorRecorder struct {
	recorder
	errors []string
}

func (r *errorRecorder) Errorf(format string, a ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, a...))
	r.recorder.Errorf(format, a...)
}
func (r *errorRecorder) Log(a ...any)  { r.log(fmt.Sprint(a...)) }
func (r *errorRecorder) Skip(a ...any) { r.log("skipped: " + fmt.Sprint(a...)); panic(stop{}) }

// TestLocksFindings: each finding, planted, is an error of its own, with its place.
func TestLocksFindings(t *testing.T) {
	t.Parallel()
	db := dbtest.Postgres(t).NewDatabase(t).Open(t, "postgres")
	for _, x := range []struct {
		name, file string
		options    []gooseplus.Option
		want       []string // beginnings
	}{
		{"held", "-- +goose Up\nALTER TABLE a ADD COLUMN x TEXT;\nSELECT 1;\nUPDATE b SET a = 1;\n", nil,
			[]string{"sql/base/2_x.sql:4: reads all of b while ACCESS EXCLUSIVE on a is held since sql/base/2_x.sql:2: "}},
		{"held while an index is built", "-- +goose Up\nALTER TABLE a ADD COLUMN x TEXT;\nCREATE INDEX x ON b (a);\n", nil,
			[]string{"sql/base/2_x.sql:3: builds index x on b under SHARE: ", "sql/base/2_x.sql:3: builds index x on b while ACCESS EXCLUSIVE on a is held since sql/base/2_x.sql:2: "}},
		{"own transactions", "-- +goose NO TRANSACTION\n-- +goose Up\nBEGIN;\nALTER TABLE a ADD COLUMN x TEXT;\nUPDATE b SET a = 1;\nCOMMIT;\nUPDATE b SET a = 2;\n", nil,
			[]string{"sql/base/2_x.sql:5: reads all of b while ACCESS EXCLUSIVE on a is held since sql/base/2_x.sql:4: "}},
		{"one transaction each", "-- +goose NO TRANSACTION\n-- +goose Up\nALTER TABLE a ADD COLUMN x TEXT;\nUPDATE b SET a = 1;\n", nil, nil},
		{"index", "-- +goose Up\nCREATE INDEX x ON a (n);\n", nil, []string{"sql/base/2_x.sql:2: builds index x on a under SHARE: until it is done, nobody else can write to the table. Instead: CREATE INDEX CONCURRENTLY"}},
		{"rewrite", "-- +goose Up\nALTER TABLE a ALTER n TYPE BIGINT;\n", nil, []string{"sql/base/2_x.sql:2: rewrites a under ACCESS EXCLUSIVE: "}},
		{"constraint", "-- +goose Up\nALTER TABLE b ADD CONSTRAINT k FOREIGN KEY (a) REFERENCES a;\n", nil,
			[]string{"sql/base/2_x.sql:2: checks all rows of b for constraint k under SHARE ROW EXCLUSIVE: until it is done, nobody else can write to the table. Instead: write NOT VALID"}},
		{"not null", "-- +goose Up\nALTER TABLE a ALTER n SET NOT NULL;\n", nil, []string{"sql/base/2_x.sql:2: reads all of a for SET NOT NULL of n under ACCESS EXCLUSIVE: "}},
		{"concurrently", "-- +goose Up\nCREATE INDEX CONCURRENTLY x ON a (n);\n", nil,
			[]string{"sql/base/2_x.sql:2: runs in a transaction, where the database refuses it: CREATE INDEX CONCURRENTLY x. Instead: write -- +goose NO TRANSACTION", "the migrations don't run in the shadow: "}},
		{"lock timeout", "-- +goose Up\nDROP TABLE b;\nDROP TABLE a CASCADE;\n", []gooseplus.Option{gooseplus.WithStatementTimeouts(gooseplus.StatementTimeouts{})},
			[]string{"sql/base/2_x.sql:2: waits for ACCESS EXCLUSIVE on b without a limit: "}},
		{"lock timeout set too late", "-- +goose Up\nDROP TABLE b;\nSET LOCAL lock_timeout = '2s';\nDROP TABLE a CASCADE;\n", []gooseplus.Option{gooseplus.WithStatementTimeouts(gooseplus.StatementTimeouts{})},
			[]string{"sql/base/2_x.sql:2: waits for ACCESS EXCLUSIVE on b without a limit: "}},
		{"lock timeout of the migration", "-- +goose Up\nSET LOCAL lock_timeout = '2s';\nDROP TABLE b;\n", []gooseplus.Option{gooseplus.WithStatementTimeouts(gooseplus.StatementTimeouts{})}, nil},
		{"a new table with a foreign key", "-- +goose Up\nCREATE TABLE x (a BIGINT REFERENCES a);\nCREATE INDEX ON x (a);\nUPDATE x SET a = 1;\n", nil, nil},
		{"one transaction for the run", "-- +goose Up\nUPDATE b SET a = 1;\n", []gooseplus.Option{gooseplus.WithRollback(gooseplus.RollbackTransaction)}, nil},
		{"text of several statements", "-- +goose Up\n-- +goose StatementBegin\nCREATE INDEX x ON a (n); CREATE INDEX y ON b (a);\n-- +goose StatementEnd\n", nil,
			[]string{"sql/base/2_x.sql:3: builds index x on a under SHARE: ", "sql/base/2_x.sql:3: builds index y on b under SHARE: "}},
		{"DO", "-- +goose Up\n-- +goose StatementBegin\nDO $$ BEGIN EXECUTE 'ALTER TABLE a ALTER n TYPE BIGINT'; END $$;\n-- +goose StatementEnd\n", nil,
			[]string{"sql/base/2_x.sql:3: rewrites a under ACCESS EXCLUSIVE: "}},
	} {
		t.Run(x.name, func(t *testing.T) {
			fsys := fstest.MapFS{"sql/base/1_base.sql": oneStatement(lockBase), "sql/base/2_x.sql": {Data: []byte(x.file)}}
			opts := append([]gooseplus.Option{withLockTimeout, files(fsys), gooseplus.WithGlobalLock(true)}, x.options...)
			found, log := locksTest(t, emptied(t, db), opts...)
			if len(found) != len(x.want) {
				t.Fatalf("%d findings, want %d:\n%s", len(found), len(x.want), log)
			}
			for i, want := range x.want {
				if !strings.HasPrefix(found[i], "gooseplustest: "+want) {
					t.Errorf("finding %d is %q, want %q …", i, found[i], want)
				}
			}
		})
	}
}

// TestLocksAllowed: a line with a reason allows the locks of its file and of no other, or also those of all lower versions. It is
// no part of the file's sum.
func TestLocksAllowed(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{"sql/base/1_base.sql": oneStatement(lockBase),
		"sql/base/2_x.sql": {Data: []byte("-- +gooseplus allow-lock  a has 20 rows \n-- +goose Up\nCREATE INDEX x ON a (n);\n")},
		"sql/base/3_y.sql": {Data: []byte("-- +goose Up\nCREATE INDEX y ON a (n);\n")}}
	db := Postgres(t, "", files(unique(fsys)), withLockTimeout)
	found, log := locksTest(t, db, files(fsys), withLockTimeout)
	if len(found) != 1 || !strings.Contains(found[0], "builds index y") {
		t.Errorf("findings %q", found)
	}
	if !strings.Contains(log, "sql/base/2_x.sql:3: builds index x on a under SHARE: until it is done, nobody else can write to the table. This is allowed: a has 20 rows") ||
		!strings.Contains(log, "1  CREATE INDEX x ON a (n);  sql/base/2_x.sql:3  a      SHARE  no       observed") {
		t.Errorf("the log is\n%s", log)
	}
	fsys["sql/base/2_x.sql"].Data = []byte("-- +goose Up\nCREATE INDEX x ON a (n);\n")
	fsys["sql/base/3_y.sql"].Data = []byte("-- +gooseplus allow-lock-up-to-here applied everywhere\n-- +goose Up\nCREATE INDEX y ON a (n);\n")
	fsys["sql/base/4_z.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE INDEX z ON a (n);\n")}
	found, log = locksTest(t, dbtest.Postgres(t).NewDatabase(t).Open(t, "postgres"), files(fsys), withLockTimeout)
	if len(found) != 1 || !strings.Contains(found[0], "builds index z") || strings.Count(log, "This is allowed: applied everywhere") != 2 {
		t.Errorf("findings %q, and the log is\n%s", found, log)
	}
	fsys["sql/base/3_y.sql"].Data = []byte("-- +gooseplus allow-lock\n-- +goose Up\nCREATE INDEX y ON a (n);\n")
	if err := gooseplus.New(nil, files(fsys)).Err(); err == nil || !strings.Contains(err.Error(), "3_y.sql") || !strings.Contains(err.Error(), "allow-lock has no reason") {
		t.Errorf("without a reason: %v", err)
	}
}

// TestLocksOfFunctions: the statements of Go migrations are looked at one by one, and their lines are those of this file.
func TestLocksOfFunctions(t *testing.T) {
	t.Parallel()
	tx := goose.NewGoMigration(2, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "ALTER TABLE a ADD COLUMN x TEXT"); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, "SELECT id FROM b WHERE a = $1 OR true", 1)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
		}
		return rows.Err()
	}}, nil)
	prepared := goose.NewGoMigration(3, &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
		statement, err := db.PrepareContext(ctx, "CREATE INDEX y ON a (n)")
		if err != nil {
			return err
		}
		defer statement.Close()
		if _, err := statement.ExecContext(ctx); err != nil {
			return err
		}
		_, _ = db.ExecContext(ctx, "SELECT FROM nowhere") // its failure leaves nothing open
		_, err = db.ExecContext(ctx, "CREATE INDEX CONCURRENTLY z ON a (n)")
		return err
	}}, nil)
	fsys := fstest.MapFS{"sql/base/1_base.sql": oneStatement(lockBase)}
	found, log := locksTest(t, dbtest.Postgres(t).NewDatabase(t).Open(t, "postgres"), files(fsys), withLockTimeout, gooseplus.WithGoMigrations(tx, prepared))
	if len(found) != 2 || !strings.Contains(found[0], "reads all of b while ACCESS EXCLUSIVE on a is held since locks_test.go:") || !strings.Contains(found[1], "builds index y on a under SHARE") ||
		slices.ContainsFunc(found, func(f string) bool { return !strings.HasPrefix(f, "gooseplustest: locks_test.go:") }) {
		t.Errorf("findings %q in\n%s", found, log)
	}
	if !strings.Contains(log, "a      SHARE UPDATE EXCLUSIVE  no       documented") {
		t.Errorf("the log is\n%s", log)
	}
}

// TestLocksOfExamples: the migrations of the examples have no finding but those that they allow.
func TestLocksOfExamples(t *testing.T) {
	t.Parallel()
	db := dbtest.Postgres(t).NewDatabase(t).Open(t, "postgres")
	for _, x := range []struct {
		name    string
		folders []string // of which the later ones are laid over the first
		options []gooseplus.Option
		allowed int
	}{
		{"sql", []string{"../sql"}, []gooseplus.Option{gooseplus.WithEnvironments("test")}, 0},
		{"sql, production", []string{"../sql"}, []gooseplus.Option{gooseplus.WithEnvironments("production")}, 0},
		{"quickstart", []string{"../sql", "../examples/quickstart/next-release"}, nil, 1},
		{"communicate-with-app", []string{"../examples/communicate-with-app/sql"}, nil, 0},
		{"make", []string{"../examples/make/sql"}, []gooseplus.Option{gooseplus.WithNamespaces("core", "identity", "billing")}, 0},
		{"multi-lanes", []string{"../examples/multi-lanes/fast", "../examples/multi-lanes/next-release"}, []gooseplus.Option{gooseplus.SetEnvironments(nil)}, 0},
		{"namespaces", []string{"../examples/namespaces/sql", "../examples/namespaces/next-release"},
			[]gooseplus.Option{gooseplus.WithNamespaces("shared", "core", "identity", "customer-mgmt")}, 1},
		{"tenants-databases, master", []string{"../examples/tenants-databases/sql/master"}, nil, 0},
		{"tenants-databases", []string{"../examples/tenants-databases/sql/tenant"}, nil, 0},
		{"tenants-schemas, public", []string{"../examples/tenants-schemas/sql/public"}, nil, 0},
		{"tenants-schemas", []string{"../examples/tenants-schemas/sql/tenant"}, []gooseplus.Option{gooseplus.WithSchema("acme")}, 0},
		{"testing", []string{"../examples/testing/sql"}, []gooseplus.Option{gooseplus.WithEnvironments("test")}, 0},
	} {
		t.Run(x.name, func(t *testing.T) {
			fsys := fstest.MapFS{}
			for _, folder := range x.folders {
				err := fs.WalkDir(os.DirFS(folder), ".", func(path string, d fs.DirEntry, err error) error {
					if err != nil || filepath.Ext(path) != ".sql" {
						return err
					}
					text, err := os.ReadFile(filepath.Join(folder, path))
					fsys["sql/"+path] = &fstest.MapFile{Data: text}
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			found, log := locksTest(t, emptied(t, db), append(x.options, files(fsys), withLockTimeout)...)
			if allowed := strings.Count(log, "This is allowed:"); len(found) > 0 || allowed != x.allowed || !strings.Contains(log, "locks of ") {
				t.Errorf("findings %q, allowed %d, want %d:\n%s", found, allowed, x.allowed, log)
			}
		})
	}
}

// TestLocksOfDefinitions: a statement that is in no file has the place of its definition, or the line of the function.
func TestLocksOfDefinitions(t *testing.T) {
	t.Parallel()
	var d gooseplus.Definitions
	d.Define(2).Up("CREATE INDEX x ON a (n)").DownAction(gooseplus.TxFunc(func(context.Context, *sql.Tx) error { return nil }))
	d.Define(3).UpAction(gooseplus.TxFunc(func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "CREATE INDEX y ON a (n)")
		return err
	})).Down("DROP INDEX y")
	fsys := fstest.MapFS{"sql/base/1_base.sql": oneStatement(lockBase)}
	found, log := locksTest(t, dbtest.Postgres(t).NewDatabase(t).Open(t, "postgres"), files(fsys), withLockTimeout, gooseplus.WithDefinitions(&d))
	if len(found) != 2 || !strings.HasPrefix(found[0], "gooseplustest: gooseplustest/locks_test.go:") || !strings.Contains(found[0], ", statement 1: builds index x") || !strings.HasPrefix(found[1], "gooseplustest: locks_test.go:") {
		t.Errorf("findings %q in\n%s", found, log)
	}
}

// TestLocksOfNamespaces: migrations are looked at namespace by namespace, and the log names the namespace.
func TestLocksOfNamespaces(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{"sql/one/base/1_a.sql": migration("CREATE TABLE a (n INTEGER);", ""), "sql/two/base/1_x.sql": migration("CREATE INDEX x ON a (n);", "")}
	found, log := locksTest(t, dbtest.Postgres(t).NewDatabase(t).Open(t, "postgres"), files(fsys), withLockTimeout, gooseplus.WithNamespaces("one", "two"))
	if len(found) != 1 || !strings.HasPrefix(found[0], "gooseplustest: sql/two/base/1_x.sql:2: builds index x") || !strings.Contains(log, "locks of two  1  sql/two/base/1_x.sql") {
		t.Errorf("findings %q in\n%s", found, log)
	}
}

// TestLocksOfMySQL: the server is asked on a copy of the table for the best algorithm, and the copy is gone afterwards.
func TestLocksOfMySQL(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{
		"sql/base/1_a.sql": migration("CREATE TABLE a (id INT PRIMARY KEY, n INT, s VARCHAR(10));\nCREATE TABLE b (id INT PRIMARY KEY);", "SELECT 1;"),
		"sql/base/2_x.sql": migration("ALTER TABLE `a` ADD COLUMN x INT;\nCREATE INDEX i ON a (n);\nALTER TABLE a MODIFY n VARCHAR(30);\nCREATE FULLTEXT INDEX f ON a (s);\n"+
			"ALTER TABLE a ADD COLUMN y INT, ALGORITHM=INPLACE;\nINSERT INTO b VALUES (1);\nTRUNCATE TABLE b;\nCREATE TABLE c (id INT);\nALTER TABLE c ADD COLUMN x INT;", "SELECT 1;"),
	}
	opts := []gooseplus.Option{gooseplus.WithDialect("mysql"), files(fsys)}
	db := MySQL(t, "", files(unique(folder("sql/base/1_z.sql"))))
	found, log := locksTest(t, db, append(opts, withLockTimeout)...)
	mariadb := texts(t, db, "SELECT IF(VERSION() LIKE '%MariaDB%', 'yes', '')")[0] != ""
	for _, want := range []string{
		"ALTER TABLE `a` ADD COLUMN x\tsql/base/2_x.sql:2\ta\tmetadata EXCLUSIVE, ALGORITHM=INSTANT\tno\ttried",
		"CREATE INDEX i ON a (n);\tsql/base/2_x.sql:3\ta\tmetadata EXCLUSIVE, ALGORITHM=NOCOPY, LOCK=NONE\tno\ttried",
		"ALTER TABLE a MODIFY n VARCHAR(30);\tsql/base/2_x.sql:4\ta\tmetadata EXCLUSIVE, ALGORITHM=COPY\tyes\ttried",
		"CREATE FULLTEXT INDEX f ON a\tsql/base/2_x.sql:5\ta\tmetadata EXCLUSIVE, ALGORITHM=INPLACE, LOCK=SHARED\tyes\ttried",
		"ALTER TABLE a ADD COLUMN y\tsql/base/2_x.sql:6\ta\tmetadata EXCLUSIVE, ALGORITHM=as the statement says\tno\tdocumented",
		"TRUNCATE TABLE b;\tsql/base/2_x.sql:8\tb\tmetadata EXCLUSIVE\tno\tdocumented",
		"ALTER TABLE c ADD COLUMN x\tsql/base/2_x.sql:10\t-\t-\tno\t",
	} {
		if !mariadb { // which has no NOCOPY
			want = strings.NewReplacer("NOCOPY", "INPLACE", "SHARED\tyes", "SHARED\tno").Replace(want)
		}
		if !strings.Contains(spaces.ReplaceAllString(log, "\t"), want) {
			t.Errorf("there is no %q in\n%s", want, log)
		}
	}
	if len(found) != 2 || !strings.Contains(found[0], "2_x.sql:4: copies a (ALGORITHM=COPY)") || !strings.Contains(found[1], "2_x.sql:5: changes a with LOCK=SHARED") {
		t.Errorf("findings %q", found)
	}
	if found, _ := locksTest(t, db, opts...); len(found) != 3 || !strings.Contains(found[0], "2_x.sql:2: waits for metadata EXCLUSIVE on a without a limit") {
		t.Errorf("findings without a lock timeout: %q", found)
	}
	if mariadb && !strings.Contains(log, "metadata locks of statements that are no DDL are not available: performance_schema is off") {
		t.Errorf("the log doesn't say what the server can't tell:\n%s", log)
	}
	empty := dbtest.MySQL(t).NewDatabase(t).Open(t, "mysql")
	if _, err := gooseplus.New(nil, opts...).Trace(t.Context(), empty); err != nil {
		t.Fatal(err)
	}
	if left := texts(t, empty, "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'gooseplus_trace'"); len(left) > 0 {
		t.Error("the copy is left")
	}
}

var spaces = regexp.MustCompile(` {2,}`)

// TestLocksOfSQLite: a file is locked as a whole, and the test is skipped.
func TestLocksOfSQLite(t *testing.T) {
	t.Parallel()
	found, log := locksTest(t, sqliteCopy(t, nil), gooseplus.WithDialect("sqlite3"), files(folder("sql/base/1_a.sql")))
	if len(found) > 0 || !strings.HasPrefix(log, "skipped: gooseplustest: locks are not available on SQLite") {
		t.Errorf("%q, %s", found, log)
	}
}
