package state

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

// Outcome says how a run ended.
type Outcome string

// The outcomes of a run.
const (
	Running    Outcome = "running"
	Migrated   Outcome = "migrated"
	RolledBack Outcome = "rolled back"
	Failed     Outcome = "failed"
	Crashed    Outcome = "crashed"
	// CutOff is a run that was declared dead and whose starting point nobody has taken over yet.
	CutOff Outcome = "cut off"
)

// Run is one run's row.
type Run struct {
	ID        string
	Holder    string // host/pid/instance
	Namespace string
	Started   time.Time
	Ended     time.Time // zero while it runs
	From, To  int64
	Start     []int64 // the starting point
	Planned   []int64
	Outcome   Outcome
	Error     string
	Backend   string // the server's name of the connection of a step outside a transaction
}

const (
	keptRuns  = 100
	errorSize = 2000 // bytes of an error's text
)

// StartRun inserts the row of a run that begins, and prunes old ones.
func (t *Table) StartRun(ctx context.Context, db Querier, r Run) error {
	start, err := json.Marshal(r.Start)
	if err != nil {
		return err
	}
	planned, err := json.Marshal(r.Planned)
	if err != nil {
		return err
	}
	if _, err := t.exec(ctx, db, "INSERT INTO {table}"+
		" (id, kind, namespace, holder, started_at, from_version, outcome, start_set, planned) VALUES (?, 'run', ?, ?, ?, ?, ?, ?, ?)",
		runID(r.ID), r.Namespace, cut(r.Holder, 255), stamp(r.Started), r.From, string(Running), string(start), string(planned)); err != nil {
		return err
	}
	return t.prune(ctx, db)
}

// EndRun records the outcome of a run that this process owns. It returns false if the run is not
// running any more: somebody else has declared it dead.
func (t *Table) EndRun(ctx context.Context, db Querier, id string, to int64, outcome Outcome, text string, at time.Time) (bool, error) {
	n, err := t.exec(ctx, db, "UPDATE {table}"+
		" SET outcome = ?, to_version = ?, error_text = ?, ended_at = ?, backend = '' WHERE id = ? AND outcome = ?",
		string(outcome), to, cut(text, errorSize), stamp(at), runID(id), string(Running))
	return n > 0, err
}

// Runs returns the rows of runs, newest first.
func (t *Table) Runs(ctx context.Context, db Querier, only ...Outcome) ([]Run, error) {
	query := "SELECT id, namespace, holder, started_at, ended_at, from_version, to_version, outcome, backend," +
		" COALESCE(start_set, ''), COALESCE(planned, ''), COALESCE(error_text, '') FROM {table} WHERE kind = 'run'"
	if len(only) > 0 {
		query += " AND outcome = " + t.dialect.Literal(string(only[0]))
	}
	rows, err := db.QueryContext(ctx, t.rebind(query+" ORDER BY started_at DESC, id DESC"))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var runs []Run
	for rows.Next() {
		r, err := scanRun(rows)
		if err != nil {
			return nil, err
		}
		runs = append(runs, r)
	}
	return runs, rows.Err()
}

// Recorded is Runs of a table that need not be there, and that may be the original gooseplus's.
func (t *Table) Recorded(ctx context.Context, db Querier) ([]Run, error) {
	there, err := t.there(ctx, db)
	if err != nil || !there {
		return nil, err
	}
	runs, err := t.Runs(ctx, db)
	if err == nil {
		return runs, nil
	}
	return nil, t.unlessMissing(ctx, db, err)
}

// RunningNow says who is recorded as running, and since when; "" if nobody is.
func (t *Table) RunningNow(ctx context.Context, db Querier) (holder string, since time.Time, err error) {
	var started string
	err = db.QueryRowContext(ctx, t.rebind("SELECT holder, started_at FROM {table} WHERE kind = 'run' AND outcome = 'running' ORDER BY started_at DESC LIMIT 1")).
		Scan(&holder, &started)
	if errors.Is(err, sql.ErrNoRows) {
		return "", time.Time{}, nil
	}
	if err == nil {
		since, err = parseStamp(started)
	}
	return holder, since, err
}

func scanRun(rows *sql.Rows) (Run, error) {
	var r Run
	var id, started, ended, outcome, start, planned string
	if err := rows.Scan(&id, &r.Namespace, &r.Holder, &started, &ended, &r.From, &r.To, &outcome, &r.Backend,
		&start, &planned, &r.Error); err != nil {
		return Run{}, err
	}
	r.ID, r.Outcome = strings.TrimPrefix(id, runPrefix), Outcome(outcome)
	var err error
	if r.Started, err = parseStamp(started); err != nil {
		return Run{}, err
	}
	if r.Ended, err = parseStamp(ended); err != nil {
		return Run{}, err
	}
	return r, errors.Join(unmarshal(start, &r.Start), unmarshal(planned, &r.Planned))
}

