package cli

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/redact"
)

// The codes that a command exits with.
const (
	exitDone = iota
	exitUndone
	exitUsage
	exitUnreachable
	exitNotUndone
	exitLocked
	exitTenants
	exitRefused
	exitDrifted
	exitPending
	exitEdited
	exitUnknown
	exitLocks
)

// outcomes are the words for the codes in JSON, and what they mean.
var outcomes = [...]struct{ word, meaning string }{
	exitDone:        {"done", "the command did what it was asked to do"},
	exitUndone:      {"failed and undone", "a migration failed, and the run was undone; or the command was interrupted before anything began"},
	exitUsage:       {"wrong usage", "a command, flag, argument or setting is wrong, or not confirmed; nothing was touched"},
	exitUnreachable: {"unreachable", "the database can't be reached, logged in to, or read; or wait reached its --timeout"},
	exitNotUndone:   {"failed", "a migration failed and is not undone, or the database is dirty; a person has to look"},
	exitLocked:      {"locked", "the lock was not obtained; nothing was touched"},
	exitTenants:     {"tenants failed", "some tenants failed or were skipped"},
	exitRefused:     {"refused", "the migration files, or what the database remembers, do not allow it; nothing was touched"},
	exitDrifted:     {"differences", "drift, or check, found differences"},
	exitPending:     {"pending", "check, or status --exit-code: migrations are pending, and nothing else is wrong"},
	exitEdited:      {"edited", "check, or status --exit-code: files of applied migrations were edited"},
	exitUnknown:     {"unknown versions", "check, or status --exit-code: applied versions have no migration here"},
	exitLocks:       {"locks", "trace found statements for which an application would have to wait"},
}

// exitTable is the table of the codes, for help texts.
func exitTable() string {
	var b strings.Builder
	for code, o := range outcomes {
		fmt.Fprintf(&b, "  %2d  %-18s %s\n", code, o.word, o.meaning)
	}
	return b.String()
}

// refusals are the library's errors that say that nothing was touched.
var refusals = []error{
	gooseplus.ErrIrreversible, gooseplus.ErrVersionLocked, gooseplus.ErrProtectedEnvironment, gooseplus.ErrForeignHistory, gooseplus.ErrEdited, gooseplus.ErrTooOld,
	gooseplus.ErrMergeMigrations, gooseplus.ErrTenantMissing, gooseplus.ErrUnknownVersion,
}

// ExitCode is the code to exit with after a command returned err: 0 done, 1 failed and undone, 2 wrong usage, 3 database
// unreachable, 4 failed and not undone, or dirty, 5 lock not obtained, 6 some tenants failed, 7 refused, 8 differences, of
// check 9 pending, 10 edited, 11 unknown versions, and of trace 12 locks. Of commands that are not of this package, what cobra
// says of the command line (an unknown command or flag, a wrong argument) is 2, and any other error 7.
func ExitCode(err error) int {
	as := func(target any) bool { return errors.As(err, target) }
	is := func(target error) bool { return errors.Is(err, target) }
	switch {
	case err == nil:
		return exitDone
	case as(new(*gooseplus.TenantsError)), as(new(*tenantsError)):
		return exitTenants
	case as(new(*halfwayError)):
		return exitNotUndone
	case as(new(*locksError)):
		return exitLocks
	case as(new(*driftsError)):
		return exitDrifted
	case as(new(*checkError)):
		found, _ := errors.AsType[*checkError](err)
		return found.code
	case as(new(*usageError)), fromCobra.MatchString(err.Error()):
		return exitUsage
	case as(new(*refusedError)):
		return exitRefused
	case is(gooseplus.ErrRollBack), is(gooseplus.ErrDirty):
		return exitNotUndone
	case is(gooseplus.ErrLocked):
		return exitLocked
	case is(gooseplus.ErrRollForward):
		return exitUndone
	case is(gooseplus.ErrLockLost): // after the run had succeeded
		return exitNotUndone
	case slices.ContainsFunc(refusals, is):
		return exitRefused
	case is(errInterrupted), is(context.Canceled):
		return exitUndone
	case as(new(*connectionError)), is(gooseplus.ErrMigrationTable), dialect.Refused(err), disconnected(err):
		return exitUnreachable
	}
	return exitRefused
}

// fromCobra matches what cobra and pflag say of the command line: only some of these errors have types.
var fromCobra = regexp.MustCompile(`^(unknown command ".*" for "|unknown (shorthand )?flag: |bad flag syntax: |flag needs an argument: |` +
	`invalid argument ".*" for "|required flag\(s\) ".*" not set$|(if any|at least one of the) flags in the group |(accepts|requires) .*\d arg\(s\), (only )?received \d+$)`)

// usageError is something that the command or the settings have wrong.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// refusedError is a refusal because of the files or of the database. Nothing was touched.
type refusedError struct{ err error }

func (e *refusedError) Error() string { return e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

// halfwayError is the error of a command whose first run succeeded and whose second run failed.
type halfwayError struct {
	done string
	err  error
}

func (e *halfwayError) Error() string { return e.done + ": " + e.err.Error() }
func (e *halfwayError) Unwrap() error { return e.err }

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
	if errors.As(err, &network) {
		_, file := network.(syscall.Errno) // the error of a file is one too, and that of a connection has another around it
		return !file
	}
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
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

// sentence is the text of an error on one line, in the words of the command line, and without passwords.
func (w words) sentence(err error) string {
	var connection *connectionError
	text := err.Error()
	if !errors.As(err, &connection) && errors.Is(err, gooseplus.ErrMigrationTable) && ExitCode(err) == exitUnreachable && disconnected(err) {
		text = "the database can't be reached: " + reason(err)
	}
	return redact.Text(clean(w.of(strings.Join(strings.Fields(text), " "))))
}

// sentences has one sentence for each of the errors that were joined.
func (w words) sentences(err error) []string {
	switch e := err.(type) {
	case *usageError:
		err = e.err
	case *refusedError:
		err = e.err
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok && strings.Contains(err.Error(), "\n") {
		var list []string
		for _, e := range joined.Unwrap() {
			list = append(list, w.sentences(e)...)
		}
		return list
	}
	return []string{w.sentence(err)}
}
