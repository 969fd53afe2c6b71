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

const traceLong = "Runs all migrations in a copy of the shadow, an empty database of the same kind, and shows for each statement which\n" +
	"tables it locks, whether it rewrites them, and how long it took. Only tables that existed before the migration\n" +
	"count. Below them it shows the statements for which an application would have to wait, and what to write instead.\n" +
	"The annotation allow-lock in a file, with a reason behind it, allows all locks of its migration (docs/locks.md).\n" +
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
	d, err := scratch.create(c.ctx)
	if err == nil {
		report, err = m.Trace(c.ctx, d.db)
	}
	if dropped := scratch.drop(c.ctx); err == nil {
		err = dropped
	}
	if report.Migrations != nil {
		c.data = report
	}
	refused := 0
	for _, one := range report.Migrations {
		showLocks(c, one)
		if one.AllowLock == "" {
			refused += len(one.Findings)
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
func showLocks(c *call, m locks.Migration) {
	c.out.line("%s", clean(m.Title()))
	rows := [][]cell{cells(locks.Columns()...)}
	for _, row := range m.Rows() {
		rows = append(rows, cells(row...))
	}
	if len(rows) > 1 {
		c.out.table(rows)
	}
	for _, f := range m.Findings {
		text := "instead: " + f.Instead
		if m.AllowLock != "" {
			text = "allowed: " + m.AllowLock
		}
		c.out.line("%s %s: %s", paint(c.out.colour, yellow, f.Kind+":"), clean(f.Place()), clean(f.Does))
		c.out.line("    %s", clean(text))
	}
	c.out.line("")
}
