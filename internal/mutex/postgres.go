package mutex

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Postgres is a transaction-level advisory lock. The transaction that has it holds no lock on a row or a table,
// no transaction id and no snapshot, so that nothing waits for it, CREATE INDEX CONCURRENTLY included; and it
// keeps its connection to the server behind a pooler in transaction mode.
type Postgres struct {
	DB *sql.DB
	// Key is an SQL expression for the text that the lock's number is made of.
	Key string
	// Idle is how long the server keeps the lock of a holder that says nothing.
	Idle time.Duration
}

var _ Mutex = (*Postgres)(nil)

// ErrNoLock is the error of a server that answers as if it had locks, and has none.
var ErrNoLock = errors.New("the server says that it has taken the advisory lock, and pg_locks doesn't show it: " +
	"it has no such lock (CockroachDB doesn't), so WithGlobalLock can't be used on it")

// begin opens the transaction. Whatever the role, the database or the pooler has set, it is not ended while its
// holder gives signs of life, and it is ended soon when its holder's machine or network is gone: not all versions
// of the server have all of these settings.
func (p *Postgres) begin() string {
	settings := []string{
		fmt.Sprintf("('idle_in_transaction_session_timeout', '%d')", p.Idle.Milliseconds()),
		"('statement_timeout', '0')", "('lock_timeout', '0')", "('transaction_timeout', '0')",
	}
	for _, s := range KeepAlive {
		settings = append(settings, fmt.Sprintf("('%s', '%s')", s.Name, s.Value))
	}
	return "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; SELECT " + "set_config(v.name, v.value, true) FROM (VALUES " +
		strings.Join(settings, ", ") + ") AS v (name, value) WHERE " + settable
}

// KeepTransaction is a statement that has the server look after the connection until the transaction ends. What is
// outside a transaction can't have such settings: behind a pooler they would stay on a connection of everybody's.
func KeepTransaction() string { return "SELECT " + keep() }

func keep() string {
	var list []string
	for _, s := range KeepAlive {
		list = append(list, fmt.Sprintf("('%s', '%s')", s.Name, s.Value))
	}
	return "set_config(v.name, v.value, true) FROM (VALUES " + strings.Join(list, ", ") + ") AS v (name, value) WHERE " + settable
}

// settable is true of the settings v.name that the server has. Not every platform can have
// client_connection_check_interval.
const settable = "current_setting(v.name, true) IS NOT NULL" +
	" AND (v.name <> 'client_connection_check_interval' OR version() LIKE '%linux%')"

// Setting is one of the server's.
type Setting struct{ Name, Value string }

// KeepAlive are the settings by which PostgreSQL notices within some 20 seconds that nobody is at the other end of
// a connection any more, also in the middle of a statement, where it would otherwise go on for hours. Any role may
// set them in its own session.
var KeepAlive = []Setting{
	{"tcp_keepalives_idle", "5"}, {"tcp_keepalives_interval", "5"}, {"tcp_keepalives_count", "3"},
	{"tcp_user_timeout", "20000"}, {"client_connection_check_interval", "2000"},
}

// held is a condition that pg_locks fulfils for the lock with the number k, in this database.
func held(k string) string {
	return "l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())" +
		" AND ((l.classid::bigint << 32) | l.objid::bigint) = " + k
}

// TryLock implements Mutex.
func (p *Postgres) TryLock(ctx context.Context) (Held, error) {
	return again(func() (Held, error) { return p.try(ctx) })
}

func (p *Postgres) try(ctx context.Context) (Held, error) {
	c, err := connect(ctx, p.DB)
	if err != nil {
		return nil, err
	}
	h := &heldPostgres{connection: c}
	var mine, shown bool
	err = c.use(ctx, func(conn *sql.Conn) error {
		if _, err := conn.ExecContext(ctx, p.begin()); err != nil {
			return err
		}
		// The second answer is looked for when the first is there.
		err := conn.QueryRowContext(ctx, "WITH k AS (SELECT "+p.Key+" AS name), t AS (SELECT name, hashtextextended(name, 0) AS k,"+
			" pg_try_advisory_xact_lock(hashtextextended(name, 0)) AS mine FROM k) SELECT name, mine, CASE WHEN mine THEN EXISTS (SELECT 1 FROM pg_locks l WHERE l.pid = pg_backend_pid() AND "+held("t.k")+") ELSE FALSE END FROM t").
			Scan(&h.key, &mine, &shown)
		if err != nil || mine {
			return err
		}
		_, err = conn.ExecContext(ctx, "ROLLBACK")
		return err
	})
	switch {
	case err != nil:
		c.Abandon()
		return nil, err
	case !mine:
		return nil, c.giveBack()
	case !shown:
		c.Abandon()
		return nil, ErrNoLock
	}
	return h, nil
}

// Holder implements Mutex.
func (p *Postgres) Holder(ctx context.Context) (string, error) {
	var pid int
	err := p.DB.QueryRowContext(ctx, "SELECT l.pid FROM pg_locks l, (SELECT hashtextextended("+p.Key+", 0) AS k) AS k WHERE "+held("k.k")+" LIMIT 1").Scan(&pid)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("backend pid %d", pid), nil
}

type heldPostgres struct {
	*connection
	key string
}

// Key is the text that the lock's number is made of.
func (h *heldPostgres) Key() string { return h.key }

// Check implements Held: the transaction has the lock for as long as it is open.
func (h *heldPostgres) Check(ctx context.Context) error {
	return h.use(ctx, func(conn *sql.Conn) error { _, err := conn.ExecContext(ctx, "SELECT 1"); return err })
}

// Release implements Held.
func (h *heldPostgres) Release(ctx context.Context) error {
	err := h.use(ctx, func(conn *sql.Conn) error { _, err := conn.ExecContext(ctx, "COMMIT"); return err })
	if err != nil {
		h.Abandon()
		return err
	}
	return h.giveBack()
}
