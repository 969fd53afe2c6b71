package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gooseplus/gooseplus"
)

// TestEveryOptionHasItsFlag: the command line has a flag for each option of the library, except these.
func TestEveryOptionHasItsFlag(t *testing.T) {
	// These say what only a program can: a logger, an observer, functions, or how many tenants may fail.
	without := []string{
		"WithLogger", "WithApplicationVersion", "WithSlog", "WithObserver", "WithContextHook", "WithGoMigrations", "WithDefinitions", "WithGooseOptions", "WithMaxFailureRate", "WithTenantTimeout",
	}
	flags := make(map[string]bool)
	var collect func(*cobra.Command)
	collect = func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) { flags[f.Name] = true })
		cmd.PersistentFlags().VisitAll(func(f *pflag.Flag) { flags[f.Name] = true })
		for _, sub := range cmd.Commands() {
			collect(sub)
		}
	}
	collect(Standalone())
	exported := exportedOptions(t)
	if len(exported) < 20 {
		t.Fatalf("the options are found no more, only %q", exported)
	}
	for _, name := range exported {
		flag, ok := optionFlags[name]
		switch {
		case !ok && !slices.Contains(without, name):
			t.Errorf("%s has no flag in optionFlags, and isn't among those without one", name)
		case ok && !flags[flag]:
			t.Errorf("%s: there is no flag --%s", name, flag)
		case ok:
			if got := (words{program: "gooseplus", flags: true}).of("use " + name + " then"); got != "use --"+flag+" then" {
				t.Errorf("%s: %s", name, got)
			}
		}
	}
	for name := range optionFlags {
		if !slices.Contains(exported, name) {
			t.Errorf("there is no option %s", name)
		}
	}
}

// exportedOptions are the functions of the root package that return an option.
func exportedOptions(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob("../*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !f.Name.IsExported() || f.Type.Results == nil || len(f.Type.Results.List) != 1 || strings.HasSuffix(file, "_test.go") {
				continue
			}
			if result, ok := f.Type.Results.List[0].Type.(*ast.Ident); ok && (result.Name == "Option" || result.Name == "TenantsOption") {
				names = append(names, f.Name.Name)
			}
		}
	}
	return names
}

func TestWords(t *testing.T) {
	w := words{program: "gooseplus", flags: true, scope: []string{"--dir db", "--schema acme"}}
	for given, want := range map[string]string{
		"use WithForeignHistory(Ignore) to go on":                           "use --foreign-history ignore to go on",
		"Nothing was touched (WithUnknownVersions)":                         "Nothing was touched (--unknown-versions)",
		"run once with WithProtectedEnvironments()":                         "run once with --protected-env ''",
		"use WithGlobalLock(true)":                                          "use --lock",
		"WithGlobalLock(false)":                                             "--lock=false",
		"WithRollback(RollbackTransaction): migration 2":                    "--rollback transaction: migration 2",
		"to adopt what is there, call Force(5)":                             "to adopt what is there, run gooseplus force 5 --dir db --schema acme",
		"which would be Force(5), if":                                       "which would be gooseplus force 5 --dir db --schema acme, if",
		"call Force with the version":                                       "run gooseplus force VERSION --dir db --schema acme with the version",
		"`gooseplus force 20240102090000` if nothing of it is left":         "`gooseplus force 20240102090000 --dir db --schema acme` if nothing of it is left",
		`did you mean several names, WithEnvironments("test", "eu")?`:       "did you mean several names, --env test,eu?",
		`use WithBasePath("sql") and WithEnvironments("test")`:              "use --dir sql and --env test",
		"(WithBasePath and WithFS say where)":                               "(--dir says where)",
		"or use SetEnvironments(nil) if":                                    "or use a --dir that has the migrations directly in it if",
		`column "Force" of WithObserver(f) stays, and so does Workforce(5)`: `column "Force" of WithObserver(f) stays, and so does Workforce(5)`,
	} {
		if got := w.of(given); got != want {
			t.Errorf("%s\n got %s\nwant %s", given, got, want)
		}
	}
	w = words{program: "shop migrate"} // there are no flags
	if got := w.of("call Force(5), or WithGlobalLock(true)"); got != "run shop migrate force 5, or WithGlobalLock(true)" {
		t.Error(got)
	}
}

// TestScope: the commands that people paste name the same database and migrations, and never a password.
func TestScope(t *testing.T) {
	root := Standalone()
	cmd, _, err := root.Find([]string{"up"})
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.ParseFlags([]string{"--dsn", "postgres://app:s3cret@db/shop", "--env", "test,eu", "--schema", "it's", "--yes", "--timeout", "1m", "--master"}); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(scope(cmd), " ")
	if want := `--dsn postgres://app:xxxxx@db/shop --master --schema 'it'\''s' --env test,eu`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	w := words{program: "gooseplus", flags: true, scope: scope(cmd)}
	if got := w.forTenant(gooseplus.Tenant{Name: "acme", Schema: "acme"}, "tenant").command("force 1"); got != "gooseplus force 1 --dsn postgres://app:xxxxx@db/shop --master --env test,eu --dir tenant --schema acme" {
		t.Error(got)
	}
}

// TestWordsForATenantOfAProgram: no flags of the program's lead to the database of a tenant.
func TestWordsForATenantOfAProgram(t *testing.T) {
	t.Parallel()
	c := &call{out: &printer{words: words{program: "shop migrate"}}}
	f := &fleet{call: c, flags: &tenantsFlags{databases: "SELECT name, 'postgres://app:Zq7Kv9@h/' || name FROM tenants"}}
	const text = "call Force(3), or call Accept(2)"
	got := f.words("acme").of(text)
	want := "run shop migrate tenants force 3 --tenant acme --databases-query 'SELECT name, '\\''postgres://app:xxxxx@h/'\\'' || name FROM tenants', or call Accept(2)"
	if got != want {
		t.Errorf("\n%s\nwant\n%s", got, want)
	}
	if got, want := f.words("").of(text), "run shop migrate force 3, or run shop migrate accept 2"; got != want {
		t.Errorf("\n%s\nwant\n%s", got, want)
	}
}
