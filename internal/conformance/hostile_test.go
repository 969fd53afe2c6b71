package conformance

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dbtest"
)

// hostile is a migration that does something to its session, to its transaction or to the tables of the run. It is the
// second of three: the first creates the table a, the third the table c.
type hostile struct {
	name string
	on   string // the dialects that it is for, separated by spaces; "" is all
	// up and down are its SQL; outside is that of a migration without a transaction, half that of one half of a pair.
	up, down      string
	outside, half bool
	// tx and db are its Go function instead.
	tx func(context.Context, *sql.Tx) error
	db func(context.Context, *sql.DB) error
	// one has the whole run in one transaction.
	one bool
	// alone has it run on a server of MariaDB of its own, all of which it stops.
	alone bool
	// want is what becomes of it.
	want outcome
}

// leaving ends the transaction that it is given, and says nothing of it.
func leaving(end func(*sql.Tx) error, queries ...string) func(context.Context, *sql.Tx) error {
	return func(ctx context.Context, tx *sql.Tx) error {
		defer func() { _ = end(tx) }()
		return execAll(queries...)(ctx, tx)
	}
}

// outcome is what a run with a hostile migration has to end with, on every database.
type outcome int

const (
	applied outcome = iota // nil, and all three are applied
	undone                 // gooseplus.ErrRollForward, and the database is as before
	told                   // gooseplus.ErrRollBack: what stays is said; a step of which nothing is known is dirty
)

func execAll(queries ...string) func(context.Context, *sql.Tx) error {
	return func(ctx context.Context, tx *sql.Tx) error {
		for _, q := range queries {
			if _, err := tx.ExecContext(ctx, q); err != nil {
				return err
			}
		}
		return nil
	}
}

func poolAll(queries ...string) func(context.Context, *sql.DB) error {
	return func(ctx context.Context, db *sql.DB) error {
		for _, q := range queries {
			if _, err := db.ExecContext(ctx, q); err != nil {
				return err
			}
		}
		return nil
	}
}

const createB, dropB = "CREATE TABLE b (id INTEGER);", "DROP TABLE IF EXISTS b;"

const dropState = "\nDROP TABLE IF EXISTS goose_db_version_lock;"

// deletedAtCommit has a trigger take each version out of the version table again, at the end of its transaction.
const deletedAtCommit = `
-- +goose StatementBegin
CREATE FUNCTION public.forget() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM goose_db_version WHERE id = NEW.id; RETURN NULL; END $$;
-- +goose StatementEnd
CREATE CONSTRAINT TRIGGER forget AFTER INSERT ON goose_db_version DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.forget();`

