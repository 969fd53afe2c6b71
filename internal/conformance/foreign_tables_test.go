package conformance

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus"
)

// contentUp succeeds where the table of the same name is there already.
const contentUp = "CREATE TABLE IF NOT EXISTS people (id INTEGER);"

// TestTablesOfOthersStay: a run that fails in a schema with tables, and without a history, doesn't remove them by the Down of a
// migration that was content with them.
func TestTablesOfOthersStay(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	failing := script("INSERT INTO nowhere VALUES (1);", "SELECT 1;")
	onDatabases(t, func(t *testing.T, p *place) {
		for _, c := range []struct {
			name    string
			files   map[string]*fstest.MapFile
			opts    []gooseplus.Option
			applied []int64
			dirty   bool
		}{
			{"content", map[string]*fstest.MapFile{
				"1_people.sql": script(contentUp, "DROP TABLE people;"), "2_a.sql": table("a"), "3_x.sql": failing,
			}, nil, []int64{1}, false},
			{"the failed one", map[string]*fstest.MapFile{
				"1_people.sql": noTransaction(contentUp+"\nINSERT INTO nowhere VALUES (1);", "DROP TABLE IF EXISTS people;"),
			}, nil, nil, true},
			{"nothing is content", map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_x.sql": failing}, nil, nil, false},
			{"content with others", map[string]*fstest.MapFile{
				"1_a.sql": script("CREATE TABLE IF NOT EXISTS peoples (id INTEGER);", "DROP TABLE peoples;"), "2_x.sql": failing,
			}, nil, nil, false},
			{"another tool's", map[string]*fstest.MapFile{
				"1_people.sql": script(contentUp, "DROP TABLE people;"), "2_x.sql": failing,
			}, []gooseplus.Option{gooseplus.WithForeignHistory(gooseplus.Warn)}, []int64{1}, false},
		} {
			at := &place{target: p.target, dsn: p.database(t)}
			at.db = at.instance(t)
			at.exec(t, "CREATE TABLE people (id INTEGER)", "INSERT INTO people VALUES (1), (2)")
			if c.opts != nil {
				at.exec(t, histories["golang-migrate"].setup...)
			}
			m := at.locking(at.db, append(c.opts, from(files(c.files)))...)
			err := m.Migrate(ctx)
			if c.applied == nil && !c.dirty {
				wantIs(t, err, gooseplus.ErrRollForward)
			} else {
				wantIs(t, err, gooseplus.ErrRollBack)
				wantText(t, err, "was there before the run")
			}
			if n := column[int](t, at.db, "SELECT count(*) FROM people")[0]; n != 2 {
				t.Errorf("%s: people has %d rows", c.name, n)
			}
			status, err := m.Status(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if have := status.CurrentVersion > 0; status.Dirty != c.dirty || have != (c.applied != nil) {
				t.Errorf("%s: version %d, dirty %t", c.name, status.CurrentVersion, status.Dirty)
			}
		}
	})
}

// TestWhatWasThereStays: where migrations are applied already, too, a failed run doesn't remove by a Down what somebody has made by hand
// before the run, and the Up has kept. It removes only what the run itself has made.
func TestWhatWasThereStays(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		type kept struct{ up, down, count string }
		list := map[string]kept{
			"table":        {contentUp, "DROP TABLE people;", "SELECT count(*) FROM people"},
			"table of two": {contentUp, "DROP TABLE IF EXISTS nothing; DROP TABLE People;", "SELECT count(*) FROM people"},
		}
		list["behind a comment"] = kept{contentUp + "\n-- not: DROP TABLE people;", "DROP TABLE IF EXISTS /* all */ people;", "SELECT count(*) FROM people"}
		if p.dialect == "sqlite" {
			list["in brackets"] = kept{contentUp, "DROP TABLE [people];", "SELECT count(*) FROM people"}
			list["main"] = kept{contentUp, "DROP TABLE main.`people`;", "SELECT count(*) FROM people"}
		}
		if p.dialect == "mysql" {
			list["tables"] = kept{contentUp, "DROP TABLES people;", "SELECT count(*) FROM people"}
			list["table of two"] = kept{contentUp, "DROP TABLE IF EXISTS nothing, people;", "SELECT count(*) FROM people"}
		}
		if p.dialect != "sqlite" {
			list["column"] = kept{"ALTER TABLE people ADD COLUMN IF NOT EXISTS phone INTEGER;", "ALTER TABLE people DROP COLUMN phone;", "SELECT count(phone) FROM people"}
		}
		if p.dialect == "postgres" {
			list["quoted"] = kept{`CREATE TABLE IF NOT EXISTS "pe""ople" (id INTEGER);`, `DROP TABLE "pe""ople";`, `SELECT count(*) FROM "pe""ople"`}
			list["spaces"] = kept{contentUp, "DROP TABLE public . people;", "SELECT count(*) FROM people"}
			list["a function"] = kept{"SELECT add_phone();", "ALTER TABLE people DROP COLUMN phone;", "SELECT count(phone) FROM people"}
			list["in another schema"] = kept{"CREATE TABLE IF NOT EXISTS application.people (id INTEGER);", "DROP TABLE application.people;", "SELECT count(*) FROM application.people"}
			list["extension"] = kept{"CREATE EXTENSION IF NOT EXISTS plpgsql;", "DROP EXTENSION plpgsql CASCADE;", "SELECT count(*) FROM people"}
			list["type"] = kept{"DO $$ BEGIN CREATE TYPE mood AS ENUM ('good'); EXCEPTION WHEN duplicate_object THEN NULL; END $$;", "DROP TYPE mood CASCADE;", "SELECT count(mood) FROM people"}
			list["schema"] = kept{"CREATE SCHEMA IF NOT EXISTS application;", "DROP SCHEMA application CASCADE;", "SELECT count(*) FROM application.people"}
		}
		for name, c := range list {
			t.Run(name, func(t *testing.T) {
				at := &place{target: p.target, dsn: p.database(t)}
				at.db = at.instance(t)
				set := files(map[string]*fstest.MapFile{"1_a.sql": table("a")})
				if err := at.locking(at.db, from(set)).Migrate(ctx); err != nil {
					t.Fatal(err)
				}
				at.exec(t, "CREATE TABLE people (id INTEGER, phone INTEGER)", "INSERT INTO people VALUES (1, 1), (2, 2)")
				if p.dialect == "postgres" {
					at.exec(t, "CREATE SCHEMA application", "CREATE TABLE application.people AS SELECT * FROM people", `CREATE TABLE "pe""ople" AS SELECT * FROM people`,
						"CREATE TYPE mood AS ENUM ('good')", "ALTER TABLE people ADD COLUMN mood mood DEFAULT 'good'",
						"CREATE FUNCTION add_phone() RETURNS void LANGUAGE sql AS $$ ALTER TABLE people ADD COLUMN IF NOT EXISTS phone INTEGER $$")
				}
				set["sql/base/2_kept.sql"], set["sql/base/3_new.sql"] = script(c.up, c.down), script("CREATE TABLE IF NOT EXISTS new (id INTEGER);", "DROP TABLE new;")
				set["sql/base/4_x.sql"] = script("INSERT INTO nowhere VALUES (1);", "SELECT 1;")
				err := at.locking(at.db, from(set)).Migrate(ctx)
				wantIs(t, err, gooseplus.ErrRollBack)
				wantText(t, err, "was there before the run")
				if n := column[int](t, at.db, c.count)[0]; n != 2 {
					t.Errorf("%d rows", n)
				}
				if got := fmt.Sprint(column[string](t, at.db, at.tables)); strings.Contains(got, "new") {
					t.Errorf("tables %s", got)
				}
			})
		}
	})
}

