package state

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
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
	Forced     Outcome = "forced"
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

// StartRun inserts the row of a run that begins, and its fence, and prunes old runs.
func (t *Table) StartRun(ctx context.Context, db Querier, r Run) error {
	list, err := t.starting(ctx, db, r)
	if err != nil {
		return err
	}
	_, err = t.script(ctx, db, list...)
	return err
}

func (t *Table) starting(ctx context.Context, db Querier, r Run) ([]statement, error) {
	start, err := json.Marshal(r.Start)
	if err != nil {
		return nil, err
	}
	planned, err := json.Marshal(r.Planned)
	if err != nil {
		return nil, err
	}
	list, err := t.pruning(ctx, db)
	if err != nil {
		return nil, err
	}
	return append(list,
		// What isn't allowed is to be found now, and not when the run has ended.
		statement{"UPDATE {table} SET outcome = outcome WHERE id = ?", []any{fenceID(r.ID)}},
		statement{"DELETE FROM {table} WHERE id = ?", []any{fenceID(r.ID)}},
		statement{"INSERT INTO {table} (id, kind, run_id, transactions) VALUES (?, 'fence', ?, 0)", []any{fenceID(r.ID), runID(r.ID)}},
		statement{"INSERT INTO {table} (id, kind, namespace, holder, started_at, from_version, outcome, start_set, planned) VALUES (?, 'run', ?, ?, ?, ?, ?, ?, ?)",
			[]any{runID(r.ID), r.Namespace, cut(r.Holder, 255), stamp(r.Started), r.From, string(Running), string(start), string(planned)}}), nil
}

// EndRun records the outcome of a run that this process owns, and takes its fence away. It returns false if the run
// is not running any more: somebody else has declared it dead. The connections that it names are forgotten.
func (t *Table) EndRun(ctx context.Context, db Querier, id string, to int64, outcome Outcome, text string, at time.Time, backends ...string) (bool, error) {
	n, err := t.script(ctx, db, append(dropping(id, backends), t.ending(id, to, outcome, text, at)...)...)
	return n > 0, err
}

// ending has the row of the run last, of which the caller wants to know whether it was there. What the fence has
// counted is kept there: the marks of steps that were cut off refer to it. The fence is locked first, as the run itself
// does at each step: to read it and to delete it then would be a deadlock with that.
func (t *Table) ending(id string, to int64, outcome Outcome, text string, at time.Time) []statement {
	return []statement{
		{"UPDATE {table} SET outcome = outcome WHERE id = ?", []any{fenceID(id)}},
		{"UPDATE {table} SET transactions = COALESCE((SELECT n.counted FROM (SELECT MAX(transactions) AS counted FROM {table} WHERE id = ?) AS n), -1)" +
			" WHERE id = ? AND outcome = ?", []any{fenceID(id), runID(id), string(Running)}},
		{"DELETE FROM {table} WHERE id = ?", []any{fenceID(id)}},
		{"UPDATE {table} SET outcome = ?, to_version = ?, error_text = ?, ended_at = ?, backend = '' WHERE id = ? AND outcome = ?",
			[]any{string(outcome), to, cut(text, errorSize), stamp(at), runID(id), string(Running)}},
	}
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
	runs, err := t.Runs(ctx, db)
	if err == nil {
		return runs, nil
	}
	if missing, checkErr := t.Missing(ctx, db); checkErr == nil && missing && !t.dialect.Denied(err) {
		return nil, nil
	}
	return nil, err
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
// gone, and executes or will commit what it was told. Since the fence locks its row first, that
// can't be missed. A run that has ended by itself meanwhile stays as it is.
func (t *Table) TryCutOff(ctx context.Context, db *sql.DB, id string, at time.Time) (done bool, err error) {
	if t.dialect.Goose != goose.DialectSQLite3 {
		free, err := t.free(ctx, db, id)
		if err != nil || !free {
			return false, err
		}
	}
	_, err = t.EndRun(ctx, db, id, 0, CutOff, "its process is gone", at)
	return err == nil, err
}

// free says whether nobody has locked the fence of a run, nor its row, which is the fence of an older version's
// run. It keeps no lock.
func (t *Table) free(ctx context.Context, db *sql.DB, id string) (free bool, err error) {
	rows := " FROM {table} WHERE id IN (" + t.dialect.Literal(fenceID(id)) + ", " + t.dialect.Literal(runID(id)) + ")"
	ask := func(q Querier) error {
		unlocked, err := t.count(ctx, q, "SELECT id"+rows+" FOR UPDATE SKIP LOCKED")
		if err != nil {
			return err
		}
		all, err := t.count(ctx, q, "SELECT id"+rows)
		free = unlocked >= all
		return err
	}
	err = t.reading(ctx, db, ask)
	return free, err
}

func (t *Table) count(ctx context.Context, db Querier, query string) (n int, err error) {
	rows, err := db.QueryContext(ctx, t.rebind(query))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		n++
	}
	return n, rows.Err()
}

