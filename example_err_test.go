package gooseplus_test

import (
	"errors"
	"fmt"
	"testing/fstest"
	"time"

	"github.com/gooseplus/gooseplus"
)

var faulty = fstest.MapFS{
	"sql/base/20240102090000_create_posts.sql":   {},
	"sql/test/20240102090000_seed_posts.sql":     {}, // the same version
	"sql/production/20240103090000_settings.sql": {},
}

// A unit test that calls Err finds every fault of the folders and the options without a database.
func ExampleMigrator_Err() {
	err := gooseplus.New(nil,
		gooseplus.WithTimeout(-time.Minute),
		gooseplus.WithFS(faulty),
		gooseplus.WithEnvironments("test", "prodution"),
	).Err()
	fmt.Println(errors.Is(err, gooseplus.ErrMergeMigrations))
	fmt.Println(err)
	// Output:
	// true
	// WithTimeout: -1m0s is negative
	// migrations can't be merged: environment "prodution" has no folder in "sql": did you mean "production"? (if not, add the folder sql/prodution, even an empty one)
	// migrations can't be merged: version 20240102090000 is claimed by both sql/base/20240102090000_create_posts.sql and sql/test/20240102090000_seed_posts.sql
}
