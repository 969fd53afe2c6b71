package cli

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/redact"
)

// The codes that a command exits with; the topic exit-codes explains them.
const (
	exitDone = iota
	exitUndone
	exitUsage
	exitUnreachable
	exitNotUndone
	exitLocked
	exitTenants
)

// outcomes are the words for the codes in JSON.
var outcomes = [...]string{"done", "failed and undone", "refused", "unreachable", "failed", "locked", "tenants failed"}

// ExitCode is the code to exit with after a command returned err: 0 done, 1 failed and undone, 2 usage or
// configuration, 3 database unreachable, 4 failed and not undone, or dirty, 5 lock not obtained, 6 some
// tenants failed.
func ExitCode(err error) int {
	var tenants *gooseplus.TenantsError
	var some *tenantsError
	var usage *usageError
	var connection *connectionError
	is := func(target error) bool { return errors.Is(err, target) }
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &tenants), errors.As(err, &some):
		return exitTenants
	case errors.As(err, &usage):
		return exitUsage
	case is(gooseplus.ErrRollBack), is(gooseplus.ErrDirty):
		return exitNotUndone
	case is(gooseplus.ErrLocked):
		return exitLocked
	case is(gooseplus.ErrRollForward):
		return exitUndone
	case is(gooseplus.ErrLockLost): // after the run had succeeded
		return exitNotUndone
	case is(gooseplus.ErrMergeMigrations), is(gooseplus.ErrTenantMissing), is(gooseplus.ErrForeignHistory):
		return exitUsage
	case is(errInterrupted), is(context.Canceled):
		return exitUndone
	case dialect.Refused(err):
		return exitUsage
	case errors.As(err, &connection), is(gooseplus.ErrMigrationTable), disconnected(err):
		return exitUnreachable
	}
	return exitUsage
}

// usageError is something that the command or the settings have wrong.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// connectionError is a database that can't be connected to.
type connectionError struct {
	to  string // the DSN without its password
	why string // likewise
	err error
}

func (e *connectionError) Error() string {
	return fmt.Sprintf("can't connect to %s (%s)", e.to, e.why)
}
func (e *connectionError) Unwrap() error { return e.err }

// tenantsError is that not all tenants were worked on, for another reason than their failures.
type tenantsError struct{ err error }

func (e *tenantsError) Error() string { return e.err.Error() }
func (e *tenantsError) Unwrap() error { return e.err }

// printedError is an error that a command has printed.
type printedError struct{ err error }

func (e *printedError) Error() string { return e.err.Error() }
func (e *printedError) Unwrap() error { return e.err }

// disconnected says whether the network, or the server itself, keeps one from the database.
func disconnected(err error) bool {
	var network net.Error
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		code := state.SQLState() // connection exceptions, shutdowns, too many connections
		return strings.HasPrefix(code, "08") || strings.HasPrefix(code, "57P") || code == "53300"
	}
	return errors.As(err, &network) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.DeadlineExceeded)
}

// reason is the part of a connection's error that says what is wrong, without what drivers put around it.
func reason(err error) string {
	var op *net.OpError
	var name *net.DNSError
	var state interface {
		error
		SQLState() string
	}
	switch {
	case errors.As(err, &state):
		return state.Error()
	case errors.As(err, &name):
		return name.Error()
	case errors.As(err, &op):
		return op.Error()
	}
	return err.Error()
}

// sentence is the text of an error on one line, and without passwords.
func sentence(err error) string {
	var connection *connectionError
	text := err.Error()
	if !errors.As(err, &connection) && errors.Is(err, gooseplus.ErrMigrationTable) && ExitCode(err) == exitUnreachable && disconnected(err) {
		text = "the database can't be reached: " + reason(err)
	}
	return redact.Text(clean(strings.Join(strings.Fields(text), " ")))
}

// sentences are those of errors that were joined, one for each.
func sentences(err error) []string {
	if joined, ok := err.(interface{ Unwrap() []error }); ok && strings.Contains(err.Error(), "\n") {
		var list []string
		for _, e := range joined.Unwrap() {
			list = append(list, sentences(e)...)
		}
		return list
	}
	return []string{sentence(err)}
}
