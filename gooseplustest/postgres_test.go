package gooseplustest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/lib/pq"
	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

func databaseOf(t testing.TB, db *sql.DB) string {
	t.Helper()
	return texts(t, db, `SELECT current_database()::text`)[0]
}

// tables are those that migrations made.
func tables(t testing.TB, db *sql.DB) []string {
	t.Helper()
	return texts(t, db, `SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE 'goose%' ORDER BY 1`)
}

// ours are the databases of the server that this package made, of one kind.
func ours(t testing.TB, kind string) (names []string) {
	t.Helper()
	db := admin(t)
	for _, name := range texts(t, db, `SELECT datname::text FROM pg_database WHERE datname LIKE 'gpt\_%' ORDER BY 1`) {
		if splitName(name)[2] == kind {
			names = append(names, name)
		}
	}
	return names
}

// ownerless are the databases of one kind whose process is dead.
func ownerless(t testing.TB, kind string) []string {
	t.Helper()
	db := admin(t)
	return slices.DeleteFunc(ours(t, kind), func(name string) bool {
		return texts(t, db, fmt.Sprintf("SELECT (count(*) > 0)::text FROM pg_locks WHERE locktype = 'advisory' AND (classid::bigint << 32 | objid::bigint) = %d",
			lockKey("process", owner(name))))[0] == "true"
	})
}

func admin(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", Server(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func mustExec(t testing.TB, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func TestPostgresIsMigratedWithBaseAndTest(t *testing.T) {
	fsys := folder("sql/base/1_users.sql", "sql/test/2_seed.sql", "sql/production/3_live.sql")
	var names []string
	for range 3 {
		db := Postgres(t, "", files(fsys))
		if got := tables(t, db); fmt.Sprint(got) != "[seed users]" {
			t.Errorf("tables %v", got)
		}
		mustExec(t, db, "INSERT INTO users VALUES (1)") // twice the same row in one database would fail
		names = append(names, databaseOf(t, db))
	}
	if slices.Sort(names); len(slices.Compact(names)) != 3 {
		t.Errorf("the databases are %v", names)
	}
}

func TestPostgresRunsTheMigrationsOnce(t *testing.T) {
	runs := 0
	counted := goose.NewGoMigration(2, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { runs++; return nil }}, nil)
	fsys := unique(folder("sql/base/1_once.sql"))
	for range 3 {
		Postgres(t, "", files(fsys), gooseplus.WithGoMigrations(counted))
	}
	if runs != 1 {
		t.Errorf("the migrations ran %d times", runs)
	}
}

func TestPostgresDropsTheDatabaseOfAPassedTest(t *testing.T) {
	r := &recorder{TB: t, name: "TestPassed"}
	db := Postgres(r, "", files(folder("sql/base/1_passed.sql")))
	name := databaseOf(t, db)
	tx, err := db.Begin() // a connection that the test forgets
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	mustExec(t, db, "SELECT 1")
	r.end()
	if slices.Contains(ours(t, kindClone), name) || r.failed {
		t.Errorf("%s is still there: %s", name, r.text())
	}
}

func TestPostgresKeepsTheDatabaseOfAFailedTest(t *testing.T) {
	dsn := Server(t)
	if _, was := private.LoadAndDelete(address(dsn)); was {
		defer private.Store(address(dsn), true)
	}
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	password, has := u.User.Password()
	r := &recorder{TB: t, name: "TestFailed"}
	kept := databaseOf(t, Postgres(r, dsn, files(folder("sql/base/1_failed.sql"))))
	r.failed = true
	r.end()
	if !slices.Contains(ours(t, kindClone), kept) {
		t.Errorf("%s is gone", kept)
	}
	if text := r.text(); !strings.Contains(text, kept) || has && strings.Contains(text, password) {
		t.Errorf("the log is %q", text)
	}

	// It stays for others, until its time is over.
	s := pgServerAt(dsn)
	dead := strings.Replace(kept, process, "longdeadlong", 1)
	mustExec(t, admin(t), fmt.Sprintf("ALTER DATABASE %s RENAME TO %s", kept, dead))
	s.sweep(t.Context(), "")
	if !slices.Contains(ours(t, kindClone), dead) {
		t.Errorf("%s was removed before its time", dead)
	}
	mustExec(t, admin(t), fmt.Sprintf("COMMENT ON DATABASE %s IS '%s'", dead, note("kept until", time.Now().Add(-time.Minute))))
	s.sweep(t.Context(), "")
	if slices.Contains(ours(t, kindClone), dead) {
		t.Errorf("%s is still there", dead)
	}
}

