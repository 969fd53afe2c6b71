package gooseplus_test

import (
	"context"
	"database/sql"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

// TestLookingInTheWrongPlace: a run that would find nothing there is refused, and told the option that mends it.
func TestLookingInTheWrongPlace(t *testing.T) {
	t.Parallel()
	option := func(opts ...gooseplus.Option) []gooseplus.Option { return opts }
	path := gooseplus.WithBasePath
	for situation, s := range map[string]struct {
		files []string
		opts  []gooseplus.Option
		want  string // without "migrations can't be merged: "
	}{
		"a flat folder": {[]string{"sql/1_a.sql", "sql/2_b.sql"}, nil,
			`sql/1_a.sql (and 1 more) is directly in the base path sql, where migrations are read only without environments: ` +
				`move it into the folder of one (sql/base), or use SetEnvironments(nil) if all migrations are directly in the base path`},
		"a flat folder of pairs": {[]string{"sql/1_a.up.sql", "sql/1_a.down.sql"}, nil, "sql/1_a.down.sql (and 1 more) is directly in the base path sql"},
		"a flat folder, and definitions": {[]string{"sql/1_a.sql"}, option(gooseplus.WithDefinitions(viewDefinitions())),
			"sql/1_a.sql is directly in the base path sql"},
		"a migration beside the folders": {[]string{"sql/base/1_a.sql", "sql/2_b.sql"}, nil, "sql/2_b.sql is directly in the base path sql"},
		"a Go migration beside them":     {[]string{"sql/base/1_a.sql", "sql/2_b.go"}, nil, "sql/2_b.go is directly in the base path sql"},
		"an environment's folder": {[]string{"sql/base/1_a.sql", "sql/production/2_b.sql"}, option(path("sql/production")),
			`sql/production/2_b.sql is directly in the base path sql/production, which is the folder of an environment: ` +
				`use WithBasePath("sql") and WithEnvironments("production")`},
		"the folder of base": {[]string{"base/1_a.sql", "production/2_b.sql"}, option(path("base"), gooseplus.WithEnvironments("production")),
			`base/1_a.sql is directly in the base path base, which is the folder of an environment: use WithBasePath(".")`},
		"an environment's folder without files": {[]string{"sql/base/1_a.sql", "sql/production/README.md"}, option(path("sql/production")),
			`none of the environments has a folder (sql/production/base), so there are no migrations: ` +
				`the base path is sql/production, which is the folder of an environment: use WithBasePath("sql") and WithEnvironments("production")`},
		"no folder of the environments": {[]string{"sql/production/1_a.sql"}, nil,
			"none of the environments has a folder (sql/base), so there are no migrations; there is sql/production/1_a.sql: " +
				"choose the folders with WithEnvironments or SetEnvironments"},
		"several, and no folder of any": {[]string{"sql/core/1_a.sql"}, option(gooseplus.WithEnvironments("production")),
			"none of the environments has a folder (sql/base, sql/production)"},
		"a base path too high":             {[]string{"db/sql/base/1_a.sql"}, option(path("db")), `did you mean WithBasePath("db/sql")?`},
		"the root":                         {[]string{"sql/base/1_a.sql"}, option(path(".")), `did you mean WithBasePath("sql")?`},
		"nothing at all":                   {[]string{"sql/README.md"}, nil, "make the folder, even an empty one, or say with WithFS and WithBasePath where it is"},
		"no base path":                     {[]string{"db/README.md"}, nil, `there is no folder "sql" (there are: db); WithBasePath says where the migrations are`},
		"no base path, and base beside it": {[]string{"base/1_a.sql"}, nil, `did you mean WithBasePath(".")? base is there`},
		"folders where no environments are": {[]string{"sql/base/1_a.sql"}, option(gooseplus.SetEnvironments(nil)),
			"there is no migration directly in sql; there is sql/base/1_a.sql: with SetEnvironments(nil) or an empty name, the"},
		"a hyphen": {[]string{"sql/base/20240101000000-a.sql"}, nil, "there is no migration at all, and sql/base/20240101000000-a.sql is badly named: " +
			"a migration's name is VERSION_name.sql, or for a pair VERSION_name.up.sql and VERSION_name.down.sql"},
		"no version":                       {[]string{"sql/base/a.sql"}, nil, "sql/base/a.sql is badly named"},
		"capitals":                         {[]string{"sql/base/1_a.SQL"}, nil, "sql/base/1_a.SQL is badly named"},
		"halves in capitals":               {[]string{"sql/base/1_a.UP.sql"}, nil, "sql/base/1_a.UP.sql is badly named"},
		"badly named, and flat":            {[]string{"sql/1-a.sql"}, option(gooseplus.SetEnvironments(nil)), "sql/1-a.sql is badly named"},
		"badly named beside":               {[]string{"sql/base/README.md", "sql/1-a.sql"}, nil, "sql/1-a.sql is badly named"},
		"nothing but deeper":               {[]string{"sql/base/2024/1_a.sql"}, nil, "there is no migration in sql/base; there is sql/base/2024/1_a.sql: folders inside are not read"},
		"version 0":                        {[]string{"sql/base/0_a.sql", "sql/base/1_b.sql"}, nil, "sql/base/0_a.sql has version 0, and versions begin at 1: rename the file"},
		"version 0 of a pair":              {[]string{"sql/base/000_a.up.sql", "sql/base/000_a.down.sql", "sql/base/1_b.sql"}, nil, "sql/base/000_a.up.sql has version 000"},
		"version 0 in Go":                  {[]string{"sql/base/0_a.go", "sql/base/1_b.sql"}, nil, "sql/base/0_a.go has version 0"},
		"version 0 given":                  {[]string{"sql/base/1_b.sql"}, option(gooseplus.WithGoMigrations(goose.NewGoMigration(0, nil, nil))), "WithGoMigrations: migration 1: "},
		"a version too high":               {[]string{"sql/base/9223372036854775808_a.sql", "sql/base/1_b.sql"}, nil, "and the highest is 9223372036854775807"},
		"version 0 of the base path, flat": {[]string{"sql/0_a.sql"}, option(gooseplus.SetEnvironments(nil)), "sql/0_a.sql has version 0"},
		"beside the namespaces": {[]string{"sql/core/1_a.sql", "sql/2_b.sql"}, option(gooseplus.WithNamespaces("core")),
			`sql/2_b.sql is directly in the base path, and in no namespace: move it into the folder of one ("core")`},
		"badly named in a namespace": {[]string{"sql/core/1-a.sql", "sql/shared/1_b.sql"}, option(gooseplus.WithNamespaces("core", "shared")),
			"sql/core/1-a.sql is badly named"},
		"no environment in any namespace": {[]string{"sql/core/test/1_a.sql"}, option(gooseplus.WithNamespaces("core")),
			"none of the environments has a folder (sql/core/base)"},
	} {
		t.Run(situation, func(t *testing.T) {
			wantIs(t, fault(t, func(db *sql.DB) *gooseplus.Migrator { return sqlite(db, folder(s.files...), s.opts...) }, s.want),
				gooseplus.ErrMergeMigrations)
		})
	}
}

// TestWhatIsNoFault: all of this is a choice that somebody may have made. warnings is how many there are.
func TestWhatIsNoFault(t *testing.T) {
	t.Parallel()
	option := func(opts ...gooseplus.Option) []gooseplus.Option { return opts }
	inGo := goose.NewGoMigration(2, &goose.GoFunc{RunTx: create(2)}, nil)
	for situation, s := range map[string]struct {
		files    []string
		opts     []gooseplus.Option
		warnings int
		want     []int64
	}{
		"an empty folder":                   {[]string{"sql/base/.gitkeep"}, nil, 1, nil},
		"an empty flat folder":              {[]string{"sql/.gitkeep"}, option(gooseplus.SetEnvironments(nil)), 1, nil},
		"an empty folder beside others":     {[]string{"sql/base/.gitkeep", "sql/production/1_a.sql"}, nil, 1, nil},
		"one folder missing":                {[]string{"sql/base/1_a.sql"}, option(gooseplus.WithEnvironments("staging")), 1, []int64{1}},
		"base missing":                      {[]string{"sql/staging/1_a.sql"}, option(gooseplus.WithEnvironments("staging")), 1, []int64{1}},
		"an environment's folder, flat":     {[]string{"sql/base/1_a.sql", "sql/production/2_b.sql"}, option(gooseplus.WithBasePath("sql/base"), gooseplus.SetEnvironments(nil)), 0, []int64{1}},
		"definitions, and no folder":        {nil, option(gooseplus.WithDefinitions(viewDefinitions())), 0, []int64{1, 2, 3}},
		"definitions, and another folder":   {[]string{"sql/README.md"}, option(gooseplus.WithDefinitions(viewDefinitions())), 1, []int64{1, 2, 3}},
		"Go migrations, and no folder":      {nil, option(gooseplus.WithGoMigrations(inGo)), 0, []int64{2}},
		"their files in the base path":      {[]string{"sql/2_x.go"}, option(gooseplus.WithGoMigrations(inGo)), 1, []int64{2}},
		"the root as base path":             {[]string{"base/1_a.sql", "main.go", "README.md"}, option(gooseplus.WithBasePath(".")), 0, []int64{1}},
		"files excluded":                    {[]string{"sql/base/1_a.sql"}, option(gooseplus.WithGooseOptions(goose.WithExcludeVersions([]int64{1}))), 0, nil},
		"deeper folders":                    {[]string{"sql/base/1_a.sql", "sql/base/old/0_b.sql"}, nil, 1, []int64{1}},
		"a dump of the schema beside":       {[]string{"sql/base/1_a.sql", "sql/schema.sql"}, nil, 1, []int64{1}},
		"a name with a space":               {[]string{"sql/base/1_a.sql", "sql/my data/2_b.sql"}, option(gooseplus.WithEnvironments("my data")), 0, []int64{1, 2}},
		"several namespaces, one not there": {[]string{"sql/core/1_a.sql", "sql/demo/test/1_a.sql"}, option(gooseplus.WithNamespaces("core", "demo")), 0, nil},
	} {
		t.Run(situation, func(t *testing.T) {
			db := openSQLite(t)
			m := sqlite(db, folder(s.files...), s.opts...)
			if err := m.Err(); err != nil {
				t.Fatal(err)
			}
			if got := m.Warnings(); len(got) != s.warnings && m.Namespaces() == nil {
				t.Errorf("warnings %q", got)
			}
			mustMigrate(t, m)
			if s.want != nil {
				applied(t, db, s.want...)
			}
		})
	}
}

// TestNamesOfEnvironments: a list in one string, or a path, would be a folder that isn't there.
func TestNamesOfEnvironments(t *testing.T) {
	t.Parallel()
	fsys := folder("sql/base/1_a.sql", "sql/test/2_b.sql", "sql/production/3_c.sql")
	for name, want := range map[string]string{
		"production,test":   `WithEnvironments: "production,test" has a comma: did you mean several names, WithEnvironments("production", "test")?`,
		"production, test,": `WithEnvironments("production", "test")?`,
		"sql/production":    `WithEnvironments: "sql/production" has a slash: an environment is one folder of the base path`,
		"production/":       "has a slash",
		`sql\production`:    "has a slash",
		" production":       `WithEnvironments: " production" has spaces around it: did you mean "production"?`,
		"production\n":      `did you mean "production"?`,
		"\t":                "is blank: is a variable not set?",
		"..":                `".." is not the name of a folder`,
		".":                 `"." is not the name of a folder`,
		"prod\x00":          "is not the name of a folder",
		"production test":   `did you mean several names, WithEnvironments("production", "test")?`,
		"production;test":   `did you mean several names, WithEnvironments("production", "test")?`,
		"test:production":   `did you mean several names, WithEnvironments("test", "production")?`,
	} {
		t.Run(name, func(t *testing.T) {
			for _, opt := range []gooseplus.Option{gooseplus.WithEnvironments(name), gooseplus.SetEnvironments([]string{"base", name})} {
				fault(t, func(db *sql.DB) *gooseplus.Migrator { return sqlite(db, fsys, opt) }, want)
			}
		})
	}
}

// TestWrongPlaceOnDisk: as in memory, with real folders, empty ones too.
func TestWrongPlaceOnDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, folder := range []string{"empty", "sql/base", "sql/production"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.FromSlash(folder)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	on := func(db *sql.DB, fsys fs.FS, opts ...gooseplus.Option) *gooseplus.Migrator {
		return gooseplus.New(db, append([]gooseplus.Option{gooseplus.WithDialect("sqlite"), gooseplus.WithFS(fsys)}, opts...)...)
	}
	db := openSQLite(t)
	mustMigrate(t, on(db, os.DirFS(dir)))
	untouched(t, db)
	mustMigrate(t, on(db, os.DirFS(dir), gooseplus.WithBasePath("empty"), gooseplus.SetEnvironments(nil)))
	fault(t, func(db *sql.DB) *gooseplus.Migrator { return on(db, os.DirFS(dir), gooseplus.WithBasePath("empty")) },
		"none of the environments has a folder (empty/base)")
	fault(t, func(db *sql.DB) *gooseplus.Migrator { return on(db, os.DirFS(filepath.Join(dir, "sql", "base"))) }, `base path "sql"`)
}

// TestPairsOfOddNames go up and down, with a warning.
func TestPairsOfOddNames(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{
		"sql/base/1_add_as.up.sql":  {Data: []byte("CREATE TABLE a (id INTEGER)")},
		"sql/base/1_add_a.down.sql": {Data: []byte("DROP TABLE a")},
		"sql/base/2_b.up..sql":      {Data: []byte("CREATE TABLE b (id INTEGER)")},
		"sql/base/002_b.down.sql":   {Data: []byte("DROP TABLE b")},
	}
	db := openSQLite(t)
	m := sqlite(db, fsys)
	got := strings.Join(m.Warnings(), "\n")
	want := strings.Join([]string{
		"sql/base/2_b.up..sql is taken for the up half of a pair, as golang-migrate does: end its name in .up.sql",
		"sql/base/1_add_as.up.sql and sql/base/1_add_a.down.sql are taken for a pair because they have the same version: give them the same name",
		"sql/base/2_b.up..sql and sql/base/002_b.down.sql are taken for a pair because they have the same version: give them the same name",
	}, "\n")
	if got != want {
		t.Errorf("warnings\n%s\nwant\n%s", got, want)
	}
	mustMigrate(t, m)
	tables(t, db, "a", "b")
	if err := m.RollbackTo(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	tables(t, db)
}