// TestRebuilt: what the run itself has removed or renamed before is nothing that a Down could take.
func TestRebuilt(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		for name, steps := range map[string][][2]string{
			"in one step": {{"DROP TABLE IF EXISTS cache;\nCREATE TABLE IF NOT EXISTS cache (id INTEGER);", "DROP TABLE cache;"}},
			"by a copy": {{"DROP TABLE IF EXISTS cache_new;\nCREATE TABLE cache_new (id INTEGER);\nDROP TABLE cache;\nALTER TABLE cache_new RENAME TO cache;\nCREATE TABLE IF NOT EXISTS made (id INTEGER);",
				"DROP TABLE cache;\nDROP TABLE made;"}},
			"dropped before": {{"DROP TABLE cache;", "SELECT 1;"}, {"CREATE TABLE IF NOT EXISTS cache (id INTEGER);", "DROP TABLE cache;"}},
			"renamed before": {{"ALTER TABLE cache RENAME TO cache_v1;", "ALTER TABLE cache_v1 RENAME TO cache;"}, {"CREATE TABLE IF NOT EXISTS cache (id INTEGER);", "DROP TABLE cache;"}},
			"made by itself": {{"CREATE TABLE other (id INTEGER);", "SELECT 1;"}, {"CREATE TABLE IF NOT EXISTS other (id INTEGER);", "DROP TABLE other;"}},
			"by its Down":    {{"CREATE TABLE IF NOT EXISTS made (id INTEGER);", "CREATE TABLE old (id INTEGER);\nDROP TABLE cache;\nALTER TABLE old RENAME TO cache;\nDROP TABLE made;"}},
			"a column":       {{"ALTER TABLE cache RENAME COLUMN id TO old;", "ALTER TABLE cache RENAME COLUMN old TO id;"}, {"CREATE TABLE IF NOT EXISTS made (id INTEGER);\nALTER TABLE cache ADD COLUMN id INTEGER;", "ALTER TABLE cache DROP COLUMN id;\nDROP TABLE made;"}},
		} {
			t.Run(name, func(t *testing.T) {
				at := &place{target: p.target, dsn: p.database(t)}
				at.db = at.instance(t)
				set := files(map[string]*fstest.MapFile{"1_cache.sql": table("cache")})
				if err := at.locking(at.db, from(set)).Migrate(ctx); err != nil {
					t.Fatal(err)
				}
				for i, s := range steps {
					set[fmt.Sprintf("sql/base/%d_s.sql", i+2)] = script(s[0], s[1])
				}
				set["sql/base/9_x.sql"] = script("INSERT INTO nowhere VALUES (1);", "SELECT 1;")
				wantIs(t, at.locking(at.db, from(set)).Migrate(ctx), gooseplus.ErrRollForward)
			})
		}
	})
}

