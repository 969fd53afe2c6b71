package gooseplustest

import (
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dbtest"
)

// A fault is a migration whose Down forgets something, beside a first migration that makes what it works on.
type fault struct {
	name     string
	base, up string
	down     string // the faulty one
	missing  string // what it forgets
	want     []string
}

// product is a kind of database that the kit is for.
type product struct {
	name, dialect string
	open          func(t testing.TB, opts ...gooseplus.Option) *sql.DB
	empty         func(t testing.TB) *sql.DB
	faults        []fault
}

var databases = []product{
	{"PostgreSQL", "postgres", func(t testing.TB, opts ...gooseplus.Option) *sql.DB { return Postgres(t, "", opts...) },
		func(t testing.TB) *sql.DB { return dbtest.Postgres(t).NewDatabase(t).Open(t, "postgres") }, postgresFaults},
	{"MariaDB", "mysql", func(t testing.TB, opts ...gooseplus.Option) *sql.DB { return MySQL(t, "", opts...) },
		func(t testing.TB) *sql.DB { return dbtest.MySQL(t).NewDatabase(t).Open(t, "mysql") }, mysqlFaults},
	{"SQLite", "sqlite3", func(t testing.TB, opts ...gooseplus.Option) *sql.DB { return SQLite(t, opts...) },
		func(t testing.TB) *sql.DB { return sqliteCopy(t, nil) }, sqliteFaults},
}

const users = `CREATE TABLE users (id INTEGER PRIMARY KEY, email VARCHAR(100), age INTEGER DEFAULT 18);`