var hostiles = []hostile{
	// Its session.
	{name: "search_path", on: "postgres", up: "SELECT pg_catalog.set_config('search_path', '', false);\nCREATE TABLE public.b (id INTEGER);", down: "DROP TABLE public.b;"},
	{name: "search_path outside", on: "postgres", outside: true, up: "SET search_path = '';\nCREATE TABLE public.b (id INTEGER);", down: "DROP TABLE IF EXISTS public.b;"},
	{name: "role", on: "postgres", up: createB + "\nSET ROLE pg_monitor;", down: dropB},
	{name: "session authorization outside", on: "postgres", outside: true, up: createB + "\nSET SESSION AUTHORIZATION pg_monitor;", down: dropB},
	{name: "read only", on: "postgres", up: createB + "\nSET default_transaction_read_only = on;\nSET statement_timeout = '10s';", down: dropB},
	{name: "isolation first", on: "postgres", up: "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;\n" + createB, down: dropB},
	{name: "isolation second", on: "postgres", up: "SET LOCAL lock_timeout = '5s';\n-- a comment\nSET TRANSACTION ISOLATION LEVEL REPEATABLE READ;\n" + createB, down: dropB},
	{name: "advisory lock, LISTEN, temporary table, cursor", on: "postgres", up: createB + "\nSELECT pg_advisory_lock(4711);\nLISTEN hostile;\n" +
		"CREATE TEMPORARY TABLE a (other TEXT);\nDECLARE k CURSOR WITH HOLD FOR SELECT 1;", down: dropB},
	{name: "a function that is dropped again", on: "postgres", up: createB + "\nCREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'LISTEN hostile';\n" +
		"INSERT INTO b VALUES (1) RETURNING f();\nDROP FUNCTION f;", down: dropB},
	{name: "autocommit", on: "mysql", up: "SET autocommit = 0;\n" + createB, down: dropB},
	{name: "autocommit, committed", on: "mysql", half: true, up: "SET autocommit = 0;\n" + createB + "\nINSERT INTO b VALUES (1);\nCOMMIT;", down: dropB},
	{name: "session of a dump", on: "mysql", half: true, up: "SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO', foreign_key_checks = 0, time_zone = '+00:00';\n" + createB, down: dropB},
	{name: "read only session", on: "mysql", outside: true, up: createB + "\nSET SESSION TRANSACTION READ ONLY;", down: dropB},
	{name: "LOCK TABLES", on: "mysql", half: true, up: createB + "\nLOCK TABLES b WRITE;", down: dropB},
	{name: "USE", on: "mysql", half: true, up: createB + "\nUSE information_schema;", down: dropB},
	{name: "temporary table", on: "mysql", up: createB + "\nCREATE TEMPORARY TABLE c (other TEXT);", down: dropB},
	{name: "GET_LOCK", on: "mysql", up: createB + "\nSELECT GET_LOCK('hostile', 1);", down: dropB},
	{name: "PRAGMAs", on: "sqlite", outside: true, up: "PRAGMA foreign_keys = ON;\nPRAGMA query_only = OFF;\nPRAGMA legacy_alter_table = ON;\n" + createB + "\nPRAGMA query_only = ON;", down: dropB},
	{name: "exclusive", on: "sqlite", outside: true, up: "PRAGMA locking_mode = EXCLUSIVE;\n" + createB, down: dropB},
	{name: "temporary table", on: "sqlite", up: createB + "\nCREATE TEMPORARY TABLE c (other TEXT);", down: dropB},
	{name: "ATTACH", on: "sqlite", outside: true, up: "ATTACH ':memory:' AS c;\n" + createB + "\nCREATE TABLE c.c (other TEXT);", down: dropB},

	// A transaction of its own.
	{name: "BEGIN left open", on: "postgres sqlite", outside: true, up: "BEGIN;\n" + createB, down: dropB, want: undone},
	{name: "BEGIN left open in half a pair", on: "postgres sqlite", half: true, up: "BEGIN;\n" + createB, down: dropB, want: undone},
	{name: "START TRANSACTION left open", on: "mysql", half: true, up: createB + "\nSTART TRANSACTION;\nINSERT INTO b VALUES (1);", down: dropB, want: undone},
	{name: "PRAGMAs that can't be read", on: "sqlite", outside: true, up: "PRAGMA case_sensitive_like = ON;\nPRAGMA journal_mode = OFF;\n" + createB, down: dropB},
	{name: "PRAGMAs in a transaction", on: "sqlite", up: "PRAGMA case_sensitive_like = ON;\n" + createB, down: dropB},
	{name: "Go: PRAGMAs", on: "sqlite", db: poolAll(createB, "pragma journal_mode = memory"), down: dropB},
	{name: "exclusive", on: "sqlite", outside: true, up: "PRAGMA locking_mode = EXCLUSIVE;\n" + createB, down: dropB},
	{name: "autocommit left off", on: "mysql", half: true, up: createB + "\nSET autocommit = 0;\nINSERT INTO b VALUES (1);", down: dropB}, // goose commits it
	{name: "autocommit left off outside", on: "mysql", outside: true, up: createB + "\nSET autocommit = 0;\nINSERT INTO b VALUES (1);", down: dropB, want: undone},
	{name: "BEGIN EXCLUSIVE left open", on: "sqlite", outside: true, up: "BEGIN EXCLUSIVE;\n" + createB, down: dropB, want: undone},
	{name: "BEGIN that fails", on: "postgres sqlite", outside: true, up: "BEGIN;\n" + createB + "\nINSERT INTO nowhere VALUES (1);\nCOMMIT;", down: dropB, want: undone},
	{name: "BEGIN that fails in half a pair", on: "postgres sqlite", half: true, up: "BEGIN;\n" + createB + "\nINSERT INTO nowhere VALUES (1);\nCOMMIT;", down: dropB, want: undone},
	{name: "START TRANSACTION that fails", on: "mysql", half: true, up: "START TRANSACTION;\nINSERT INTO a VALUES (1);\nINSERT INTO nowhere VALUES (1);\nCOMMIT;", down: "DELETE FROM a WHERE id = 1;", want: undone},
	{name: "BEGIN that is committed", on: "postgres sqlite", half: true, up: "BEGIN;\n" + createB + "\nCOMMIT;", down: dropB},
	{name: "COMMIT in goose's transaction", on: "postgres", up: createB + "\nCOMMIT;", down: dropB},
	{name: "COMMIT and BEGIN in goose's transaction", on: "postgres", up: createB + "\nCOMMIT;\nBEGIN;\nINSERT INTO b VALUES (1);", down: dropB, want: undone},
	{name: "COMMIT, then a failure", on: "postgres sqlite", up: createB + "\nCOMMIT;\nINSERT INTO nowhere VALUES (1);", down: dropB, want: undone},
	{name: "COMMIT, then a failure without a Down", on: "postgres sqlite", up: createB + "\nCOMMIT;\nINSERT INTO nowhere VALUES (1);", want: told},
	{name: "PREPARE TRANSACTION", on: "postgres", up: createB + "\nPREPARE TRANSACTION 'hostile';", down: dropB, want: undone},
	{name: "BEGIN and PREPARE TRANSACTION", on: "postgres", outside: true, up: "BEGIN;\n" + createB + "\nprepare /* it */ transaction 'hostile';", down: dropB, want: undone},
	{name: "XA PREPARE", on: "mysql", outside: true, up: createB + "\nXA START 'hostile';\nINSERT INTO b VALUES (1);\nXA END 'hostile';\nXA /* it */ PREPARE 'hostile';", down: dropB, want: undone},
	{name: "PREPARE TRANSACTION in half a pair", on: "postgres", half: true, up: "BEGIN;\n" + createB + "\nPREPARE TRANSACTION 'hostile';\nSELECT 1;", down: dropB, want: undone},
	{name: "Go: PREPARE TRANSACTION", on: "postgres", tx: execAll(createB, "PREPARE TRANSACTION 'hostile'"), down: dropB, want: undone},
	{name: "OR ROLLBACK without a Down", on: "sqlite", up: createB + "\nCREATE UNIQUE INDEX ua ON a (id);\nINSERT OR ROLLBACK INTO a VALUES (1), (1);\nCREATE TABLE d (id INTEGER);", want: undone},
	{name: "OR ROLLBACK after a COMMIT, without a Down", on: "sqlite", up: createB + "\nCREATE UNIQUE INDEX ub ON b (id);\nCOMMIT;\nINSERT OR ROLLBACK INTO b VALUES (1), (1);", want: told},

	// A Go migration that ends its own.
	{name: "Go: COMMIT", on: "postgres sqlite", tx: execAll(createB, "COMMIT"), down: dropB, want: undone},
	{name: "Go: COMMIT without a Down", on: "postgres sqlite", tx: execAll(createB, "COMMIT"), want: told},
	{name: "Go: COMMIT, then a failure", on: "postgres sqlite", tx: execAll(createB, "COMMIT", "INSERT INTO nowhere VALUES (1)"), down: dropB, want: undone},
	{name: "Go: ROLLBACK", tx: execAll("INSERT INTO a VALUES (1)", "ROLLBACK"), down: "DELETE FROM a;", want: undone},
	{name: "Go: ROLLBACK and BEGIN", on: "postgres sqlite", tx: execAll(createB, "ROLLBACK", "BEGIN"), down: dropB, want: undone},
	{name: "Go: COMMIT of the whole run", on: "postgres sqlite", one: true, tx: execAll(createB, "COMMIT"), want: told},
	{name: "Go: tx.Commit in the whole run", on: "postgres sqlite", one: true, tx: func(ctx context.Context, tx *sql.Tx) error {
		return errors.Join(execAll(createB)(ctx, tx), tx.Commit())
	}, want: undone},
	{name: "settings in the whole run", on: "postgres", one: true, up: createB + "\nSELECT set_config('search_path', '', false);\nSET ROLE pg_monitor;"},
	{name: "Go: tx.Commit", tx: func(ctx context.Context, tx *sql.Tx) error {
		return errors.Join(execAll(createB)(ctx, tx), tx.Commit())
	}, down: dropB, want: undone},
	{name: "Go: tx.Rollback", tx: func(ctx context.Context, tx *sql.Tx) error {
		return errors.Join(execAll(createB)(ctx, tx), tx.Rollback())
	}, down: dropB, want: undone},
	{name: "Go: tx.Rollback, and no error", on: "postgres sqlite", tx: leaving((*sql.Tx).Rollback, createB), want: undone},
	{name: "Go: tx.Rollback, and no error, with a Down", tx: leaving((*sql.Tx).Rollback, createB), down: dropB, want: undone},
	{name: "Go: tx.Commit, and no error", on: "postgres sqlite", tx: leaving((*sql.Tx).Commit, createB), want: undone},
	{name: "Go: tx.Commit, and no error, with a Down", tx: leaving((*sql.Tx).Commit, createB), down: dropB, want: undone},
	{name: "Go: tx.Rollback, and no error, in the whole run", on: "postgres sqlite", one: true, tx: leaving((*sql.Tx).Rollback, createB), want: undone},
	{name: "Go: COMMIT and tx.Commit, and no error", on: "postgres sqlite", tx: leaving((*sql.Tx).Commit, createB, "COMMIT"), want: told},
	{name: "Go: OR ROLLBACK", on: "sqlite", tx: func(ctx context.Context, tx *sql.Tx) error {
		if err := execAll("CREATE TABLE b (id INTEGER UNIQUE)", "INSERT INTO b VALUES (1)")(ctx, tx); err != nil {
			return err
		}
		_, _ = tx.ExecContext(ctx, "INSERT OR ROLLBACK INTO b VALUES (1)")
		return execAll("CREATE TABLE b (other INTEGER)")(ctx, tx)
	}, down: dropB, want: undone},
	{name: "Go: OR ROLLBACK and tx.Commit, and no error", on: "sqlite", tx: func(ctx context.Context, tx *sql.Tx) error {
		defer func() { _ = tx.Commit() }()
		if err := execAll("CREATE TABLE b (id INTEGER UNIQUE)", "INSERT INTO b VALUES (1)")(ctx, tx); err != nil {
			return err
		}
		_, _ = tx.ExecContext(ctx, "INSERT OR ROLLBACK INTO b VALUES (1)")
		return execAll("CREATE TABLE b (other INTEGER)")(ctx, tx)
	}, want: told},
	{name: "Go: settings", on: "postgres", tx: execAll(createB, "SET search_path = ''", "SET ROLE pg_monitor"), down: dropB},
	{name: "Go: settings of the pool", on: "postgres", db: poolAll(createB, "SET search_path = ''", "SELECT pg_advisory_lock(4711)"), down: dropB},
	{name: "Go: BEGIN on the pool", on: "postgres sqlite", db: poolAll(createB, "BEGIN", "INSERT INTO b VALUES (1)"), down: dropB, want: undone},
	{name: "Go: START TRANSACTION on the pool", on: "mysql", db: poolAll(createB, "START TRANSACTION", "INSERT INTO b VALUES (1)"), down: dropB, want: undone},
	{name: "Go: a transaction of the pool", db: func(ctx context.Context, db *sql.DB) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		return errors.Join(execAll(createB, "INSERT INTO b VALUES (1)")(ctx, tx), tx.Commit())
	}, down: dropB},

	// The version table.
	{name: "rows deleted", up: createB + "\nDELETE FROM goose_db_version WHERE version_id = 1;", down: dropB, want: undone},
	{name: "rows deleted outside", outside: true, up: createB + "\nDELETE FROM goose_db_version WHERE version_id = 1;", down: dropB, want: undone},
	{name: "rows replaced", up: createB + "\nDELETE FROM goose_db_version WHERE version_id = 1;\nINSERT INTO goose_db_version (version_id, is_applied) VALUES (20250101, TRUE);", down: dropB, want: told},
	{name: "its own row", outside: true, up: createB + "\nINSERT INTO goose_db_version (version_id, is_applied) VALUES (2, TRUE);", down: dropB, want: told},
	{name: "renamed", on: "postgres sqlite", up: createB + "\nALTER TABLE goose_db_version RENAME TO renamed;", down: dropB, want: undone},
	{name: "dropped", on: "postgres sqlite", up: createB + "\nDROP TABLE goose_db_version;", down: dropB, want: undone},
	{name: "dropped outside", outside: true, up: createB + "\nDROP TABLE goose_db_version;", down: dropB, want: told},

	{name: "rows deleted at COMMIT", on: "postgres", up: createB + deletedAtCommit, down: dropB, want: undone},
	{name: "rows deleted at COMMIT of the whole run", on: "postgres", one: true, up: createB + deletedAtCommit, want: undone},
	{name: "FLUSH TABLES WITH READ LOCK", on: "mysql", outside: true, alone: true, up: createB + "\nFLUSH TABLES WITH READ LOCK;", down: dropB},
	{name: "LOCK TABLES of the version table", on: "mysql", half: true, up: createB + "\nLOCK TABLES goose_db_version READ;", down: dropB},
	{name: "renamed outside", on: "postgres sqlite", outside: true, up: createB + "\nALTER TABLE goose_db_version RENAME TO renamed;", down: dropB, want: told},
	{name: "version and state dropped outside", outside: true, up: createB + "\nDROP TABLE goose_db_version;" + dropState, down: dropB, want: told},
	{name: "emptied outside", outside: true, up: createB + "\nDELETE FROM goose_db_version;", down: dropB, want: undone},
	{name: "version and state emptied", up: createB + "\nDELETE FROM goose_db_version;\nDELETE FROM goose_db_version_lock;", down: dropB, want: undone},

	// The state table.
	{name: "state dropped", up: createB + dropState, down: dropB},
	{name: "state dropped outside", outside: true, up: createB + dropState, down: dropB},
	{name: "state dropped outside without a Down", outside: true, up: createB + dropState},
	{name: "state dropped outside, then a failure", outside: true, up: createB + dropState + "\nINSERT INTO nowhere VALUES (1);", down: dropB, want: undone},
	{name: "state dropped outside, then a failure without a Down", outside: true, up: createB + dropState + "\nINSERT INTO nowhere VALUES (1);", want: told},
	{name: "state dropped, then a failure", up: createB + dropState + "\nINSERT INTO nowhere VALUES (1);", down: dropB, want: undone},
	{name: "Go: state dropped", db: poolAll(createB, "DROP TABLE IF EXISTS goose_db_version_lock"), down: dropB},
	{name: "state emptied", up: createB + "\nDELETE FROM goose_db_version_lock;", down: dropB},
	{name: "state emptied outside", outside: true, up: createB + "\nDELETE FROM goose_db_version_lock;", down: dropB},
	{name: "state emptied outside, then a failure", outside: true, up: createB + "\nDELETE FROM goose_db_version_lock;\nINSERT INTO nowhere VALUES (1);", down: dropB, want: undone},
	{name: "state emptied outside, then a failure without a Down", outside: true, up: createB + "\nDELETE FROM goose_db_version_lock;\nINSERT INTO nowhere VALUES (1);", want: told},
	{name: "state truncated", on: "postgres", up: createB + "\nTRUNCATE goose_db_version_lock;", down: dropB},
	{name: "state truncated outside", on: "postgres", outside: true, up: createB + "\nTRUNCATE goose_db_version_lock;", down: dropB},
	{name: "state moved outside", on: "postgres", outside: true, up: createB + "\nALTER TABLE IF EXISTS goose_db_version_lock SET SCHEMA application;", down: dropB},
	{name: "state renamed outside", on: "postgres", outside: true, up: createB + "\nALTER TABLE IF EXISTS goose_db_version_lock RENAME TO goose_renamed;", down: dropB},
	{name: "state dropped in the whole run", on: "postgres sqlite", one: true, up: createB + dropState},
	{name: "state emptied in the whole run", on: "postgres sqlite", one: true, up: createB + "\nDELETE FROM goose_db_version_lock;"},
	{name: "schema made again", on: "postgres", up: "DROP SCHEMA public CASCADE;\nCREATE SCHEMA public;\n" + createB, down: dropB, want: undone},
	{name: "schema made again outside", on: "postgres", outside: true, up: "DROP SCHEMA public CASCADE;\nCREATE SCHEMA public;\n" + createB, down: dropB, want: told},
}