// TryCutOff declares a run dead, so that its fence is closed. It doesn't wait: false means that a
// transaction of the run is still open, because the server has not noticed yet that its client is
// gone, and executes or will commit what it was told. Since the fence locks the run's row first, that
// can't be missed. A run that has ended by itself meanwhile stays as it is.
func (t *Table) TryCutOff(ctx context.Context, db *sql.DB, id string, at time.Time) (done bool, err error) {
	err = inTransaction(ctx, db, func(tx *sql.Tx) error {
		if t.dialect.Goose != goose.DialectSQLite3 {
			var found string
			err := tx.QueryRowContext(ctx, t.rebind("SELECT id FROM {table} WHERE id = ? FOR UPDATE SKIP LOCKED"), runID(id)).Scan(&found)
			if errors.Is(err, sql.ErrNoRows) {
				there, err := t.runThere(ctx, tx, id)
				done = !there // a replica of the original gooseplus has deleted it
				return err
			}
			if err != nil {
				return err
			}
		}
		_, err := t.EndRun(ctx, tx, id, 0, CutOff, "its process is gone", at)
		done = err == nil
		return err
	})
	return done && err == nil, err
}

// Inherit marks the runs of the heir's namespace that were cut off as crashed, and starts the one that takes over from them:
// at once, so that no starting point is lost in between.
func (t *Table) Inherit(ctx context.Context, db *sql.DB, heir Run) error {
	return inTransaction(ctx, db, func(tx *sql.Tx) error {
		if err := t.Crash(ctx, tx, heir.Namespace); err != nil {
			return err
		}
		return t.StartRun(ctx, tx, heir)
	})
}

// Crash marks the runs of a namespace that were cut off as crashed: there is nothing to take over from them.
func (t *Table) Crash(ctx context.Context, db Querier, namespace string) error {
	runs, err := t.Runs(ctx, db, CutOff)
	if err != nil {
		return err
	}
	for _, r := range runs {
		if r.Namespace != namespace {
			continue
		}
		// On MySQL an UPDATE that has to scan would wait for the mutex, which its own process holds.
		if _, err := t.exec(ctx, db, "UPDATE {table} SET outcome = ? WHERE id = ? AND outcome = ?",
			string(Crashed), runID(r.ID), string(CutOff)); err != nil {
			return err
		}
	}
	return nil
}

func (t *Table) runThere(ctx context.Context, db Querier, id string) (bool, error) {
	var n int
	err := db.QueryRowContext(ctx, t.rebind("SELECT count(*) FROM {table} WHERE id = ?"), runID(id)).Scan(&n)
	return n > 0, err
}

// Fence is the statement that each transaction of a run begins with. That it finds no row means
// that the run was declared dead; that it finds one locks the row until the transaction ends, so
// that nobody can declare the run dead meanwhile. It counts the transactions that were committed, be it by DDL,
// in version_id: see Step.Untouched. It takes no arguments, so that it is one round trip with any driver.
func (t *Table) Fence(id string) string {
	return "UPDATE " + t.rows() + " SET version_id = version_id + 1 WHERE id = '" + runID(id) + "' AND outcome = 'running'"
}

// Busy is a query that finds a row while IsBusy is true of any.
func (t *Table) Busy() string {
	return "SELECT 1 FROM " + t.rows() + " WHERE " + IsBusy
}