// A server that was started for this process ends with it, whatever a test adds to its DSN.
func TestPostgresKeepsNothingOnAServerThatEnds(t *testing.T) {
	dsn := Server(t)
	if _, already := private.LoadOrStore(address(dsn), true); !already {
		defer private.Delete(address(dsn))
	}
	r := &recorder{TB: t, name: "TestFailed"}
	name := databaseOf(t, Postgres(r, strings.Replace(dsn, "?", "?application_name=added&", 1), files(folder("sql/base/1_failed.sql"))))
	r.failed = true
	r.end()
	mustExec(t, admin(t), "DROP DATABASE "+name)
	if text := r.text(); !strings.Contains(text, "with the server that it started") {
		t.Errorf("the log is %q", text)
	}
}

func TestPostgresRebuildsWhatAKilledProcessLeft(t *testing.T) {
	dsn := Server(t)
	db := admin(t)
	project := projectName()
	halfMade := prefix + project + "_" + kindBuilding + "_killedkilled_1"
	clone := prefix + project + "_" + kindClone + "_killedkilled_2_testx"
	unnamed := prefix + project + "_" + kindBuilding + "_killedkilled_3" // whole, but not under its name yet
	mustExec(t, db, "CREATE DATABASE "+halfMade, "CREATE DATABASE "+clone, "CREATE DATABASE "+unnamed,
		"ALTER DATABASE "+unnamed+" WITH ALLOW_CONNECTIONS false IS_TEMPLATE true")
	stranger := "gpt_chat_c_db_1" // somebody else's
	mustExec(t, db, "CREATE DATABASE "+stranger)
	defer mustExec(t, db, "DROP DATABASE "+stranger)

	// Another process that lives, and has a database that nobody is connected to at the moment.
	alive := prefix + project + "_" + kindClone + "_alivealivear_1_testy"
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), fmt.Sprintf("SELECT pg_advisory_lock_shared(%d)", lockKey("process", "alivealivear"))); err != nil {
		t.Fatal(err)
	}
	mustExec(t, db, "CREATE DATABASE "+alive)
	defer mustExec(t, db, "DROP DATABASE "+alive)

	if got := tables(t, Postgres(t, dsn, files(folder("sql/base/1_after_the_kill.sql")))); fmt.Sprint(got) != "[after_the_kill]" {
		t.Errorf("tables %v", got)
	}
	pgServerAt(dsn).sweep(t.Context(), project)
	left := append(ours(t, kindBuilding), ours(t, kindClone)...)
	if slices.Contains(left, halfMade) || slices.Contains(left, clone) || slices.Contains(left, unnamed) ||
		!slices.Contains(left, alive) || !slices.Contains(left, stranger) {
		t.Errorf("what is left is %v", left)
	}
}

func TestPostgresReplacesTheTemplateOfOlderMigrations(t *testing.T) {
	dsn := Server(t)
	first := 1000 * number.Add(1) // so that the set has no relatives
	fsys := folder(fmt.Sprintf("sql/base/%d_old.sql", first))
	name := func() string {
		set, err := newSet("postgres", []gooseplus.Option{files(fsys)})
		if err != nil {
			t.Fatal(err)
		}
		lineage := splitName(pgServerAt(dsn).known.template(set))[3]
		templates := slices.DeleteFunc(ours(t, kindTemplate), func(n string) bool { return !isTemplate(n, set.project, lineage) })
		return strings.Join(templates, " ")
	}
	Postgres(t, dsn, files(fsys))
	old := name()
	if old == "" {
		t.Fatal("there is no template")
	}

	maps.Copy(fsys, folder(fmt.Sprintf("sql/base/%d_new.sql", first+1)))
	if got := tables(t, Postgres(t, dsn, files(fsys))); fmt.Sprint(got) != "[new old]" {
		t.Errorf("tables %v", got)
	}
	if both := name(); !strings.Contains(both, old) || len(strings.Fields(both)) != 2 {
		t.Errorf("templates %q: want the old one as well, %s, since this process uses it", both, old)
	}

	// The next process.
	closeServer(t, dsn)
	Postgres(t, dsn, files(fsys))
	if only := name(); strings.Contains(only, old) || only == "" {
		t.Errorf("templates %q: want all but %s", only, old)
	}
}

