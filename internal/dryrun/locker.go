package dryrun

import (
	"context"
	"database/sql"
)

// locker is refused by goose beside a lock that another option has set.
type locker struct{}

func (locker) Lock(context.Context, *sql.DB) error   { return nil }
func (locker) Unlock(context.Context, *sql.DB) error { return nil }
