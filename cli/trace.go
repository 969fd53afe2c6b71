package cli

import (
	"errors"
	"fmt"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/locks"
)

// locksError says that an application would have to wait for migrations.
type locksError struct{ text string }

func (e *locksError) Error() string { return e.text }

// tracedDone is the data of trace.
type tracedDone struct {
	Migrations []tracedMigration `json:"migrations"`
	Findings   []lockFinding     `json:"findings"`
	Notes      []string          `json:"notes"`
}

type tracedMigration struct {
	Namespace  string            `json:"namespace,omitempty"`
	Version    int64             `json:"version"`
	Source     string            `json:"source"`
	Statements []tracedStatement `json:"statements"`
}

type tracedStatement struct {
	Number     int          `json:"number"`
	Statement  string       `json:"statement"` // its first words
	File       string       `json:"file,omitempty"`
	Line       int          `json:"line,omitempty"`
	Known      string       `json:"known"`
	DurationMS int64        `json:"duration_ms"`
	Locks      []tracedLock `json:"locks"`
}

type tracedLock struct {
	Table     string `json:"table"`
	Lock      string `json:"lock"`
	Algorithm string `json:"algorithm,omitempty"`
	Rewrite   bool   `json:"rewrite"`
}

type lockFinding struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Version   int64  `json:"version"`
	Statement int    `json:"statement"`
	File      string `json:"file,omitempty"`
	Line      int    `json:"line,omitempty"`
	Table     string `json:"table,omitempty"`
	Does      string `json:"does"`
	Instead   string `json:"instead"`
	AllowLock string `json:"allow_lock,omitempty"`
}

const traceLong = "Runs all migrations in a copy of the shadow, an empty database of the same kind, and shows for each statement which\n" +
	"tables it locks, whether it rewrites them, and how long it took. Only tables that existed before the migration\n" +
	"count. Below them it shows the statements for which an application would have to wait, and what to write instead.\n" +
	"A line -- +gooseplus allow-lock REASON in a file allows all locks of its migration.\n" +
	"PostgreSQL says what the connection has locked, scanned and rewritten; for a statement that can't run in a\n" +
	"transaction the column KNOWN says \"documented\". MySQL and MariaDB: each ALGORITHM is tried on a copy of the table.\n" +
	"SQLite locks the whole file, so that there is nothing to show.\n" +
	"The database itself is not used. The exit code is 12 if anything was found that is not allowed. The copy of the\n" +
	"shadow is dropped again; the user needs the right to create databases."

// trace shows what the migrations lock.
func trace(c *call, shadow string) error {
	if c.settings.standalone && shadow != "" { // no other database is needed, and this one says which dialect it is
		c.settings.database.dsn = shadow
	}
	m, err := c.migrator(withPurpose(c.ctx, noDatabase))
	if err != nil {
		return err
	}
	set, err := m.Describe()
	if err != nil {
		return &refusedError{err}
	}
	if set.Dialect == goose.DialectSQLite3 {
		_, err := locks.NewRecorder(set.Dialect)
		return &refusedError{err}
	}
	scratch, err := newScratch(c, shadow, set)
	if err != nil {
		return err
	}
	var report locks.Report
	d, err := scratch.create(c.ctx, "trace")
	if err == nil {
		report, err = m.Trace(c.ctx, d.db)
	}
	if dropped := scratch.drop(c.ctx); err == nil {
		err = dropped
	}
	done := &tracedDone{Migrations: []tracedMigration{}, Findings: []lockFinding{}, Notes: append([]string{}, report.Notes...)}
	c.data = done
	refused := 0
	for _, one := range report.Migrations {
		findings := one.Findings()
		showLocks(c, one, findings)
		done.add(one, findings)
		if one.AllowLock == "" {
			refused += len(findings)
		}
	}
	for _, note := range report.Notes {
		c.out.line("note: %s", note)
	}
	if err != nil {
		err = &refusedError{err}
	}
	if refused > 0 {
		return errors.Join(&locksError{fmt.Sprintf("%s: an application would have to wait", counted(refused, "finding"))}, err)
	}
	if err == nil {
		c.out.line("%s: no application would have to wait", counted(len(report.Migrations), "migration"))
	}
	return err
}

// showLocks prints the table of a migration, and what was found in it.
func showLocks(c *call, m locks.Migration, findings []locks.Finding) {
	c.out.line("%s", clean(m.Title()))
	rows := [][]cell{cells(locks.Columns()...)}
	for _, row := range m.Rows() {
		rows = append(rows, cells(row...))
	}
	if len(rows) > 1 {
		c.out.table(rows)
	}
	for _, f := range findings {
		text := "instead: " + f.Instead
		if f.AllowLock != "" {
			text = "allowed: " + f.AllowLock
		}
		c.out.line("%s %s: %s", paint(c.out.colour, yellow, f.Kind+":"), clean(f.Place()), clean(f.Does))
		c.out.line("    %s", clean(text))
	}
	c.out.line("")
}

func (d *tracedDone) add(m locks.Migration, findings []locks.Finding) {
	one := tracedMigration{Namespace: m.Namespace, Version: m.Version, Source: m.Source, Statements: []tracedStatement{}}
	for _, s := range m.Statements {
		done := tracedStatement{Number: s.Number, Statement: s.FirstWords(), File: s.File, Line: s.Line, Known: s.Source,
			DurationMS: s.Took.Milliseconds(), Locks: []tracedLock{}}
		for _, l := range s.Locks {
			done.Locks = append(done.Locks, tracedLock{Table: l.Table, Lock: l.Mode, Algorithm: l.Algorithm, Rewrite: l.Rewrite})
		}
		one.Statements = append(one.Statements, done)
	}
	d.Migrations = append(d.Migrations, one)
	for _, f := range findings {
		d.Findings = append(d.Findings, lockFinding{f.Kind, m.Namespace, m.Version, f.Statement, f.File, f.Line, f.Table, f.Does, f.Instead, f.AllowLock})
	}
}
