package history

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// Blocker is a connection for which another one waits.
type Blocker struct {
	PID               int64 // the server's number for it; 0 is a prepared transaction of PostgreSQL
	User, Application string
	State             string    // the server's word, such as "idle in transaction"
	Since             time.Time // the start of its transaction, or of its state; zero if the server hides it
	Query             string    // the beginning of its last statement, without values; "" if the server hides it
	Suspected         bool      // the server doesn't tell who blocks, and this transaction is open
}

// Waiting is a connection that may wait: the server's number for it, and the name that its application must have. Behind a
// pooler, the number may be another client's by now.
type Waiting struct{ ID, Application string }

// blockersShown is how many blockers are found at most.
const blockersShown = 5

// queryShown is how many bytes of a blocker's statement are kept.
const queryShown = 80

// Blockers are the connections for which one of the others waits at this moment, none if none of these waits for a lock.
func (c Connections) Blockers(ctx context.Context, db *sql.DB, waiting []Waiting) ([]Blocker, error) {
	if len(waiting) == 0 {
		return nil, nil
	}
	return c.t.server.blockers(ctx, db, waiting)
}

// readBlockers reads rows of a number, a user, an application, a state, the age in seconds, and a statement.
func readBlockers(ctx context.Context, db Querier, q sqltext.Quoting, query string) (list []Blocker, err error) {
	now := time.Now()
	err = each(ctx, db, query, func(rows *sql.Rows) error {
		var pid int64
		var user, application, state, last sql.NullString
		var age sql.NullFloat64
		if err := rows.Scan(&pid, &user, &application, &state, &age, &last); err != nil {
			return err
		}
		b := Blocker{
			PID: pid, User: user.String, Application: application.String, State: strings.ToLower(state.String), Query: q.Masked(last.String, queryShown),
		}
		if age.Valid {
			b.Since = now.Add(-time.Duration(age.Float64 * float64(time.Second))).UTC().Truncate(time.Second)
		}
		list = append(list, b)
		return nil
	})
	return list, err
}

func quotedIDs(waiting []Waiting) string {
	var ids []string
	for _, w := range waiting {
		ids = append(ids, w.ID)
	}
	return strings.Join(ids, ", ")
}

// String is for people.
func (b Blocker) String() string {
	var text strings.Builder
	if b.PID == 0 {
		return "a prepared transaction (pg_prepared_xacts)"
	}
	fmt.Fprintf(&text, "pid %d (user %q", b.PID, b.User)
	if b.Application != "" {
		fmt.Fprintf(&text, ", application %q", b.Application)
	}
	if b.State != "" {
		text.WriteString(", " + b.State)
	}
	if !b.Since.IsZero() {
		text.WriteString(", since " + b.Since.Format(time.RFC3339))
	}
	text.WriteString(")")
	if b.Query != "" {
		text.WriteString(": " + b.Query)
	}
	return text.String()
}
