package conformance

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

// TestReplicas boots several replicas of a service at the same moment, each with a pool of its own.
func TestReplicas(t *testing.T) {
	t.Parallel()
	onDatabases(t, func(t *testing.T, p *place) {
		p.patient()
		fsys := chain(20)
		var wg sync.WaitGroup
		started := time.Now()
		for range 12 {
			wg.Go(func() {
				db := p.open(t)
				defer db.Close()
				if err := gooseplus.New(db, gooseplus.WithDialect(p.dialect), from(fsys), gooseplus.WithGlobalLock(true)).Migrate(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		t.Logf("12 replicas took %v", time.Since(started))
		var want []int64
		var tables []string
		for i := 1; i <= 20; i++ {
			want = append(want, int64(i))
			tables = append(tables, fmt.Sprintf("t%03d", i))
		}
		p.want(t, want, tables)
		locks{p}.wantNothingNamed(t)
		if runs := column[string](t, p.db, `SELECT outcome FROM goose_db_version_lock WHERE kind = 'run'`); fmt.Sprint(runs) != "[migrated]" {
			t.Errorf("runs %v", runs)
		}
	})
}

// patient lets an SQLite connection wait for others, as every application with more than one has
// to; mattn's driver does so by default.
func (p *place) patient() {
	if p.driver == "sqlite" {
		p.dsn += "?_pragma=busy_timeout(10000)"
	}
}

// TestLockOfANameInAnotherCase: SQLite finds a table by its name in upper and lower case, and so the lock is the same.
func TestLockOfANameInAnotherCase(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	having(without(server)).onEach(t, func(t *testing.T, p *place) {
		begun, goOn, ended := make(chan bool), make(chan bool), make(chan error, 1)
		waits := goose.NewGoMigration(2, &goose.GoFunc{RunDB: func(context.Context, *sql.DB) error {
			close(begun)
			<-goOn
			return nil
		}}, nil)
		go func() {
			ended <- p.locking(p.db, from(chain(1)), gooseplus.WithVersionTable("Versions"), gooseplus.WithGoMigrations(waits)).Migrate(ctx)
		}()
		select {
		case <-begun:
		case err := <-ended:
			t.Fatal(err)
		}
		db := p.open(t)
		defer db.Close()
		wantIs(t, p.locking(db, from(chain(3)), gooseplus.WithVersionTable("vERSIONS"), gooseplus.WithLockWait(0)).Migrate(ctx), gooseplus.ErrLocked)
		close(goOn)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
