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
	t.Parallel()
	ctx := context.Background()

	t.Run("both down", func(t *testing.T) {
		onDatabases(t, func(t *testing.T, p *place) {
			fsys := files(map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_b.sql": table("b")})
			hold := newBarrier()
			version3 := func(f func()) *goose.Migration {
				nothing := func(context.Context, *sql.DB) error { return nil }
				return goose.NewGoMigration(3, &goose.GoFunc{RunDB: nothing},
					&goose.GoFunc{RunDB: func(context.Context, *sql.DB) error { f(); return nil }})
			}
			third := func(f func()) gooseplus.Option { return gooseplus.WithGoMigrations(version3(f)) }
			if err := p.migrator(from(fsys), third(func() {})).Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			lost := make(chan error, 1)
			go func() { lost <- p.migrator(from(fsys), third(hold.wait)).Rollback(ctx, 2) }()
			<-hold.reached
			// Another gooseplus sees what it is at.
			wantIs(t, p.migrator(from(fsys), third(func() {})).Rollback(ctx, 2), gooseplus.ErrDirty)
			winner := p.goose(t, fsys, version3(func() {}))
			_, won := winner.Down(ctx)
			if won == nil {
				_, won = winner.Down(ctx)
			}
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
