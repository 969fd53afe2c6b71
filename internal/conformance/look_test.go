package conformance

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
)

// TestLook asserts what booting costs when there is nothing to do.
func TestLook(t *testing.T) {
	t.Parallel()
	ctx := context.Background()

	t.Run("nothing pending is one statement that reads", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := chain(5)
			if err := p.migrator(from(fsys)).Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			db, counter := p.counted(t)
			m := gooseplus.New(db, gooseplus.WithDialect(p.dialect), from(fsys))
			for name, call := range map[string]func() error{
				"Migrate":   func() error { return m.Migrate(ctx) },
				"MigrateTo": func() error { return m.MigrateTo(ctx, 3) },
				"Version":   func() error { _, err := m.Version(ctx); return err },
			} {
				if err := call(); err != nil {
					t.Fatal(err)
				}
				told := counter.take()
				wantReads(t, name, told)
				if len(told) != 1 {
					t.Errorf("%s told the database %q, want 1 SELECT", name, told)
				}
			}
		})
	})

	t.Run("without migrations nothing is created", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			empty := files(map[string]*fstest.MapFile{"README.md": {}})
			db, counter := p.counted(t)
			m := gooseplus.New(db, gooseplus.WithDialect(p.dialect), from(empty))
			if err := m.Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			if v, err := m.Version(ctx); v != 0 || err != nil {
				t.Errorf("Version = %d, %v", v, err)
			}
			for _, s := range counter.take() {
				if !strings.HasPrefix(strings.TrimPrefix(s, "prepare "), "SELECT") {
					t.Errorf("the database was told %q", s)
				}
			}
		})
	})

	t.Run("a step costs what goose's own costs", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := chain(3)
			if err := p.migrator(from(fsys)).MigrateTo(ctx, 1); err != nil {
				t.Fatal(err)
			}
			db, counter := p.counted(t)
			m := gooseplus.New(db, gooseplus.WithDialect(p.dialect), from(fsys))
			if err := m.Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			told := counter.take()
			reads := len(told) - len(slices.DeleteFunc(slices.Clone(told), func(s string) bool { return strings.HasPrefix(s, "SELECT") }))
			begins := len(told) - len(slices.DeleteFunc(slices.Clone(told), func(s string) bool { return s == "BEGIN" }))
			// The look, the starting point and the verification; a transaction for each migration. Besides,
			// where steps are marked, the state table and its columns; and, once, whether anybody else is
			// at a step, and what was recorded before that was known. And once, how a connection was made; on SQLite
			// before and after each step, in the same process. And once, what the state table knows of applied versions.
			// On PostgreSQL at the end whether the connection can be used for what comes next, instead of a new one.
			// On MySQL each step has a new connection, which is asked for its number; and once, what is there already of what the Downs of
			// marked steps would remove.
			want := map[string]int{"postgres": 8, "mysql": 12, "sqlite": 10}[p.dialect]
			if reads != want || begins != 2 {
				t.Errorf("%d reads and %d transactions, want %d and 2: %q", reads, begins, want, told)
			}
		})
	})
}
