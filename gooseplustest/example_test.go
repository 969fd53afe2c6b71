package gooseplustest_test

import (
	"fmt"
	"testing"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/gooseplustest"
	schema "github.com/gooseplus/gooseplus/sql"
)

// testSeeds is what stands in a test. sql/test has the rows.
func testSeeds(t testing.TB) {
	db := gooseplustest.SQLite(t, gooseplus.WithFS(schema.FS), gooseplus.WithBasePath("."))
	var customers int
	if err := db.QueryRow(`SELECT count(*) FROM customers`).Scan(&customers); err != nil {
		t.Fatal(err)
	}
	fmt.Println(customers > 0)
}

func Example() {
	run(testSeeds)
	// Output: true
}
