package gooseplus_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gooseplus/gooseplus"
)

// appliedIn asserts the rows of a namespace's version table, in the order they were written.
func appliedIn(t testing.TB, db *sql.DB, namespace string, want ...int64) {
	t.Helper()
	var got []int64
	rows, err := db.Query(`SELECT version_id FROM "goose_db_version_` + namespace + `" WHERE version_id > 0 ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var v int64
		if err := rows.Scan(&v); err != nil {
			t.Fatal(err)
		}
		got = append(got, v)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: applied versions %v, want %v", namespace, got, want)
	}
}

func TestNamespaceFaults(t *testing.T) {
	t.Parallel()
	two := folder("sql/core/1_a.sql", "sql/shared/1_b.sql")
	long := strings.Repeat("x", 47) // goose_db_version_ and 46 bytes are 63
	for situation, s := range map[string]struct {
		fsys  fstest.MapFS
		opts  []gooseplus.Option
		texts []string
	}{
		"no name":          {two, []gooseplus.Option{gooseplus.WithNamespaces()}, []string{"WithNamespaces: there is no name"}},
		"an empty name":    {two, []gooseplus.Option{gooseplus.WithNamespaces("core", "")}, []string{"WithNamespaces: a name is empty"}},
		"given twice":      {two, []gooseplus.Option{gooseplus.WithNamespaces("core", "core")}, []string{`"core" and "core" would have the same version table`}},
		"in other letters": {two, []gooseplus.Option{gooseplus.WithNamespaces("core", "Core")}, []string{`"core" and "Core" would have the same version table`}},
		"no names of folders": {two, []gooseplus.Option{gooseplus.WithNamespaces("core", "..", "a/b", `a\b`, ".", " a", "a ", "a\x00", "a\n", "a\xff")},
			[]string{`".."`, `"a/b"`, `"a\\b"`, `"."`, `" a"`, `"a "`, `"a\x00"`, `"a\n"`, `"a\xff"`}},
		"names of the state table": {two, []gooseplus.Option{gooseplus.WithNamespaces("core", "lock", "LOCK_rows", "lock_mutex")},
			[]string{`"lock" is kept for the state table`, `"LOCK_rows" is kept`, `"lock_mutex" is kept`}},
		"names of indexes and sequences": {two, []gooseplus.Option{gooseplus.WithDialect("postgres"), gooseplus.WithNamespaces("core", "pkey", "core_pkey", "core_id_seq")},
			[]string{`"pkey" is what PostgreSQL calls`, `"core_pkey" is what`, `"core_id_seq" is what`}},
		"too long": {two, []gooseplus.Option{gooseplus.WithDialect("postgres"), gooseplus.WithNamespaces("core", long)},
			[]string{`namespace "` + long + `": the version table: `, "longer than 63 bytes"}},
		"too long on MySQL": {two, []gooseplus.Option{gooseplus.WithDialect("mysql"), gooseplus.WithNamespaces("core", long+"x")}, []string{"longer than 64 characters"}},
		"too long in a schema": {two, []gooseplus.Option{gooseplus.WithDialect("postgres"), gooseplus.WithSchema("s"), gooseplus.WithNamespaces("core", long)},
			[]string{"longer than 63 bytes"}},
		"a name that needs quotes, where nobody knows how": {two, []gooseplus.Option{gooseplus.WithDialect("clickhouse"), gooseplus.WithNamespaces("core", "a-b")},
			[]string{`namespace "a-b": the dialect clickhouse takes no name that needs quotes`}},
		"no folder": {two, []gooseplus.Option{gooseplus.WithNamespaces("core", "billing", "shred")},
			[]string{`namespace "billing": migrations can't be merged: there is no folder sql/billing`, `namespace "shred": `, `did you mean "shared"?`}},
		"no base path": {two, []gooseplus.Option{gooseplus.WithBasePath("db"), gooseplus.WithNamespaces("core")}, []string{"there is no folder db/core"}},
		"a base path that is no folder": {fstest.MapFS{"sql": migrationFile("", "")}, []gooseplus.Option{gooseplus.WithNamespaces("core", "shared")},
			[]string{`base path "sql": `}},
		"a base path outside": {two, []gooseplus.Option{gooseplus.WithBasePath("../sql"), gooseplus.WithNamespaces("core")}, []string{`base path "../sql": must be relative`}},
		"files in two ways": {folder("sql/core/1_a.sql", "sql/core/production/2_b.sql", "sql/shared/1_b.sql"), []gooseplus.Option{gooseplus.WithNamespaces("core", "shared")},
			[]string{`namespace "core": `, "both directly in sql/core and in a folder of it, sql/core/1_a.sql and sql/core/production/2_b.sql"}},
		"in several": {folder("sql/core/1_a.sql", "sql/core/1_c.sql", "sql/shared/base/1_b.sql", "sql/shared/prodution/1_b.sql"),
			[]gooseplus.Option{gooseplus.WithNamespaces("core", "shared"), gooseplus.WithEnvironments("production")},
			[]string{`namespace "core": migrations can't be merged: version 1 is claimed by both`, `namespace "shared": migrations can't be merged: environment "production"`}},
		"an explicit Go migration of none": {two, []gooseplus.Option{gooseplus.WithNamespaces("core", "shared"), gooseplus.WithGoMigrations(nil, goose.NewGoMigration(4, nil, nil))},
			[]string{"WithGoMigrations: migration 1: is nil", "WithGoMigrations: migration 2: version 4: its Source is in the folder of no namespace"}},
		"definitions of none": {two, []gooseplus.Option{gooseplus.WithNamespaces("core", "shared"), gooseplus.WithDefinitions(new(gooseplus.Definitions)),
			gooseplus.WithDefinitions(&gooseplus.Definitions{Namespace: "billing"}), gooseplus.WithDefinitions(nil)},
			[]string{`their Namespace is "", and there are "core", "shared"`, `their Namespace is "billing"`, "it is nil"}},
		"definitions of a namespace, without any": {folder("sql/base/1_a.sql"), []gooseplus.Option{gooseplus.WithDefinitions(&gooseplus.Definitions{Namespace: "core"})},
			[]string{`their Namespace is "core", and there are none`}},
		"other options": {two, []gooseplus.Option{gooseplus.WithNamespaces("core", "billing"), gooseplus.WithTimeout(-1), gooseplus.WithVersionTable("a b"),
			gooseplus.WithGooseOptions(goose.WithDisableVersioning(true))}, []string{"WithTimeout", "WithVersionTable", "WithGooseOptions: option 1", `namespace "billing": `}},
	} {
		t.Run(situation, func(t *testing.T) {
			fault(t, func(db *sql.DB) *gooseplus.Migrator { return sqlite(db, s.fsys, s.opts...) }, s.texts...)
		})
	}

	t.Run("a file that can't be parsed", func(t *testing.T) {
		fsys := folder("sql/core/1_a.sql", "sql/shared/1_b.sql")
		fsys["sql/shared/2_x.sql"] = &fstest.MapFile{Data: []byte("-- +goose Sideways\n")}
		err := sqlite(nil, fsys, gooseplus.WithNamespaces("core", "shared")).Err()
		var failed *gooseplus.MigrationError
		if !errors.As(err, &failed) || failed.Namespace != "shared" || failed.Version != 2 {
			t.Errorf("%v", err)
		}
	})
}

