package drive

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"slices"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/dryrun"
	"github.com/gooseplus/gooseplus/internal/failure"
	"github.com/gooseplus/gooseplus/internal/history"
)

// Source is where a Reader has its migrations from.
type Source struct {
	Files   fs.FS
	Go      []*goose.Migration // they are not changed
	Table   *history.Versions
	Options []goose.ProviderOption // the application's
}

// Reader is the goose Provider of one run. It is a new one for each because a Provider remembers a failed first use,
// and what it parsed: this one reads the files first, and a Driver has it execute them later.
type Reader struct {
	provider  *dryrun.Reader
	recorder  *history.Recorder
	trace     *trace
	options   []goose.ProviderOption
	functions *sql.DB // what a Go migration without a transaction works on
}

// NewReader makes a Reader, which has to be closed.
func NewReader(s Source) (*Reader, error) {
	r := &Reader{trace: &trace{spell: func(s string) string { return s }}, recorder: s.Table.Recorder()}
	r.options = append(slices.Clone(s.Options),
		goose.WithStore(r.recorder),
		goose.WithDisableGlobalRegistry(true), // its migrations are chosen by folder
		goose.WithVerbose(true),               // so that goose announces each statement
		goose.WithSlog(r.trace.logger()),
	)
	var list []*goose.Migration
	for _, m := range s.Go { // new ones, because a Provider writes to those it is given
		fresh := goose.NewGoMigration(m.Version, r.function(m.UpFnContext, m.UpFnNoTxContext), r.function(m.DownFnContext, m.DownFnNoTxContext))
		fresh.Source = m.Source
		list = append(list, fresh)
	}
	var err error
	r.provider, err = dryrun.NewReader(goose.DialectCustom, s.Files, r.recorder, append(slices.Clone(r.options), goose.WithGoMigrations(list...))...)
	if err != nil {
		return nil, err
	}
	r.trace.spell = r.provider.Spell
	return r, nil
}

// Scripts reads SQL migrations, see [dryrun.Reader.Scripts].
func (r *Reader) Scripts(ctx context.Context, versions []int64) (map[int64]dryrun.Script, []error) {
	return r.provider.Scripts(ctx, versions)
}

// SplitFunction gives a version the Go function as its Down that takes a transaction, or the one that doesn't.
func (r *Reader) SplitFunction(version int64, tx goose.GoMigrationContext, noTx goose.GoMigrationNoTxContext) error {
	down := goose.NewGoMigration(version, nil, r.function(tx, noTx))
	return r.provider.Split(version, nil, append(slices.Clone(r.options), goose.WithGoMigrations(down))...)
}

// SplitText gives a version the Down of the migration in fsys.
func (r *Reader) SplitText(version int64, fsys fs.FS) error {
	return r.provider.Split(version, fsys, r.options...)
}

// ReadInstead reads the migration of fsys with that version, which a step with Instead executes.
func (r *Reader) ReadInstead(ctx context.Context, version int64, fsys fs.FS) (dryrun.Script, error) {
	return r.provider.ReadInstead(ctx, version, fsys, r.options...)
}

// Close ends the Reader, and the Driver that uses it.
func (r *Reader) Close() { r.provider.Close() }

// function guards a Go migration, and gives those without a transaction the session.
func (r *Reader) function(tx goose.GoMigrationContext, noTx goose.GoMigrationNoTxContext) *goose.GoFunc {
	f := new(goose.GoFunc)
	if tx != nil {
		f.RunTx = func(ctx context.Context, arg *sql.Tx) error { return guard(ctx, arg, tx, r.trace.function) }
	}
	if noTx != nil {
		f.RunDB = func(ctx context.Context, _ *sql.DB) error { return guard(ctx, r.functions, noTx, r.trace.function) }
	}
	return f
}

// PanicError is a panic of a function of the application's.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns the value, see [failure.Foreign], if the function panicked with an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return failure.Foreign(err)
}

var errGoexit = errors.New("the migration ended its goroutine (runtime.Goexit)")

// guard runs a Go migration and turns a panic into an error that keeps the value apart from the
// stack. The migration has a goroutine of its own because it may end it, as t.FailNow does: goose
// would go with it, and leave its transaction open.
func guard[T any](ctx context.Context, arg T, fn func(context.Context, T) error, listen func()) error {
	listen()
	result := make(chan error, 1)
	go func() {
		err := errGoexit // unless fn returns
		defer func() {
			if v := recover(); v != nil {
				err = &PanicError{Value: v, Stack: debug.Stack()}
			}
			result <- err
		}()
		err = failure.Foreign(fn(ctx, arg))
	}()
	return <-result
}