// appFingerprint is what the application finds on a connection of its pool.
var appFingerprint = map[string]string{
	"postgres": `SELECT concat_ws('|', current_setting('search_path'), current_user, session_user, current_setting('default_transaction_read_only'),
		current_setting('statement_timeout'), current_setting('transaction_isolation'), (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND
		pid = pg_backend_pid()), (SELECT count(*) FROM pg_listening_channels()), (SELECT count(*) FROM pg_cursors WHERE is_holdable), to_regclass('pg_temp.a'))`,
	"mysql": `SELECT CONCAT_WS('|', @@autocommit, @@sql_mode, @@foreign_key_checks, @@time_zone, {read only}, {in transaction}, DATABASE(),
		IS_USED_LOCK('hostile') <=> CONNECTION_ID())`,
	"sqlite": `SELECT (SELECT foreign_keys FROM pragma_foreign_keys) || '|' || (SELECT query_only FROM pragma_query_only) || '|' ||
		(SELECT legacy_alter_table FROM pragma_legacy_alter_table) || '|' || (SELECT locking_mode FROM pragma_locking_mode) || '|' ||
		(SELECT journal_mode FROM pragma_journal_mode) || '|' || ('a' LIKE 'A') || '|' || (SELECT count(*) FROM pragma_database_list WHERE name NOT IN ('main', 'temp')) || '|' || (SELECT count(*) FROM sqlite_temp_master)`,
}

