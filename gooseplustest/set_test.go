package gooseplustest

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

func TestKeysOfMigrationSets(t *testing.T) {
	base := func() fstest.MapFS { return folder("sql/base/1_a.sql", "sql/test/2_b.sql", "sql/demo/3_c.sql") }
	with := func(path string, f *fstest.MapFile) gooseplus.Option {
		fsys := base()
		if fsys[path] = f; f == nil {
			delete(fsys, path)
		}
		return files(fsys)
	}
	nothing := &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return nil }}
	var definitions, others gooseplus.Definitions
	definitions.Define(9).Up("SELECT 1")
	others.Define(9).Up("SELECT 2")
	of := func(opts ...gooseplus.Option) *set {
		s, err := newSet("postgres", append([]gooseplus.Option{files(base())}, opts...))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	keys := map[string]string{}
	for name, c := range map[string]struct {
		*set
		related bool // of the same lineage
	}{
		"the set":                       {of(), true},
		"another text":                  {of(with("sql/base/1_a.sql", migration("SELECT 2;", "SELECT 1;"))), true},
		"another Down":                  {of(with("sql/base/1_a.sql", migration("CREATE TABLE a (id INTEGER PRIMARY KEY);", "SELECT 1;"))), true},
		"one more":                      {of(with("sql/base/4_d.sql", migration("SELECT 2;", "SELECT 1;"))), true},
		"one less":                      {of(with("sql/test/2_b.sql", nil)), true},
		"another first one":             {of(with("sql/base/1_a.sql", nil)), false},
		"an environment":                {of(gooseplus.WithEnvironments("demo")), false},
		"a version table":               {of(gooseplus.WithVersionTable("v")), false},
		"a schema":                      {of(gooseplus.WithSchema("s")), false},
		"the lock":                      {of(gooseplus.WithGlobalLock(true)), false},
		"a migration in Go":             {of(gooseplus.WithGoMigrations(goose.NewGoMigration(8, nothing, nil))), true},
		"a migration in Go of later":    {of(gooseplus.WithGoMigrations(goose.NewGoMigration(9, nothing, nil))), true},
		"a definition":                  {of(gooseplus.WithDefinitions(&definitions)), true},
		"a definition of the same name": {of(gooseplus.WithDefinitions(&others)), true},
	} {
		if other, taken := keys[c.key]; taken {
			t.Errorf("%s has the key of %s", name, other)
		}
		keys[c.key] = name
		if related := c.lineage == of().lineage; related != c.related || c.project != of().project {
			t.Errorf("%s: of the same lineage %v, want %v", name, related, c.related)
		}
	}
	excluded := of(gooseplus.WithGooseOptions(goose.WithExcludeVersions([]int64{2})))
	if less := of(with("sql/test/2_b.sql", nil)); excluded.key != less.key {
		t.Error("a migration that is excluded is in the key")
	}
	if a, b := of(), of(gooseplus.WithMigrationTimeout(7), gooseplus.WithStrictOrder(true), gooseplus.WithProtectedEnvironments()); a.key != b.key {
		t.Error("options that don't matter change the key")
	}
}

// A server of another version has other templates, which replace the old ones. Each user has templates of his own.
func TestTemplatesOfServers(t *testing.T) {
	set, err := newSet("postgres", []gooseplus.Option{files(folder("sql/base/1_a.sql"))})
	if err != nil {
		t.Fatal(err)
	}
	name := identity{"u", "TimeZone=UTC", "17.1"}.template(set)
	for other, replaces := range map[identity]bool{
		{"u", "TimeZone=UTC", "17.2"}: true, {"v", "TimeZone=UTC", "17.1"}: false, {"u", "TimeZone=CET", "17.1"}: false,
	} {
		if got := other.template(set); got == name || isTemplate(got, set.project, splitName(name)[3]) != replaces {
			t.Errorf("%v has %s beside %s, want one that replaces it: %t", other, got, name, replaces)
		}
	}
}

