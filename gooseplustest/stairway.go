package gooseplustest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/catalog"
	"github.com/gooseplus/gooseplus/internal/migset"
	"github.com/gooseplus/gooseplus/internal/redact"
)

// Stairway tests the migrations of m one by one, each in a subtest: up, down, and up again. It compares what is in the
// database before the Up and after the Down, and after the first Up and the second. It reports each difference: what a Down
// left behind, did not put back, or changed. A migration without a Down fails its subtest. Rows of tables and the order of
// columns are not compared.
//
// It tests the environments of m: add gooseplus.WithEnvironments("test") for the migrations in sql/test.
//
// With namespaces, it tests the migrations of all of them, in the order of [gooseplus.WithNamespaces]. You can run a subtest
// alone: the migrations before it are only applied then.
//
// Stairway works with PostgreSQL, MySQL, MariaDB and SQLite. It compares schemas, tables, columns with their types and
// defaults, constraints, indexes, triggers, views, functions, sequences, types, enum values, extensions, policies, owners,
// comments, grants and the settings of the database, where the database has them. The times of events are not compared.
//
// It does not see what belongs to the whole server, above all roles. A migration that creates a role fails, because the role
// exists already when the migration runs in another database. Create roles where you set up the server.
//
// The database of m must come from [Postgres], [MySQL] or [SQLite], or be empty. If it comes from the kit, Stairway works in an
// empty database beside it. In any other database, applied migrations are undone first; no other test may use that database.
//
// After a fault, Stairway goes on with the next migration. With a database of the kit, it does so in another new database. In
// any other database, it drops what the Down left behind if nothing else depends on it, and applies the migration again. If that
// fails, or makes something else than the first time, the subtests of the later migrations are skipped and say so.
func Stairway(t *testing.T, m *gooseplus.Migrator) {
	t.Helper()
	set, db, err := described(m)
	if err != nil {
		fail(t, err)
	}
	ctx := t.Context()
	var empty func() *sql.DB
	if from, ok := origins.Load(db); ok {
		empty = func() *sql.DB { return from.(origin).empty(t, set.Home()) }
		db = empty()
		m = m.On(db)
	}
	s := &stairs{m: m, db: db, set: set, empty: empty}
	for i, one := range slices.Backward(set.Migrations) {
		if !s.top(i) {
			continue
		}
		if err := s.of(one).RollbackTo(ctx, 0); err != nil {
			fail(t, fmt.Errorf("the database is not empty, and what is applied can't be undone first: %w", err))
		}
	}
	for i, one := range set.Migrations {
		t.Run(stepName(one), func(t *testing.T) { s.step(t, i) })
	}
}

// described returns the migrations of m and its database, both of which Stairway needs.
func described(m *gooseplus.Migrator) (migset.Description, *sql.DB, error) {
	set, err := m.Describe()
	switch {
	case err != nil:
	case set.OwnDatabase:
		err = errors.New("the Migrator's tenant opens its own database: open it in the test, and pass m.On(db) to Stairway")
	case m.DB() == nil:
		err = errors.New("the database given to New is nil")
	}
	return set, m.DB(), err
}

func stepName(m migset.Shown) string {
	name := fmt.Sprint(m.Version)
	if file := path.Base(m.Source); m.Source != "" && !strings.Contains(file, ":") {
		name = file
	}
	return path.Join(m.Namespace, name)
}

// stairs is one call of Stairway.
type stairs struct {
	m   *gooseplus.Migrator
	db  *sql.DB
	set migset.Description
	// empty makes another database, nil if there is no way to.
	empty func() *sql.DB
	// seen is what there was after the migration seenAfter was applied again as it should be: nobody need read that twice.
	seen      catalog.Catalog
	seenAfter int
	// broken is the migration after which the database is not what it should be, "" if there is none.
	broken string
}

func (s *stairs) read(ctx context.Context, t *testing.T) catalog.Catalog {
	t.Helper()
	c, err := catalog.Read(ctx, s.db, catalog.Scope{Dialect: s.set.Dialect, Schema: s.set.Schema, Ignore: s.set.Tables, IgnoreIn: s.set.TablesIn})
	if err != nil {
		s.broken = t.Name()
		fail(t, fmt.Errorf("read the catalog: %w", err))
	}
	return c
}

// of is the Migrator that a migration belongs to.
func (s *stairs) of(one migset.Shown) *gooseplus.Migrator {
	if one.Namespace == "" {
		return s.m
	}
	return s.m.Namespace(one.Namespace)
}