// Services of one module may have the same options and number their files from 1.
func TestPostgresKeepsTheTemplatesOfOtherServices(t *testing.T) {
	dsn := Server(t)
	first := 1000 * number.Add(1)
	init := fmt.Sprintf("sql/base/%d_init.sql", first)
	services := []fstest.MapFS{
		folder(init, fmt.Sprintf("sql/base/%d_orders.sql", first+1), fmt.Sprintf("sql/base/%d_lines.sql", first+2)),
		folder(init, fmt.Sprintf("sql/base/%d_readers.sql", first+1), fmt.Sprintf("sql/base/%d_loans.sql", first+2)),
	}
	templateOf := func(fsys fstest.MapFS) string {
		closeServer(t, dsn) // each in a process of its own
		db := Postgres(t, dsn, files(fsys))
		// The time of the migrations: they ran in the template.
		return texts(t, db, `SELECT tstamp::text FROM goose_db_version WHERE version_id > 0 ORDER BY id LIMIT 1`)[0]
	}
	before := []string{templateOf(services[0]), templateOf(services[1])}
	if after := []string{templateOf(services[0]), templateOf(services[1])}; !slices.Equal(before, after) {
		t.Errorf("the migrations ran again: %v, then %v", before, after)
	}
}

// closeServer has the process forget the server, as if it were another one.
func closeServer(t *testing.T, dsn string) {
	t.Helper()
	s := pgServerAt(dsn)
	for c := s.take(); c != nil; c = s.take() {
		c.close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.templates)
}

func TestPostgresMakesATemplateAgainThatSomebodyDropped(t *testing.T) {
	dsn := Server(t)
	fsys := unique(folder("sql/base/1_dropped.sql"))
	Postgres(t, dsn, files(fsys))
	set, err := newSet("postgres", []gooseplus.Option{files(fsys)})
	if err != nil {
		t.Fatal(err)
	}
	template, err := pgServerAt(dsn).template(t.Context(), set)
	if err != nil {
		t.Fatal(err)
	}
	name, _ := template.get()
	mustExec(t, admin(t), "ALTER DATABASE "+name+" IS_TEMPLATE false", "DROP DATABASE "+name)
	if got := tables(t, Postgres(t, dsn, files(fsys))); fmt.Sprint(got) != "[dropped]" {
		t.Errorf("tables %v", got)
	}
}

// A template can be copied at any time, because nobody can connect to it.
func TestPostgresTemplateTakesNoConnections(t *testing.T) {
	dsn := Server(t)
	Postgres(t, dsn, files(folder("sql/base/1_closed.sql")))
	for _, name := range ours(t, kindTemplate) {
		other, err := postgresDSN(dsn, name)
		if err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open("postgres", other)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := db.Ping(); sqlState(err) != "55000" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPostgresOfTestsInParallel(t *testing.T) {
	runs := make(chan int64, 100)
	counted := goose.NewGoMigration(2, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { runs <- 1; return nil }}, nil)
	fsys := unique(folder("sql/base/1_parallel.sql"))
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			r := &recorder{TB: t, name: fmt.Sprintf("TestParallel/%d", i)}
			r.do(func() {
				db := Postgres(r, "", files(fsys), gooseplus.WithGoMigrations(counted))
				if _, err := db.Exec("INSERT INTO parallel VALUES (1)"); err != nil {
					r.Errorf("%v", err)
				}
			})
			r.end()
			if r.failed {
				t.Error(r.text())
			}
		})
	}
	all.Wait()
	if len(runs) != 1 {
		t.Errorf("the migrations ran %d times", len(runs))
	}
}

