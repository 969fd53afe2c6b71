package gooseplus

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gooseplus/gooseplus/internal/failure"
	"github.com/gooseplus/gooseplus/internal/redact"
)

var (
	// ErrMigrationTable is returned when the version table can't be read or created, which includes
	// a server that can't be reached. Nothing was touched, unless the error is ErrRollForward or
	// ErrRollBack too: then the table could not be read later in the run.
	ErrMigrationTable = failure.Outcome("the version table can't be read or created")

	// ErrMergeMigrations is returned by [Migrator.Err], and by every other method, when the
	// migration folders, the Go migrations and the definitions don't make one sequence: a version that is
	// claimed twice, a misspelt environment, half a pair, a Go file that nobody registered. With [WithStrictOrder] it is
	// also returned by a run that finds a late version. Nothing was touched.
	ErrMergeMigrations = failure.Outcome("migrations can't be merged")

	// ErrLocked is returned when the global lock was not obtained in time: another runner has it, or the database didn't answer.
	// Nothing was touched.
	ErrLocked = failure.Outcome("the lock was not obtained")

	// ErrLockLost is returned when the global lock was lost during the run: its connection died, or
	// another runner has declared this one dead. The run can commit until it notices, within 2 to 12
	// seconds, or until another runner has declared it dead. ErrRollForward or
	// ErrRollBack in the same error says what is true of the database; with neither, the run had
	// succeeded before.
	ErrLockLost = failure.Outcome("the lock was lost")

	// ErrRollForward is returned when a run failed and the same versions are applied as at the
	// starting point, or when the file of a step can't be parsed, so that nothing was begun. The cause,
	// usually a [*MigrationError], is wrapped too.
	ErrRollForward = failure.Outcome("migration failed, the database is back at its starting point")

	// ErrRollBack is returned when a run failed and did not get back to its starting point. A
	// [*RollbackError] with the details is wrapped too.
	ErrRollBack = failure.Outcome("migration failed, the database is not back at its starting point")

	// ErrUndone and ErrNotUndone are plain names for ErrRollForward and ErrRollBack, which the original library has.
	ErrUndone    = ErrRollForward
	ErrNotUndone = ErrRollBack

	// ErrUnknownVersion is returned by a run up if applied versions have no migration in this configuration and
	// [WithUnknownVersions] is [Refuse]: the database is newer than this program. Nothing was touched.
	ErrUnknownVersion = failure.Outcome("the database has versions that this program doesn't know")

	// ErrEdited is returned by a run up if the file of an applied migration was edited and [WithChecksums] is [Refuse].
	// Nothing was touched.
	ErrEdited = failure.Outcome("applied migrations were edited")

	// ErrTooOld is returned by a run up if an applied migration requires a version that this program doesn't know (the
	// annotation "-- +gooseplus requires VERSION"). Nothing was touched.
	ErrTooOld = failure.Outcome("this program is too old for the database")

	// ErrDirty is returned when a migration that is not protected by a transaction may have been left
	// half-applied: what is there is not known. Together with [ErrRollBack] it means that the
	// migration failed and could not be undone, or failed while it was undone. Alone it means that an
	// earlier run left it so, or was cut off in it, and that nothing was touched: a person has to repair
	// the database and to call [Migrator.Force].
	ErrDirty = failure.Outcome("a migration may be half-applied")

	// ErrVersionLocked is returned when a step down would undo a protected version, or a lower one:
	// see [Migrator.LockVersion]. Alone it means that nothing was touched; together with
	// [ErrRollBack], that the way back of a failed run ended there.
	ErrVersionLocked = failure.Outcome("the version is protected")

	// ErrProtectedEnvironment is returned by a run that has something to do, with an environment that
	// the database has never been migrated with, if it has been migrated with a protected one: see
	// [WithProtectedEnvironments]. Nothing was touched.
	ErrProtectedEnvironment = failure.Outcome("the database refuses environments that it has not seen")

	// ErrTenantMissing is returned when the schema of a tenant, or of [WithSchema], is not there.
	ErrTenantMissing = failure.Outcome("the schema does not exist")

	// ErrIrreversible is returned when a migration without a Down, or with an empty one, would have to be
	// undone: goose would report success, delete the version, and leave the migration's changes.
	// Alone it means that [Migrator.Rollback], [Migrator.RollbackTo] or [Migrator.Goto] was refused
	// and nothing was touched; these return it for applied versions that are not known, too.
	// Together with [ErrRollBack] it means that the way back of a failed run ended there.
	ErrIrreversible = failure.Outcome("there is no Down to undo it")
)

