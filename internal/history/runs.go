package history

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Outcome says how a run ended.
type Outcome string

// The outcomes of a run.
const (
	Running    Outcome = "running"
	Migrated   Outcome = "migrated"
	Forced     Outcome = "forced"
	Accepted   Outcome = "accepted"
	RolledBack Outcome = "rolled back"
	Failed     Outcome = "failed"
	Crashed    Outcome = "crashed"
	// CutOff is a run that was declared dead and whose starting point no run has taken over yet.
	CutOff Outcome = "cut off"
)

// Run is one run's row.
type Run struct {
	ID     string
	Holder string // host/pid/instance
	// Application is its version.
	Application string
	Namespace   string
	Started     time.Time
	Ended       time.Time // zero while it runs
	From, To    int64
	Start       []int64 // the starting point
	Planned     []int64
	Outcome     Outcome
	Error       string
	// Others name what was there before the first migration; nil if an earlier version has recorded the run.
	Others []string
	// Remembers says that the rows of applied versions tell which of them this run has applied.
	Remembers bool
}

const (
	keptRuns  = 100
	errorSize = 2000 // bytes of an error's text
	// othersSize is how many bytes the names of a run's others may have: MySQL's TEXT takes a little more.
	othersSize = 60000
)

// othersText leaves out the last names where there are too many.
func othersText(others []string) string {
	text, _ := json.Marshal(append([]string{}, others...))
	for len(text) > othersSize {
		others = others[:len(others)*9/10]
		text, _ = json.Marshal(append([]string{}, others...))
	}
	return string(text)
}

// Runs are the rows of runs that have, or had, the lock, and their fences.
type Runs struct{ t *table }

const (
	runPrefix   = "run:"
	fencePrefix = "fence:"
)

func runID(id string) string           { return runPrefix + id }
func fenceID(id string) string         { return fencePrefix + id }
func without(prefix, id string) string { return strings.TrimPrefix(id, prefix) }

// Start inserts the row of a run that begins, and its fence, and removes the oldest runs.
func (r Runs) Start(ctx context.Context, db Querier, run Run) error {
	return r.start(ctx, db, run, false)
}

// Inherit is Start for a run that takes over from the cut-off runs of its namespace. Their outcome becomes Crashed in the same
// transaction, so that no starting point is lost.
func (r Runs) Inherit(ctx context.Context, db *sql.DB, heir Run) error {
	return r.start(ctx, db, heir, true)
}

// First is Start in a table that was created just now, which has no other rows, and denies its owner nothing.
func (r Runs) First(ctx context.Context, db *sql.DB, run Run) error {
	_, err := r.t.write(ctx, db, append(r.t.soon(db), r.inserting(run)...)...)
	return err
}

func (r Runs) start(ctx context.Context, db Querier, run Run, inherit bool) error {
	cutOff, ended, err := r.over(ctx, db, run.Namespace)
	if err != nil {
		return err
	}
	statements := r.t.soon(db)
	if inherit {
		statements = append(statements, r.crashing(cutOff)...)
	}
	for _, id := range ended[min(len(ended), keptRuns-1):] { // with the run that begins
		statements = append(statements, r.t.sql("DELETE FROM {table} WHERE id = ?", id))
	}
	fence := fenceID(run.ID)
	// A missing privilege shows now, and not when the run has ended.
	statements = append(statements, r.t.sql("UPDATE {table} SET outcome = outcome WHERE id = ?", fence), r.t.sql("DELETE FROM {table} WHERE id = ?", fence))
	_, err = r.t.write(ctx, db, append(statements, r.inserting(run)...)...)
	return err
}

