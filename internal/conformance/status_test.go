package conformance

import (
	"context"
	"database/sql"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

// rundown is a status as short texts, one for each migration.
func rundown(s gooseplus.Status) []string {
	list := []string{fmt.Sprintf("at %d, %d pending, %v", s.CurrentVersion, s.PendingCount, s.Environments)}
	for _, m := range s.Migrations {
		list = append(list, fmt.Sprintf("%d %s %s, applied %t", m.Version, m.Source, m.Environment, m.AppliedAt != nil))
	}
	return list
}

func wantStatus(t *testing.T, m *gooseplus.Migrator, want ...string) gooseplus.Status {
	t.Helper()
	s, err := m.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if got := rundown(s); !slices.Equal(got, want) {
		t.Errorf("status\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	return s
}

func TestStatus(t *testing.T) {
	t.Parallel()
	ctx := context.Background()

	t.Run("before the first run", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			db, counter := p.counted(t)
			m := gooseplus.New(db, gooseplus.WithDialect(p.dialect), from(chain(2)))
			wantStatus(t, m, "at 0, 2 pending, [base]",
				"1 sql/base/001_t.sql base, applied false", "2 sql/base/002_t.sql base, applied false")
			if steps, err := m.Plan(ctx); err != nil || len(steps) != 2 {
				t.Errorf("Plan = %v, %v", steps, err)
			}
			wantReads(t, "Status and Plan", counter.take())
			if err := p.db.QueryRow(`SELECT 1 FROM goose_db_version`).Scan(new(int)); err == nil {
				t.Error("the version table was created")
			}
		})
	})

	t.Run("applied, pending, late and unknown versions", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := deploy(t, p, map[string]*fstest.MapFile{
				"12_x.sql":      table("x"),
				"test/7_go.sql": noTransaction("CREATE TABLE g (id INTEGER);\n\n-- why\nINSERT INTO g VALUES (1);", ""),
			})
			delete(fsys, "sql/base/01_users.sql")
			withGo := gooseplus.WithGoMigrations(goose.NewGoMigration(13, &goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return nil }}, nil))
			m := p.migrator(from(fsys), gooseplus.WithEnvironments("test"), withGo)
			want := []string{"at 10, 5 pending, [base test]",
				"1 sql/base/01_users.sql , applied true",
				"5 sql/base/05_late.sql base, applied false",
				"7 sql/test/7_go.sql test, applied false",
				"10 sql/base/10_teams.sql base, applied true",
				"11 sql/base/11_next.sql base, applied false",
				"12 sql/base/12_x.sql base, applied false",
				"13  , applied false"}
			s := wantStatus(t, m, want...)
			for i, text := range [][2]string{
				{"", ""},
				{"CREATE TABLE late (id INTEGER);", "DROP TABLE late;"},
				{"CREATE TABLE g (id INTEGER);\nINSERT INTO g VALUES (1);", ""},
			} {
				if got := [2]string{s.Migrations[i].Up, s.Migrations[i].Down}; got != text {
					t.Errorf("version %d: Up and Down are %q, want %q", s.Migrations[i].Version, got, text)
				}
			}
			if last := s.Migrations[6]; last.Up != "<go>" || last.Down != "" {
				t.Errorf("the Go migration: %+v", last)
			}
			if err := m.Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			for i := range want {
				want[i] = strings.Replace(want[i], "applied false", "applied true", 1)
			}
			want[0] = "at 13, 0 pending, [base test]"
			wantStatus(t, m, want...)
		})
	})

	t.Run("nothing but reads", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := chain(5)
			if err := p.migrator(from(fsys)).MigrateTo(ctx, 3); err != nil {
				t.Fatal(err)
			}
			db, counter := p.counted(t)
			m := gooseplus.New(db, gooseplus.WithDialect(p.dialect), from(fsys))
			for name, call := range map[string]func() error{
				"Status": func() error { _, err := m.Status(ctx); return err },
				"Plan":   func() error { _, err := m.Plan(ctx); return err },
			} {
				if err := call(); err != nil {
					t.Fatal(err)
				}
				told := counter.take()
				wantReads(t, name, told)
				// The versions, whether there is a state table, and what is in it, for which Plan knows
				// that it is there, if it is.
				if most := map[string]int{"Status": 3, "Plan": 2}[name]; len(told) > most {
					t.Errorf("%s told the database %q, want %d statements at most", name, told, most)
				}
			}
		})
	})

	t.Run("when it was applied, whatever the session's time zone", func(t *testing.T) {
		for _, x := range targets {
			for situation, parameters := range x.zones() {
				t.Run(x.name+", "+situation, func(t *testing.T) {
					p := x.place(t)
					db, err := sql.Open(p.driver, withParameters(p.dsn, parameters))
					if err != nil {
						t.Fatal(err)
					}
					defer db.Close()
					m := gooseplus.New(db, gooseplus.WithDialect(p.dialect), from(chain(1)))
					before := time.Now()
					if err := m.Migrate(ctx); err != nil {
						t.Fatal(err)
					}
					s, err := m.Status(ctx)
					if err != nil {
						t.Fatal(err)
					}
					at := s.Migrations[0].AppliedAt
					if at == nil || at.Before(before.Add(-2*time.Second)) || at.After(time.Now().Add(time.Second)) || at.Location() != time.UTC {
						t.Errorf("applied at %v, want about %v", at, before.UTC())
					}
				})
			}
		}
	})

	t.Run("a version table that can't be read", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			p.exec(t, `CREATE TABLE goose_db_version (name VARCHAR(9))`)
			m := p.migrator(from(chain(1)))
			_, err := m.Status(ctx)
			wantIs(t, err, gooseplus.ErrMigrationTable)
			_, err = m.Plan(ctx)
			wantIs(t, err, gooseplus.ErrMigrationTable)
		})
	})
}

