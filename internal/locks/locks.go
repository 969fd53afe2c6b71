// Package locks says which locks the statements of a migration take on tables that existed before the migration, and which of
// them would stop a running application. It gets what a server says before and after each statement; it has no database of its
// own.
package locks

import (
	"slices"
	"time"
)

// Report is what the migrations of a run did. Its JSON is the data of the command trace.
type Report struct {
	Migrations []Migration `json:"migrations"`
	Notes      []string    `json:"notes"` // what the server can't tell
}

// Migration is what one migration did.
type Migration struct {
	Namespace string `json:"namespace,omitempty"`
	Version   int64  `json:"version"`
	Source    string `json:"source"`
	// AllowLock is the reason of the line "-- +gooseplus allow-lock REASON" in the file, "" if there is none.
	AllowLock  string      `json:"allow_lock,omitempty"`
	Statements []Statement `json:"statements"`
	Findings   []Finding   `json:"findings"`
}

// Statement is one executed statement.
type Statement struct {
	Number     int           `json:"number"` // from 1
	Text       string        `json:"-"`      // the whole statement
	FirstWords string        `json:"statement"`
	File       string        `json:"file,omitempty"`
	Line       int           `json:"line,omitempty"` // 0 if it is unknown
	Known      string        `json:"known"`          // where the locks are known from, see [Observed]
	Took       time.Duration `json:"-"`
	Millis     int64         `json:"duration_ms"`
	Locks      []Lock        `json:"locks"`

	ran           bool
	inTransaction bool   // with other statements
	held          []Lock // that stop readers, from earlier statements of the transaction
	noTimeout     bool   // a statement may wait for a lock as long as it takes
	effects       effects
}

// The sources of a statement's locks.
const (
	Observed     = "observed"      // the server has said what the connection had locked
	Documented   = "documented"    // the manual of the server says so, of statements that hold nothing when they have ended
	Tried        = "tried"         // MySQL, MariaDB: the server has executed the statement with that algorithm on a copy of the table
	NotAvailable = "not available" // nobody knows
)

// Lock is the strongest lock that a statement takes on one table, or has from an earlier statement if it rewrites the table.
type Lock struct {
	Table string `json:"table"`
	Mode  string `json:"lock"`
	// Algorithm is how MySQL or MariaDB changes the table, "" if that is not asked.
	Algorithm string `json:"algorithm,omitempty"`
	Rewrite   bool   `json:"rewrite"` // it writes all of the table again
}

// effects are what a statement did to tables that existed before the migration.
type effects struct {
	scanned     []string            // tables that it read from the beginning to the end
	built       map[string][]string // indexes that it has built, by their tables
	constraints map[string][]string // constraints that it has checked, by their tables
	notNull     map[string][]string // columns that are NOT NULL now, by their tables
	copied      map[string]string   // MySQL: what the server does not do without blocking, by the tables
}

// modes are PostgreSQL's locks of tables, the weakest first (manual, Explicit Locking).
var modes = []string{
	"ACCESS SHARE", "ROW SHARE", "ROW EXCLUSIVE", "SHARE UPDATE EXCLUSIVE", "SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", accessExclusive,
}

const accessExclusive = "ACCESS EXCLUSIVE"

// stopsWriters says whether nobody else can write to a table with that lock.
func stopsWriters(mode string) bool {
	return slices.Index(modes, mode) >= slices.Index(modes, "SHARE") || mode == exclusive
}

// lockOf returns the lock of a table, which has no Mode if there is none.
func lockOf(list []Lock, table string) Lock {
	for _, l := range list {
		if l.Table == table {
			return l
		}
	}
	return Lock{}
}
