package main

import (
	"fmt"
	"os"
	"testing"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/examples/definitions/migrations"
)

func Example() {
	if err := run(os.Stdout); err != nil {
		fmt.Println(err)
	}
	// Output:
	// up   1  migrations/schema.go:10
	// up   2  migrations/schema.go:13
	// up   3  migrations/cities.go:21
	// up   4  migrations/views.go:6
	// up   5  migrations/views.go:16
	//
	//   Bern (134000), Switzerland
	//   Kyoto (1440000), Japan
	//   Zug (31000), Switzerland
	//
	// down 5  migrations/views.go:16
	//
	//   Bern, Switzerland
	//   Kyoto, Japan
	//   Zug, Switzerland
}

// TestSchema is what a program of this sort has in its own tests.
func TestSchema(t *testing.T) {
	if err := migrations.Schema.Err(); err != nil {
		t.Error(err)
	}
	if err := gooseplus.New(nil, gooseplus.WithDefinitions(&migrations.Schema)).Err(); err != nil {
		t.Error(err)
	}
}
