package conformance

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

func TestMigrate(t *testing.T) {
	t.Parallel()
	ctx := context.Background()

	t.Run("empty database", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			m := p.migrator(from(chain(3)))
			if v, err := m.Version(ctx); v != 0 || err != nil {
				t.Errorf("Version before = %d, %v", v, err)
			}
			if err := m.Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			p.want(t, []int64{1, 2, 3}, []string{"t001", "t002", "t003"})
			if v, err := m.Version(ctx); v != 3 || err != nil {
				t.Errorf("Version after = %d, %v", v, err)
			}
			if err := m.Migrate(ctx); err != nil {
				t.Errorf("a second run: %v", err)
			}
			p.want(t, []int64{1, 2, 3}, []string{"t001", "t002", "t003"})
		})
	})

	t.Run("up to a version, then the rest", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			m := p.migrator(from(chain(4)))
			if err := m.MigrateTo(ctx, 2); err != nil {
				t.Fatal(err)
			}
			p.want(t, []int64{1, 2}, []string{"t001", "t002"})
			if err := m.MigrateTo(ctx, 1); err != nil {
				t.Errorf("to a version that is behind: %v", err)
			}
			p.want(t, []int64{1, 2}, []string{"t001", "t002"})
			if err := m.Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			p.want(t, []int64{1, 2, 3, 4}, []string{"t001", "t002", "t003", "t004"})
		})
	})

	t.Run("environments are merged by version", func(t *testing.T) {
		fsys := files(map[string]*fstest.MapFile{
			"1_users.sql":         table("users"),
			"3_orders.sql":        table("orders"),
			"test/2_seed.sql":     table("seed"),
			"production/4_pp.sql": table("pp"),
		})
		onDatabases(t, func(t *testing.T, p *place) {
			if err := p.migrator(from(fsys), gooseplus.WithEnvironments("test")).Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			p.want(t, []int64{1, 2, 3}, []string{"orders", "seed", "users"})
		})
	})

	t.Run("late versions are applied lowest first", func(t *testing.T) {
		early := files(map[string]*fstest.MapFile{"1_a.sql": table("a"), "5_e.sql": table("e")})
		late := files(map[string]*fstest.MapFile{
			"1_a.sql": table("a"), "5_e.sql": table("e"), "4_d.sql": table("d"), "2_b.sql": table("b"), "6_f.sql": table("f"),
		})
		onDatabases(t, func(t *testing.T, p *place) {
			if err := p.migrator(from(early)).Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			err := p.migrator(from(late), gooseplus.WithStrictOrder(true)).Migrate(ctx)
			wantIs(t, err, gooseplus.ErrMergeMigrations)
			wantText(t, err, "[2 4]")
			p.want(t, []int64{1, 5}, []string{"a", "e"})

			if err := p.migrator(from(late)).Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			p.want(t, []int64{1, 5, 2, 4, 6}, []string{"a", "b", "d", "e", "f"})
		})
	})

	t.Run("goose tells the same story", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := chain(3)
			if err := p.migrator(from(fsys)).MigrateTo(ctx, 2); err != nil {
				t.Fatal(err)
			}
			provider := gooseProvider(t, p, fsys)
			status, err := provider.Status(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range []goose.State{goose.StateApplied, goose.StateApplied, goose.StatePending} {
				if status[i].State != want {
					t.Errorf("goose says %d is %s, want %s", status[i].Source.Version, status[i].State, want)
				}
			}
			// And the other way round.
			if _, err := provider.Up(ctx); err != nil {
				t.Fatal(err)
			}
			if v, err := p.migrator(from(fsys)).Version(ctx); v != 3 || err != nil {
				t.Errorf("Version after goose's Up = %d, %v", v, err)
			}
			if _, err := provider.DownTo(ctx, 0); err != nil {
				t.Fatal(err)
			}
			p.want(t, nil, nil)
		})
	})

	t.Run("a file with a broken annotation stops the run before its first step", func(t *testing.T) {
		fsys := files(map[string]*fstest.MapFile{
			"1_a.sql": table("a"),
			"2_b.sql": {Data: []byte("-- +goose Up\n-- +goose StatementBegin\nSELECT 1;\n")},
			"3_c.sql": {Data: []byte("CREATE TABLE c (id INTEGER);\n")},
		})
		onDatabases(t, func(t *testing.T, p *place) {
			err := p.migrator(from(fsys)).Migrate(ctx)
			wantIs(t, err, gooseplus.ErrRollForward)
			wantText(t, err, "sql/base/2_b.sql")
			wantText(t, err, "sql/base/3_c.sql")
			if err := p.db.QueryRow(`SELECT 1 FROM goose_db_version`).Scan(new(int)); err == nil {
				t.Error("the version table was created")
			}
		})
	})
}

func TestVersionTable(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, x := range targets {
		t.Run(x.name, func(t *testing.T) {
			quote := func(s string) string {
				q := `"`
				if x.dialect == "mysql" {
					q = "`"
				}
				return q + strings.ReplaceAll(s, q, q+q) + q
			}
			names := map[string]string{
				"plain":            "history",
				"reserved word":    "order",
				"capitals, plain":  "History",
				"needs quotes":     quote(`My "own" 'versions'`),
				"capitals, quoted": quote("History2"),
			}
			if x.schemas {
				names["in a schema"] = "gp_other.history"
				names["in a schema that needs quotes"] = quote("Gp Acme.Corp") + ".history"
			}
			for i, situation := range slices.Sorted(maps.Keys(names)) {
				if !x.hasTurn(i) {
					continue
				}
				name := names[situation]
				t.Run(situation, func(t *testing.T) {
					p := x.place(t)
					if x.schemas {
						for _, schema := range []string{"gp_other", quote("Gp Acme.Corp")} {
							p.exec(t, "CREATE SCHEMA "+schema)
							t.Cleanup(func() { dropSchema(t, p, schema) })
						}
					}
					m := p.migrator(from(chain(2)), gooseplus.WithVersionTable(name))
					for range 2 {
						if err := m.Migrate(ctx); err != nil {
							t.Fatal(err)
						}
					}
					if v, err := m.Version(ctx); v != 2 || err != nil {
						t.Errorf("Version = %d, %v", v, err)
					}
					if s, err := m.Status(ctx); err != nil || s.CurrentVersion != 2 || s.Migrations[1].AppliedAt == nil {
						t.Errorf("Status = %+v, %v", s, err)
					}
					if err := m.Rollback(ctx, 2); err != nil {
						t.Error(err)
					}
					if v, err := m.Version(ctx); v != 0 || err != nil {
						t.Errorf("Version = %d, %v", v, err)
					}
				})
			}
		})
	}
}

// dropSchema removes what MySQL keeps outside the test's own database.
func dropSchema(t *testing.T, p *place, schema string) {
	if p.dialect != "mysql" {
		return
	}
	db := p.open(t)
	defer db.Close()
	if _, err := db.Exec("DROP SCHEMA IF EXISTS " + schema); err != nil {
		t.Error(err)
	}
}

func gooseProvider(t *testing.T, p *place, fsys fstest.MapFS) *goose.Provider {
	t.Helper()
	base, err := fsys.Sub("sql/base")
	if err != nil {
		t.Fatal(err)
	}
	dialect := map[string]goose.Dialect{
		"postgres": goose.DialectPostgres, "mysql": goose.DialectMySQL, "sqlite": goose.DialectSQLite3,
	}[p.dialect]
	provider, err := goose.NewProvider(dialect, p.db, base, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	return provider
}
