package gooseplus

import (
	"strings"
	"time"

	"github.com/gooseplus/gooseplus/internal/history"
)

// Blocker is a connection to the server for which a migration waited. MySQL and MariaDB tell of it only to a user with the
// privilege PROCESS, and SQLite never does.
type Blocker struct {
	PID               int64     // the server's number for the connection; 0 is a prepared transaction of PostgreSQL (pg_prepared_xacts)
	User, Application string    // Application is "" on MySQL and MariaDB
	State             string    // the server's word, such as "idle in transaction"
	Since             time.Time // the start of its transaction, or of its state; zero if the server hides it
	Query             string    // the beginning of its last statement, with ? for values; "" if the server hides it
	// Suspected says that the server doesn't tell who blocks, as MariaDB without the plugin metadata_lock_info, and that
	// this is a transaction that is open.
	Suspected bool
}

// String describes the connection in one line.
func (b Blocker) String() string { return history.Blocker(b).String() }

// blockedBy is the part of an error's text about blockers, with the statements that end them.
func blockedBy(list []Blocker, end func(pid int64) string) string {
	if len(list) == 0 {
		return ""
	}
	var texts []string
	for _, b := range list {
		text := b.String()
		if b.PID != 0 && end != nil {
			text += " (to end it: " + end(b.PID) + ")"
		}
		texts = append(texts, text)
	}
	word := "; blocked by "
	if list[0].Suspected {
		word = "; perhaps blocked by "
	}
	return word + strings.Join(texts, ", and by ")
}