func TestSetsThatFollowEachOther(t *testing.T) {
	// Each text is in the name, behind an equals sign.
	of := func(named ...string) *set {
		fsys := fstest.MapFS{}
		for _, one := range named {
			name, text, _ := strings.Cut(one, "=")
			fsys["sql/base/"+name+".sql"] = migration("SELECT '"+text+"';", "SELECT 1;")
		}
		s, err := newSet("postgres", []gooseplus.Option{files(fsys)})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	now := of("1_init=a", "2_orders=b", "3_lines=c", "4_prices=d")
	for name, c := range map[string]struct {
		old  *set
		want bool
	}{
		"other texts":         {of("1_init=x", "2_orders=x", "3_lines=c", "4_prices=x"), true},
		"one less":            {of("1_init=a", "2_orders=b", "3_lines=c"), true},
		"two less":            {of("1_init=a", "2_orders=b"), true},
		"two more":            {of("1_init=a", "2_orders=b", "3_lines=c", "4_prices=d", "5_taxes=e", "6_states=f"), true},
		"another name":        {of("1_init=a", "2_orders=b", "3_lines=c", "4_price_lists=d"), true},
		"another service":     {of("1_init=a", "2_readers=b", "3_loans=c"), false},
		"of the same names":   {of("1_init=w", "2_orders=x", "3_lines=y", "4_prices=z"), false},
		"a small service":     {of("1_init=a"), false},
		"of the same numbers": {of("1_books=a", "2_readers=b", "3_loans=c", "4_lists=d"), false},
	} {
		if got := now.follows(notedMigrations(noteOf(time.Now(), c.old.list))); got != c.want || c.old.lineage != now.lineage {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
	if !of("1_init=a").follows(of("1_init=b").list) {
		t.Error("the only migration, edited, is another service's")
	}
	at := time.Now().UTC().Truncate(time.Second)
	if got, ok := noted(noteOf(at, now.list), used); !ok || !got.Equal(at) {
		t.Errorf("the note says %v, want %v", got, at)
	}
}

// Each namespace has migrations of its own.
func TestKeysOfNamespaces(t *testing.T) {
	of := func(fsys fstest.MapFS, names ...string) *set {
		s, err := newSet("postgres", []gooseplus.Option{files(fsys), gooseplus.WithNamespaces(names...)})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	base := func() fstest.MapFS { return folder("sql/core/base/1_a.sql", "sql/billing/base/1_b.sql") }
	edited := base()
	edited["sql/billing/base/1_b.sql"] = migration("SELECT 2;", "SELECT 1;")
	keys := map[string]string{}
	for name, s := range map[string]*set{
		"the set": of(base(), "core", "billing"), "another text": of(edited, "core", "billing"),
		"one namespace": of(base(), "core"), "another order": of(base(), "billing", "core"),
	} {
		if other, taken := keys[s.key]; taken {
			t.Errorf("%s has the key of %s", name, other)
		}
		keys[s.key] = name
	}
}

// A template must not be that of an older function.
func TestGoMigrationsAreHashedWithTheirSource(t *testing.T) {
	s, err := newSet("postgres", []gooseplus.Option{files(folder("sql/base/1_a.sql")), gooseplus.WithGoMigrations(
		goose.NewGoMigration(2, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return nil }}, nil))})
	if err != nil {
		t.Fatal(err)
	}
	files := s.Migrations[1].Files
	if len(files) != 1 || sources(files[0]) == program() {
		t.Errorf("the files are %v", files)
	}
	for _, trimmed := range []string{"example.com/shop/migrations.go", "<autogenerated>", filepath.Join(t.TempDir(), "on_another_machine.go")} {
		if len(program()) != 64 || sources(trimmed) != program() {
			t.Errorf("%s has the hash %s", trimmed, sources(trimmed))
		}
	}
}

func TestSourcesAreGoFilesAndWhatTheyEmbed(t *testing.T) {
	of := func(edited, file string) string {
		dir := filepath.Join(t.TempDir(), "with [brackets]")
		for name, content := range map[string]string{
			"a.go": "package a\n\n//go:embed seed.csv all:more\nvar files embed.FS\n", "b.go": "package a\n", "c_test.go": "package a\n",
			"seed.csv": "1", "more/deep/seed.csv": "1", "more/_seed.csv": "1", "cover.out": "1",
		} {
			if name == edited {
				content += "2"
			}
			path := filepath.Join(dir, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		return sources(filepath.Join(dir, file))
	}
	before := of("", "a.go")
	if of("c_test.go", "c_test.go") == of("", "c_test.go") {
		t.Error("a migration in a test's file is not in its hash")
	}
	for name, changes := range map[string]bool{"a.go": true, "b.go": true, "c_test.go": false, "seed.csv": true, "more/deep/seed.csv": true, "more/_seed.csv": true, "cover.out": false} {
		if after := of(name, "a.go"); (after != before) != changes {
			t.Errorf("with another %s it is another one: %t", name, after != before)
		}
	}
}

func TestKeysOfTheVariablesThatGooseSubstitutes(t *testing.T) {
	of := func(text string) string {
		s, err := newSet("postgres", []gooseplus.Option{files(fstest.MapFS{"sql/base/1_a.sql": migration(text, "SELECT 1;")})})
		if err != nil {
			t.Fatal(err)
		}
		return s.key
	}
	const on, off = "-- +goose ENVSUB ON\nSELECT '${GOOSEPLUSTEST_REGION}';", "SELECT '${GOOSEPLUSTEST_REGION}';"
	t.Setenv("GOOSEPLUSTEST_REGION", "eu")
	eu, plain := of(on), of(off)
	t.Setenv("GOOSEPLUSTEST_REGION", "us")
	if of(on) == eu || of(off) != plain {
		t.Errorf("with another value it is another key: %t; without a substitution: %t", of(on) != eu, of(off) != plain)
	}
}