// TestHostileMigrations: whatever a migration does, the outcome told is the truth, the application's pool is as before,
// and the next process agrees.
func TestHostileMigrations(t *testing.T) {
	t.Parallel()
	for i, h := range hostiles {
		for j, x := range targets {
			if h.on != "" && !slices.Contains(strings.Fields(h.on), x.dialect) || !h.inGo() && !x.hasTurn(i/2) {
				continue
			}
			for _, locking := range []bool{true, false} {
				if os.Getenv("GOOSEPLUS_CHAOS") == "" && locking != ((i+j)%2 == 0) {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s, lock %v", h.name, x.name, locking), func(t *testing.T) {
					t.Parallel()
					x := x
					if h.alone {
						own := dbtest.OwnMySQL(t, false)
						x.database = func(t testing.TB) string { return own.NewDatabase(t).DSN }
					}
					h.test(t, x.place(t), locking)
				})
			}
		}
	}
}

// inGo says whether the migration calls the driver itself: then each driver is tried in the short form too.
func (h hostile) inGo() bool { return h.tx != nil || h.db != nil }

func (h hostile) migrator(p *place, db *sql.DB, locking bool) *gooseplus.Migrator {
	named := map[string]*fstest.MapFile{"1_a.sql": table("a"), "3_c.sql": table("c")}
	opts := []gooseplus.Option{gooseplus.WithGlobalLock(locking)}
	if h.one {
		opts = append(opts, gooseplus.WithRollback(gooseplus.RollbackTransaction))
	}
	switch {
	case h.half:
		named = map[string]*fstest.MapFile{"3_c.up.sql": {Data: []byte("CREATE TABLE c (id INTEGER);")}, "3_c.down.sql": {Data: []byte("DROP TABLE c;")},
			"1_a.up.sql": {Data: []byte("CREATE TABLE a (id INTEGER);")}, "1_a.down.sql": {Data: []byte("DROP TABLE a;")},
			"2_b.up.sql": {Data: []byte(h.up)}, "2_b.down.sql": {Data: []byte(h.down)}}
	case h.inGo():
		up, down := &goose.GoFunc{RunTx: h.tx, RunDB: h.db}, &goose.GoFunc{RunDB: poolAll(h.down)}
		if h.down == "" {
			down = nil
		}
		opts = append(opts, gooseplus.WithGoMigrations(goose.NewGoMigration(2, up, down)))
	case h.outside:
		named["2_b.sql"] = noTransaction(h.up, h.down)
	default:
		named["2_b.sql"] = script(h.up, h.down)
	}
	return p.over(db, append(opts, from(files(named)))...)
}