// zones are parameters of a DSN that change how the driver and the server speak of time.
func (x target) zones() map[string]string {
	switch x.dialect {
	case "postgres":
		return map[string]string{"the server's": "", "Tokyo": "TimeZone=Asia/Tokyo"}
	case "mysql":
		return map[string]string{
			"the server's":             "",
			"Tokyo":                    "time_zone=%27%2B09%3A00%27",
			"parsed as if in New York": "parseTime=true&loc=America%2FNew_York",
		}
	}
	return map[string]string{"UTC": ""}
}

func withParameters(dsn, parameters string) string {
	switch {
	case parameters == "":
		return dsn
	case strings.Contains(dsn, "?"):
		return dsn + "&" + parameters
	}
	return dsn + "?" + parameters
}

// TestPlan: what Plan says is what Migrate does.
func TestPlan(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		fsys := deploy(t, p, map[string]*fstest.MapFile{
			"12_keep.sql": script("CREATE TABLE kept (id INTEGER);", ""),
			"13_x.sql":    noTransaction("CREATE TABLE x (id INTEGER);", "DROP TABLE IF EXISTS x;"),
		})
		var planned, done []gooseplus.Step
		m := p.migrator(from(fsys), gooseplus.WithObserver(func(_ context.Context, event gooseplus.Event) {
			switch e := event.(type) {
			case gooseplus.RunStarted:
				planned = e.Steps
			case gooseplus.MigrationFinished:
				done = append(done, e.Step)
			}
		}))
		steps, err := m.Plan(ctx)
		if err != nil {
			t.Fatal(err)
		}
		want := []gooseplus.Step{
			{Version: 5, Source: "sql/base/05_late.sql", Environment: "base", Direction: "up", Transactional: p.transactionalDDL, Reversible: true},
			{Version: 11, Source: "sql/base/11_next.sql", Environment: "base", Direction: "up", Transactional: p.transactionalDDL, Reversible: true},
			{Version: 12, Source: "sql/base/12_keep.sql", Environment: "base", Direction: "up", Transactional: p.transactionalDDL},
			{Version: 13, Source: "sql/base/13_x.sql", Environment: "base", Direction: "up", Reversible: true},
		}
		if !reflect.DeepEqual(steps, want) {
			t.Errorf("the plan is\n  %+v, want\n  %+v", steps, want)
		}
		p.want(t, earlierVersions, earlierTables)
		if err := m.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(steps, planned) || !reflect.DeepEqual(steps, done) {
			t.Errorf("the plan was\n  %+v, the run planned\n  %+v and did\n  %+v", steps, planned, done)
		}
		if steps, err := m.Plan(ctx); err != nil || len(steps) > 0 {
			t.Errorf("with nothing pending: %v, %v", steps, err)
		}
	})
}