// TestNamespaceMustBeChosen: methods that take a version need a chosen namespace, and are refused without touching the database.
func TestNamespaceMustBeChosen(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := openSQLite(t)
	calls := func(m *gooseplus.Migrator) map[string]error {
		_, version := m.Version(ctx)
		_, status := m.Status(ctx)
		return map[string]error{
			"MigrateTo": m.MigrateTo(ctx, 1), "Goto": m.Goto(ctx, 1), "Rollback": m.Rollback(ctx, 1), "RollbackTo": m.RollbackTo(ctx, 0),
			"Force": m.Force(ctx, 1), "LockVersion": m.LockVersion(ctx, 1), "UnlockVersion": m.UnlockVersion(ctx, 1), "Version": version, "Status": status,
		}
	}
	two := folder("sql/core/1_a.sql", "sql/shared/1_b.sql")
	m := sqlite(db, two, gooseplus.WithNamespaces("core", "shared"))
	want := func(calls map[string]error, text string) {
		t.Helper()
		for name, err := range calls {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %v, want %q", name, err, text)
			}
		}
	}
	want(calls(m), `choose one of "core", "shared" with Namespace`)

	for text, wrong := range map[string]*gooseplus.Migrator{
		`namespace "typo" is unknown: there are "core", "shared"`:                            m.Namespace("typo"),
		`namespace "" is unknown: there are "core", "shared"`:                                m.Namespace(""),
		`namespace "core" is unknown: this Migrator has no namespaces`:                       sqlite(db, folder("sql/base/1_a.sql")).Namespace("core"),
		`namespace "shared" can't be chosen: this Migrator is for the namespace "core"`:      m.Namespace("core").Namespace("shared"),
		`namespace "billing" is unknown: there are "core", "shared"`:                         m.Tenant(gooseplus.Tenant{Name: "x"}).Namespace("billing"),
		`migrations can't be merged: there is no folder sql/nowhere`:                         sqlite(db, two, gooseplus.WithNamespaces("core", "nowhere")).Namespace("core"),
		`WithNamespaces: there is no name` + "\n" + `namespace "core" is unknown: there are`: sqlite(db, two, gooseplus.WithNamespaces()).Namespace("core"),
	} {
		all := calls(wrong)
		all["Err"], all["Migrate"] = wrong.Err(), wrong.Migrate(ctx)
		_, all["NamespaceStatus"] = wrong.NamespaceStatus(ctx)
		want(all, text)
	}
	want(map[string]error{"MigrateNamespace": m.MigrateNamespace(ctx, "typo")}, `there are "core", "shared"`)
	for _, m := range []*gooseplus.Migrator{sqlite(db, folder("sql/base/1_a.sql")), m.Namespace("core")} {
		_, err := m.NamespaceStatus(ctx)
		want(map[string]error{"NamespaceStatus": err}, "NamespaceStatus needs a Migrator with namespaces")
	}
	untouched(t, db)
}