func (h hostile) test(t *testing.T, p *place, locking bool) {
	ctx := t.Context()
	if p.dialect == "mysql" && h.half {
		p.dsn += "&multiStatements=true"
		_ = p.db.Close()
		p.db = p.open(t)
	}
	application := "goose_application"
	if p.dialect == "postgres" { // whose schema a migration may drop
		p.exec(t, "CREATE SCHEMA application")
		application = "application.goose_application"
	}
	p.exec(t, "CREATE TABLE "+application+" (id INTEGER)")
	before := fingerprints(t, p)[0]
	err := h.migrator(p, p.db, locking).Migrate(ctx)
	t.Logf("the outcome: %v", err)
	for i, after := range fingerprints(t, p) {
		if after != before {
			t.Errorf("connection %d of the application's pool was %q and is %q", i+1, before, after)
		}
	}
	p.exec(t, "INSERT INTO "+application+" VALUES (1)")
	next := p.open(t)
	defer next.Close()
	if got := column[string](t, next, "SELECT count(*) FROM "+application); !slices.Equal(got, []string{"1"}) {
		t.Errorf("the application's row is not there: %v", got)
	}
	h.judge(t, p, next, err, locking)
}

// judge compares what was told with what a new process sees.
func (h hostile) judge(t *testing.T, p *place, next *sql.DB, err error, locking bool) {
	t.Helper()
	m := h.migrator(p, next, locking)
	status, statusErr := m.Status(t.Context())
	tables := column[string](t, next, p.tables)
	var incomplete *gooseplus.RollbackError
	got := applied
	switch {
	case errors.As(err, &incomplete), errors.Is(err, gooseplus.ErrRollBack):
		got = told
	case errors.Is(err, gooseplus.ErrRollForward):
		got = undone
	case err != nil:
		t.Fatalf("an outcome of no known kind: %v", err)
	}
	if got != h.want {
		t.Errorf("the outcome is of kind %d, want %d", got, h.want)
	}
	if statusErr != nil {
		if got != told {
			t.Errorf("a new process: %v", statusErr)
		}
		return
	}
	if status.Dirty != errors.Is(err, gooseplus.ErrDirty) {
		t.Errorf("a new process finds dirty %v", status.Dirty)
	}
	version, _ := m.Version(t.Context())
	switch got {
	case applied:
		if version != 3 || status.PendingCount != 0 || !slices.Equal(tables, []string{"a", "b", "c"}) {
			t.Errorf("success, and a new process finds version %d, %d pending, tables %v", version, status.PendingCount, tables)
		}
		if err := m.Migrate(t.Context()); err != nil {
			t.Errorf("the next run: %v", err)
		}
	case undone:
		if version != 0 || len(tables) > 0 {
			t.Errorf("undone, and a new process finds version %d, tables %v", version, tables)
		}
		if again := m.Migrate(t.Context()); !errors.Is(again, gooseplus.ErrRollForward) || errors.Is(again, gooseplus.ErrRollBack) {
			t.Errorf("the next run: %v", again)
		}
	case told:
		wantIs(t, err, gooseplus.ErrDirty)
		if incomplete != nil && incomplete.Reached != version && incomplete.Reached != -1 {
			t.Errorf("version %d was told to be reached, and a new process finds %d", incomplete.Reached, version)
		}
	}
}