var postgresFaults = []fault{
	{"index", users, `CREATE INDEX users_email_idx ON users (email);`, ``, `DROP INDEX users_email_idx;`,
		[]string{`index users_email_idx is left behind: CREATE INDEX users_email_idx ON public.users USING btree (email)`}},
	{"column", users, `ALTER TABLE users ADD COLUMN phone TEXT, ADD COLUMN fax TEXT;`, `ALTER TABLE users DROP COLUMN phone;`, `ALTER TABLE users DROP COLUMN fax;`,
		[]string{`column users.fax is left behind: text`}},
	{"default", users, `ALTER TABLE users ALTER COLUMN age SET DEFAULT 21, ALTER COLUMN email SET DEFAULT 'none';`, `ALTER TABLE users ALTER COLUMN email DROP DEFAULT;`,
		`ALTER TABLE users ALTER COLUMN age SET DEFAULT 18;`, []string{`default of users.age is not as it was: before "18", now "21"`}},
	{"enum value", `CREATE TYPE mood AS ENUM ('sad', 'glad');`, `ALTER TYPE mood ADD VALUE IF NOT EXISTS 'so so' BEFORE 'glad';`, ``,
		`DROP TYPE mood; CREATE TYPE mood AS ENUM ('sad', 'glad');`, []string{`enum value mood.'so so' is left behind`}},
	{"trigger", users + stamp, `CREATE OR REPLACE TRIGGER stamped BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION stamp();`, ``, `DROP TRIGGER stamped ON users;`,
		[]string{`trigger stamped on users is left behind: CREATE TRIGGER stamped BEFORE UPDATE ON public.users FOR EACH ROW EXECUTE FUNCTION stamp()`}},
	{"function", users, `CREATE OR REPLACE FUNCTION twice(n integer) RETURNS integer LANGUAGE sql AS 'SELECT 2 * n';`, ``, `DROP FUNCTION twice;`,
		[]string{`function twice(integer) is left behind: CREATE OR REPLACE FUNCTION public.twice(n integer) RETURNS integer LANGUAGE sql AS $function$SELECT 2 * n$function$`}},
	{"view definition", users + `CREATE VIEW adults AS SELECT id FROM users WHERE age >= 18;`, `CREATE OR REPLACE VIEW adults AS SELECT id FROM users WHERE age >= 21;`, ``,
		`CREATE OR REPLACE VIEW adults AS SELECT id FROM users WHERE age >= 18;`,
		[]string{`view adults is not as it was: before "SELECT users.id FROM users WHERE (users.age >= 18);", now "SELECT users.id FROM users WHERE (users.age >= 21);"`}},
	{"sequence", users, `CREATE SEQUENCE IF NOT EXISTS invoices START 1000;`, ``, `DROP SEQUENCE invoices;`,
		[]string{`sequence invoices is left behind: as bigint start 1000 increment 1 from 1 to 9223372036854775807 cache 1`}},
	{"constraint", users, `ALTER TABLE users DROP CONSTRAINT IF EXISTS old_enough; ALTER TABLE users ADD CONSTRAINT old_enough CHECK (age > 17);`, ``,
		`ALTER TABLE users DROP CONSTRAINT old_enough;`, []string{`constraint old_enough on users is left behind: CHECK ((age > 17))`}},
	{"comment", users + `COMMENT ON TABLE users IS 'everybody';`, `COMMENT ON TABLE users IS 'who has paid'; COMMENT ON COLUMN users.age IS 'in years';`, ``,
		`COMMENT ON TABLE users IS 'everybody'; COMMENT ON COLUMN users.age IS NULL;`, []string{
			`comment on column users.age is left behind: in years`, `comment on table users is not as it was: before "everybody", now "who has paid"`}},
	{"grant", users, `GRANT SELECT, INSERT ON users TO PUBLIC;`, `REVOKE INSERT ON users FROM PUBLIC;`, `REVOKE SELECT ON users FROM PUBLIC;`,
		[]string{`grant of SELECT on table users to public is left behind`}},
	{"extension", users, `CREATE EXTENSION IF NOT EXISTS pg_trgm;`, ``, `DROP EXTENSION pg_trgm;`, []string{`extension pg_trgm is left behind: version 1.6 in schema public`}},

	{"column that is not put back", users, `ALTER TABLE users DROP COLUMN IF EXISTS age;`, ``, `ALTER TABLE users ADD COLUMN age INTEGER DEFAULT 18;`,
		[]string{`column users.age is not put back: integer`}},
	{"type of a column", users, `ALTER TABLE users ALTER COLUMN email TYPE TEXT;`, ``, `ALTER TABLE users ALTER COLUMN email TYPE VARCHAR(100);`,
		[]string{`column users.email is not as it was: before "character varying(100)", now "text"`}},
	{"storage of a column", users, `ALTER TABLE users ALTER COLUMN email SET STORAGE EXTERNAL;`, ``, `ALTER TABLE users ALTER COLUMN email SET STORAGE EXTENDED;`,
		[]string{`column users.email is not as it was: before "character varying(100)", now "character varying(100) storage e"`}},
	{"table", users, `CREATE TABLE IF NOT EXISTS orders (id SERIAL PRIMARY KEY, placed DATE DEFAULT now()); COMMENT ON TABLE orders IS 'x';`, ``, `DROP TABLE orders;`,
		[]string{`table orders is left behind`}},
	{"composite type", `CREATE TYPE place AS (x INTEGER);`, `COMMENT ON TYPE place IS 'where'; REVOKE USAGE ON TYPE place FROM PUBLIC;`, ``,
		`COMMENT ON TYPE place IS NULL; GRANT USAGE ON TYPE place TO PUBLIC;`,
		[]string{`comment on type place is left behind: where`, `grant of USAGE on type place to public is not put back`}},
	{"policy", users, `ALTER TABLE users ENABLE ROW LEVEL SECURITY; DROP POLICY IF EXISTS own ON users; CREATE POLICY own ON users USING (id > 0);`,
		`ALTER TABLE users DISABLE ROW LEVEL SECURITY;`, `DROP POLICY own ON users;`, []string{`policy own on users is left behind: permissive for * to public using (id > 0)`}},
}

const stamp = `
-- +goose StatementBegin
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
-- +goose StatementEnd
`

