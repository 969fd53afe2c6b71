package conformance

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/gooseplus/gooseplus"
)

// TestConnectHook: what a hook of the application's sets on each new connection holds for every migration, also after
// one that has set something else.
func TestConnectHook(t *testing.T) {
	t.Parallel()
	x := targets[slices.IndexFunc(targets, func(x target) bool { return x.driver == "pgx" })]
	for _, outside := range []bool{false, true} {
		for _, limit := range []int{0, 1} {
			t.Run(fmt.Sprintf("outside %v, limit %d", outside, limit), func(t *testing.T) {
				t.Parallel()
				connectHook(t, x.place(t), outside, limit)
			})
		}
	}
}

func connectHook(t *testing.T, p *place, outside bool, limit int) {
	p.exec(t, "CREATE SCHEMA application", "CREATE TABLE application.here (id INTEGER)")
	cfg, err := pgx.ParseConfig(p.dsn)
	if err != nil {
		t.Fatal(err)
	}
	hooked := stdlib.OpenDB(*cfg, stdlib.OptionAfterConnect(func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, "SET search_path = application; SET work_mem = '7MB'")
		return err
	}))
	defer hooked.Close()
	hooked.SetMaxOpenConns(limit)
	file := script
	if outside {
		file = noTransaction
	}
	m := p.over(hooked, from(files(map[string]*fstest.MapFile{
		"1_a.sql": file("CREATE TABLE a AS SELECT current_setting('work_mem') AS m;\nSET search_path = '';\nSET work_mem = '1MB';", "DROP TABLE a;"),
		"2_b.sql": file("CREATE TABLE b AS SELECT current_setting('work_mem') AS m;", "DROP TABLE b;"),
	})), gooseplus.WithGlobalLock(limit == 0))
	if err := m.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := column[string](t, p.db, "SELECT m FROM application.a UNION ALL SELECT m FROM application.b")
	if !slices.Equal(got, []string{"7MB", "7MB"}) {
		t.Errorf("work_mem was %v", got)
	}
	if got := column[string](t, hooked, "SELECT current_setting('search_path') || ' ' || current_setting('work_mem')"); got[0] != "application 7MB" {
		t.Errorf("the application finds %v", got)
	}
}
