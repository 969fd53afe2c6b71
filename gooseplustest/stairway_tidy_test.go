package gooseplustest

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/go-sql-driver/mysql"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dbtest"
)

// A leftover is what a Down leaves behind in a database of the test's own, where the stairway has to go on by itself.
type leftover struct {
	name     string
	database string // "PostgreSQL"
	base     string
	up, down string
	later    string   // a third migration, with a right Down
	undo     string   // that Down
	want     []string // what it says of the second migration
	skips    bool     // the third, since the second can't be made right
}

var leftovers = []leftover{
	{"what depends on each other goes", "PostgreSQL",
		`CREATE TABLE zero (a INTEGER, b INTEGER); CREATE DOMAIN dd AS INTEGER; CREATE TYPE cc AS (a INTEGER); CREATE TABLE part (a INTEGER) PARTITION BY RANGE (a);`,
		`CREATE TABLE "a on b" (id INTEGER PRIMARY KEY); CREATE TABLE another (id INTEGER REFERENCES "a on b"); CREATE VIEW "a.b" AS SELECT id FROM "a on b";
		CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE TRIGGER "a on b" BEFORE INSERT ON zero FOR EACH ROW EXECUTE FUNCTION tf();
		CREATE STATISTICS st ON a, b FROM zero; CREATE FOREIGN DATA WRAPPER fw; CREATE SERVER s FOREIGN DATA WRAPPER fw;
		CREATE USER MAPPING FOR PUBLIC SERVER s; ALTER DOMAIN dd ADD CONSTRAINT ddc CHECK (VALUE > 0); ALTER TYPE cc ADD ATTRIBUTE "B" INTEGER; CREATE CAST (cc AS TEXT) WITH INOUT;
		CREATE FUNCTION yes(INTEGER, TEXT) RETURNS BOOLEAN LANGUAGE sql IMMUTABLE AS 'SELECT true'; CREATE OPERATOR === (LEFTARG = INTEGER, RIGHTARG = TEXT, FUNCTION = yes);
		CREATE TABLE part1 PARTITION OF part FOR VALUES FROM (1) TO (2); CREATE INDEX pi ON part (a); CREATE TEXT SEARCH CONFIGURATION tc (COPY = english);
		ALTER TABLE zero ADD COLUMN "The c" INTEGER; ALTER TABLE zero ALTER a SET DEFAULT 3; CREATE PUBLICATION pub FOR TABLE zero; CREATE COLLATION co (locale = 'C');
		CREATE EVENT TRIGGER ev ON ddl_command_end WHEN TAG IN ('CREATE RULE') EXECUTE FUNCTION et();
		CREATE POLICY p ON zero USING (a > 0); CREATE RULE r AS ON DELETE TO zero DO INSTEAD NOTHING; CREATE SCHEMA x; CREATE SEQUENCE x.q;`, `SELECT 1;`,
		`CREATE TABLE later (a INTEGER);`, `DROP TABLE later;`, nil, false},
	{"what is older stays", "PostgreSQL",
		`CREATE VIEW old AS SELECT 1 AS a; GRANT SELECT ON old TO PUBLIC; COMMENT ON VIEW old IS 'x';`,
		`CREATE VIEW v AS SELECT 1 AS a; CREATE OR REPLACE VIEW old AS SELECT a FROM v;`, `SELECT 1;`,
		`COMMENT ON VIEW old IS 'y';`, `COMMENT ON VIEW old IS 'x';`,
		[]string{`after the Down, view old is not as it was`, `after the Down, view v is left behind`, `up again, after that: `}, true},
	{"what the Up makes again", "PostgreSQL", `CREATE TABLE t (a INTEGER);`,
		`CREATE TABLE v AS SELECT 1 AS a; DROP TABLE IF EXISTS t;`, `SELECT 1;`, `CREATE TABLE IF NOT EXISTS later (a INTEGER);`, `DROP TABLE later;`,
		[]string{`after the Down, table t is not put back`, `after the Down, table v is left behind`}, false},
	{"what the Up does not make again", "PostgreSQL", `CREATE TABLE t (a INTEGER);`,
		`CREATE TABLE IF NOT EXISTS u (a INTEGER); ALTER TABLE t ADD COLUMN IF NOT EXISTS b INTEGER;`, `DROP TABLE t; DROP TABLE u; CREATE TABLE t ();`,
		`CREATE TABLE later (a INTEGER);`, `DROP TABLE later;`,
		[]string{`after the Down, column t.a is not put back: integer`, `up again, after that, column t.a was there only the first time: integer`}, true},
	{"names that need quotes", "MariaDB", `CREATE TABLE t (a INT, b INT);`,
		"CREATE TABLE `order` (id INT PRIMARY KEY);\nCREATE TABLE aa (id INT, CONSTRAINT fk FOREIGN KEY (id) REFERENCES `order` (id));\n" +
			"CREATE VIEW `a on b` AS SELECT id FROM `order`;\nCREATE TRIGGER `t on t` BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1;\nCREATE FUNCTION f() RETURNS INT RETURN 1;\n" +
			"CREATE PROCEDURE f() SELECT 1;\nALTER TABLE t ADD PRIMARY KEY (b), ADD COLUMN `The c` INT, ADD INDEX `group` (b), ADD CONSTRAINT k CHECK (b > 0);\nCREATE EVENT ev ON SCHEDULE EVERY 1 DAY DO SELECT 1;",
		`SELECT 1;`, `CREATE TABLE later (a INT);`, `DROP TABLE later;`, nil, false},
	{"names that need quotes", "SQLite", `CREATE TABLE t (a INTEGER);`, `CREATE TABLE "order" (a INTEGER); CREATE INDEX "a on b" ON "order" (a); CREATE VIEW "v.w" AS SELECT a FROM "order";
		ALTER TABLE t ADD COLUMN "check" INTEGER;`, `SELECT 1;`, `CREATE TABLE later (a INTEGER);`, `DROP TABLE later;`, nil, false},
}

