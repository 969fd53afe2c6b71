package gooseplus

import (
	"context"
	"database/sql"
	"errors"
	"runtime/debug"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/migset"
)

// goMigrations makes the Go migrations of one Provider. They are new ones, because a Provider
// writes to those it is given; listen is told of each function that starts. Those without a
// transaction get what pool returns then.
func goMigrations(set *migset.Set, listen func(), pool func() *sql.DB) []*goose.Migration {
	var list []*goose.Migration
	for _, m := range set.List {
		if m.Go == nil {
			continue
		}
		fresh := goose.NewGoMigration(m.Version,
			goFunc(m.Go.UpFnContext, m.Go.UpFnNoTxContext, listen, pool),
			goFunc(m.Go.DownFnContext, m.Go.DownFnNoTxContext, listen, pool))
		fresh.Source = m.Go.Source
		list = append(list, fresh)
	}
	return list
}

func goFunc(tx goose.GoMigrationContext, noTx goose.GoMigrationNoTxContext, listen func(), pool func() *sql.DB) *goose.GoFunc {
	f := new(goose.GoFunc)
	if tx != nil {
		f.RunTx = func(ctx context.Context, arg *sql.Tx) error { return guard(ctx, arg, tx, listen) }
	}
	if noTx != nil {
		f.RunDB = func(ctx context.Context, _ *sql.DB) error { return guard(ctx, pool(), noTx, listen) }
	}
	return f
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
				err = &panicError{value: v, stack: debug.Stack()}
			}
			result <- err
		}()
		err = fn(ctx, arg)
	}()
	return <-result
}