var mysqlFaults = []fault{
	{"index", users, `CREATE INDEX IF NOT EXISTS users_email_idx ON users (email);`, ``, `DROP INDEX users_email_idx ON users;`,
		[]string{"index users_email_idx on users is left behind: KEY `users_email_idx` (`email`)"}},
	{"column", users, `ALTER TABLE users ADD COLUMN IF NOT EXISTS fax INT;`, ``, `ALTER TABLE users DROP COLUMN fax;`, []string{`column users.fax is left behind: int(11)`}},
	{"default", users, `ALTER TABLE users ALTER COLUMN age SET DEFAULT 21;`, ``, `ALTER TABLE users ALTER COLUMN age SET DEFAULT 18;`,
		[]string{`default of users.age is not as it was: before "18", now "21"`}},
	{"enum value", `CREATE TABLE feelings (mood ENUM ('sad', 'glad'));`, `ALTER TABLE feelings MODIFY mood ENUM ('sad', 'so, so', 'glad');`, ``,
		`ALTER TABLE feelings MODIFY mood ENUM ('sad', 'glad');`, []string{`enum value feelings.mood.'so, so' is left behind`}},
	{"trigger", users, `CREATE TRIGGER IF NOT EXISTS stamped BEFORE UPDATE ON users FOR EACH ROW SET NEW.age = 1;`, ``, `DROP TRIGGER stamped;`,
		[]string{`trigger stamped on users is left behind: BEFORE UPDATE on users SET NEW.age = 1`}},
	{"function", users, `CREATE FUNCTION IF NOT EXISTS twice(n INT) RETURNS INT DETERMINISTIC RETURN 2 * n;`, ``, `DROP FUNCTION twice;`,
		[]string{`function twice is left behind`}},
	{"view definition", users + "\nCREATE VIEW adults AS SELECT id FROM users WHERE age >= 18;", `CREATE OR REPLACE VIEW adults AS SELECT id FROM users WHERE age >= 21;`, ``,
		`CREATE OR REPLACE VIEW adults AS SELECT id FROM users WHERE age >= 18;`, []string{`view adults is not as it was`}},
	{"sequence", users, `CREATE SEQUENCE IF NOT EXISTS invoices START 1000;`, ``, `DROP SEQUENCE invoices;`, []string{`sequence invoices is left behind: start with 1000`}},
	{"constraint", users, `ALTER TABLE users ADD CONSTRAINT IF NOT EXISTS old_enough CHECK (age > 17);`, ``, `ALTER TABLE users DROP CONSTRAINT old_enough;`,
		[]string{"constraint old_enough on users is left behind: CONSTRAINT `old_enough` CHECK (`age` > 17)"}},
	{"constraint of a column", users, `ALTER TABLE users MODIFY age INT DEFAULT 18 COMMENT 'it''s CHECK (x)' CHECK (age > 17);`, `ALTER TABLE users MODIFY age INT DEFAULT 18 CHECK (age > 17);`,
		`ALTER TABLE users MODIFY age INT DEFAULT 18;`, []string{"check of users.age is left behind: CHECK (`age` > 17)"}},
	{"comment", users, `ALTER TABLE users COMMENT = 'who has paid';`, ``, `ALTER TABLE users COMMENT = '';`, []string{`comment on table users is left behind: who has paid`}},
	{"grant", users, `GRANT SELECT ON users TO PUBLIC;`, ``, `REVOKE SELECT ON users FROM PUBLIC;`, []string{`grant of SELECT on table users to`}},
	{"table", users, `CREATE TABLE IF NOT EXISTS orders (id INT PRIMARY KEY AUTO_INCREMENT);`, ``, `DROP TABLE orders;`, []string{`table orders is left behind: ENGINE=InnoDB`}},
}

