package gooseplustest_test

import (
	"context"
	"fmt"
	"testing"
)

// run is `go test` for an example, which has no test.
func run(test func(testing.TB)) {
	t := new(running)
	test(t)
	for i := len(t.cleanups) - 1; i >= 0; i-- {
		t.cleanups[i]()
	}
}

type running struct {
	testing.TB
	cleanups []func()
}

func (t *running) Helper()                  {}
func (t *running) Name() string             { return "Example" }
func (t *running) Failed() bool             { return false }
func (t *running) Context() context.Context { return context.Background() }
func (t *running) Cleanup(fn func())        { t.cleanups = append(t.cleanups, fn) }
func (t *running) Fatal(a ...any)           { panic(fmt.Sprint(a...)) }
