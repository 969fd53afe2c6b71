package gooseplustest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/catalog"
	"github.com/gooseplus/gooseplus/internal/inside"
	"github.com/gooseplus/gooseplus/internal/redact"
)

// Stairway takes the migrations of m one by one, each in a subtest: up, down, up again. It compares what there is in
// the database before the Up and after the Down, and after the first Up and the second, and reports each
// difference: what a Down left behind, did not put back, or put back otherwise. A migration without a Down fails its
// subtest. The rows of the tables are not compared, nor is the order of columns.
//
// It is for PostgreSQL, MySQL and MariaDB, and SQLite, and compares schemas, tables, columns with their types and
// defaults, constraints, indexes, triggers, views, functions, sequences, types, enum values, extensions, policies,
// comments and grants, as far as the database has them. What belongs to the whole server, such as roles, is not seen.
//
// The database of m has to be empty, or made by [Postgres], [MySQL] or [SQLite]: then Stairway takes an empty one beside
// it. If migrations are applied to any other database, they are undone first. It is for this test alone.
//
// If a Down leaves so much that the second Up fails, the migrations after it are not tried; their subtests say so.
func Stairway(t *testing.T, m *gooseplus.Migrator) {
	t.Helper()
	set, err := inside.Look(m)
	if err != nil {
		fail(t, err)
	}
	ctx := t.Context()
	db, done, err := inside.Open(ctx, m)
	if err != nil {
		fail(t, err)
	}
	defer done()
	if from, ok := origins.Load(db); ok {
		db = from.(origin).empty(t)
		m = inside.Move(m, db).(*gooseplus.Migrator)
	}
	if err := m.RollbackTo(ctx, 0); err != nil {
		fail(t, fmt.Errorf("the database is not empty, and what is applied can't be undone first: %w", err))
	}
	s := &stairs{m: m, db: db, set: set}
	for i := range set.Migrations {
		t.Run(stepName(set.Migrations[i]), func(t *testing.T) { s.step(t, i) })
	}
}

func stepName(m inside.Migration) string {
	if name := path.Base(m.Source); m.Source != "" && !strings.Contains(name, ":") {
		return name
	}
	return fmt.Sprint(m.Version)
}

// stairs is one call of Stairway.
type stairs struct {
	m   *gooseplus.Migrator
	db  *sql.DB
	set inside.Set
	// broken is the migration after which the database is not what it should be, "" if there is none.
	broken string
}

func (s *stairs) read(ctx context.Context, t *testing.T) catalog.Catalog {
	t.Helper()
	c, err := catalog.Read(ctx, s.db, s.set.Dialect, s.set.Schema, s.set.Tables)
	if err != nil {
		s.broken = t.Name()
		fail(t, fmt.Errorf("read the catalog: %w", err))
	}
	return c
}

// step tries one migration. It leaves it applied.
func (s *stairs) step(t *testing.T, i int) {
	if s.broken != "" {
		t.Skipf("gooseplustest: not tried, since %s left the database in a state that it should not be in", s.broken)
	}
	ctx := t.Context()
	version, previous := s.set.Migrations[i].Version, int64(0)
	if i > 0 {
		previous = s.set.Migrations[i-1].Version
	}
	run := func(what string, err error) {
		t.Helper()
		if err != nil {
			s.broken = t.Name()
			t.Fatalf("gooseplustest: %s: %s", what, redact.Text(err.Error()))
		}
	}
	before := s.read(ctx, t)
	run("up", s.m.MigrateTo(ctx, version))
	first := s.read(ctx, t)
	err := s.m.RollbackTo(ctx, previous)
	if errors.Is(err, gooseplus.ErrIrreversible) && s.applied(ctx, version) {
		t.Errorf("gooseplustest: it has no Down: %s", redact.Text(err.Error())) // and stays applied
		return
	}
	run("down", err)
	left := catalog.Diff(before, s.read(ctx, t))
	for _, d := range left {
		t.Errorf("gooseplustest: after the Down, %s", d.Leftover())
	}
	err = s.m.MigrateTo(ctx, version)
	if err != nil && len(left) > 0 {
		err = fmt.Errorf("%w\nthe Down has to be put right first", err)
	}
	run("up again", err)
	again := catalog.Diff(first, s.read(ctx, t))
	for _, d := range again {
		if len(left) == 0 { // else it may only be what the Down forgot
			t.Errorf("gooseplustest: after the second Up, %s", d.Again())
		}
	}
}

func (s *stairs) applied(ctx context.Context, version int64) bool {
	at, err := s.m.Version(ctx)
	return err == nil && at == version
}