var sqliteFaults = []fault{
	{"index", users, `CREATE INDEX IF NOT EXISTS users_email_idx ON users (email);`, ``, `DROP INDEX users_email_idx;`, []string{`index users_email_idx on users is left behind`}},
	{"column", users, `ALTER TABLE users ADD COLUMN phone TEXT; ALTER TABLE users ADD COLUMN fax TEXT;`, `ALTER TABLE users DROP COLUMN phone;`, `ALTER TABLE users DROP COLUMN fax;`,
		[]string{`column users.fax is left behind: text`}},
	{"default", users, `ALTER TABLE users DROP COLUMN age; ALTER TABLE users ADD COLUMN age INTEGER DEFAULT 21;`, ``,
		`ALTER TABLE users DROP COLUMN age; ALTER TABLE users ADD COLUMN age INTEGER DEFAULT 18;`, []string{`default of users.age is not as it was: before "18", now "21"`}},
	{"trigger", users, `CREATE TRIGGER IF NOT EXISTS stamped AFTER UPDATE ON users BEGIN SELECT 1; END;`, ``, `DROP TRIGGER stamped;`, []string{`trigger stamped on users is left behind`}},
	{"view definition", users + `CREATE VIEW adults AS SELECT id FROM users WHERE age >= 18;`, `DROP VIEW adults; CREATE VIEW adults AS SELECT id FROM users WHERE age >= 21;`, ``,
		`DROP VIEW adults; CREATE VIEW adults AS SELECT id FROM users WHERE age >= 18;`, []string{`view adults is not as it was`}},
	{"constraint", users, `CREATE TABLE new (id INTEGER PRIMARY KEY, email VARCHAR(100), age INTEGER DEFAULT 18, CHECK (age > 17)); DROP TABLE users; ALTER TABLE new RENAME TO users;`, ``,
		`CREATE TABLE new (id INTEGER PRIMARY KEY, email VARCHAR(100), age INTEGER DEFAULT 18); DROP TABLE users; ALTER TABLE new RENAME TO users;`,
		[]string{`constraint check ( age > 17 ) on users is left behind`}},
	{"table", users, `CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY);`, ``, `DROP TABLE orders;`, []string{`table orders is left behind`}},
}

// set is the first migration, and the second with the Down that is given.
func (f fault) set(dialect, down string) fstest.MapFS {
	if down == "" {
		down = "SELECT 1;"
	}
	statement := func(s string) string {
		if strings.Contains(s, "TRIGGER") && strings.Contains(s, "BEGIN") {
			return "-- +goose StatementBegin\n" + s + "\n-- +goose StatementEnd"
		}
		return s
	}
	return fstest.MapFS{
		"sql/base/1_first.sql":  migration(f.base, f.down1(dialect)),
		"sql/base/2_second.sql": migration(statement(f.up), down),
	}
}

// The faulty Downs are tried in a process of their own, since they fail the tests that they are in.
func TestStairwayTellsWhatADownForgot(t *testing.T) {
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			out := faulty(t, d.name, "")
			forgotten := told(out)
			for _, f := range d.faults {
				t.Run(f.name, func(t *testing.T) {
					if !strings.Contains(out, "--- FAIL: "+childName(f.name)+" (") {
						t.Fatalf("the stairway found nothing:\n%s", out)
					}
					if got := forgotten[childName(f.name)]; !slices.EqualFunc(got, f.want, strings.HasPrefix) {
						t.Errorf("got\n  %s\nwant\n  %s\nin\n%s", strings.Join(got, "\n  "), strings.Join(f.want, "\n  "), out)
					}
				})
			}
		})
	}
}

func childName(fault string) string { return "TestFaulty/" + strings.ReplaceAll(fault, " ", "_") }

// told is what the Downs of each fault forgot, by the name of the test that found it.
func told(out string) map[string][]string {
	list := make(map[string][]string)
	var current string
	for line := range strings.Lines(out) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "===" {
			parts := strings.SplitN(fields[2], "/", 3)
			current = strings.Join(parts[:min(len(parts), 2)], "/")
		}
		if _, text, found := strings.Cut(line, "gooseplustest: after the Down, "); found {
			list[current] = append(list[current], strings.TrimSpace(text))
		}
	}
	return list
}

const faultEnv = "GOOSEPLUSTEST_FAULT"

// faulty runs TestFaulty for one database in a process of its own, on the servers of this one, or the subtests that the
// pattern names.
func faulty(t *testing.T, database, subtests string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestFaulty$"+subtests, "-test.v")
	cmd.Env = append(os.Environ(), faultEnv+"="+database)
	switch database {
	case "PostgreSQL":
		cmd.Env = append(cmd.Env, "GOOSEPLUS_TEST_POSTGRES="+Server(t))
	case "MariaDB":
		cmd.Env = append(cmd.Env, "GOOSEPLUS_TEST_MYSQL="+dsnOf(dbtest.MySQL(t)))
	}
	cmd.Env = append(cmd.Env, "TMPDIR="+t.TempDir()) // for what it keeps
	out, err := cmd.CombinedOutput()
	dropKept(t, string(out))
	if err == nil {
		t.Errorf("the stairway found nothing:\n%s", out)
	}
	return string(out)
}