// TestWhatWasThereElsewhere: the same where the look has to find more than the tables of a first run: in a namespace beside one that has
// migrations, in a database that Force has adopted, in the schemas of a search_path, and beside a schema that the run creates.
func TestWhatWasThereElsewhere(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	kept, bad := script(contentUp, "DROP TABLE people;"), script("INSERT INTO nowhere VALUES (1);", "SELECT 1;")
	people := []string{"CREATE TABLE people (id INTEGER)", "INSERT INTO people VALUES (1), (2)"}
	stays := func(t *testing.T, p *place, table string, err error) {
		t.Helper()
		wantIs(t, err, gooseplus.ErrRollBack)
		if n := column[int](t, p.db, "SELECT count(*) FROM "+table)[0]; n != 2 {
			t.Errorf("%d rows", n)
		}
	}
	onDatabases(t, func(t *testing.T, p *place) {
		p.forgetAll(t)
		set := namespaced(map[string]*fstest.MapFile{"core/1_a.sql": table("a")})
		if err := p.locking(p.db, from(set), gooseplus.WithNamespaces("core")).Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		p.exec(t, people...)
		set["sql/identity/1_people.sql"], set["sql/identity/2_x.sql"] = kept, bad
		stays(t, p, "people", p.locking(p.db, from(set), gooseplus.WithNamespaces("core", "identity")).Migrate(ctx))

		p.forgetAll(t)
		p.exec(t, append(slices.Clone(people), histories["golang-migrate"].setup...)...)
		m := p.locking(p.db, from(files(map[string]*fstest.MapFile{"1_people.sql": kept, "2_x.sql": bad})))
		if err := m.Force(ctx, 0); err != nil {
			t.Fatal(err)
		}
		stays(t, p, "people", m.Migrate(ctx))
	})
	having(schemas, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		p.exec(t, "CREATE SCHEMA shop", "CREATE TABLE people (id INTEGER, phone INTEGER)", "INSERT INTO people VALUES (1, 1), (2, 2)")
		set := from(files(map[string]*fstest.MapFile{"1_phone.sql": script("ALTER TABLE people ADD COLUMN IF NOT EXISTS phone INTEGER;", "ALTER TABLE people DROP COLUMN phone;"), "2_x.sql": bad}))
		stays(t, p, "people WHERE phone > 0", p.locking(p.db, set, gooseplus.WithSchema("shop"), gooseplus.WithSearchPath("public")).Migrate(ctx))

		set = from(files(map[string]*fstest.MapFile{"1_people.sql": script("CREATE TABLE IF NOT EXISTS public.people (id INTEGER);", "DROP TABLE public.people;"), "2_x.sql": bad}))
		if err := p.locking(p.db, set).Provision(ctx, gooseplus.Tenant{Schema: "new"}); err == nil {
			t.Error("no error")
		}
		if n := column[int](t, p.db, "SELECT count(*) FROM people")[0]; n != 2 {
			t.Errorf("%d rows", n)
		}
	})
}