func (l leftover) set() fstest.MapFS {
	drops := fault{base: l.base}.down1("")
	if l.database == "PostgreSQL" {
		drops = fault{base: l.base}.down1("postgres")
	}
	base := l.base
	if strings.Contains(l.up, "et()") {
		base += ` CREATE FUNCTION et() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';`
		drops += " DROP FUNCTION et;"
	}
	return fstest.MapFS{"sql/base/1_first.sql": migration(base, drops), "sql/base/2_second.sql": migration(l.up, l.down), "sql/base/3_third.sql": migration(l.later, l.undo)}
}

func TestStairwayDropsWhatADownLeft(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		out := child(t, "TestLeftovers", d.name)
		for _, l := range leftovers {
			if l.database != d.name {
				continue
			}
			t.Run(d.name+"/"+l.name, func(t *testing.T) {
				name := "TestLeftovers/" + strings.ReplaceAll(l.name, " ", "_")
				result := "PASS"
				if l.skips {
					result = "SKIP"
				}
				if !strings.Contains(out, "--- FAIL: "+name+"/2_second.sql") || !strings.Contains(out, "--- "+result+": "+name+"/3_third.sql") {
					t.Errorf("want a fault in the second migration, and %s for the third:\n%s", result, out)
				}
				got := lines(out, name)
				if l.want == nil { // all that can be said is that it is left behind
					if i := slices.IndexFunc(got, func(s string) bool {
						return !strings.Contains(s, " is left behind") && !strings.Contains(s, "is not as it was")
					}); i >= 0 {
						t.Errorf("it tells %q:\n%s", got[i], out)
					}
				} else if !slices.EqualFunc(got, l.want, strings.HasPrefix) {
					t.Errorf("got\n  %s\nwant\n  %s\nin\n%s", strings.Join(got, "\n  "), strings.Join(l.want, "\n  "), out)
				}
			})
		}
	}
}

func TestLeftovers(t *testing.T) {
	i := slices.IndexFunc(databases, func(d product) bool { return d.name == os.Getenv(faultEnv) })
	if i < 0 {
		t.Skip("runs only as the child of TestStairwayDropsWhatADownLeft")
	}
	for _, l := range leftovers {
		if l.database == databases[i].name {
			t.Run(l.name, func(t *testing.T) {
				Stairway(t, gooseplus.New(ownDatabase(t, databases[i]), gooseplus.WithDialect(databases[i].dialect), files(l.set())))
			})
		}
	}
}