// MigrationError is the failure of one migration, in either direction. errors.As reaches the
// driver's own error and goose's *PartialError through it.
type MigrationError struct {
	Tenant      string // "" when the run has no tenant
	Namespace   string // "" when the run has no namespace
	Environment string // the folder that the migration is in, "" if it is in none
	Version     int64
	Source      string // as in [MigrationStatus]
	Direction   string // "up" or "down"
	// Line is where the failed statement is in its file: the line that PostgreSQL's position points to, otherwise the
	// statement's first. 0 if it can't be told, as in a file with variables (ENVSUB). The message then has the number of the statement.
	Line int
	// Detail and Hint are PostgreSQL's additions to its message. Both are part of the message here. Detail can hold
	// data: see [WithRedactedDetails].
	Detail, Hint string
	// Blockers are the connections that were in the way of a migration that failed on a lock timeout, or on a timeout of its
	// own while it waited. They are part of the message. There are none if the pool had no connection to spare for the
	// question.
	Blockers []Blocker
	// Statement is the SQL statement that failed, "" for a Go function. It can hold data, so it is
	// not part of the message. Passwords in it, as in CREATE ROLE … PASSWORD 'x', are replaced by xxxxx, and so they
	// are in the message when the server quotes the statement.
	Statement string
	// Err is the cause. If it is the error of a Go migration that used another Migrator, errors.Is and errors.As find none of
	// this package's errors in it: they tell what became of the run that the migration is a part of.
	Err error

	file string                 // in which Line is, or with the number of the statement
	end  func(pid int64) string // the statement that ends a connection
}

// Error is one line: the stack of a panic and the SQL text are not in it.
func (e *MigrationError) Error() string {
	place := e.Source
	switch {
	case e.Line > 0:
		place = fmt.Sprintf("%s:%d", e.file, e.Line)
	case e.file != "" && e.Statement != "":
		place = e.file
	}
	text := fmt.Sprintf("%smigration %s %s: %s", e.where(), ref(e.Version, place), e.Direction, reason(e.Err))
	if e.Detail != "" {
		text += "; detail: " + strings.Join(strings.Fields(e.Detail), " ")
	}
	if e.Hint != "" {
		text += "; hint: " + strings.Join(strings.Fields(e.Hint), " ")
	}
	return text + blockedBy(e.Blockers, e.end)
}

func (e *MigrationError) where() string { return where(e.Tenant, e.Namespace) }

// Unwrap returns the cause.
func (e *MigrationError) Unwrap() error { return e.Err }

// RollbackError says how far the way back got. errors.Is finds [ErrRollBack] in it; errors.Is and
// errors.As search Cause first, then Err. In a run over several namespaces it is about the namespace that could
// not be undone; Err says what the other namespaces keep.
type RollbackError struct {
	Tenant    string // "" when the run has no tenant
	Namespace string // "" when the run has no namespace
	Start     int64  // the highest version applied when the run started
	Reached   int64  // the highest version applied now, -1 when it can't be read
	Cause     error  // why the run failed
	Err       error  // why it could not be undone
}

// Error is one line.
func (e *RollbackError) Error() string {
	return fmt.Sprintf("%s%s: %s: %s (the run failed with: %s)",
		where(e.Tenant, e.Namespace), ErrRollBack, e.distance(), reason(e.Err), reason(e.Cause))
}

// distance says where the database is, and where it was.
func (e *RollbackError) distance() string {
	if e.Reached == e.Start {
		return fmt.Sprintf("the highest version is %d as before, and not everything is undone", e.Start)
	}
	return fmt.Sprintf("%s, started from %d", e.reached(), e.Start)
}

func (e *RollbackError) reached() string {
	if e.Reached < 0 {
		return "at a version that can't be read"
	}
	return fmt.Sprintf("at version %d", e.Reached)
}

// Unwrap returns [ErrRollBack], Cause and Err.
func (e *RollbackError) Unwrap() []error { return []error{ErrRollBack, e.Cause, e.Err} }

// tableError is ErrMigrationTable with a text of its own.
type tableError struct {
	text string
	err  error // nil if there is no other error
}

func (e *tableError) Error() string { return e.text }

func (e *tableError) Unwrap() []error {
	if e.err == nil {
		return []error{ErrMigrationTable}
	}
	return []error{ErrMigrationTable, e.err}
}

func where(tenant, namespace string) string {
	var b strings.Builder
	if tenant != "" {
		fmt.Fprintf(&b, "tenant %q: ", tenant)
	}
	if namespace != "" {
		fmt.Fprintf(&b, "namespace %q: ", namespace)
	}
	return b.String()
}

// placedError names the tenant or the namespace of an error.
type placedError struct {
	where string
	err   error
}

func (e *placedError) Error() string { return e.where + e.err.Error() }
func (e *placedError) Unwrap() error { return e.err }

// namedBy puts where before an error, unless it says so itself.
func namedBy(where string, err error) error {
	var migration *MigrationError
	var rollback *RollbackError
	var placed *placedError
	if err == nil || where == "" || errors.As(err, &migration) || errors.As(err, &rollback) || errors.As(err, &placed) {
		return err
	}
	return &placedError{where, err}
}

func ref(version int64, source string) string { return failure.Ref(version, source) }

// reason is the text of err for people: see [failure.Reason].
func reason(err error) string { return failure.Reason(err) }

// statementError is failure.Tidy for the error of a statement: it hides the passwords of the statement too.
type statementError struct {
	err     error
	secrets redact.Secrets
}

func (e *statementError) Error() string { return e.secrets.Hide(reason(e.err)) }
func (e *statementError) Unwrap() error { return e.err }

// allOf is errors.Join that leaves a single error as it is.
func allOf(faults []error) error {
	faults = slices.DeleteFunc(faults, func(err error) bool { return err == nil })
	if len(faults) == 1 {
		return faults[0]
	}
	return errors.Join(faults...)
}
