package dbtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// sharedEnv is the variable with the DSN of a server that Serve started.
func (e *engine) sharedEnv() string { return e.dsnEnv + "_SHARED" }

// served is a server that Serve started: it ends when Serve does, so that nothing is kept on it.
func served(ctx context.Context, e *engine, dsn string) (Server, error) {
	ep, err := e.parse(dsn)
	if err != nil {
		return Server{}, fmt.Errorf("%s: %w", e.sharedEnv(), err)
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if err := e.awaitUnless(ctx, ep, refused); err != nil {
		return Server{}, fmt.Errorf("%s: %w", e.sharedEnv(), hide(err, ep.password))
	}
	return Server{engine: e, endpoint: ep, from: e.sharedEnv(), stop: func() error { return nil }}, nil
}

// Serve starts a server of each kind and calls run with the environment in which the test processes of several packages
// share them. It leaves out a kind that is given by DSN or that this machine doesn't have: the test processes say so.
// The servers end when run returns, and with this process however it ends.
func Serve(run func(env []string) error) error {
	logf := func(format string, a ...any) { fmt.Fprintf(os.Stderr, format+"\n", a...) }
	engines := []*engine{postgres, mariadb}
	found := make([]Server, len(engines))
	failed := make([]error, len(engines))
	var wg sync.WaitGroup
	for i, e := range engines {
		if os.Getenv(e.dsnEnv) != "" {
			continue
		}
		wg.Go(func() { found[i], failed[i] = find(context.Background(), e, os.Getenv, logf) })
	}
	wg.Wait()
	env := os.Environ()
	var errs []error
	for i, e := range engines {
		switch {
		case found[i].stop != nil:
			env = append(env, e.sharedEnv()+"="+found[i].DSN())
		case failed[i] != nil && mustFail(failed[i], os.Getenv(requireEnv)):
			errs = append(errs, failed[i])
		}
	}
	err := errors.Join(errs...)
	if err == nil {
		err = run(env)
	}
	for _, s := range found {
		if s.stop != nil {
			err = errors.Join(err, s.stop())
		}
	}
	return err
}