// TestNamespaceLayouts: files directly in the folder, and folders of environments.
func TestNamespaceLayouts(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	base := []gooseplus.Option{gooseplus.WithNamespaces("core")}
	for situation, s := range map[string]struct {
		paths []string
		opts  []gooseplus.Option
		want  []int64
	}{
		"files alone":                         {[]string{"sql/core/1_a.sql"}, nil, []int64{1}},
		"environments":                        {[]string{"sql/core/base/1_a.sql", "sql/core/test/2_b.sql", "sql/core/other/3_c.sql"}, []gooseplus.Option{gooseplus.WithEnvironments("test")}, []int64{1, 2}},
		"an environment without its folder":   {[]string{"sql/core/base/1_a.sql"}, []gooseplus.Option{gooseplus.WithEnvironments("test")}, []int64{1}},
		"files alone, in every environment":   {[]string{"sql/core/1_a.sql"}, []gooseplus.Option{gooseplus.WithEnvironments("test")}, []int64{1}},
		"environments are off":                {[]string{"sql/core/1_a.sql", "sql/core/base/2_b.sql"}, []gooseplus.Option{gooseplus.SetEnvironments(nil)}, []int64{1}},
		"both, on purpose":                    {[]string{"sql/core/1_a.sql", "sql/core/test/2_b.sql"}, []gooseplus.Option{gooseplus.SetEnvironments([]string{"", "test"})}, []int64{1, 2}},
		"a folder without migrations":         {[]string{"sql/core/1_a.sql", "sql/core/docs/about.md"}, nil, []int64{1}},
		"a base path that is the root":        {[]string{"core/1_a.sql"}, []gooseplus.Option{gooseplus.WithBasePath(".")}, []int64{1}},
		"nothing but a file that is ignored":  {[]string{"sql/core/about.md"}, nil, nil},
		"a pair beside an environment's file": {[]string{"sql/core/base/1_a.sql", "sql/core/about.md"}, nil, []int64{1}},
	} {
		t.Run(situation, func(t *testing.T) {
			db := openSQLite(t)
			m := sqlite(db, folder(s.paths...), append(base, s.opts...)...)
			mustMigrate(t, m)
			if status, err := m.Namespace("core").Status(ctx); err != nil || len(status.Migrations) != len(s.want) {
				t.Errorf("%+v, %v", status, err)
			}
			if s.want != nil {
				appliedIn(t, db, "core", s.want...)
			} else {
				untouched(t, db)
			}
		})
	}
}

// TestNamespaceWarnings: there is a warning about files that are in no namespace, and each warning names its namespace.
func TestNamespaceWarnings(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var warnings []string
	m := sqlite(openSQLite(t), folder("sql/a.sql", "sql/about.md", "sql/core/1_b.sql", "sql/core/3_c.sql", "sql/shared/base/1_d.sql"),
		gooseplus.WithNamespaces("core", "shared"), gooseplus.WithEnvironments("test"), gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
			mu.Lock()
			defer mu.Unlock()
			if w, ok := e.(gooseplus.Warning); ok {
				warnings = append(warnings, w.Namespace+": "+w.Message)
			}
		}))
	mustMigrate(t, m)
	mu.Lock()
	defer mu.Unlock()
	want := []string{
		": sql/a.sql is in no namespace: it is ignored",
		"core: the numbering has a gap: there is no version 2",
		`shared: environment "test" has no folder sql/shared/test: it counts as empty`,
	}
	if !slices.Equal(warnings, want) {
		t.Errorf("warnings\n%q, want\n%q", warnings, want)
	}
}

