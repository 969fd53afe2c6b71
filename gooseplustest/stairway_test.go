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

// The faulty Downs are tried in a process of their own, since they fail the tests that they are in.
func TestStairwayTellsWhatADownForgot(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			out, err := faulty(t, d.name)
			if err == nil {
				t.Errorf("the stairway found nothing:\n%s", out)
			}
			forgotten := told(out)
			if strings.Contains(out, "secret1") {
				t.Error("it tells a password")
			}
			for _, g := range d.groups(t) {
				got := forgotten[childName(g.name())]
				for _, f := range g {
					var found, rest []string
					for _, line := range got {
						if slices.ContainsFunc(f.want, func(want string) bool { return strings.HasPrefix(line, want) }) {
							found = append(found, line)
						} else {
							rest = append(rest, line)
						}
					}
					got = rest
					t.Run(f.name, func(t *testing.T) {
						if !strings.Contains(out, "--- FAIL: "+childName(g.name())+" (") {
							t.Fatalf("the stairway found nothing:\n%s", out)
						}
						if !slices.EqualFunc(found, f.want, strings.HasPrefix) {
							t.Errorf("got\n  %s\nwant\n  %s\nin\n%s", strings.Join(forgotten[childName(g.name())], "\n  "), strings.Join(f.want, "\n  "), out)
						}
					})
				}
				if len(got) > 0 {
					t.Errorf("beside what the Downs forgot, it tells\n  %s\nin\n%s", strings.Join(got, "\n  "), out)
				}
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

// wholeEnv has TestFaulty try the same migrations with Downs that forget nothing.
const wholeEnv = "GOOSEPLUSTEST_WHOLE"

// faulty runs TestFaulty for one database in a process of its own, on the servers of this one. Of each set it runs the
// subtest of the second migration alone: the first one is only applied then.
func faulty(t *testing.T, database string, env ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestFaulty$/./^2_second.sql$", "-test.v")
	cmd.Env = append(os.Environ(), faultEnv+"="+database)
	switch database {
	case "PostgreSQL":
		cmd.Env = append(cmd.Env, "GOOSEPLUS_TEST_POSTGRES="+Server(t))
	case "MariaDB":
		cmd.Env = append(cmd.Env, "GOOSEPLUS_TEST_MYSQL="+dsnOf(dbtest.MySQL(t)))
	}
	cmd.Env = append(cmd.Env, "TMPDIR="+t.TempDir()) // for what it keeps
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	dropKept(t, string(out))
	return string(out), err
}

// dropKept removes what a process has kept, since its test was to fail.
func dropKept(t *testing.T, out string) {
	t.Helper()
	for _, name := range regexp.MustCompile(`(?:kept until .*|kept database )(gpt?_\w+).*`).FindAllStringSubmatch(out, -1) {
		switch {
		case strings.Contains(name[0], "tcp("), strings.Contains(name[0], "GOOSEPLUS_TEST_MYSQL"):
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
	// Any database of the kit: the stairway takes an empty one beside it.
	db := d.open(t, gooseplus.WithDialect(d.dialect), files(fstest.MapFS{"sql/base/1_none.sql": migration("SELECT 1;", "SELECT 1;")}))
	for _, g := range d.groups(t) {
		t.Run(g.name(), func(t *testing.T) {
			Stairway(t, gooseplus.New(db, gooseplus.WithDialect(d.dialect), files(g.set(d.dialect, os.Getenv(wholeEnv) != ""))))
		})
	}
}

// One Down that forgets something must not hide the next. The Ups fail on what is there already, as Ups do.
func TestStairwayGoesOnAfterAFault(t *testing.T) {
	t.Parallel()
	for kind, groups := range faultsOf {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-test.run=^TestAllFaults$", "-test.v")
			cmd.Env = append(os.Environ(), faultEnv+"="+kind, "GOOSEPLUS_TEST_POSTGRES="+Server(t))
			out, err := cmd.CombinedOutput()
			dropKept(t, string(out))
			if err == nil {
				t.Error("the stairway found nothing")
			}
			for i, want := range []string{
				1: "index users_email_idx is left behind", "column users.fax is left behind", `default of users.age is not as it was: before "18", now "21"`,
				"trigger stamped on users is left behind", "function twice(integer) is left behind", "view adults is left behind",
				"sequence invoices is left behind", "constraint old_enough on users is left behind", "grant of SELECT on table users to public is left behind",
				"extension pg_trgm is left behind", "table orders is left behind", "13_nothing.sql: gooseplustest: it has no Down",
			} {
				if !slices.ContainsFunc(groups, func(g []int) bool { return i > 0 && slices.Contains(g, i) }) {
					continue
				}
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

// faultsOf lists, for each kind of database, the migrations below that are tried, by their index. Those in one list are joined into
// one migration. With a database of the kit a few are enough: the next test has a new one. Some are left out in a schema, because
// they are the same there.
var faultsOf = map[string][][]int{
	"a database of the kit":    {{0}, {1}, {2}, {11}, {12}, {13}, {14}},
	"any database":             {{0}, {1, 2}, {3}, {4, 5}, {6, 7}, {8, 9, 10}, {11}, {12}},
	"a schema of any database": {{0}, {1, 4}, {5, 6}, {7}, {11}, {12}},
}

func TestAllFaults(t *testing.T) {
	kind := os.Getenv(faultEnv)
	groups, ok := faultsOf[kind]
	if !ok {
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
		`ALTER TYPE mood ADD VALUE 'so so';`, // nothing but a new database gets rid of it
		`CREATE TABLE last (id INTEGER);`,
	}
	downs := map[int]string{0: "DROP TABLE users; DROP FUNCTION stamp;", 11: "DROP TYPE mood;", 12: "", 14: "DROP TABLE last;"}
	fsys := fstest.MapFS{}
	for _, group := range groups {
		var up []string
		for _, i := range group {
			up = append(up, ups[i])
		}
		down, given := downs[group[0]]
		if !given {
			down = "SELECT 1;"
		}
		name := "fault"
		if down == "" {
			name = "nothing"
		}
		fsys[fmt.Sprintf("sql/base/%d_%s.sql", group[0]+1, name)] = migration(strings.Join(up, "\n"), down)
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
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			out, err := faulty(t, d.name, wholeEnv+"=1")
			if passed := strings.Count(out, "/2_second.sql ("); err != nil || passed < len(d.groups(t)) {
				t.Errorf("%d passed of %d, %v:\n%s", passed, len(d.groups(t)), err, out)
			}
		})
	}
}

// A table of one namespace refers to one of another.
func TestStairwayOfNamespaces(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			fsys := folder("sql/core/base/1_users.sql", "sql/core/base/2_teams.sql")
			fsys["sql/billing/base/1_bills.sql"] = migration(
				"CREATE TABLE bills (id INTEGER PRIMARY KEY, payer INTEGER, FOREIGN KEY (payer) REFERENCES users (id));", "DROP TABLE bills;")
			opts := []gooseplus.Option{gooseplus.WithDialect(d.dialect), files(fsys), gooseplus.WithNamespaces("core", "billing"), gooseplus.WithGlobalLock(true)}
			Stairway(t, gooseplus.New(d.open(t, opts...), opts...))
			Stairway(t, gooseplus.New(d.open(t, opts...), opts...).Namespace("core"))
		})
	}
}

// If go test -run leaves a subtest out, its migration is applied between two that are tested.
func TestStairwayOfSomeMigrations(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run=^TestSomeMigrations$/^(1|3)_", "-test.v")
	cmd.Env = append(os.Environ(), faultEnv+"=some")
	if out, err := cmd.CombinedOutput(); err != nil || strings.Count(string(out), "--- PASS: TestSomeMigrations/") != 2 {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestSomeMigrations(t *testing.T) {
	if os.Getenv(faultEnv) != "some" {
		t.Skip("runs only as the child of TestStairwayOfSomeMigrations")
	}
	opts := []gooseplus.Option{gooseplus.WithDialect("sqlite3"), files(folder("sql/base/1_a.sql", "sql/base/2_b.sql", "sql/base/3_c.sql"))}
	Stairway(t, gooseplus.New(SQLite(t, opts...), opts...))
}
