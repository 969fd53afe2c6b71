package conformance

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/gooseplus/gooseplus"
)

// TestMigrationAltersEverything: the lock blocks no statement. A migration can change all tables of its schema without
// waiting.
func TestMigrationAltersEverything(t *testing.T) {
	t.Parallel()
	each := func(what string) string {
		return "-- +goose StatementBegin\nDO $$ DECLARE r record; BEGIN FOR r IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP EXECUTE format('" +
			what + "', r.tablename); END LOOP; END $$;\n-- +goose StatementEnd"
	}
	for name, up := range map[string]string{
		"row security":              each("ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY"),
		"locks":                     each("LOCK TABLE public.%I IN ACCESS EXCLUSIVE MODE"),
		"columns":                   each("ALTER TABLE public.%I ADD COLUMN more INTEGER"),
		"the state table is gone":   "DROP TABLE goose_db_version_lock;",
		"the state table is moved":  "CREATE SCHEMA elsewhere;\nALTER TABLE goose_db_version_lock SET SCHEMA elsewhere;",
		"the state table is called": "ALTER TABLE goose_db_version_lock RENAME TO something_else;",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
				for _, after := range []string{"", "in a transaction", "outside one"} {
					p.exec(t, "DROP SCHEMA IF EXISTS elsewhere CASCADE", "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
					set := map[string]*fstest.MapFile{"001_a.sql": table("t001"), "002_b.sql": script(up, "SELECT 1;")}
					want := upTo(2)
					if after != "" {
						set["003_c.sql"], want = table("t003"), upTo(3)
					}
					if after == "outside one" {
						set["003_c.sql"] = noTransaction("CREATE TABLE t003 (id INTEGER);", "DROP TABLE IF EXISTS t003;")
					}
					started := time.Now()
					if err := p.locking(p.instance(t), from(files(set)), gooseplus.WithMigrationTimeout(2*time.Minute)).Migrate(context.Background()); err != nil {
						t.Errorf("followed by a step %q: %v", after, err)
					}
					if took := time.Since(started); took > time.Minute {
						t.Errorf("it took %v", took)
					}
					if v := p.state(t).versions; !slices.Equal(v, want) {
						t.Errorf("versions %v, want %v", v, want)
					}
				}
			})
		})
	}
}

// TestLockSettings: what a role, a database or a DSN sets doesn't matter to what a run executes for itself.
func TestLockSettings(t *testing.T) {
	t.Parallel()
	settings := map[string][]string{
		"mysql": {"autocommit=0", "transaction_isolation='SERIALIZABLE'", "sql_mode='ANSI_QUOTES,NO_BACKSLASH_ESCAPES'", "time_zone='+05:00'", "wait_timeout=5"},
		"postgres": {"default_tablespace=pg_default", "default_transaction_isolation=serializable", "default_transaction_isolation=repeatable read",
			"idle_in_transaction_session_timeout=500", "lock_timeout=1000", "search_path=nowhere,public", "standard_conforming_strings=off", "TimeZone=Asia/Tokyo"},
		"pgx": {"default_tablespace=pg_default", "default_transaction_isolation=serializable", "idle_in_transaction_session_timeout=500", "search_path=nowhere,public"},
	}
	having(server).onEach(t, func(t *testing.T, p *place) {
		plain := p.dsn
		for _, setting := range settings[p.driver] {
			name, value, _ := strings.Cut(setting, "=")
			p.dsn = plain
			p.reset(t)
			p.exec(t, "DROP TABLE IF EXISTS goose_db_version_lock")
			if p.dialect == "mysql" {
				cfg, err := mysql.ParseDSN(plain)
				if err != nil {
					t.Fatal(err)
				}
				cfg.Params = map[string]string{name: value}
				if name == "transaction_isolation" {
					cfg.Params = map[string]string{strings.TrimPrefix(p.variable(name, "tx_isolation"), "@@"): value}
				}
				p.dsn = cfg.FormatDSN()
			} else {
				u, err := url.Parse(plain)
				if err != nil {
					t.Fatal(err)
				}
				q := u.Query()
				q.Set(name, value)
				u.RawQuery = q.Encode()
				p.dsn = u.String()
			}
			db := p.instance(t)
			if err := p.locking(db, from(chain(2))).Migrate(context.Background()); err != nil {
				t.Errorf("%s: %v", setting, err)
				continue
			}
			other := p.instance(t)
			if err := p.locking(other, from(chain(3))).Migrate(context.Background()); err != nil {
				t.Errorf("%s: the next: %v", setting, err)
			}
			// The run sees what another process applied, and leaves nothing open in the application's pool.
			if err := p.locking(db, from(chain(4))).Migrate(context.Background()); err != nil {
				t.Errorf("%s: the one after: %v", setting, err)
			}
			if v, err := p.locking(other, from(chain(4))).Version(context.Background()); v != 4 || err != nil {
				t.Errorf("%s: version %d, %v", setting, v, err)
			}
			wantNoTransaction(t, p, setting)
			if v := p.state(t).versions; !slices.Equal(v, upTo(4)) {
				t.Errorf("%s: versions %v", setting, v)
			}
			locks{p}.wantNothingNamed(t)
			for _, pool := range []*sql.DB{db, other} {
				pool.SetMaxIdleConns(0) // or there are too many
			}
		}
	})
}

// wantNoTransaction asserts that no connection of the database has left a transaction open.
func wantNoTransaction(t *testing.T, p *place, what string) {
	t.Helper()
	query := `SELECT COALESCE(query, '') FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'`
	if p.dialect == "mysql" {
		query = `SELECT CONCAT(x.trx_id, ' ', COALESCE(x.trx_query, '')) FROM information_schema.innodb_trx x
			JOIN information_schema.processlist l ON l.id = x.trx_mysql_thread_id WHERE l.db = DATABASE() AND l.id <> CONNECTION_ID()`
	}
	var left []string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if left = column[string](t, p.db, query); len(left) == 0 {
			return
		}
	}
	t.Errorf("%s: transactions are open: %s", what, fmt.Sprint(left))
}

// TestLockName: processes that name the table in different ways have one lock.
func TestLockName(t *testing.T) {
	t.Parallel()
	having(server, transactionalDDL).onDatabases(t, func(t *testing.T, p *place) {
		p.exec(t, `CREATE SCHEMA app`)
		if err := p.locking(p.instance(t), from(chain(1))).Migrate(context.Background()); err != nil {
			t.Fatal(err)
		}
		locks{p}.hold(t)
		u, err := url.Parse(p.dsn)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		q.Set("search_path", "app,public")
		u.RawQuery = q.Encode()
		p.dsn = u.String()
		for _, opts := range [][]gooseplus.Option{nil, {gooseplus.WithVersionTable("public.goose_db_version")}} {
			err := p.locking(p.instance(t), append(opts, from(chain(2)), gooseplus.WithLockWait(0))...).Migrate(context.Background())
			wantIs(t, err, gooseplus.ErrLocked)
			wantText(t, err, "backend pid")
		}
	})
}
