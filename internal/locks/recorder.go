package locks

import (
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// Ask executes a statement on the connection of the migration, and returns its rows.
type Ask func(query string) ([][]driver.Value, error)

// Recorder records what migrations lock. Start is not called while a migration runs.
type Recorder struct {
	dialect goose.Dialect

	mu       sync.Mutex // a Go migration may execute statements on several goroutines
	report   Report     // this and the fields below are guarded by mu
	postgres postgres   // of the migration that is executed, as mysql
	mysql    mysql
}

// NewRecorder makes a Recorder for databases of a dialect.
func NewRecorder(d goose.Dialect) (*Recorder, error) {
	switch d {
	case goose.DialectPostgres, goose.DialectMySQL:
		return &Recorder{dialect: d, report: Report{Migrations: []Migration{}, Notes: []string{}}}, nil
	case goose.DialectSQLite3:
		return nil, fmt.Errorf("locks are not available on SQLite: a statement that writes locks the whole file")
	}
	return nil, fmt.Errorf("locks are not available with the dialect %s: use PostgreSQL, MySQL or MariaDB", d)
}

// Report returns what was recorded.
func (r *Recorder) Report() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, m := range r.report.Migrations {
		r.report.Migrations[i].Findings = m.findings()
	}
	return r.report
}

// Start is called before the first statement of a migration.
func (r *Recorder) Start(m Migration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.Statements = []Statement{}
	r.report.Migrations = append(r.report.Migrations, m)
	r.postgres, r.mysql = postgres{}, mysql{}
}

// Before is called before each statement of the migration, with its text and place. ask is nil if nothing may come before it.
// The function that it returns is called after the statement, with its error.
func (r *Recorder) Before(s Statement, inTransaction bool, ask Ask) (after func(time.Duration, error) error, err error) {
	s.FirstWords, s.Known, s.inTransaction, s.Locks = beginning(s.Text), NotAvailable, inTransaction, []Lock{}
	add := func(took time.Duration, err error) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		m := &r.report.Migrations[len(r.report.Migrations)-1]
		if s.Number, s.Took, s.Millis = len(m.Statements)+1, took, took.Milliseconds(); err != driver.ErrSkip {
			m.Statements = append(m.Statements, s)
		}
		return err
	}
	switch {
	case ask == nil:
		return add, nil
	case r.dialect == goose.DialectMySQL:
		return r.beforeMySQL(&s, ask, add)
	}
	return r.beforePostgres(&s, ask, add)
}

// beforePostgres gives a statement outside of transactions one of its own, if the server allows that: its locks are gone at
// its end otherwise.
func (r *Recorder) beforePostgres(s *Statement, ask Ask, add func(time.Duration, error) error) (func(time.Duration, error) error, error) {
	before, err := askFacts(ask)
	if err != nil {
		return nil, err
	}
	if !s.inTransaction { // unless it has begun one itself
		rows, err := ask("SELECT pg_catalog.now()::pg_catalog.text")
		if err != nil {
			return nil, err
		}
		s.inTransaction = stringsOf(rows[0])[0] == before.began
	}
	alone, among := sqltext.Alone(s.Text)
	enclosed := !s.inTransaction && !alone && !among && !mayCommit(s.Text)
	if enclosed {
		if _, err = ask("BEGIN"); err == nil {
			before, err = askFacts(ask)
		}
		if err != nil {
			return nil, err
		}
	}
	r.mu.Lock()
	r.postgres.first(before)
	known := r.postgres
	r.mu.Unlock()
	s.noTimeout, s.held = before.noTimeout, known.held(before)
	end := func(command string) (err error) {
		if enclosed {
			_, err = ask(command)
		}
		return err
	}
	return func(took time.Duration, failed error) error {
		if failed != nil {
			_ = end("ROLLBACK") // the error of the statement counts
			return add(took, failed)
		}
		after, err := askFacts(ask)
		if err != nil {
			return err
		}
		if s.ran = true; s.inTransaction || enclosed {
			s.Known = Observed
			known.compare(s, before, after)
		} else {
			known.documented(s, before, after)
		}
		if err := end("COMMIT"); err != nil {
			return err
		}
		return add(took, nil)
	}, nil
}

func askFacts(ask Ask) (facts, error) {
	rows, err := ask(postgresFacts)
	if err != nil {
		return facts{}, fmt.Errorf("the locks can't be read: %w", err)
	}
	return readFacts(rows)
}

// mayCommit says whether a statement begins or ends transactions, or may do so in a body that it executes.
func mayCommit(text string) bool {
	word := strings.ToLower(firstWords(text, 1))
	return sqltext.ControlsTransactions(text) || word == "do" || word == "call"
}

// note notes what the server can't tell, once.
func (r *Recorder) note(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.report.Notes, text) {
		r.report.Notes = append(r.report.Notes, text)
	}
}