// dropKept removes what a process has kept, since its test was to fail.
func dropKept(t *testing.T, out string) {
	t.Helper()
	for _, name := range regexp.MustCompile(`kept until .*(gpt_\w+)`).FindAllStringSubmatch(out, -1) {
		switch {
		case strings.Contains(name[0], "tcp("):
			db, err := sql.Open("mysql", dbtest.MySQL(t).DSN())
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			mustExec(t, db, "DROP DATABASE "+name[1])
		default:
			mustExec(t, admin(t), "DROP DATABASE "+name[1])
		}
	}
}

func TestFaulty(t *testing.T) {
	i := slices.IndexFunc(databases, func(d product) bool { return d.name == os.Getenv(faultEnv) })
	if i < 0 {
		t.Skip("runs only as the child of TestStairwayTellsWhatADownForgot")
	}
	d := databases[i]
	for _, f := range d.faults {
		t.Run(f.name, func(t *testing.T) {
			fsys := f.set(d.dialect, f.down)
			opts := []gooseplus.Option{gooseplus.WithDialect(d.dialect), files(fsys)}
			Stairway(t, gooseplus.New(d.open(t, opts...), opts...))
		})
	}
}

// down1 is the Down of the first migration: it is not what is tested.
func (f fault) down1(dialect string) string {
	var drops []string
	for _, m := range regexp.MustCompile(`CREATE (TABLE|VIEW|TYPE|FUNCTION) (\w+)`).FindAllStringSubmatch(f.base, -1) {
		drop := fmt.Sprintf("DROP %s IF EXISTS %s", m[1], m[2])
		if dialect == "postgres" {
			drop += " CASCADE"
		}
		drops = append([]string{drop + ";"}, drops...)
	}
	return strings.Join(drops, "\n")
}

// One Down that forgets something must not hide the next. The Ups fail on what is there already, as Ups do.
func TestStairwayGoesOnAfterAFault(t *testing.T) {
	for _, kind := range []string{"a database of the kit", "any database", "a schema of any database"} {
		t.Run(kind, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestAllFaults$", "-test.v")
			cmd.Env = append(os.Environ(), faultEnv+"="+kind, "GOOSEPLUS_TEST_POSTGRES="+Server(t))
			out, err := cmd.CombinedOutput()
			dropKept(t, string(out))
			if err == nil {
				t.Error("the stairway found nothing")
			}
			for _, want := range []string{
				"index users_email_idx is left behind", "column users.fax is left behind", `default of users.age is not as it was: before "18", now "21"`,
				"trigger stamped on users is left behind", "function twice(integer) is left behind", "view adults is left behind",
				"sequence invoices is left behind", "constraint old_enough on users is left behind", "grant of SELECT on table users to public is left behind",
				"extension pg_trgm is left behind", "table orders is left behind", "13_nothing.sql: gooseplustest: it has no Down",
			} {
				if file, text, ok := strings.Cut(want, ": gooseplustest: "); ok {
					want = text
					if !strings.Contains(string(out), "--- FAIL: TestAllFaults/"+file) {
						t.Errorf("%s did not fail", file)
					}
				}
				if !strings.Contains(string(out), want) {
					t.Errorf("it does not say %q", want)
				}
			}
			if kind == "a database of the kit" && (!strings.Contains(string(out), "enum value mood.'so so' is left behind") || strings.Contains(string(out), "SKIP")) {
				t.Error("the enum value was not found, or hid others")
			}
			if t.Failed() {
				t.Log(string(out))
			}
		})
	}
}