// inserting are the statements that insert a run's row, and its fence.
func (r Runs) inserting(run Run) []string {
	start, _ := json.Marshal(run.Start) // numbers can always be JSON
	planned, _ := json.Marshal(run.Planned)
	others := othersText(run.Others)
	fence, id := fenceID(run.ID), runID(run.ID)
	return []string{
		r.t.sql("INSERT INTO {table} (id, kind, run_id, transactions) VALUES (?, 'fence', ?, 0)", fence, id),
		r.t.sql("INSERT INTO {table} (id, kind, namespace, holder, application, started_at, from_version, outcome, start_set, planned, others, remembers)"+
			" VALUES (?, 'run', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			id, run.Namespace, cut(run.Holder, 255), cut(run.Application, 255), stamp(run.Started), run.From, Running, string(start), string(planned), others, run.Remembers),
	}
}

// over reads the keys of the cut-off runs of a namespace, and of all runs that have ended, the newest first. Statements then
// change rows by their keys: on MySQL a statement that searches locks every row.
func (r Runs) over(ctx context.Context, db Querier, namespace string) (cutOff, ended []string, err error) {
	query := r.t.sql("SELECT id, namespace, outcome FROM {table} WHERE kind = 'run' AND outcome <> 'running' ORDER BY started_at DESC, id DESC")
	err = each(ctx, db, query, func(rows *sql.Rows) error {
		var id, of string
		var outcome Outcome
		err := rows.Scan(&id, &of, &outcome)
		switch {
		case outcome != CutOff:
			ended = append(ended, id)
		case of == namespace:
			cutOff = append(cutOff, id)
		}
		return err
	})
	return cutOff, ended, err
}

func (r Runs) crashing(cutOff []string) (statements []string) {
	for _, id := range cutOff {
		statements = append(statements, r.t.sql("UPDATE {table} SET outcome = ? WHERE id = ? AND outcome = ?", Crashed, id, CutOff))
	}
	return statements
}

// Crash marks the cut-off runs of a namespace as crashed: there is nothing to take over from them.
func (r Runs) Crash(ctx context.Context, db Querier, namespace string) error {
	cutOff, _, err := r.over(ctx, db, namespace)
	if err != nil || len(cutOff) == 0 {
		return err
	}
	_, err = r.t.write(ctx, db, r.crashing(cutOff)...)
	return err
}

// End records the outcome of a run, removes its fence, and forgets the given connections. It returns false if the run is not
// running any more: another process has declared it dead.
//
// The number of transactions that the fence has counted is kept, because the marks of unfinished steps refer to it. The
// first statement locks the fence, as each step of the run does: reading the fence first would deadlock with the run. The
// row of the run comes last, because its count of rows is the answer.
func (r Runs) End(ctx context.Context, db Querier, id string, to int64, outcome Outcome, text string, at time.Time, connections ...string) (bool, error) {
	fence, run := fenceID(id), runID(id)
	n, err := r.t.write(ctx, db, append(Connections(r).dropping(id, connections),
		r.t.sql("UPDATE {table} SET outcome = outcome WHERE id = ?", fence),
		r.t.sql("UPDATE {table} SET transactions = COALESCE((SELECT n.counted FROM (SELECT MAX(transactions) AS counted FROM {table} WHERE id = ?) AS n), -1)"+
			" WHERE id = ? AND outcome = ?", fence, run, Running),
		r.t.sql("DELETE FROM {table} WHERE id = ?", fence),
		r.t.sql("UPDATE {table} SET outcome = ?, to_version = ?, error_text = ?, ended_at = ? WHERE id = ? AND outcome = ?",
			outcome, to, cut(text, errorSize), stamp(at), run, Running))...)
	return n > 0, err
}

// Known says whether the table has the row of a run, whatever became of it.
func (r Runs) Known(ctx context.Context, db Querier, id string) (bool, error) {
	n, err := count(ctx, db, r.t.sql("SELECT id FROM {table} WHERE id = ?", runID(id)))
	return n > 0, err
}

// EndedAs says whether this very End has ended the run.
func (r Runs) EndedAs(ctx context.Context, db Querier, id string, outcome Outcome, at time.Time) (bool, error) {
	n, err := count(ctx, db, r.t.sql("SELECT id FROM {table} WHERE id = ? AND outcome = ? AND ended_at = ?", runID(id), outcome, stamp(at)))
	return n > 0, err
}

// TryCutOff declares a run dead and removes its fence. It doesn't wait: false means that a transaction of the run is still
// open, because the server has not noticed yet that its client is gone. Each transaction of a run locks the fence first, so
// none is missed. A run that has ended keeps its outcome.
func (r Runs) TryCutOff(ctx context.Context, db *sql.DB, id string, at time.Time) (done bool, err error) {
	if r.t.server.terms().locks.row != "" {
		if free, err := r.free(ctx, db, id); err != nil || !free {
			return false, err
		}
	}
	_, err = r.End(ctx, db, id, 0, CutOff, "its process is gone", at)
	return err == nil, err
}

// free says whether the fence of a run is unlocked, and its row, which is the fence of an older version's run. It keeps no
// lock.
func (r Runs) free(ctx context.Context, db *sql.DB, id string) (free bool, err error) {
	rows := r.t.sql("SELECT id FROM {table} WHERE id IN (?, ?)", fenceID(id), runID(id))
	err = r.t.server.read(ctx, db, func(q Querier) error {
		unlocked, err := count(ctx, q, rows+" FOR UPDATE SKIP LOCKED")
		if err != nil {
			return err
		}
		all, err := count(ctx, q, rows)
		free = unlocked >= all
		return err
	})
	return free, err
}

func count(ctx context.Context, db Querier, query string) (n int, err error) {
	err = each(ctx, db, query, func(*sql.Rows) error { n++; return nil })
	return n, err
}

// Fence is the statement that begins each transaction of a run. If it finds no row, the run was declared dead, or has ended.
// Otherwise the row stays locked until the transaction ends, so that no process can declare the run dead. The statement
// counts committed transactions, even those that DDL commits: see [Step.Untouched]. The row is narrow, because each
// transaction leaves a dead version of it. The same text has the server watch the connection, because a lost machine
// doesn't close its connections.
func (r Runs) Fence(id string) string {
	return r.t.server.terms().begin + r.t.sql("UPDATE {table} SET transactions = transactions + 1 WHERE id = ?", fenceID(id))
}

// fenced says whether the fence of a run exists, so the run was not declared dead.
func (t *table) fenced(ctx context.Context, db *sql.DB, run string) (ours bool, err error) {
	ask := func(q Querier) error {
		n, err := count(ctx, q, t.sql("SELECT id FROM {table} WHERE id = ?", fenceID(run)))
		ours = n > 0
		return err
	}
	if t.server.terms().staysOpen {
		err = t.server.read(ctx, db, ask)
	} else {
		err = ask(db)
	}
	return ours, err
}

// List returns the runs, the newest first.
func (r Runs) List(ctx context.Context, db Querier, only ...Outcome) (runs []Run, err error) {
	later := []string{"application", "others", "remembers"}
	if runs, err = r.list(ctx, db, later, only...); err == nil {
		return runs, nil
	}
	l, layoutErr := r.t.layout(ctx, db)
	if layoutErr != nil || !l.remembers() || !slices.ContainsFunc(later, func(column string) bool { return !l.columns[column] }) {
		return runs, err
	}
	for i, column := range later { // of an earlier version
		if !l.columns[column] {
			later[i] = "NULL"
		}
	}
	return r.list(ctx, db, later, only...)
}

func (r Runs) list(ctx context.Context, db Querier, later []string, only ...Outcome) (runs []Run, err error) {
	query := r.t.sql("SELECT id, namespace, holder, COALESCE(" + later[0] + ", ''), started_at, ended_at, from_version, to_version, outcome," +
		" COALESCE(start_set, 'null'), COALESCE(planned, 'null'), COALESCE(" + later[1] + ", 'null'), COALESCE(error_text, ''), COALESCE(" + later[2] + ", 0)" +
		" FROM {table} WHERE kind = 'run'")
	if len(only) > 0 {
		var outcomes []string
		for _, outcome := range only {
			outcomes = append(outcomes, r.t.sql("outcome = ?", outcome))
		}
		query += " AND (" + strings.Join(outcomes, " OR ") + ")"
	}
	err = each(ctx, db, query+" ORDER BY started_at DESC, id DESC", func(rows *sql.Rows) error {
		var x Run
		var id, started, ended, start, planned, others string
		if err := rows.Scan(&id, &x.Namespace, &x.Holder, &x.Application, &started, &ended, &x.From, &x.To, &x.Outcome, &start, &planned, &others, &x.Error, &x.Remembers); err != nil {
			return err
		}
		var startErr, endErr error
		x.ID = without(runPrefix, id)
		x.Started, startErr = parseStamp(started)
		x.Ended, endErr = parseStamp(ended)
		runs = append(runs, x)
		last := &runs[len(runs)-1]
		return errors.Join(startErr, endErr, json.Unmarshal([]byte(start), &last.Start), json.Unmarshal([]byte(planned), &last.Planned), json.Unmarshal([]byte(others), &last.Others))
	})
	return runs, err
}

// Recorded is List of a table that may be missing, or the original gooseplus's.
func (r Runs) Recorded(ctx context.Context, db Querier) ([]Run, error) {
	runs, err := r.List(ctx, db)
	if err == nil {
		return runs, nil
	}
	l, layoutErr := r.t.layout(ctx, db)
	switch {
	case errors.Is(layoutErr, ErrHidden):
		return nil, layoutErr
	case layoutErr == nil && !l.remembers() && !r.t.dialect.Denied(err):
		return nil, nil
	}
	return nil, err
}

// RunningNow returns the holder of the newest run that is recorded as running, "" if there is none, and when it started.
func (r Runs) RunningNow(ctx context.Context, db Querier) (holder string, since time.Time, err error) {
	runs, err := r.List(ctx, db, Running)
	if err != nil || len(runs) == 0 {
		return "", time.Time{}, err
	}
	return runs[0].Holder, runs[0].Started, nil
}

// stampLayout sorts as text. Times are text because drivers disagree about timestamps: MySQL's driver gives bytes unless its
// DSN says otherwise, and SQLite has no such type.
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

// cut shortens s to at most size bytes, at the border of a character, and removes bytes that no server takes.
func cut(s string, size int) string {
	s = strings.ReplaceAll(s, "\x00", "")
	return strings.ToValidUTF8(s[:min(len(s), size)], "")
}