// TestNamespacesOfGoMigrations: they belong to the namespace whose folder their source is in, definitions to the one
// that they name.
func TestNamespacesOfGoMigrations(t *testing.T) {
	register(t, "/build/app/sql/core/base/0002_x.go", "/build/app/sql/shared/0003_y.go", "/build/app/sql/billing/0004_z.go")
	db := openSQLite(t)
	explicit := goose.NewGoMigration(2, nil, nil)
	explicit.Source = "sql/shared/2_explicit.go"
	d := &gooseplus.Definitions{Namespace: "views"}
	d.Define(1).Up("CREATE VIEW v AS SELECT 1 AS a").Down("DROP VIEW v")
	m := sqlite(db, folder("sql/core/base/1_a.sql", "sql/shared/1_b.sql"), gooseplus.WithNamespaces("core", "shared", "views"),
		gooseplus.WithGoMigrations(explicit), gooseplus.WithDefinitions(d)) // views has no folder, and needs none
	mustMigrate(t, m)
	appliedIn(t, db, "core", 1, 2)
	appliedIn(t, db, "shared", 1, 2, 3)
	appliedIn(t, db, "views", 1)

	only := sqlite(openSQLite(t), folder("sql/views/1_b.sql"), gooseplus.WithNamespaces("views"),
		gooseplus.WithGoMigrations(goose.NewGoMigration(2, nil, nil)), gooseplus.WithDefinitions(new(gooseplus.Definitions)))
	if err := only.Err(); err != nil {
		t.Errorf("with one namespace everything is its: %v", err)
	}
}

// TestNamespaceTables: the tables are those that are documented, and one state table is all there is besides.
func TestNamespaceTables(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	m := sqlite(db, folder("sql/core/1_a.sql", "sql/customer-mgmt/1_b.sql"), gooseplus.WithNamespaces("core", "customer-mgmt"),
		gooseplus.WithVersionTable("history"), gooseplus.WithGlobalLock(true))
	mustMigrate(t, m)
	var tables string
	if err := db.QueryRow(`SELECT group_concat(name, ' ') FROM (SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'history%' ORDER BY name)`).Scan(&tables); err != nil {
		t.Fatal(err)
	}
	if want := "history_core history_customer-mgmt history_lock"; tables != want {
		t.Errorf("tables %q, want %q", tables, want)
	}
}

// TestNamespaceInTheLog: each line about a namespace says so.
func TestNamespaceInTheLog(t *testing.T) {
	t.Parallel()
	core, lines := observer.New(zap.DebugLevel)
	mustMigrate(t, sqlite(openSQLite(t), folder("sql/core/1_a.sql", "sql/shared/1_b.sql"), gooseplus.WithNamespaces("core", "shared"),
		gooseplus.WithLogger(zap.New(core))))
	var said []string
	for _, line := range lines.All() {
		said = append(said, fmt.Sprint(line.Message, " ", line.ContextMap()["namespace"]))
	}
	want := []string{
		"migrating the database core", "migration started core", "migration applied core",
		"migrating the database shared", "migration started shared", "migration applied shared",
		"database migrated core", "database migrated shared",
	}
	if !slices.Equal(said, want) {
		t.Errorf("logged %q, want %q", said, want)
	}
}

