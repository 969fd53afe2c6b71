// Package example is tested by calling make in a copy of this folder.
package example

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	_ "modernc.org/sqlite"
)

// project is a copy of the folder.
type project struct {
	t    *testing.T
	dir  string
	tool string
}

// tool builds the command once.
var tool = sync.OnceValues(func() (string, error) {
	path := filepath.Join(temporary, "gooseplus")
	if out, err := exec.Command("go", "build", "-o", path, "../../cmd/gooseplus").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

// temporary is a folder for what the tests share.
var temporary string

func TestMain(m *testing.M) {
	var err error
	if temporary, err = os.MkdirTemp("", "gooseplus-make"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(temporary)
	os.Exit(code)
}

func newProject(t *testing.T) *project {
	t.Helper()
	if _, err := exec.LookPath("make"); err != nil {
		t.Fatal("make has to be installed: ", err)
	}
	t.Parallel()
	path, err := tool()
	if err != nil {
		t.Fatal(err)
	}
	p := &project{t: t, dir: t.TempDir(), tool: path}
	if err := os.CopyFS(p.dir, os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	return p
}

// make calls make and returns what it printed.
func (p *project) make(succeeds bool, args ...string) string {
	p.t.Helper()
	cmd := exec.Command("make", append([]string{"--no-print-directory", "GOOSEPLUS=" + p.tool}, args...)...)
	cmd.Dir = p.dir
	for _, v := range os.Environ() { // of a make that this is a part of, or of a person's own databases
		if !strings.HasPrefix(v, "MAKE") && !strings.HasPrefix(v, "MFLAGS") && !strings.HasPrefix(v, "GOOSE") && !strings.HasPrefix(v, "MASTER_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); (err == nil) != succeeds {
		p.t.Fatalf("make %v: %v\n%s", args, err, out.String())
	}
	return out.String()
}

// tables are the tables of a database, without gooseplus's own.
func (p *project) tables(name string) []string {
	p.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(p.dir, name))
	if err != nil {
		p.t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(`SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'goose%' AND name NOT LIKE 'sqlite%' ORDER BY 1`)
	if err != nil {
		p.t.Fatal(err)
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var table string
		if err := rows.Scan(&table); err != nil {
			p.t.Fatal(err)
		}
		list = append(list, table)
	}
	if err := rows.Err(); err != nil {
		p.t.Fatal(err)
	}
	return list
}

func (p *project) want(name string, tables ...string) {
	p.t.Helper()
	if got := p.tables(name); !slices.Equal(got, tables) {
		p.t.Errorf("%s has the tables %v, want %v", name, got, tables)
	}
}

func TestNamespaces(t *testing.T) {
	p := newProject(t)
	p.make(true, "migrate-core")
	p.want("shop.db", "products")
	p.make(true, "migrate-billing")
	p.want("shop.db", "invoices", "products")
	if out := p.make(true, "migrate"); !strings.Contains(out, "billing: nothing to do") {
		t.Errorf("migrate: %s", out)
	}
	p.want("shop.db", "invoices", "products", "users")
	if out := p.make(true, "migrate-status"); strings.Count(out, "the database is at version 1, 0 pending") != 3 {
		t.Errorf("migrate-status: %s", out)
	}
	p.make(false, "migrate-nothing")
	p.make(false, "migrate", "MIGRATE_NAMESPACES=core new")
}

func TestTenants(t *testing.T) {
	p := newProject(t)
	p.make(true, "migrate-master")
	p.want("master.db", "tenants")
	p.make(true, "migrate-tenants")
	p.want("acme.db", "orders")
	p.want("globex.db", "orders")
	if out := p.make(false, "migrate-down-tenants"); !strings.Contains(out, "this would undo the last migration of 2 tenants") {
		t.Errorf("migrate-down-tenants: %s", out)
	}
	p.want("acme.db", "orders")
	p.make(true, "migrate-down-tenants", "YES=1")
	p.want("acme.db")
	p.make(true, "migrate-down-master", "YES=1")
	p.want("master.db")
	if out := p.make(true, "migrate-all"); !strings.Contains(out, "2 tenants: 2 migrated") {
		t.Errorf("migrate-all: %s", out)
	}
	p.want("globex.db", "orders")
	p.make(true, "-j4", "migrate-down-all", "YES=1")
	p.want("master.db")
	p.want("globex.db")
	if p.want("shop.db"); t.Failed() {
		t.Error("the master's commands have used another database")
	}
}

// TestNoMaster: the master's targets never work on the shop's own database.
func TestNoMaster(t *testing.T) {
	p := newProject(t)
	p.make(true, "migrate-core")
	if err := os.WriteFile(filepath.Join(p.dir, ".env"), []byte("GOOSEPLUS_DSN=sqlite:shop.db\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"migrate-master", "migrate-down-master", "migrate-all"} {
		if out := p.make(false, target, "YES=1"); !strings.Contains(out, "set MASTER_DB_URL") {
			t.Errorf("%s: %s", target, out)
		}
	}
	p.want("shop.db", "products")
}

func TestNew(t *testing.T) {
	p := newProject(t)
	for _, tc := range []struct {
		args []string
		file string
	}{
		{[]string{"NAME=x", "CONTEXT=identity"}, "sql/identity/base/2_x.sql"},
		{[]string{"NAME=add_price", "NAMESPACE=core"}, "sql/core/base/2_add_price.sql"},
		{[]string{"NAME=seed", "NAMESPACE=core", "ENV=test"}, "sql/core/test/3_seed.sql"},
		{[]string{"NAME=load", "NAMESPACE=billing", "GO=1"}, "sql/billing/base/2_load.go"},
		{[]string{"NAME=both", "NAMESPACE=core", "PAIRED=1"}, "sql/core/base/4_both.down.sql"},
	} {
		p.make(true, append([]string{"migrate-new"}, tc.args...)...)
		if _, err := os.Stat(filepath.Join(p.dir, tc.file)); err != nil {
			t.Error(err)
		}
	}
	if out := p.make(false, "migrate-new", "NAME=x"); !strings.Contains(out, "core, billing, identity") {
		t.Error(out)
	}
	if out := p.make(false, "migrate-new", "NAME=x", "CONTEXT=identiy"); !strings.Contains(out, "core, billing, identity") {
		t.Error(out)
	}
	if out := p.make(false, "migrate-new"); !strings.Contains(out, "NAME is missing") {
		t.Error(out)
	}
	p.make(false, "migrate-new", "NAME=it's; touch broken", "NAMESPACE=core")
	if _, err := os.Stat(filepath.Join(p.dir, "broken")); err == nil {
		t.Error("the name was executed")
	}
}
