package locks

import (
	"cmp"
	"fmt"
	"time"

	"github.com/gooseplus/gooseplus/internal/redact"
)

// Columns are the names of the columns of [Migration.Rows].
func Columns() []string {
	return []string{"STATEMENT", "PLACE", "TABLE", "LOCK", "REWRITE", "KNOWN", "TOOK"}
}

// Rows is a table of what the migration locked: a row for each statement and table, at least one for each statement.
func (m Migration) Rows() (rows [][]string) {
	for _, s := range m.Statements {
		head := []string{fmt.Sprintf("%d  %s", s.Number, s.FirstWords), place(s.File, s.Line, s.Number)}
		tail := []string{s.Known, s.Took.Round(10 * time.Microsecond).String()}
		list := s.Locks
		if len(list) == 0 {
			list = []Lock{{Table: "-", Mode: "-"}}
		}
		for _, l := range list {
			rewrite := "no"
			if l.Rewrite {
				rewrite = "yes"
			}
			rows = append(rows, append(append(head, l.Table, l.Text(), rewrite), tail...))
			head, tail = []string{"", ""}, []string{"", ""}
		}
	}
	return rows
}

// Text is the lock with MySQL's algorithm.
func (l Lock) Text() string {
	if l.Algorithm != "" {
		return l.Mode + ", ALGORITHM=" + l.Algorithm
	}
	return l.Mode
}

// beginning is the beginning of a statement, on one line, without passwords.
func beginning(statement string) string {
	text := []rune(firstWords(redact.In(statement).Text(), 6))
	return string(text[:min(len(text), 50)])
}

// Title names the migration.
func (m Migration) Title() string {
	title := fmt.Sprintf("%d  %s", m.Version, cmp.Or(m.Source, "-"))
	if m.Namespace != "" {
		title = m.Namespace + "  " + title
	}
	return title
}