// fingerprints are of all connections that the application's pool holds, in use at once, and of one if it holds none.
func fingerprints(t *testing.T, p *place) (list []string) {
	t.Helper()
	for range max(p.db.Stats().OpenConnections, 1) {
		conn, err := p.db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		var f string
		query := strings.NewReplacer("{read only}", p.variable("transaction_read_only", "tx_read_only"),
			"{in transaction}", p.variable("in_transaction")).Replace(appFingerprint[p.dialect])
		if err := conn.QueryRowContext(t.Context(), query).Scan(&f); err != nil {
			t.Fatal(err)
		}
		list = append(list, f)
	}
	return list
}

// TestDownThatRollsBack: a Down that ends its transaction, and says nothing of it, has undone nothing, and isn't recorded.
func TestDownThatRollsBack(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	up := &goose.GoFunc{RunTx: execAll("CREATE TABLE b (id INTEGER)", "INSERT INTO b VALUES (1)")}
	down := &goose.GoFunc{RunTx: leaving((*sql.Tx).Rollback, "DELETE FROM b")}
	fsys := files(map[string]*fstest.MapFile{"1_a.sql": table("a"), "3_c.sql": table("c"), "4_bad.sql": script("INSERT INTO nowhere VALUES (1);", "SELECT 1;")})
	for _, planned := range []bool{true, false} {
		onEachLocked(t, func(t *testing.T, p *place, lock gooseplus.Option) {
			m := p.migrator(from(fsys), lock, gooseplus.WithGoMigrations(goose.NewGoMigration(2, up, down)))
			outcome := gooseplus.ErrRollBack
			reached, tables := []int64{1, 2}, []string{"a", "b"}
			var err error
			if planned {
				if err := m.MigrateTo(ctx, 3); err != nil {
					t.Fatal(err)
				}
				err = m.RollbackTo(ctx, 1)
				if p.dialect != "mysql" {
					outcome = gooseplus.ErrRollForward
					reached, tables = []int64{1, 2, 3}, []string{"a", "b", "c"}
				}
			} else {
				err = m.Migrate(ctx)
			}
			wantIs(t, err, outcome)
			wantText(t, err, "it has ended the transaction that it was given")
			p.want(t, reached, tables)
			if rows := column[int](t, p.db, "SELECT count(*) FROM b"); rows[0] != 1 {
				t.Errorf("b has %d rows", rows[0])
			}
			if s, statusErr := m.Status(ctx); statusErr != nil || s.Dirty != errors.Is(err, gooseplus.ErrDirty) {
				t.Errorf("a new process finds dirty %v, %v; this one: %v", s.Dirty, statusErr, err)
			}
		})
	}
}