// Inherit marks the runs of the heir's namespace that were cut off as crashed, and starts the one that takes over from them:
// at once, so that no starting point is lost in between.
func (t *Table) Inherit(ctx context.Context, db *sql.DB, heir Run) error {
	list, err := t.crashing(ctx, db, heir.Namespace)
	if err != nil {
		return err
	}
	start, err := t.starting(ctx, db, heir)
	if err != nil {
		return err
	}
	_, err = t.script(ctx, db, append(list, start...)...)
	return err
}

// Crash marks the runs of a namespace that were cut off as crashed: there is nothing to take over from them.
func (t *Table) Crash(ctx context.Context, db Querier, namespace string) error {
	list, err := t.crashing(ctx, db, namespace)
	if err != nil || len(list) == 0 {
		return err
	}
	_, err = t.script(ctx, db, list...)
	return err
}

func (t *Table) crashing(ctx context.Context, db Querier, namespace string) (list []statement, err error) {
	runs, err := t.Runs(ctx, db, CutOff)
	if err != nil {
		return nil, err
	}
	for _, r := range runs {
		if r.Namespace == namespace {
			list = append(list, statement{"UPDATE {table} SET outcome = ? WHERE id = ? AND outcome = ?",
				[]any{string(Crashed), runID(r.ID), string(CutOff)}})
		}
	}
	return list, nil
}

// Fence is the statement that each transaction of a run begins with. That it finds no row means
// that the run was declared dead, or has ended; that it finds one locks the row until the transaction ends, so
// that nobody can declare the run dead meanwhile. The row is narrow, since each transaction leaves a dead version
// of it. It counts the transactions that were committed, be it by DDL: see Step.Untouched. It takes no arguments,
// so that it is one round trip with any driver.
func (t *Table) Fence(id string) string {
	return "UPDATE " + t.name + " SET transactions = transactions + 1 WHERE id = '" + fenceID(id) + "'"
}

// Busy is a query that finds a row while IsBusy is true of any.
func (t *Table) Busy() string {
	return "SELECT 1 FROM " + t.name + " WHERE " + IsBusy
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
	return "SELECT 1 FROM " + t.name + " WHERE " + BusyIn(namespace)
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

// pruning are the statements that delete the oldest of the runs that have ended and that nobody has to take over
// from any more.
func (t *Table) pruning(ctx context.Context, db Querier) (list []statement, err error) {
	rows, err := db.QueryContext(ctx, t.rebind("SELECT id FROM {table}"+
		" WHERE kind = 'run' AND outcome NOT IN ('running', 'cut off') ORDER BY started_at DESC, id DESC"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for n := 1; rows.Next(); n++ {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		if n >= keptRuns { // with the one that begins
			list = append(list, statement{"DELETE FROM {table} WHERE id = ?", []any{id}})
		}
	}
	return list, rows.Err()
}

const (
	runPrefix   = "run:"
	fencePrefix = "fence:"
)

func runID(id string) string   { return runPrefix + id }
func fenceID(id string) string { return fencePrefix + id }

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