// TestSwapThatFails: an Up fails before it has removed what its Down would remove.
func TestSwapThatFails(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		p.exec(t, "CREATE TABLE people (id INTEGER)", "INSERT INTO people VALUES (1), (2)")
		set := files(map[string]*fstest.MapFile{"1_a.sql": noTransaction("CREATE TABLE people_new (id INTEGER);\nINSERT INTO nowhere VALUES (1);\nDROP TABLE people;\nALTER TABLE people_new RENAME TO people;",
			"DROP TABLE IF EXISTS people_new;\nDROP TABLE people;")})
		wantIs(t, p.locking(p.db, from(set)).Migrate(ctx), gooseplus.ErrDirty)
		if n := column[int](t, p.db, "SELECT count(*) FROM people")[0]; n != 2 {
			t.Errorf("%d rows", n)
		}
	})
}

// TestNamesThatCannotBeLookedFor: a Down names what the user of the connection may not see, or what isn't attached yet. The run goes on.
func TestNamesThatCannotBeLookedFor(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	t.Run("another schema", func(t *testing.T) {
		having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
			role := p.role(t)
			p.exec(t, "GRANT CREATE, USAGE ON SCHEMA public TO "+role.name, "CREATE SCHEMA private")
			q := *p
			q.dsn = role.dsn
			set := files(map[string]*fstest.MapFile{"1_a.sql": script("CREATE TABLE IF NOT EXISTS a (id INTEGER);", "DROP TABLE IF EXISTS private.b;\nDROP TABLE a;")})
			if err := q.locking(q.instance(t), from(set)).Migrate(ctx); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("an attached database", func(t *testing.T) {
		having(without(server)).onDatabases(t, func(t *testing.T, p *place) {
			set := files(map[string]*fstest.MapFile{"1_a.sql": noTransaction("ATTACH ':memory:' AS archive;\nCREATE TABLE IF NOT EXISTS archive.t (id INTEGER);\nCREATE TABLE a (id INTEGER);",
				"ATTACH ':memory:' AS archive;\nDROP TABLE IF EXISTS archive.t;\nALTER TABLE archive.t DROP COLUMN c;\nDROP TABLE a;")})
			if err := p.locking(p.db, from(set)).Migrate(ctx); err != nil {
				t.Error(err)
			}
		})
	})
}

// TestWhatWasThereStaysHalf: a step without a transaction fails at what somebody has made by hand before, after its first statement. Its
// Down would remove that too.
func TestWhatWasThereStaysHalf(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		for name, up := range map[string]string{
			"the first":  "CREATE TABLE people (id INTEGER);",
			"the second": "CREATE TABLE new (id INTEGER);\nCREATE TABLE people (id INTEGER);",
			"of a query": "CREATE TABLE people AS SELECT * FROM a;",
		} {
			t.Run(name, func(t *testing.T) {
				at := &place{target: p.target, dsn: p.database(t)}
				at.db = at.instance(t)
				set := files(map[string]*fstest.MapFile{"1_a.sql": table("a")})
				if err := at.locking(at.db, from(set)).Migrate(ctx); err != nil {
					t.Fatal(err)
				}
				at.exec(t, "CREATE TABLE people (id INTEGER)", "INSERT INTO people VALUES (1), (2)")
				set["sql/base/2_people.sql"] = noTransaction(up, "DROP TABLE IF EXISTS new;\nDROP TABLE people;")
				err := at.locking(at.db, from(set)).Migrate(ctx)
				if name != "the second" { // nothing has happened
					wantIs(t, err, gooseplus.ErrRollForward)
				} else {
					wantIs(t, err, gooseplus.ErrDirty)
				}
				if n := column[int](t, at.db, "SELECT count(*) FROM people")[0]; n != 2 {
					t.Errorf("%d rows", n)
				}
				dirty := strings.Contains(fmt.Sprint(column[string](t, at.db, at.tables)), "new")
				if s, err := at.locking(at.db, from(set)).Status(ctx); err != nil || dirty && !s.Dirty {
					t.Errorf("dirty %t, %v", s.Dirty, err)
				}
			})
		}
	})
}

