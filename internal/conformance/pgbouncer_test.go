package conformance

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dbtest"
)

// bouncerModes are the ways in which the drivers work behind a PgBouncer in transaction pooling: each statement has
// to be one exchange of messages, since the next may go to another connection of the server.
//
// lib/pq needs binary_parameters=yes: otherwise a statement with arguments outside a transaction is two exchanges, and
// the second meets whatever unnamed statement another client has left. pgx's default is to name its statements, which
// only PgBouncer 1.21 and newer know how to follow, and only with max_prepared_statements; describe_exec has the fault
// of lib/pq. With one client both seem to work, since it is always given the same connection.
var bouncerModes = []struct{ driver, parameters string }{
	{"postgres", "binary_parameters=yes"},
	{"pgx", "default_query_exec_mode=exec"},
	{"pgx", "default_query_exec_mode=simple_protocol"},
	{"pgx", "default_query_exec_mode=cache_describe"},
}

// bounced is an empty database that is reached through a PgBouncer: p is the direct way, for looking.
type bounced struct {
	p      *place
	pooled string // the DSN through the bouncer
	pool   int    // its connections to the server
}

// onBouncers runs a test over each driver; of pgx in one of its modes, which depends on the test's name, and in the long form in
// all of them.
func onBouncers(t *testing.T, pool int, test func(*testing.T, *bounced)) {
	modes := bouncerModes
	if !allDrivers() {
		turn := nameTurn(t) + otherDrivers()
		modes = append(modes[:1:1], modes[1+turn%uint32(len(modes)-1)])
	}
	for _, mode := range modes {
		t.Run(mode.driver+" "+mode.parameters, func(t *testing.T) {
			t.Parallel()
			d := dbtest.Postgres(t).NewDatabase(t)
			x := postgresTarget(mode.driver)
			x.database = func(testing.TB) string { return d.DSN }
			pooled := dbtest.PgBouncer(t, d, pool)
			test(t, &bounced{p: x.place(t), pooled: pooled.DSN + "&" + mode.parameters, pool: pool})
		})
	}
}

