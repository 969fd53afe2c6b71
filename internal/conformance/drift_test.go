package conformance

import (
	"context"
	"database/sql"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus"
	definitions "github.com/gooseplus/gooseplus/examples/definitions/migrations"
	"github.com/gooseplus/gooseplus/internal/dbtest"
	schema "github.com/gooseplus/gooseplus/sql"
)

// shadow is another empty database of the place's kind.
func (p *place) shadow(t *testing.T) *sql.DB {
	t.Helper()
	return (&place{target: p.target, dsn: p.database(t)}).instance(t)
}

// drifts is what Drift finds, in the words of the stairway.
func drifts(t *testing.T, m *gooseplus.Migrator, shadow *sql.DB) (list []string) {
	t.Helper()
	found, err := m.Drift(context.Background(), shadow)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range found {
		what := " is not as it was"
		switch {
		case d.Want == "" && d.Have == "":
			t.Errorf("a difference without a side: %+v", d)
		case d.Want == "":
			what = " is left behind"
		case d.Have == "":
			what = " is not put back"
		}
		list = append(list, d.Kind+" "+d.Name+what)
	}
	return list
}

// forgotten is one of the faults that the stairway's tests know: up, after base, changes what want tells of.
type forgotten struct {
	name, base, up string
	want           []string
}

// forgottenBy reads the faults of a dialect where they are written down, in the tests of another package, and which of them don't
// touch each other: together is the list of these, "" for none.
func forgottenBy(t *testing.T, together string, lists ...string) (faults []forgotten, groups [][]string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../gooseplustest/stairway_faults_test.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]ast.Expr) // of the constants and variables
	for _, d := range file.Decls {
		if g, ok := d.(*ast.GenDecl); ok {
			for _, s := range g.Specs {
				if v, ok := s.(*ast.ValueSpec); ok && len(v.Values) == 1 {
					values[v.Names[0].Name] = v.Values[0]
				}
			}
		}
	}
	var text func(ast.Expr) string
	text = func(e ast.Expr) string {
		switch e := e.(type) {
		case *ast.BasicLit:
			s, err := strconv.Unquote(e.Value)
			if err != nil {
				t.Fatal(err)
			}
			return s
		case *ast.Ident:
			return text(values[e.Name])
		case *ast.BinaryExpr:
			return text(e.X) + text(e.Y)
		}
		t.Fatalf("%T is no text", e)
		return ""
	}
	for _, list := range lists {
		for _, e := range values[list].(*ast.CompositeLit).Elts {
			f := e.(*ast.CompositeLit).Elts // name, base, up, down, missing, want
			one := forgotten{name: text(f[0]), base: text(f[1]), up: text(f[2])}
			for _, w := range f[5].(*ast.CompositeLit).Elts {
				one.want = append(one.want, text(w))
			}
			faults = append(faults, one)
		}
	}
	if together != "" {
		for _, e := range values[together].(*ast.CompositeLit).Elts {
			var names []string
			for _, name := range e.(*ast.CompositeLit).Elts {
				names = append(names, text(name))
			}
			groups = append(groups, names)
		}
	}
	return faults, groups
}

// grouped joins the faults of each group into one, with the name of the first. If several have the same base, it is there once.
func grouped(faults []forgotten, groups [][]string) (list []forgotten) {
	of := make(map[int]int) // where the group is in the list
	for _, f := range faults {
		group := slices.IndexFunc(groups, func(names []string) bool { return slices.Contains(names, f.name) })
		i, begun := of[group]
		if group < 0 || !begun {
			of[group] = len(list)
			list = append(list, f)
			continue
		}
		g, base := &list[i], f.base
		for _, common := range faults {
			if common.base != "" && strings.Contains(g.base, common.base) {
				base = strings.Replace(base, common.base, "", 1)
			}
		}
		g.base, g.up, g.want = g.base+"\n"+base, g.up+"\n"+f.up, append(g.want, f.want...)
	}
	return list
}

