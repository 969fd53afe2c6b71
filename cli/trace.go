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
	"tables it locks, whether it rewrites them, and how long it took. Locks of tables that the migration itself creates\n" +
	"don't count. Findings are statements for which an application would have to wait, with what to write instead. The\n" +
	"exit code is 12 if there are any. The annotation allow-lock REASON in a file allows all locks of the file, and\n" +
	"allow-lock-up-to-here REASON also those of all lower versions (docs/locks.md shows the lines).\n" +
	"On PostgreSQL the server says what each statement has locked, read and rewritten, except for statements that can't\n" +
	"run in a transaction (\"documented\" in the column KNOWN). On MySQL and MariaDB each ALGORITHM is tried on a copy of\n" +
	"the table. SQLite locks the whole file, so there is nothing to show.\n" +
	"The application's database is not used. The copy of the shadow is dropped again, so the user needs the right to create\n" +
	"databases."

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