// TestDeadlockThatIsHidden: MySQL and MariaDB roll back the whole transaction of a deadlock, and go on without one. A Go migration
// that goes on too has not done what its version would say.
func TestDeadlockThatIsHidden(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	// Elsewhere the transaction goes on, or every statement in it fails.
	for _, again := range []bool{false, true} {
		having(server, without(transactionalDDL)).onEachLocked(t, func(t *testing.T, p *place, lock gooseplus.Option) {
			p.exec(t, "CREATE TABLE x (id INTEGER PRIMARY KEY, v INTEGER)", "INSERT INTO x VALUES (1, 0), (2, 0)", "CREATE TABLE pad (id INTEGER)")
			up := &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
				other, err := p.db.BeginTx(ctx, nil)
				if err != nil {
					return err
				}
				defer func() { _ = other.Rollback() }()
				// The server rolls back the one that has changed less.
				if err := execAll("INSERT INTO pad VALUES (0)"+strings.Repeat(", (1)", 200), "UPDATE x SET v = 2 WHERE id = 2")(ctx, other); err != nil {
					return err
				}
				if err := execAll("UPDATE x SET v = 1 WHERE id = 1")(ctx, tx); err != nil {
					return err
				}
				waited := make(chan error, 1)
				go func() { waited <- execAll("UPDATE x SET v = 2 WHERE id = 1")(ctx, other) }()
				eventually(t, "the other transaction waits", func() bool {
					return column[int](t, p.db, "SELECT count(*) FROM information_schema.processlist WHERE db = DATABASE() AND info = 'UPDATE x SET v = 2 WHERE id = 1'")[0] == 1
				})
				if _, err := tx.ExecContext(ctx, "UPDATE x SET v = 1 WHERE id = 2"); err == nil || !strings.Contains(err.Error(), "1213") {
					return fmt.Errorf("no deadlock: %w", err)
				}
				if err := errors.Join(<-waited, other.Rollback()); err != nil || !again {
					return err
				}
				return execAll("UPDATE x SET v = 1 WHERE id = 2")(ctx, tx)
			}}
			down := &goose.GoFunc{RunTx: execAll("UPDATE x SET v = 0")}
			err := p.migrator(from(fstest.MapFS{"sql/base/1_a.sql": table("a")}), lock, gooseplus.WithGoMigrations(goose.NewGoMigration(2, up, down))).Migrate(ctx)
			wantFailed(t, err, 2)
			wantText(t, err, "the server has rolled back its transaction (for a deadlock or a lock timeout, as a rule)")
			p.want(t, nil, []string{"pad", "x"})
			if got := column[int](t, p.db, "SELECT v FROM x ORDER BY id"); !slices.Equal(got, []int{0, 0}) {
				t.Errorf("x has %v", got)
			}
		})
	}
}

// TestLockTimeoutThatIsHidden: a server with innodb_rollback_on_timeout rolls back the whole transaction for a lock timeout too; the
// others only the statement, and a Go migration may go on.
func TestLockTimeoutThatIsHidden(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	own := dbtest.OwnMySQL(t, false, "--innodb-rollback-on-timeout=ON")
	for _, rollsBack := range []bool{true, false} {
		for _, again := range []bool{false, true} {
			for _, x := range having(server, without(transactionalDDL)) {
				t.Run(fmt.Sprintf("%s, rolls back %t, goes on %t", x.name, rollsBack, again), func(t *testing.T) {
					if rollsBack {
						x.database = func(t testing.TB) string { return own.NewDatabase(t).DSN }
					}
					p := x.place(t)
					p.exec(t, "CREATE TABLE x (id INTEGER PRIMARY KEY, v INTEGER)", "INSERT INTO x VALUES (1, 0), (2, 0), (3, 0)")
					up := &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
						other, err := p.db.BeginTx(ctx, nil)
						if err != nil {
							return err
						}
						defer func() { _ = other.Rollback() }()
						err = errors.Join(execAll("UPDATE x SET v = 2 WHERE id = 2")(ctx, other),
							execAll("SET innodb_lock_wait_timeout = 1", "UPDATE x SET v = 1 WHERE id = 1")(ctx, tx))
						if err != nil {
							return err
						}
						if _, err := tx.ExecContext(ctx, "UPDATE x SET v = 1 WHERE id = 2"); err == nil || !strings.Contains(err.Error(), "1205") {
							return fmt.Errorf("no lock timeout: %w", err)
						}
						if !again {
							return nil
						}
						return execAll("UPDATE x SET v = 1 WHERE id = 3")(ctx, tx)
					}}
					down := &goose.GoFunc{RunTx: execAll("UPDATE x SET v = 0")}
					err := p.migrator(from(fstest.MapFS{"sql/base/1_a.sql": table("a")}), gooseplus.WithGoMigrations(goose.NewGoMigration(2, up, down))).Migrate(ctx)
					got := column[int](t, p.db, "SELECT v FROM x ORDER BY id")
					if rollsBack {
						wantFailed(t, err, 2)
						wantText(t, err, "the server has rolled back its transaction")
						p.want(t, nil, []string{"x"})
						if !slices.Equal(got, []int{0, 0, 0}) {
							t.Errorf("x has %v", got)
						}
						return
					}
					if err != nil {
						t.Error(err)
					}
					if want := []int{1, 0, map[bool]int{true: 1}[again]}; !slices.Equal(got, want) {
						t.Errorf("x has %v, want %v", got, want)
					}
				})
			}
		}
	}
}