func TestPostgresSaysWhatIsWrong(t *testing.T) {
	broken := fstest.MapFS{"sql/base/1_broken.sql": migration("CREATE TABEL x;", "SELECT 1;")}
	for name, c := range map[string]struct {
		dsn  string
		opts []gooseplus.Option
		want string
	}{
		"a migration that fails":  {Server(t), []gooseplus.Option{files(broken)}, "sql/base/1_broken.sql"},
		"an option with a fault":  {Server(t), []gooseplus.Option{files(broken), gooseplus.WithVersionTable("a b")}, "WithVersionTable"},
		"another dialect":         {Server(t), []gooseplus.Option{files(broken), gooseplus.WithDialect("sqlite3")}, "the dialect is sqlite3"},
		"no DSN":                  {"nonsense:secret", []gooseplus.Option{files(folder("sql/base/1_x.sql"))}, "neither a URL"},
		"nobody there":            {"postgres://u:secret@127.0.0.1:1/x?sslmode=disable", []gooseplus.Option{files(folder("sql/base/1_x.sql"))}, "refused"},
		"a URL that can't be one": {"postgres://u:secret%zz@127.0.0.1:1/x", []gooseplus.Option{files(folder("sql/base/1_x.sql"))}, "the DSN is not a URL like"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{TB: t, name: "TestWrong"}
			r.do(func() { Postgres(r, c.dsn, c.opts...) })
			r.end()
			if text := r.text(); !r.failed || !strings.Contains(text, c.want) || strings.Contains(text, "secret") {
				t.Errorf("failed %v: %s", r.failed, text)
			}
		})
	}
	left := slices.DeleteFunc(ours(t, kindBuilding), func(name string) bool { return owner(name) != process })
	if len(left) > 0 {
		t.Errorf("half-made templates are left: %v", left)
	}
}

// A lock of its connections says that this process lives.
func TestPostgresKeepsItsConnectionWhenAMigrationFails(t *testing.T) {
	u, err := url.Parse(Server(t))
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("application_name", "gooseplustest") // so that nobody else uses its connections
	u.RawQuery = q.Encode()
	dsn := u.String()
	r := &recorder{TB: t, name: "TestWrong"}
	r.do(func() {
		Postgres(r, dsn, files(unique(folder("sql/base/1_x.sql"))), gooseplus.WithGoMigrations(
			goose.NewGoMigration(2, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return errors.New("wrong") }}, nil)))
	})
	r.end()
	c := pgServerAt(dsn).take()
	if c == nil || !strings.Contains(r.text(), "wrong") {
		t.Fatalf("there is no connection any more: %s", r.text())
	}
	c.close()
}

func TestPostgresLeavesNothingThatCanNotBeSet(t *testing.T) {
	name := cloneName(projectName(), t.Name())
	err := pgServerAt(Server(t)).create(t.Context(), name, "template0", []string{"SET nonsense TO 1"})
	if err == nil || slices.Contains(ours(t, kindClone), name) {
		t.Errorf("the databases are %v, error %v", ours(t, kindClone), err)
	}
}

// Without a look at the locks all processes would be dead ones.
func TestPostgresListsNothingWithoutTheLocks(t *testing.T) {
	answers := []error{nil, &pq.Error{Code: "53200"}}
	c := &pgConn{conn: queryFunc(func() (driver.Rows, error) {
		err := answers[0]
		answers = answers[1:]
		return new(oneRow), err
	})}
	if databases, _, err := c.list(t.Context()); err == nil || len(databases) > 0 {
		t.Errorf("%v, error %v", databases, err)
	}
}

func TestPostgresWithASchema(t *testing.T) {
	db := Postgres(t, "", files(folder("sql/base/1_bound.sql")), gooseplus.WithSchema("Acme Corp."))
	Stairway(t, gooseplus.New(db, files(folder("sql/base/1_bound.sql")), gooseplus.WithSchema("Acme Corp.")))
	if got := texts(t, db, `SELECT schemaname::text FROM pg_tables WHERE tablename = 'bound'`); fmt.Sprint(got) != "[Acme Corp.]" {
		t.Errorf("the table is in %v", got)
	}
}

// Somebody has made the schema of the version table, where the application runs.
func TestPostgresWithAVersionTableInASchema(t *testing.T) {
	for table, schema := range map[string]string{"app.versions": "app", `"The App".versions`: "The App"} {
		opts := []gooseplus.Option{files(folder("sql/base/1_versioned.sql")), gooseplus.WithVersionTable(table)}
		db := Postgres(t, "", opts...)
		if got := texts(t, db, `SELECT schemaname::text FROM pg_tables WHERE tablename = 'versions'`); fmt.Sprint(got) != "["+schema+"]" {
			t.Errorf("the version table is in %v, want %s", got, schema)
		}
		Stairway(t, gooseplus.New(db, opts...))
	}
}