// instance is a pool of its own, as another replica has.
func (b *bounced) instance(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open(b.p.driver, b.pooled)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// bouncerFiles are 20 migrations that count themselves. One is a CREATE INDEX CONCURRENTLY, which nothing may be in a
// transaction beside.
func bouncerFiles() fstest.MapFS {
	named := make(map[string]*fstest.MapFile)
	for i := 1; i <= 20; i++ {
		named[fmt.Sprintf("%03d_b.sql", i)] = script(
			fmt.Sprintf("CREATE TABLE t%03[1]d (id INTEGER);\nINSERT INTO counted VALUES (%[1]d);", i),
			fmt.Sprintf("DROP TABLE t%03d;", i))
	}
	named["010_b.sql"] = noTransaction("CREATE INDEX CONCURRENTLY counted_v ON counted (v);\nINSERT INTO counted VALUES (10);",
		"DROP INDEX CONCURRENTLY IF EXISTS counted_v;")
	return files(named)
}

// TestPgBouncer boots replicas at the same moment behind a bouncer that has fewer connections to the server than they
// want. Two is the least: the lock keeps one of them in its transaction.
func TestPgBouncer(t *testing.T) {
	t.Parallel()
	for _, pool := range []int{20, 2} {
		t.Run(fmt.Sprintf("%d server connections", pool), func(t *testing.T) {
			onBouncers(t, pool, func(t *testing.T, b *bounced) {
				b.p.counting(t)
				pools := make([]*sql.DB, chaosRounds(8, 20))
				for i := range pools {
					pools[i] = b.instance(t)
				}
				started := time.Now()
				var all sync.WaitGroup
				for _, db := range pools {
					m := b.p.locking(db, from(bouncerFiles()))
					all.Go(func() {
						if err := m.Migrate(context.Background()); err != nil {
							t.Error(err)
						}
					})
				}
				all.Wait()
				t.Logf("%d replicas took %v", len(pools), time.Since(started))
				b.wantUntouched(t)
				b.p.wantCounted(t, upTo(20)...)
				locks{b.p}.wantFree(t)
			})
		})
	}
}

// TestPgBouncerStateRemoved: a migration removes the state table, or its rows, of a run that reaches the server through a bouncer.
func TestPgBouncerStateRemoved(t *testing.T) {
	t.Parallel()
	onBouncers(t, 4, func(t *testing.T, b *bounced) {
		for how, statement := range removals {
			for in, step := range transactions {
				t.Run(how+" "+in, func(t *testing.T) {
					b.p.forgetAll(t)
					m := b.p.locking(b.instance(t), from(files(map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_gone.sql": step(statement, "SELECT 1;"), "3_c.sql": table("c")})))
					if err := m.Migrate(context.Background()); err != nil {
						t.Error(err)
					}
					b.p.want(t, []int64{1, 2, 3}, []string{"a", "c"})
					if got := column[string](t, b.p.db, "SELECT kind || ' ' || COALESCE(outcome, '') FROM goose_db_version_lock WHERE kind IN ('run', 'dirty')"); fmt.Sprint(got) != "[run migrated]" {
						t.Errorf("remembered %v", got)
					}
					locks{b.p}.wantFree(t)
				})
			}
		}
		b.wantUntouched(t)
	})
}

// TestPgBouncerWithoutLock: others are at work meanwhile, so that the statements of the run go to several connections.
func TestPgBouncerWithoutLock(t *testing.T) {
	t.Parallel()
	onBouncers(t, 5, func(t *testing.T, b *bounced) {
		b.p.counting(t)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var others sync.WaitGroup
		for range 10 {
			db := b.instance(t)
			others.Go(func() {
				for ctx.Err() == nil {
					if _, err := db.Exec(`SELECT pg_sleep($1 / 1000.0)`, 10); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		m := gooseplus.New(b.instance(t), gooseplus.WithDialect("postgres"), from(bouncerFiles()))
		if err := m.Migrate(t.Context()); err != nil {
			t.Error(err)
		}
		if version, err := m.Version(t.Context()); err != nil || version != 20 {
			t.Errorf("version %d: %v", version, err)
		}
		stop()
		others.Wait()
		b.wantUntouched(t)
		b.p.wantCounted(t, upTo(20)...)
	})
}

// wantUntouched fails the test if the runs left something on the connections that the bouncer keeps for the next
// client: work that is under way, or anything else that belongs to a session.
func (b *bounced) wantUntouched(t *testing.T) {
	t.Helper()
	// A client that closes its connection doesn't wait for the bouncer.
	busy := func() []string {
		return column[string](t, b.p.db, `SELECT state || ': ' || query FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND state <> 'idle'`)
	}
	eventually(t, "the server has nothing left to do for the bouncer", func() bool { return len(busy()) == 0 })
	seen := make(map[int]bool)
	for _, tx := range b.allConnections(t) {
		var pid int
		if err := tx.QueryRow(`SELECT pg_backend_pid()`).Scan(&pid); err != nil {
			t.Fatal(err)
		}
		seen[pid] = true
		for _, left := range leftovers(t, tx) {
			t.Errorf("connection %d has %s", pid, left)
		}
	}
	if len(seen) != b.pool {
		t.Errorf("%d connections seen, want %d", len(seen), b.pool)
	}
}

// allConnections begins a transaction on each connection that the bouncer has to the server.
func (b *bounced) allConnections(t *testing.T) (all []*sql.Tx) {
	t.Helper()
	db := b.instance(t)
	for range b.pool {
		tx, err := db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := tx.Rollback(); err != nil {
				t.Error(err)
			}
		})
		all = append(all, tx)
	}
	return all
}

// leftovers is what a session has of its own, except the parameters that PgBouncer sets to what each client has, and those
// of this transaction.
func leftovers(t *testing.T, tx *sql.Tx) (list []string) {
	t.Helper()
	followed := []string{"application_name", "client_encoding", "DateStyle", "standard_conforming_strings", "TimeZone"}
	for _, query := range []string{
		`SELECT 'setting ' || name || '=' || setting FROM pg_settings WHERE source = 'session' AND name NOT LIKE 'transaction%'`,
		`SELECT 'statement ' || name || ': ' || statement FROM pg_prepared_statements`,
		`SELECT 'advisory lock ' || objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()`,
		`SELECT 'channel ' || c FROM pg_listening_channels() c`,
		`SELECT 'table ' || relname FROM pg_class WHERE relpersistence = 't' AND relnamespace = pg_my_temp_schema()`,
	} {
		rows, err := tx.Query(query)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				t.Fatal(err)
			}
			name, _, _ := strings.Cut(strings.TrimPrefix(text, "setting "), "=")
			if !slices.Contains(followed, name) {
				list = append(list, text)
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// TestPgBouncerHolderKilled kills the process that has the lock, some time after it has executed a migration outside a
// transaction on a connection that is the bouncer's, and so stays.
func TestPgBouncerHolderKilled(t *testing.T) {
	t.Parallel()
	onBouncers(t, 20, func(t *testing.T, b *bounced) {
		b.p.counting(t)
		holder := b.p.start(t, "bouncer", b.pooled)
		holder.let(t)
		holder.until(t, "step 12")
		holder.kill()
		killed := time.Now()
		if named := column[string](t, b.p.db, "SELECT backend FROM goose_db_version_lock WHERE kind = 'backend'"); len(named) > 0 {
			t.Fatalf("the run's row still names the connection %s, which the next one would wait for", named)
		}
		next := b.p.start(t, "bouncer", b.pooled)
		next.let(t)
		next.until(t, "done")
		t.Logf("the next was done %v after the kill", time.Since(killed))
		b.wantUntouched(t)
		b.p.wantCounted(t, upTo(20)...)
		locks{b.p}.wantFree(t)
	})
}