// TestTablesOfOthersStayInTenants: the same of the way back of a fleet.
func TestTablesOfOthersStayInTenants(t *testing.T) {
	t.Parallel()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		names := p.names(2)
		p.create(t, names...)
		p.exec(t, "CREATE TABLE "+p.quote(names[0])+".people (id INTEGER)", "INSERT INTO "+p.quote(names[0])+".people VALUES (1), (2)",
			"CREATE TABLE "+p.quote(names[1])+".other (id INTEGER)")
		m := p.migrator(gooseplus.WithGlobalLock(true), from(files(map[string]*fstest.MapFile{
			"1_people.sql": script(contentUp, "DROP TABLE people;"), "2_other.sql": table("other"),
		})))
		_, err := m.MigrateTenants(context.Background(), gooseplus.Schemas(names...), gooseplus.WithWayBack(true), gooseplus.WithMaxFailures(1), gooseplus.WithConcurrency(1))
		if err == nil {
			t.Fatal("no error")
		}
		if n := column[int](t, p.db, "SELECT count(*) FROM "+p.quote(names[0])+".people")[0]; n != 2 {
			t.Errorf("people has %d rows", n)
		}
	})
}

// othersFiles are a migration that is content with the table of others, one of its own that is content with nothing, and a slow
// one. Each later run has another one that fails.
func (p *place) othersFiles() fstest.MapFS {
	slow := slowSQLite
	if p.dialect != "sqlite" {
		slow = p.sleeping(8*time.Second) + ";" // the kill comes at once, unless the machine stalls
	}
	return files(map[string]*fstest.MapFile{
		"1_own.sql":    script("CREATE TABLE IF NOT EXISTS own (id INTEGER);", "DROP TABLE own;"),
		"2_people.sql": script(contentUp, "DROP TABLE people;"),
		"3_own.sql":    script("CREATE TABLE IF NOT EXISTS more (id INTEGER);", "DROP TABLE more;"),
		"4_slow.sql":   script(slow, "SELECT 1;"),
	})
}