// A search_path of the DSN is where the migrations have gone.
func TestPostgresWithASearchPath(t *testing.T) {
	u, err := url.Parse(Server(t))
	if err != nil {
		t.Fatal(err)
	}
	fsys := unique(folder("sql/base/2_found.sql"))
	fsys["sql/base/1_schemas.sql"] = migration("CREATE SCHEMA one; CREATE SCHEMA two;", "DROP SCHEMA one; DROP SCHEMA two;")
	for _, path := range []string{"one", "two"} {
		q := u.Query()
		q.Set("options", "-c search_path="+path+",public")
		u.RawQuery = q.Encode()
		db := Postgres(t, u.String(), files(fsys))
		if got := texts(t, db, `SELECT schemaname::text FROM pg_tables WHERE tablename = 'found'`); fmt.Sprint(got) != "["+path+"]" {
			t.Errorf("the table is in %v, want %s", got, path)
		}
	}
}

func TestPostgresHasTheSettingsOfItsTemplate(t *testing.T) {
	fsys := fstest.MapFS{"sql/base/1_settings.sql": migration(`
-- +goose StatementBegin
DO $$ BEGIN
	EXECUTE format('ALTER DATABASE %I SET timezone TO %L', current_database(), 'Asia/Tokyo');
	EXECUTE format('ALTER DATABASE %I SET search_path TO "$user", app, public', current_database());
END $$;
-- +goose StatementEnd`, "SELECT 1;")}
	db := Postgres(t, "", files(fsys))
	if got := texts(t, db, `SELECT current_setting('timezone') || ' ' || current_setting('search_path')`); fmt.Sprint(got) != `[Asia/Tokyo "$user", app, public]` {
		t.Errorf("settings %v", got)
	}
}

// A server that has no connection to give at the moment is waited for.
func TestPostgresWaitsForAConnection(t *testing.T) {
	calls := 0
	relieved := 0
	c := patient{connectorFunc(func() error {
		if calls++; calls < 3 {
			return &pq.Error{Code: "53300"}
		}
		return errors.New("there")
	}), func(context.Context) { relieved++ }}
	if _, err := c.Connect(t.Context()); err == nil || err.Error() != "there" || calls != 3 || relieved != 2 {
		t.Errorf("%v after %d calls, relieved %d times", err, calls, relieved)
	}
}

// An autovacuum worker in the database of a test is nobody's whom the user could end. Here it is a superuser's connection,
// which goes as soon as the server waits for it.
func TestPostgresDropsADatabaseThatTheServerIsAtWork(t *testing.T) {
	db := admin(t)
	mustExec(t, db, `DROP ROLE IF EXISTS gooseplustest_low`, `CREATE ROLE gooseplustest_low LOGIN CREATEDB PASSWORD 'low'`)
	defer mustExec(t, db, `DROP ROLE gooseplustest_low`)
	u, err := url.Parse(Server(t))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("gooseplustest_low", "low")
	s := pgServerAt(u.String())
	name := cloneName(projectName(), "busy")
	if err := s.create(t.Context(), name, "template0", nil); err != nil {
		t.Fatal(err)
	}
	worker, err := pgServerAt(Server(t)).open(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := worker.Ping(); err != nil {
		t.Fatal(err)
	}
	dropped := make(chan error)
	go func() {
		dropped <- s.admin(context.Background(), func(_ context.Context, c *pgConn) error { return c.drop(context.Background(), name, true) })
	}()
	const waiting = `SELECT pid::text FROM pg_stat_activity WHERE usename = 'gooseplustest_low' AND state = 'active' AND query LIKE 'DROP DATABASE%' AND query NOT LIKE '%FORCE%'`
	for len(texts(t, db, waiting)) == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := worker.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-dropped; err != nil {
		t.Error(err)
	}
	if slices.Contains(ours(t, kindClone), name) {
		t.Errorf("%s is still there", name)
	}
	for c := s.take(); c != nil; c = s.take() {
		c.close()
	}
}