// plant executes statements as a person would, on one connection.
func (p *place) plant(t *testing.T, text string) {
	t.Helper()
	conn, err := p.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	statements := []string{text}
	if p.dialect == "mysql" { // one a line
		statements = strings.Split(strings.TrimSpace(text), "\n")
	}
	for _, s := range statements {
		if _, err := conn.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// TestDriftFindsEachKind plants by hand what the stairway's tests have Downs forget.
func TestDriftFindsEachKind(t *testing.T) {
	t.Parallel()
	lists := map[string][]string{
		"postgres": {"postgresTogether", "postgresFaults", "postgresMore"}, "mysql": {"mysqlTogether", "mysqlFaults", "mysqlMore"}, "sqlite": {"", "sqliteFaults"},
	}
	for _, x := range having().drivers(t, 0) {
		faults, groups := forgottenBy(t, lists[x.dialect][0], lists[x.dialect][1:]...)
		if len(faults) < 5 {
			t.Fatalf("%d faults", len(faults))
		}
		var impossible []string
		switch p := x.place(t); {
		case p.dialect == "mysql" && !p.isMariaDB():
			impossible = []string{"sequence", "constraint of a column", "algorithm of a view"}
		case p.dialect == "postgres" && column[int](t, p.db, "SELECT current_setting('server_version_num')::integer")[0] < 150000:
			impossible = []string{"columns of a publication"}
		}
		faults = slices.DeleteFunc(faults, func(f forgotten) bool { return slices.Contains(impossible, f.name) })
		for _, f := range grouped(faults, groups) {
			t.Run(x.name+" "+f.name, func(t *testing.T) {
				t.Parallel()
				p := x.place(t)
				m := p.migrator(from(files(map[string]*fstest.MapFile{"1_first.sql": script(f.base, "SELECT 1;")})))
				if err := m.Migrate(context.Background()); err != nil {
					t.Fatal(err)
				}
				shadow := p.shadow(t)
				p.plant(t, f.up)
				got := drifts(t, m, shadow)
				for _, want := range f.want { // its Down puts back a part: there may be more
					if !slices.ContainsFunc(got, func(got string) bool { return strings.HasPrefix(got, want) || strings.HasPrefix(want, got) }) {
						t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), want)
					}
				}
			})
		}
	}
}

// TestDriftOfCleanDatabases: nothing is found in a database that only the migrations of an example have made. Examples with
// registered Go migrations have such a test of their own: here every other set in sql/base would get these migrations too.
func TestDriftOfCleanDatabases(t *testing.T) {
	t.Parallel()
	in := func(dir string) fs.FS { return os.DirFS("../../examples/" + dir) }
	base := func(path string) gooseplus.Option { return gooseplus.WithBasePath(path) }
	for name, opts := range map[string][]gooseplus.Option{
		"sql":                      {gooseplus.WithFS(schema.FS), base("."), gooseplus.WithEnvironments("test")},
		"definitions":              {gooseplus.WithDefinitions(&definitions.Schema), gooseplus.WithFS(os.DirFS(t.TempDir()))},
		"make":                     {gooseplus.WithFS(in("make")), gooseplus.WithNamespaces("core", "identity", "billing")},
		"make, master":             {gooseplus.WithFS(in("make")), base("master")},
		"make, tenant":             {gooseplus.WithFS(in("make")), base("tenant")},
		"multi-lanes":              {gooseplus.WithFS(in("multi-lanes")), base("."), gooseplus.WithEnvironments("fast", "next-release")},
		"namespaces":               {gooseplus.WithFS(in("namespaces")), gooseplus.WithNamespaces("core", "shared", "identity", "customer-mgmt"), gooseplus.WithEnvironments("test")},
		"tenants-databases":        {gooseplus.WithFS(in("tenants-databases")), base("sql/tenant")},
		"tenants-databases master": {gooseplus.WithFS(in("tenants-databases")), base("sql/master")},
		"tenants-schemas":          {gooseplus.WithFS(in("tenants-schemas")), base("sql/tenant")},
		"tenants-schemas public":   {gooseplus.WithFS(in("tenants-schemas")), base("sql/public")},
		"testing":                  {gooseplus.WithFS(in("testing")), gooseplus.WithEnvironments("test")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ran := 0
			for _, x := range having().drivers(t, 0) {
				t.Run(x.name, func(t *testing.T) {
					p := x.place(t)
					m := p.migrator(opts...)
					if err := m.Migrate(context.Background()); err != nil {
						if m.Err() != nil {
							t.Fatal(err)
						}
						t.Skip("these migrations are for another database:", err)
					}
					ran++
					shadow := p.shadow(t)
					serves := 1
					if name == "sql" {
						serves++ // it serves again
					}
					for range serves {
						if got := drifts(t, m, shadow); len(got) > 0 {
							t.Errorf("got %q", got)
						}
					}
				})
			}
			if ran == 0 {
				t.Error("they run on no database")
			}
		})
	}
}

