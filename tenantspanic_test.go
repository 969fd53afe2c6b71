package gooseplus_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus"
)

// TestTenantsStatusLoopThatPanics: a panic of the loop's body ends the work on tenants, of which there may be no end.
func TestTenantsStatusLoopThatPanics(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	source := func(yield func(gooseplus.Tenant, error) bool) {
		defer close(ended)
		closed := errors.New("no such database")
		for yield(gooseplus.Tenant{Name: "one of many", Open: func(context.Context) (*sql.DB, error) { return nil, closed }}, nil) {
			time.Sleep(time.Millisecond)
		}
	}
	m := gooseplus.New(nil, gooseplus.WithDialect("sqlite"), gooseplus.WithFS(fstest.MapFS{"sql/base/1_a.sql": {Data: []byte("-- +goose Up\nSELECT 1;\n")}}))
	func() {
		defer func() {
			if v := recover(); v != "boom" {
				t.Errorf("panic %v, want that of the loop", v)
			}
		}()
		for range m.TenantsStatus(context.Background(), source) {
			panic("boom")
		}
	}()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("the source is asked for ever")
	}
}