// ownDatabase is an empty database that is not of the kit.
func ownDatabase(t *testing.T, d product) *sql.DB {
	if d.name != "SQLite" {
		return d.empty(t)
	}
	db, err := sql.Open("sqlite", fileURL(filepath.Join(t.TempDir(), "own.db"), sqliteParameters))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// A name alone means something else in the database of the connection.
func TestStairwayDropsNothingOfAnotherDatabase(t *testing.T) {
	t.Parallel()
	db := dbtest.MySQL(t).NewDatabase(t).Open(t, "mysql")
	other := dbtest.MySQL(t).NewDatabase(t)
	for _, s := range []string{`CREATE TABLE orders (precious INT)`, `CREATE VIEW sums AS SELECT precious FROM orders`, `CREATE PROCEDURE p() SELECT 'precious'`} {
		mustExec(t, db, s)
	}
	var connected string
	if err := db.QueryRow("SELECT DATABASE()").Scan(&connected); err != nil {
		t.Fatal(err)
	}
	out := child(t, "TestLeftoversOfAnotherDatabase", connected+" "+other.Name)
	if !strings.Contains(out, "--- PASS: TestLeftoversOfAnotherDatabase/2_second.sql") {
		t.Errorf("what was left was not dropped:\n%s", out)
	}
	for _, s := range []string{`SELECT precious FROM orders`, `SELECT precious FROM sums`, `CALL p()`} {
		mustExec(t, db, s)
	}
}

func TestLeftoversOfAnotherDatabase(t *testing.T) {
	connected, bound, ok := strings.Cut(os.Getenv(faultEnv), " gp_")
	if !ok {
		t.Skip("runs only as the child of TestStairwayDropsNothingOfAnotherDatabase")
	}
	config, err := mysql.ParseDSN(dbtest.MySQL(t).DSN())
	if err != nil {
		t.Fatal(err)
	}
	config.DBName = connected
	db, err := sql.Open("mysql", config.FormatDSN())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	Stairway(t, gooseplus.New(db, gooseplus.WithDialect("mysql"), gooseplus.WithSchema("gp_"+bound), files(fstest.MapFS{
		"sql/base/1_first.sql":  migration("CREATE TABLE orders (id INT);\nCREATE VIEW sums AS SELECT id FROM orders;\nCREATE PROCEDURE p() SELECT 1;", "SELECT 1;"),
		"sql/base/2_second.sql": migration("CREATE TABLE later (id INT);", "DROP TABLE later;"),
	})))
}

// child runs a test that is to fail in a process of its own, on the servers of this one.
func child(t *testing.T, test, argument string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.v")
	cmd.Env = append(os.Environ(), faultEnv+"="+argument, "GOOSEPLUS_TEST_POSTGRES="+Server(t), "GOOSEPLUS_TEST_MYSQL="+dsnOf(dbtest.MySQL(t)))
	out, err := cmd.CombinedOutput()
	dropKept(t, string(out))
	if err == nil {
		t.Errorf("%s found nothing:\n%s", test, out)
	}
	return string(out)
}

// lines are what the kit says of a test.
func lines(out, test string) (list []string) {
	within := false
	for line := range strings.Lines(out) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "===" {
			within = fields[2] == test || strings.HasPrefix(fields[2], test+"/")
		}
		if _, text, found := strings.Cut(line, "gooseplustest: "); found && within && !strings.Contains(text, "not tried, since") {
			list = append(list, strings.TrimSpace(text))
		}
	}
	return list
}

func TestStairwayNeedsTheDatabase(t *testing.T) {
	t.Parallel()
	m := gooseplus.New(nil, gooseplus.WithDialect("sqlite3"), files(folder("sql/base/1_x.sql")))
	own := m.Tenant(gooseplus.Tenant{Name: "acme", Open: func(context.Context) (*sql.DB, error) { return nil, errors.New("opened") }})
	for situation, s := range map[string]struct {
		m    *gooseplus.Migrator
		want string
	}{
		"there is none":                        {m, "the database given to New is nil"},
		"a tenant opens it":                    {own, "pass m.On(db) to Stairway"},
		"a tenant's own, opened in the test":   {own.On(new(sql.DB)), ""},
		"a configuration that doesn't resolve": {m.With(gooseplus.WithBasePath("nowhere")), "base path"},
	} {
		_, _, err := described(s.m)
		if (err == nil) != (s.want == "") || err != nil && !strings.Contains(err.Error(), s.want) {
			t.Errorf("%s: the error is %v, want %q in it", situation, err, s.want)
		}
	}
}