func TestAllFaults(t *testing.T) {
	kind := os.Getenv(faultEnv)
	if !strings.Contains(kind, " database") {
		t.Skip("runs only as the child of TestStairwayGoesOnAfterAFault")
	}
	ups := []string{
		users + stamp,
		`CREATE INDEX users_email_idx ON users (email);`,
		`ALTER TABLE users ADD COLUMN fax TEXT;`,
		`ALTER TABLE users ALTER COLUMN age SET DEFAULT 21;`,
		`CREATE TRIGGER stamped BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION stamp();`,
		`CREATE FUNCTION twice(n integer) RETURNS integer LANGUAGE sql AS 'SELECT 2 * n';`,
		`CREATE VIEW adults AS SELECT id FROM users WHERE age >= 18;`,
		`CREATE SEQUENCE invoices;`,
		`ALTER TABLE users ADD CONSTRAINT old_enough CHECK (age > 17);`,
		`GRANT SELECT ON users TO PUBLIC;`,
		`CREATE EXTENSION pg_trgm;`,
		`CREATE TABLE orders (id SERIAL PRIMARY KEY); CREATE TYPE mood AS ENUM ('sad');`,
		`SELECT 1;`,
	}
	fsys := fstest.MapFS{}
	for i, up := range ups {
		down, name := "SELECT 1;", "fault"
		switch i {
		case 0:
			down = "DROP TABLE users; DROP FUNCTION stamp;"
		case 11:
			down = "DROP TYPE mood;"
		case 12:
			down, name = "", "nothing"
		}
		fsys[fmt.Sprintf("sql/base/%d_%s.sql", i+1, name)] = migration(up, down)
	}
	if kind == "a database of the kit" { // nothing but a new database gets rid of it
		fsys["sql/base/14_value.sql"] = migration("ALTER TYPE mood ADD VALUE 'so so';", "SELECT 1;")
		fsys["sql/base/15_last.sql"] = migration("CREATE TABLE last (id INTEGER);", "DROP TABLE last;")
	}
	opts := []gooseplus.Option{files(fsys)}
	switch kind {
	case "a database of the kit":
		Stairway(t, gooseplus.New(Postgres(t, "", opts...), opts...))
	case "any database":
		Stairway(t, gooseplus.New(dbtest.Postgres(t).NewDatabase(t).Open(t, "postgres"), opts...))
	default:
		db := dbtest.Postgres(t).NewDatabase(t).Open(t, "postgres")
		mustExec(t, db, `CREATE SCHEMA acme`)
		Stairway(t, gooseplus.New(db, append(opts, gooseplus.WithSchema("acme"))...))
	}
}

// The same migrations with Downs that forget nothing pass, or else what is found above may be nothing.
func TestStairwayOfWholeDownsPasses(t *testing.T) {
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			for _, f := range d.faults {
				t.Run(f.name, func(t *testing.T) {
					Stairway(t, gooseplus.New(d.empty(t), gooseplus.WithDialect(d.dialect), files(f.set(d.dialect, f.down+"\n"+f.missing))))
				})
			}
		})
	}
}

// A table of one namespace refers to one of another.
func TestStairwayOfNamespaces(t *testing.T) {
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			fsys := folder("sql/core/base/1_users.sql", "sql/core/base/2_teams.sql")
			fsys["sql/billing/base/1_bills.sql"] = migration(
				"CREATE TABLE bills (id INTEGER PRIMARY KEY, payer INTEGER, FOREIGN KEY (payer) REFERENCES users (id));", "DROP TABLE bills;")
			opts := []gooseplus.Option{gooseplus.WithDialect(d.dialect), files(fsys), gooseplus.WithNamespaces("core", "billing"), gooseplus.WithGlobalLock(true)}
			Stairway(t, gooseplus.New(d.open(t, opts...), opts...))
			Stairway(t, gooseplus.New(d.open(t, opts...), opts...).Namespace("core"))
		})
	}
}

// A subtest that is run alone has the migrations before it applied.
func TestStairwayOfOneMigration(t *testing.T) {
	out := faulty(t, "PostgreSQL", "/^index$/2_second.sql")
	if got := told(out); len(got) != 1 || !slices.EqualFunc(got[childName("index")], postgresFaults[0].want, strings.HasPrefix) {
		t.Errorf("it tells %q:\n%s", got, out)
	}
}
