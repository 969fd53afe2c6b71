//go:build !unix

package main

import (
	"context"
	"errors"
)

type local struct {
	dsn  string
	stop func()
}

func startServer(context.Context) (*local, error) {
	return nil, errors.New("name a PostgreSQL server in " + dsnEnv)
}