// top says whether a migration is the last of its namespace, or of all.
func (s *stairs) top(i int) bool {
	list := s.set.Migrations
	return i == len(list)-1 || list[i+1].Namespace != list[i].Namespace
}

// climb applies the first n migrations, as far as they aren't.
func (s *stairs) climb(ctx context.Context, n int) error {
	for i, one := range s.set.Migrations[:n] {
		if i == n-1 || s.top(i) {
			if err := s.of(one).MigrateTo(ctx, one.Version); err != nil {
				return err
			}
		}
	}
	return nil
}

// step tries one migration. It leaves it applied.
func (s *stairs) step(t *testing.T, i int) {
	if s.broken != "" {
		t.Skipf("gooseplustest: not tried, since %s left the database in a state that it should not be in", s.broken)
	}
	ctx := t.Context()
	one, previous := s.set.Migrations[i], int64(0)
	if i > 0 && s.set.Migrations[i-1].Namespace == one.Namespace {
		previous = s.set.Migrations[i-1].Version
	}
	if err := s.climb(ctx, i); err != nil { // somebody runs this subtest alone
		s.broken = t.Name()
		t.Fatalf("gooseplustest: up to the migration before: %s", redact.Text(err.Error()))
	}
	m, version := s.of(one), one.Version
	before := s.seen
	if before == nil || s.seenAfter != i-1 {
		before = s.read(ctx, t)
	}
	s.seen = nil
	if err := m.MigrateTo(ctx, version); err != nil {
		s.broken = t.Name()
		t.Fatalf("gooseplustest: up: %s", redact.Text(err.Error()))
	}
	first := s.read(ctx, t)
	if err := m.RollbackTo(ctx, previous); errors.Is(err, gooseplus.ErrIrreversible) { // nothing was touched
		t.Errorf("gooseplustest: it has no Down: %s", redact.Text(err.Error()))
		return
	} else if err != nil {
		t.Errorf("gooseplustest: down: %s", redact.Text(err.Error()))
		s.reach(t, i, first)
		return
	}
	left := catalog.Diff(before, s.read(ctx, t))
	for _, d := range left {
		t.Errorf("gooseplustest: after the Down, %s", d.Leftover())
	}
	if len(left) > 0 {
		if s.empty == nil {
			s.tidy(ctx, left)
		}
		s.reach(t, i, first)
		return
	}
	if err := m.MigrateTo(ctx, version); err != nil {
		t.Errorf("gooseplustest: up again: %s", redact.Text(err.Error()))
		s.reach(t, i, first)
		return
	}
	second := s.read(ctx, t)
	again := catalog.Diff(first, second)
	for _, d := range again {
		t.Errorf("gooseplustest: after the second Up, %s", d.Again())
	}
	if len(again) > 0 && s.empty != nil {
		s.reach(t, i, first)
		return
	}
	s.seen, s.seenAfter = second, i
}

// tidy drops what a Down has left behind, so that the Up has a chance, in rounds until nothing more goes: one thing can
// depend on another. Nothing is dropped with it, since that may be older than the migration.
func (s *stairs) tidy(ctx context.Context, left []catalog.Difference) {
	for more := true; more; {
		more = false
		left = slices.DeleteFunc(left, func(d catalog.Difference) bool {
			if d.Change != catalog.Added || d.Drop == "" {
				return true
			}
			_, err := s.db.ExecContext(ctx, d.Drop)
			more = more || err == nil
			return err == nil
		})
	}
}

// reach has a migration applied after a fault, so that the next migration can be tried: in another database, or by the Up if
// that makes what it made the first time.
func (s *stairs) reach(t *testing.T, i int, first catalog.Catalog) {
	t.Helper()
	ctx := t.Context()
	if s.empty != nil {
		if i == len(s.set.Migrations)-1 {
			return // nobody needs another database
		}
		s.db = s.empty()
		s.m = s.m.On(s.db)
	}
	if err := s.climb(ctx, i+1); err != nil {
		s.broken = t.Name()
		t.Errorf("gooseplustest: up again, after that: %s", redact.Text(err.Error()))
		return
	}
	if s.empty != nil {
		return
	}
	if differ := catalog.Diff(first, s.read(ctx, t)); len(differ) > 0 {
		s.broken = t.Name()
		t.Errorf("gooseplustest: up again, after that, %s", differ[0].Again())
	}
}