// TestDriftWithASilentShadow: the network to the shadow goes silent at one of many moments. Drift returns soon after its context's
// end, and has done nothing to the database.
func TestDriftWithASilentShadow(t *testing.T) {
	t.Parallel()
	having(server).onDatabases(t, func(t *testing.T, p *place) {
		m := p.migrator(from(chain(3)), gooseplus.WithRollbackTimeout(time.Second))
		if err := m.Migrate(context.Background()); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		late := newLag(t, p)
		for _, n := range []int{0, 3, 9, 20, 30} {
			way, dsn := dbtest.Through(t, p.database(t))
			shadow := (&place{target: p.target, dsn: dsn}).open(t)
			if err := shadow.Ping(); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			returned := make(chan error, 1)
			way.SilenceAfter(n)
			all.Go(func() {
				defer shadow.Close()
				defer way.End()
				go func() {
					_, err := m.Drift(ctx, shadow)
					returned <- err
				}()
				select {
				case err := <-returned:
					t.Errorf("after %d: the network is not silent yet: %v", n, err)
					return
				case <-way.Silenced():
				}
				cancel()
				select {
				case err := <-returned:
					if err == nil {
						t.Errorf("after %d: no error", n)
					}
				case <-overdue(t, 2*returnLimit, late):
					t.Errorf("after %d: not returned %v after its context's end", n, 2*returnLimit)
					way.End()
					<-returned
				}
			})
		}
		all.Wait()
		p.want(t, upTo(3), []string{"t001", "t002", "t003"})
	})
}

// TestDriftOfTenants: one shadow serves all schemas.
func TestDriftOfTenants(t *testing.T) {
	t.Parallel()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		names := append(p.names(4), p.prefix+"with space", p.prefix+"UPPER")
		p.create(t, names...)
		m := p.migrator(from(files(map[string]*fstest.MapFile{
			"1_units.sql": script("CREATE TABLE units (id INTEGER PRIMARY KEY, name VARCHAR(20) DEFAULT 'x');\nCREATE INDEX by_name ON units (name);", "DROP TABLE units;"),
			"2_rooms.sql": script("CREATE TABLE rooms (id INTEGER PRIMARY KEY, unit INTEGER, CONSTRAINT in_unit FOREIGN KEY (unit) REFERENCES units (id));", "DROP TABLE rooms;"),
			"3_named.sql": script("CREATE VIEW named AS SELECT id FROM units WHERE name <> 'x';", "DROP VIEW named;"),
		})))
		if _, err := m.MigrateTenants(context.Background(), gooseplus.Schemas(names...)); err != nil {
			t.Fatal(err)
		}
		shadow := p.shadow(t)
		look := func(want map[string]string) {
			t.Helper()
			for _, name := range names {
				got := drifts(t, m.Tenant(gooseplus.Tenant{Schema: name}), shadow)
				if strings.Join(got, ", ") != want[name] {
					t.Errorf("%s: got %q, want %q", name, got, want[name])
				}
			}
		}
		look(nil)
		on := map[bool]string{true: " on units"}[p.dialect == "mysql"]
		p.exec(t, "CREATE INDEX by_hand ON "+p.quote(names[1])+".units (id, name)",
			"DROP TABLE "+p.quote(names[3])+".rooms", "ALTER TABLE "+p.quote(names[5])+".rooms ADD COLUMN floor INTEGER")
		look(map[string]string{
			names[1]: "index by_hand" + on + " is left behind", names[3]: "table rooms is not put back", names[5]: "column rooms.floor is left behind",
		})
	})
}
