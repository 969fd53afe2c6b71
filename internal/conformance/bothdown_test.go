package conformance

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
)

// TestBothDown lets two runners go down at once. The one whose DELETE finds no row any more must not
// take the version for undone by itself, and apply it again when a later Down fails.
func TestBothDown(t *testing.T) {
	ctx := context.Background()

	t.Run("both down", func(t *testing.T) {
		onEach(t, func(t *testing.T, p *place) {
			fsys := files(map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_b.sql": table("b")})
			hold := newBarrier()
			third := func(f func()) gooseplus.Option {
				nothing := func(context.Context, *sql.DB) error { return nil }
				return gooseplus.WithGoMigrations(goose.NewGoMigration(3, &goose.GoFunc{RunDB: nothing},
					&goose.GoFunc{RunDB: func(context.Context, *sql.DB) error { f(); return nil }}))
			}
			if err := p.migrator(from(fsys), third(func() {})).Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			lost := make(chan error, 1)
			go func() { lost <- p.migrator(from(fsys), third(hold.wait)).Rollback(ctx, 2) }()
			<-hold.reached
			won := p.migrator(from(fsys), third(func() {})).Rollback(ctx, 2)
			close(hold.released)
			err := <-lost
			if won != nil {
				t.Fatal(won)
			}
			if err == nil {
				t.Error("the loser reports no error")
			}
			wantIs(t, err, gooseplus.ErrRollBack)
			if s := p.state(t); s.String() != fmt.Sprint(state{[]int64{1}, []string{"a"}}) {
				t.Logf("the loser says %v", err)
				t.Errorf("the database holds %v", s)
			}
		})
	})
}
