package fleet

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/fleet/internal/rules"
)

// outcome says what an attempt came to. A server that doesn't answer afterwards has interrupted it.
func outcome(ctx context.Context, db *sql.DB, a attempt) rules.Outcome {
	err := a.err
	switch {
	case a.unlike:
		return rules.Hopeless
	case a.refused:
		return rules.NotBegun
	case err == nil:
		return rules.Succeeded
	case needsPerson(err):
		return rules.Hopeless
	case errors.Is(err, gooseplus.ErrLocked):
		return rules.Occupied
	case errors.Is(err, gooseplus.ErrTenantMissing), state(err) == "3D000":
		return rules.Absent
	case ctx.Err() != nil, errors.Is(err, gooseplus.ErrLockLost), serverGone(err), !answers(ctx, db):
		return rules.Interrupted
	}
	return rules.Broke
}

// needsPerson says whether another attempt comes to the same.
func needsPerson(err error) bool {
	for _, target := range []error{
		gooseplus.ErrDirty, gooseplus.ErrIrreversible, gooseplus.ErrVersionLocked, gooseplus.ErrProtectedEnvironment, gooseplus.ErrTooOld,
		gooseplus.ErrUnknownVersion, gooseplus.ErrEdited, gooseplus.ErrForeignHistory, gooseplus.ErrMergeMigrations,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// serverGone says whether the connection ended, and not the statement.
func serverGone(err error) bool {
	var network net.Error
	code := state(err)
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &network) ||
		strings.HasPrefix(code, "08") || strings.HasPrefix(code, "57P") || code == "53300"
}

// state is the SQLSTATE of an error of PostgreSQL, "" if it has none.
func state(err error) string {
	var s interface{ SQLState() string }
	if errors.As(err, &s) {
		return s.SQLState()
	}
	return ""
}

// answerLimit is how long a server may take to answer.
const answerLimit = 5 * time.Second

func answers(ctx context.Context, db *sql.DB) bool {
	if db == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	return db.PingContext(ctx) == nil
}
