package conformance

import (
	"context"
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/migset"
)

// withCheckpoint are the migrations that create the tables, with a checkpoint of all of them that has these statements.
func (p *place) withCheckpoint(t *testing.T, tables []string, statements ...string) fstest.MapFS {
	t.Helper()
	named := make(map[string]*fstest.MapFile)
	for i, name := range tables {
		named[fmt.Sprintf("%d_%s.sql", i+1, name)] = table(name)
	}
	fsys := files(named)
	set, err := p.migrator(from(fsys)).Describe()
	if err != nil {
		t.Fatal(err)
	}
	d, err := dialect.Lookup(string(set.Dialect))
	if err != nil {
		t.Fatal(err)
	}
	quoting, _ := d.Quoting()
	var covered []migset.Covered
	for _, m := range set.Migrations {
		covered = append(covered, m.Covered)
	}
	text := migset.CheckpointText(string(set.Dialect), covered, statements, quoting)
	fsys[fmt.Sprintf("sql/base/%d_all.checkpoint.sql", len(tables))] = &fstest.MapFile{Data: []byte(text)}
	return fsys
}

var useCheckpoints = gooseplus.WithCheckpoints(true)

// TestCheckpoint goes up by a checkpoint and down by the Downs, with every driver.
func TestCheckpoint(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onEachLocked(t, func(t *testing.T, p *place, lock gooseplus.Option) {
		fsys := p.withCheckpoint(t, []string{"a", "b", "c"}, "CREATE TABLE a (id INTEGER);", "CREATE TABLE b (id INTEGER);", "CREATE TABLE c (id INTEGER);")
		fsys["sql/base/4_d.sql"] = table("d")
		m := p.migrator(from(fsys), useCheckpoints, lock)
		steps, err := m.Plan(ctx)
		if err != nil || len(steps) != 2 || steps[0].Covers != 3 {
			t.Fatalf("%+v, %v", steps, err)
		}
		if err := m.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		p.want(t, []int64{1, 2, 3, 4}, []string{"a", "b", "c", "d"})
		if err := m.RollbackTo(ctx, 1); err != nil {
			t.Fatal(err)
		}
		p.want(t, []int64{1}, []string{"a"})
	})
}

// TestCheckpointFailsHalfWay: a transaction takes it back. Where there is none for DDL, the database is dirty, and the
// error says how to go on.
func TestCheckpointFailsHalfWay(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onEachLocked(t, func(t *testing.T, p *place, lock gooseplus.Option) {
		fsys := p.withCheckpoint(t, []string{"a", "b"}, "CREATE TABLE a (id INTEGER);", "INSERT INTO missing VALUES (1);")
		m := p.migrator(from(fsys), useCheckpoints, lock)
		err := m.Migrate(ctx)
		wantText(t, err, "2 (sql/base/2_all.checkpoint.sql:")
		if p.transactionalDDL {
			wantIs(t, err, gooseplus.ErrRollForward)
			p.want(t, nil, nil)
			return
		}
		wantIs(t, wantStuck(t, err, 0, 0), gooseplus.ErrDirty)
		wantText(t, err, "the database was empty before")
		p.want(t, nil, []string{"a"})
		err = m.Migrate(ctx)
		wantIs(t, err, gooseplus.ErrDirty)
		wantText(t, err, "Force(0) if nothing of the checkpoint is left")
		p.exec(t, "DROP TABLE a")
		if err := m.Force(ctx, 0); err != nil {
			t.Fatal(err)
		}
		if err := m.With(gooseplus.WithCheckpoints(false)).Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		p.want(t, []int64{1, 2}, []string{"a", "b"})
	})
}

// TestCheckpointLosesItsAnswer: the answer to the COMMIT that records all versions is lost. A run that can't know what became of it
// finds the versions, and undoes all of them.
func TestCheckpointLosesItsAnswer(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		fsys := p.withCheckpoint(t, []string{"a", "b", "c"}, "CREATE TABLE a (id INTEGER);", "CREATE TABLE b (id INTEGER);", "CREATE TABLE c (id INTEGER);")
		db, f := p.flaky(t)
		f.lose = once("TABLE c", "COMMIT")
		err := p.over(db, from(fsys), useCheckpoints).Migrate(ctx)
		f.wantLost(t, 1)
		wantIs(t, err, gooseplus.ErrRollForward)
		p.want(t, nil, nil)
	})
}
