package conformance

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

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

// hooked is a connector of an application that makes something on each new connection.
type hooked struct {
	dsn    string
	driver driver.Driver
	makes  []string
}

func (h hooked) Driver() driver.Driver { return h.driver }

func (h hooked) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := h.driver.Open(h.dsn)
	if err != nil {
		return nil, err
	}
	for _, statement := range h.makes {
		if _, err := c.(driver.ExecerContext).ExecContext(ctx, statement, nil); err != nil {
			return nil, fmt.Errorf("%s: %w", statement, err)
		}
	}
	return c, nil
}

// made is what a hook makes, and a query for what there is of it.
var made = map[string]struct {
	by    []string
	query string
}{
	"postgres": {[]string{"SET app.tenant = '42'", "SET search_path = public, pg_catalog", "SET TimeZone = 'Asia/Tokyo'", "LISTEN theirs",
		"CREATE TEMPORARY TABLE theirs AS SELECT 1 AS x", "SELECT pg_advisory_lock_shared(4711)", "PREPARE theirs AS SELECT 1"},
		`SELECT concat_ws('|', current_setting('app.tenant', true), current_setting('search_path'), current_setting('TimeZone'),
		(SELECT string_agg(c, ',') FROM pg_listening_channels() AS c), to_regclass('pg_temp.theirs'), (SELECT count(*) FROM pg_locks
		WHERE locktype = 'advisory' AND pid = pg_backend_pid()), (SELECT count(*) FROM pg_prepared_statements WHERE name = 'theirs'))`},
	"mysql": {[]string{"SET @app = 42, sql_mode = 'ANSI_QUOTES', time_zone = '+09:00', foreign_key_checks = 0, autocommit = 0, sql_select_limit = 7",
		"CREATE TEMPORARY TABLE theirs (x INTEGER)"},
		`SELECT CONCAT_WS('|', @app, @@sql_mode, @@time_zone, @@foreign_key_checks, @@autocommit, @@sql_select_limit, (SELECT count(*) FROM theirs))`},
	"sqlite": {[]string{"PRAGMA foreign_keys = ON", "CREATE TEMPORARY TABLE theirs (x INTEGER)", "ATTACH ':memory:' AS other",
		"PRAGMA cache_size = 77", "PRAGMA case_sensitive_like = ON"},
		`SELECT foreign_keys || '|' || cache_size || '|' || ('a' LIKE 'A') || '|' || (SELECT count(*) FROM temp.theirs) || '|' ||
		(SELECT count(*) FROM pragma_database_list WHERE name = 'other') FROM pragma_foreign_keys, pragma_cache_size`},
}

// TestHookMade: whatever a migration does, each connection of the application's pool has what the hook makes. From a small pool of
// PostgreSQL a connection goes back by a reset, unless all was plain.
func TestHookMade(t *testing.T) {
	t.Parallel()
	const makes = "CREATE TABLE b (id INTEGER);"
	for name, migration := range map[string]any{
		"plain":          table("b"),
		"update":         script(makes+"\nUPDATE b SET id = 1;", "DROP TABLE b;"),
		"outside":        noTransaction(makes+"\nUPDATE b SET id = 1;", "DROP TABLE b;"),
		"Go":             &goose.GoFunc{RunTx: execAll(makes)},
		"Go on the pool": &goose.GoFunc{RunDB: poolAll(makes)},
	} {
		for most, fails := range map[int]bool{0: false, 1: true, 3: false} {
			t.Run(fmt.Sprintf("%s, %d connections, fails %t", name, most, fails), func(t *testing.T) {
				onDatabases(t, func(t *testing.T, p *place) {
					if p.dialect == "postgres" && most > 0 && name != "plain" {
						return
					}
					db := sql.OpenDB(hooked{p.dsn, p.db.Driver(), made[p.dialect].by})
					defer db.Close()
					db.SetMaxOpenConns(most)
					before := column[string](t, db, made[p.dialect].query)[0]
					named, opts := map[string]*fstest.MapFile{"1_a.sql": table("a")}, []gooseplus.Option{gooseplus.WithGlobalLock(most != 1)}
					switch migration := migration.(type) {
					case *fstest.MapFile:
						named["2_b.sql"] = migration
					case *goose.GoFunc:
						opts = append(opts, gooseplus.WithGoMigrations(goose.NewGoMigration(2, migration, &goose.GoFunc{RunTx: execAll("DROP TABLE b")})))
					}
					if fails {
						named["3_c.sql"] = script("INSERT INTO nowhere VALUES (1);", "SELECT 1;")
					}
					err := p.over(db, append(opts, from(files(named)))...).Migrate(t.Context())
					if fails {
						wantFailed(t, err, 3)
					} else if err != nil {
						t.Error(err)
					}
					for _, c := range pin(t, db, max(1, db.Stats().OpenConnections)) {
						var after string
						if err := c.QueryRowContext(t.Context(), made[p.dialect].query).Scan(&after); err != nil || after != before {
							t.Errorf("a connection had %q and has %q, %v", before, after, err)
						}
						c.Close()
					}
				})
			})
		}
	}
}

// TestHookMadeIsTakenAway: a migration on SQLite takes away or alters what the hook has made, which only the hook can make again.
func TestHookMadeIsTakenAway(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"DROP TABLE theirs;", "ALTER TABLE theirs ADD COLUMN y INTEGER;", "PRAGMA temp_store = MEMORY;", "DETACH other;"} {
		having(without(server)).onEach(t, func(t *testing.T, p *place) {
			db := sql.OpenDB(hooked{p.dsn, p.db.Driver(), made["sqlite"].by})
			defer db.Close()
			db.SetMaxOpenConns(1)
			const query = `SELECT (SELECT group_concat(sql) FROM temp.sqlite_master) || (SELECT group_concat(name) FROM pragma_database_list)`
			before := column[string](t, db, query)[0]
			m := p.over(db, from(files(map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_b.sql": noTransaction(text, "SELECT 1;")})))
			if err := m.Migrate(t.Context()); err != nil {
				t.Errorf("%s: %v", text, err)
			}
			var after sql.NullString
			if err := db.QueryRow(query).Scan(&after); err != nil || after.String != before {
				t.Errorf("%s: the connection had %q and has %q, %v", text, before, after.String, err)
			}
		})
	}
}