// FuzzNamespaces: of two names that are accepted each has a table of its own, called as documented, beside the
// state table.
func FuzzNamespaces(f *testing.F) {
	for _, names := range [][2]string{{"core", "shared"}, {"a b", `a"b`}, {"lock", "lock_rows"}, {"a", "A"}, {"é", "É"}, {"a.b", "a"}, {"'", "''"}, {"x%", "x_"}, {"\u2028", "K"}} {
		f.Add(names[0], names[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		fsys := fstest.MapFS{}
		for _, name := range []string{a, b} {
			if path := "sql/" + name + "/1_x.sql"; fs.ValidPath(path) {
				fsys[path] = migrationFile("SELECT 1;", "SELECT 1;")
			}
		}
		db, err := sql.Open("sqlite", ":memory:")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		db.SetMaxOpenConns(1)
		m := sqlite(db, fsys, gooseplus.WithNamespaces(a, b), gooseplus.WithGlobalLock(true))
		if m.Err() != nil {
			return
		}
		for range 2 {
			if err := m.Migrate(context.Background()); err != nil {
				t.Fatalf("%q, %q: %v", a, b, err)
			}
		}
		for _, name := range []string{a, b} {
			if v, err := m.Namespace(name).Version(context.Background()); v != 1 || err != nil {
				t.Errorf("%q: version %d, %v", name, v, err)
			}
			var n int
			if err := db.QueryRow(`SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?`, "goose_db_version_"+name).Scan(&n); err != nil || n != 1 {
				t.Errorf("%q: %d tables, %v", name, n, err)
			}
		}
		var tables int
		if err := db.QueryRow(`SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name LIKE 'goose%'`).Scan(&tables); err != nil || tables != 3 {
			t.Errorf("%q, %q: %d tables, %v", a, b, tables, err)
		}
	})
}

// opensFS counts what is opened.
type opensFS struct {
	fstest.MapFS
	mu    *sync.Mutex
	files map[string]int
	dirs  *int
}

func (f opensFS) Open(name string) (fs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.HasSuffix(name, ".sql") {
		f.files[name]++
	} else {
		*f.dirs++
	}
	return f.MapFS.Open(name)
}

// ReadFile and ReadDir hide MapFS's own, which would not be counted.
func (f opensFS) ReadFile(name string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.files[name]++
	return f.MapFS.ReadFile(name)
}

func (f opensFS) ReadDir(name string) ([]fs.DirEntry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	*f.dirs++
	return f.MapFS.ReadDir(name)
}

// manyFiles are 2,000 migrations in ten namespaces, half of them in environments.
func manyFiles() (fsys fstest.MapFS, names []string) {
	fsys = fstest.MapFS{}
	for n := range 10 {
		name := fmt.Sprintf("context%d", n)
		names = append(names, name)
		for i := range 200 {
			dir := "sql/" + name
			if n%2 == 0 {
				dir += []string{"/base", "/test"}[i%2]
			}
			fsys[fmt.Sprintf("%s/%03d_x.sql", dir, i+1)] = migrationFile(fmt.Sprintf("CREATE TABLE t_%d_%d (id INTEGER);", n, i), "")
		}
	}
	return fsys, names
}

// TestNamespacesOpenWhatIsPending: of 2,000 files none is opened whose migration isn't pending, and each folder is
// listed a fixed number of times.
func TestNamespacesOpenWhatIsPending(t *testing.T) {
	t.Parallel()
	fsys, names := manyFiles()
	db := openSQLite(t)
	options := []gooseplus.Option{gooseplus.WithNamespaces(names...), gooseplus.WithEnvironments("test"),
		gooseplus.WithRollback(gooseplus.RollbackTransaction), gooseplus.WithChecksums(gooseplus.Ignore)}
	mustMigrate(t, sqlite(db, fsys, options...))
	fsys["sql/context3/201_next.sql"] = migrationFile("CREATE TABLE next (id INTEGER);", "DROP TABLE next;")
	counted := opensFS{fsys, new(sync.Mutex), make(map[string]int), new(int)}
	m := sqlite(db, nil, append(options, gooseplus.WithFS(counted))...)
	mustMigrate(t, m.Namespace("context1"))
	if len(counted.files) > 0 || *counted.dirs > 45 {
		t.Errorf("opened %v and %d folders", counted.files, *counted.dirs)
	}
	mustMigrate(t, m)
	if len(counted.files) != 1 || counted.files["sql/context3/201_next.sql"] == 0 {
		t.Errorf("opened %v", counted.files)
	}
}

// BenchmarkResolveNamespaces resolves 2,000 files over ten namespaces, in the operating system's file system.
func BenchmarkResolveNamespaces(b *testing.B) {
	fsys, names := manyFiles()
	dir := b.TempDir()
	if err := os.CopyFS(dir, fsys); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		m := gooseplus.New(nil, gooseplus.WithDialect("sqlite"), gooseplus.WithFS(os.DirFS(dir)),
			gooseplus.WithNamespaces(names...), gooseplus.WithEnvironments("test"))
		if _, err := m.Version(context.Background()); err == nil || !strings.Contains(err.Error(), "choose one") {
			b.Fatal(err) // it resolves, and is refused then
		}
	}
}