// TestPragmasOfASQLiteFile: no PRAGMA of a migration holds for the next one, and none keeps other processes out.
func TestPragmasOfASQLiteFile(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onFiles := having(without(server)).onEachLocked
	t.Run("no journal", func(t *testing.T) { // a transaction that fails without one destroys the file, once it has written to it
		onFiles(t, func(t *testing.T, p *place, lock gooseplus.Option) {
			const many = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)"
			p.exec(t, "CREATE TABLE rows (i INTEGER, x TEXT)", "INSERT INTO rows "+many+" SELECT i, 'before' FROM n WHERE i < 10000")
			fsys := files(map[string]*fstest.MapFile{
				"1_off.sql": noTransaction("PRAGMA journal_mode = OFF;", "SELECT 1;"),
				"2_bad.sql": script("PRAGMA cache_size = 10;\nUPDATE rows SET x = 'after, and longer than it was ' || i;\nINSERT INTO rows "+many+" SELECT i, 'new' FROM n;\nINSERT INTO nowhere VALUES (1);", "SELECT 1;"),
			})
			wantFailed(t, p.migrator(from(fsys), lock).Migrate(ctx), 2)
			if got := column[string](t, p.db, "PRAGMA integrity_check"); !slices.Equal(got, []string{"ok"}) {
				t.Errorf("the file: %q", got)
			}
			if n := column[int](t, p.db, "SELECT count(*) FROM rows WHERE x = 'before'"); n[0] != 9999 {
				t.Errorf("%d rows are as before", n[0])
			}
		})
	})
	t.Run("exclusive and WAL", func(t *testing.T) {
		onFiles(t, func(t *testing.T, p *place, lock gooseplus.Option) {
			fsys := files(map[string]*fstest.MapFile{
				"1_a.sql":   table("a"),
				"2_wal.sql": noTransaction("PRAGMA locking_mode = EXCLUSIVE;\nPRAGMA journal_mode = WAL;\nCREATE TABLE b (id INTEGER);", "DROP TABLE b;"),
			})
			if err := p.migrator(from(fsys), lock).Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			other := p.open(t)
			defer other.Close()
			if _, err := other.Exec("INSERT INTO a VALUES (1)"); err != nil {
				t.Errorf("another process: %v", err)
			}
		})
	})
}

// TestSmallPool: from a pool of one to four connections, too, the application gets no connection back that a migration has changed.
func TestSmallPool(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, text := range []string{"PREPARE p AS SELECT 1;", "SELECT set_config('app.tenant', '1', true);", "SET app.tenant = '1';", "DEALLOCATE ALL;",
		"LOAD 'auto_explain';", "SELECT pg_create_physical_replication_slot(concat('s', pg_backend_pid()), true, true);"} {
		for _, outside := range []bool{false, true} {
			if text == "DEALLOCATE ALL;" && !outside {
				continue // pgx has prepared goose's own statements
			}
			having(schemas, transactionalDDL).onEach(t, func(t *testing.T, p *place) { // elsewhere connections are replaced
				p.db.SetMaxOpenConns(3)
				const own = `SELECT COALESCE(current_setting('app.tenant', true), 'none') || (SELECT count(*) FROM pg_prepared_statements WHERE name = 'p') +
					(SELECT count(*) FROM pg_settings WHERE name LIKE 'auto\_explain.%') + (SELECT count(*) FROM pg_replication_slots WHERE active_pid = pg_backend_pid())`
				statement, err := p.db.Prepare(own)
				if err != nil {
					t.Fatal(err)
				}
				defer statement.Close()
				file := script(text, "SELECT 1;")
				if outside {
					file = noTransaction(text, "SELECT 1;")
				}
				m := p.migrator(from(files(map[string]*fstest.MapFile{"1_a.sql": table("a"), "2_s.sql": file, "3_c.sql": table("c")})))
				for range 2 {
					if err := m.Migrate(ctx); err != nil {
						t.Error(err)
					}
					var got string
					if err := statement.QueryRow().Scan(&got); err != nil || got != "none0" {
						t.Errorf("the application's statement: %q, %v", got, err)
					}
					for _, c := range pin(t, p.db, 3) {
						if err := c.QueryRowContext(ctx, own).Scan(&got); err != nil || got != "none0" {
							t.Errorf("a connection of the pool: %q, %v", got, err)
						}
						c.Close()
					}
					if err := m.RollbackTo(ctx, 0); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
}

// TestPragmasThatOnlyRead cost the application no connection, nor what it has set there by hand.
func TestPragmasThatOnlyRead(t *testing.T) {
	t.Parallel()
	having(without(server)).onEach(t, func(t *testing.T, p *place) {
		p.db.SetMaxOpenConns(1)
		p.exec(t, "PRAGMA foreign_keys = ON", "PRAGMA case_sensitive_like = ON")
		fsys := files(map[string]*fstest.MapFile{"1_a.sql": noTransaction("PRAGMA foreign_keys = OFF;\nCREATE TABLE a (id INTEGER);\nPRAGMA foreign_key_check;\nPRAGMA integrity_check;", "DROP TABLE a;")})
		if err := p.migrator(from(fsys)).Migrate(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got := column[string](t, p.db, "SELECT foreign_keys || ('a' LIKE 'A') FROM pragma_foreign_keys"); got[0] != "10" {
			t.Errorf("the connection is another one: %s", got)
		}
	})
}