// StillBusy says whether Busy, or BusyIn, finds a row, in a table that is there.
func (t *Table) StillBusy(ctx context.Context, db Querier, busy string) (bool, error) {
	var one int
	err := db.QueryRowContext(ctx, busy+" LIMIT 1").Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

const (
	// IsDirty is true of the rows of steps that were not finished.
	IsDirty = "kind = 'dirty'"
	// IsBusy is true of them, of runs that are recorded as running, and of runs without a namespace that were cut
	// off: their starting point has to be taken over, or given up, while it means something.
	IsBusy = "kind = 'run' AND (outcome = 'running' OR outcome = 'cut off' AND namespace = '') OR " + IsDirty
)

// BusyIn is IsBusy for one namespace. What other namespaces' runs do is nobody's business here, but a run that
// was cut off while another namespace's heir took the lock is.
func BusyIn(namespace string) string {
	return in(namespace) + "(kind = 'run' AND outcome IN ('running', 'cut off') OR " + IsDirty + ")"
}

// DirtyIn is IsDirty for one namespace.
func DirtyIn(namespace string) string { return in(namespace) + IsDirty }

// OrStamped adds to one of these conditions the rows of environments, if any are given.
func (t *Table) OrStamped(environments []string) string {
	if len(environments) == 0 {
		return ""
	}
	var names []string
	for _, e := range environments {
		names = append(names, t.dialect.Literal(e))
	}
	return " OR kind = '" + kindEnvironment + "' AND name IN (" + strings.Join(names, ", ") + ")"
}

// in has no backslash to escape, which is in no name of a namespace.
func in(namespace string) string {
	return "namespace = '" + strings.ReplaceAll(namespace, "'", "''") + "' AND "
}

// BusyIn is Busy for one namespace.
func (t *Table) BusyIn(namespace string) string {
	return "SELECT 1 FROM " + t.rows() + " WHERE " + BusyIn(namespace)
}

// There is a query that finds a row if the table is there.
func (t *Table) There() string {
	literal := t.dialect.Literal
	switch t.dialect.Goose {
	case goose.DialectPostgres:
		return "SELECT 1 WHERE to_regclass(" + literal(t.name) + ") IS NOT NULL"
	case goose.DialectMySQL:
		return "SELECT 1 FROM information_schema.tables WHERE table_schema = COALESCE(NULLIF(" + literal(t.table.Schema) +
			", ''), DATABASE()) AND table_name = " + literal(t.table.Table)
	default:
		schema := dialect.Name{Table: cmp.Or(t.table.Schema, "main")}
		return "SELECT 1 FROM " + t.dialect.Quote(schema) + ".sqlite_master WHERE type = 'table' AND name = " + literal(t.table.Table) + " COLLATE NOCASE"
	}
}

// prune deletes the oldest rows of ended runs.
func (t *Table) prune(ctx context.Context, db Querier) error {
	rows, err := db.QueryContext(ctx, t.rebind("SELECT id FROM {table}"+
		" WHERE kind = 'run' AND outcome <> 'running' ORDER BY started_at DESC, id DESC"))
	if err != nil {
		return err
	}
	var old []string
	for n := 1; rows.Next(); n++ {
		var id string
		if err := rows.Scan(&id); err != nil {
			return errors.Join(err, rows.Close())
		}
		if n >= keptRuns { // with the one that begins
			old = append(old, id)
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for _, id := range old {
		if _, err := t.exec(ctx, db, "DELETE FROM {table} WHERE id = ?", id); err != nil {
			return err
		}
	}
	return nil
}

const runPrefix = "run:"

func runID(id string) string { return runPrefix + id }

func (t *Table) exec(ctx context.Context, db Querier, query string, args ...any) (int64, error) {
	if t.dialect.Goose == goose.DialectPostgres {
		query, args = t.inline(query, args), nil
	} else {
		query = t.rebind(query)
	}
	result, err := db.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// inline puts the arguments into a statement: with them apart, PostgreSQL's drivers take two round trips, and
// pgx keeps a prepared statement.
func (t *Table) inline(query string, args []any) string {
	var b strings.Builder
	for i, piece := range strings.Split(query, "?") {
		if i > 0 {
			switch arg := args[i-1].(type) {
			case int, int64:
				fmt.Fprintf(&b, "%d", arg)
			default:
				b.WriteString(t.dialect.Literal(fmt.Sprint(arg)))
			}
		}
		b.WriteString(strings.ReplaceAll(piece, "{table}", t.rows()))
	}
	return b.String()
}

// rebind puts the table's name and the dialect's placeholders into a statement.
func (t *Table) rebind(query string) string {
	if t.dialect.Goose == goose.DialectPostgres {
		for n := 1; strings.Contains(query, "?"); n++ {
			query = strings.Replace(query, "?", "$"+strconv.Itoa(n), 1)
		}
	}
	return strings.ReplaceAll(query, "{table}", t.rows()) // last: the name may have any character
}

// stampLayout sorts as text. Times are text because drivers disagree about timestamps: MySQL's
// gives bytes unless its DSN says otherwise, SQLite has no such type.
const stampLayout = "2006-01-02T15:04:05.000000Z"

func stamp(at time.Time) string { return at.UTC().Format(stampLayout) }

func parseStamp(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(stampLayout, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("state table: time %q: %w", s, err)
	}
	return at, nil
}

func unmarshal(text string, into *[]int64) error {
	if text == "" {
		return nil
	}
	return json.Unmarshal([]byte(text), into)
}

// cut shortens s to at most size bytes, at the border of a character, and leaves out what no server takes.
func cut(s string, size int) string {
	s = strings.ReplaceAll(s, "\x00", "")
	return strings.ToValidUTF8(s[:min(len(s), size)], "")
}
