package conformance

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
)

const versionOfAnother = "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9, TRUE);"

// TestGuardOtherRunnerDuringTheClearing: while the failed step is cleared away, another runner records a version, which may build on
// what this run applied. That stays.
func TestGuardOtherRunnerDuringTheClearing(t *testing.T) {
	t.Parallel()
	onDatabases(t, func(t *testing.T, p *place) {
		err := p.migrator(from(files(map[string]*fstest.MapFile{
			"1_a.sql":    table("a"),
			"2_half.sql": noTransaction("CREATE TABLE half (id INTEGER);\nINSERT INTO nowhere VALUES (1);", "DROP TABLE half;\n"+versionOfAnother),
		}))).Migrate(context.Background())
		wantStuck(t, err, 0, 9)
		wantIs(t, err, gooseplus.ErrDirty)
		wantText(t, err, "another process")
		p.want(t, []int64{1, 9}, []string{"a"})
	})
}

// TestGuardOtherRunnerBesideAHalfStep: a step fails half-way, and another runner has recorded a version meanwhile. The step is not
// cleared away, so it is dirty.
func TestGuardOtherRunnerBesideAHalfStep(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onDatabases(t, func(t *testing.T, p *place) {
		m := p.migrator(from(files(map[string]*fstest.MapFile{
			"1_a.sql":    table("a"),
			"2_half.sql": noTransaction("CREATE TABLE half (id INTEGER);\n"+versionOfAnother+"\nINSERT INTO nowhere VALUES (1);", "DROP TABLE half;"),
		})))
		err := m.Migrate(ctx)
		wantStuck(t, err, 0, 9)
		wantIs(t, err, gooseplus.ErrDirty)
		wantText(t, err, "another process")
		p.want(t, []int64{1, 9}, []string{"a", "half"})
		wantIs(t, m.Migrate(ctx), gooseplus.ErrDirty)
	})
}

// TestGuardTransactionThatEnded: a step ends the transaction of the whole run and fails. The steps before it are committed, so the
// run is not back at its starting point.
func TestGuardTransactionThatEnded(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		d := new(gooseplus.Definitions)
		d.Define(1).Up("CREATE TABLE a (id INTEGER)").Down("DROP TABLE a")
		d.Define(2).UpAction(gooseplus.TxFunc(execAll("COMMIT", "INSERT INTO nowhere VALUES (1)"))).Down("SELECT 1")
		m := p.migrator(from(fstest.MapFS{}), gooseplus.WithDefinitions(d), inOne)
		err := m.Migrate(ctx)
		wantIs(t, err, gooseplus.ErrRollBack)
		wantIs(t, err, gooseplus.ErrDirty)
		wantText(t, err, "it has ended the transaction of the run")
		p.want(t, []int64{1}, []string{"a"})
		wantIs(t, m.Migrate(ctx), gooseplus.ErrDirty)
	})
}

// TestGuardCommitOfAnother: the COMMIT of the whole run fails, and another runner records one of its versions. The run doesn't take
// that row for its own.
func TestGuardCommitOfAnother(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		if err := p.migrator(from(chain(1))).Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		db, f := p.flaky(t)
		refused := errors.New("the commit is refused")
		armed, rolledBack := false, false
		f.refuse = func(statement string) error {
			if armed = armed || strings.Contains(statement, "t002"); armed && statement == "COMMIT" {
				rolledBack = true
				return refused
			}
			return nil
		}
		f.before = func(string) {
			if rolledBack {
				rolledBack, armed = false, false
				p.exec(t, strings.ReplaceAll(versionOfAnother, "9", "2"))
			}
		}
		err := p.over(db, from(chain(2)), inOne).Migrate(ctx)
		wantIs(t, err, refused)
		p.want(t, []int64{1, 2}, []string{"t001"})
	})
}
