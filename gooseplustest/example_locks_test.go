package gooseplustest_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/gooseplustest"
)

// testOrderLocks is what stands in a test.
func testOrderLocks(t testing.TB) {
	opts := []gooseplus.Option{
		gooseplus.WithStatementTimeouts(gooseplus.StatementTimeouts{Lock: 2 * time.Second}),
		gooseplus.WithFS(fstest.MapFS{
			"sql/base/1_orders.sql": {Data: []byte("-- +goose Up\nCREATE TABLE orders (id BIGINT PRIMARY KEY, state TEXT);\n-- +goose Down\nDROP TABLE orders;\n")},
			"sql/base/2_index.sql":  {Data: []byte("-- +goose Up\nCREATE INDEX orders_state ON orders (state);\n-- +goose Down\nDROP INDEX orders_state;\n")},
		}),
	}
	gooseplustest.Locks(t, gooseplus.New(gooseplustest.Postgres(t, "", opts...), opts...))
}

// The second migration builds an index while nobody can write to the table: the test fails, and says what to write instead.
func ExampleLocks() {
	var t *testing.T // of TestOrderLocks
	testOrderLocks(t)
}

// TestExampleLocks has the example's test run, and fail.
func TestExampleLocks(t *testing.T) {
	t.Parallel()
	r := &failing{TB: t}
	testOrderLocks(r)
	if len(r.errors) != 1 || !strings.Contains(r.errors[0], "sql/base/2_index.sql:2") || !strings.Contains(r.errors[0], "CONCURRENTLY") {
		t.Errorf("it failed with %q", r.errors)
	}
}

// failing is a test whose failure is what is wanted.
type failing struct {
	testing.TB
	errors []string
}

func (f *failing) Errorf(format string, a ...any) {
	f.errors = append(f.errors, fmt.Sprintf(format, a...))
}
func (f *failing) Error(a ...any) { f.errors = append(f.errors, fmt.Sprint(a...)) }