// withOthers is another database, with a table that was made by hand, and perhaps with people.
func (p *place) withOthers(t *testing.T, people bool) *place {
	t.Helper()
	made := &place{target: p.target, dsn: p.database(t)}
	made.db = made.instance(t)
	made.exec(t, "CREATE TABLE other (id INTEGER)")
	if people {
		made.exec(t, "CREATE TABLE people (id INTEGER)", "INSERT INTO people VALUES (1), (2)")
	}
	return made
}

// TestTablesOfOthersStayAfterKill: a run that takes over from a killed one doesn't remove the tables either that were there
// before the killed one began, and removes those that the killed one made, which it can't tell apart by itself.
func TestTablesOfOthersStayAfterKill(t *testing.T) {
	t.Parallel()
	onDatabases(t, func(t *testing.T, p *place) {
		for _, there := range []bool{true, false} {
			p := p.withOthers(t, there)
			victim := p.start(t, "others", p.dsn)
			victim.let(t)
			victim.until(t, "step 3")
			victim.kill()
			set := p.othersFiles()
			set["sql/base/4_slow.sql"] = script("INSERT INTO nowhere VALUES (1);", "SELECT 1;")
			err := p.locking(p.db, from(set)).Migrate(context.Background())
			if !there {
				wantIs(t, err, gooseplus.ErrRollForward)
				p.want(t, nil, []string{"other"})
				continue
			}
			wantIs(t, err, gooseplus.ErrRollBack)
			wantText(t, err, "was there before the run")
			p.want(t, []int64{1, 2}, []string{"other", "own", "people"})
			if n := column[int](t, p.db, "SELECT count(*) FROM people")[0]; n != 2 {
				t.Errorf("people has %d rows", n)
			}
		}
	})
}

const othersVictimEnv = "GOOSEPLUS_OTHERS_VICTIM" // driver, dialect and DSN

// TestOthersVictim is no test but a process that stops before it records its only migration.
func TestOthersVictim(t *testing.T) {
	part := strings.SplitN(os.Getenv(othersVictimEnv), " ", 3)
	if len(part) != 3 {
		return
	}
	p := &place{target: target{driver: part[0], dialect: part[1]}, dsn: part[2]}
	p.db = p.open(t)
	db, f := p.flaky(t)
	inserted := 0
	f.before = func(statement string) {
		if strings.Contains(statement, "INSERT INTO `goose_db_version`") {
			if inserted++; inserted == 2 { // the first one is the zero version
				say("stopped", "")
				select {}
			}
		}
	}
	err := p.locking(db, from(cutOffFiles())).Migrate(context.Background())
	say("ended", fmt.Sprint(err))
}

func cutOffFiles() fstest.MapFS {
	return files(map[string]*fstest.MapFile{"1_people.sql": script(contentUp, "DROP TABLE people;")})
}

// TestTablesOfOthersStayAfterCutOff: a step that was cut off after its statement is not cleared away by its Down if that may take
// what was there before.
func TestTablesOfOthersStayAfterCutOff(t *testing.T) {
	t.Parallel()
	having(without(transactionalDDL)).onDatabases(t, func(t *testing.T, p *place) {
		for _, there := range []bool{true, false} {
			p := p.withOthers(t, there)
			victim := startProcess(t, othersVictimEnv+"="+p.driver+" "+p.dialect+" "+p.dsn, os.Args[0], "-test.run=^TestOthersVictim$")
			victim.until(t, "stopped")
			victim.kill()
			err := p.locking(p.db, from(cutOffFiles())).Migrate(context.Background())
			if !there {
				if err != nil {
					t.Error(err)
				}
				p.want(t, []int64{1}, []string{"other", "people"})
				continue
			}
			wantIs(t, err, gooseplus.ErrDirty)
			if n := column[int](t, p.db, "SELECT count(*) FROM people")[0]; n != 2 {
				t.Errorf("people has %d rows", n)
			}
		}
	})
}
