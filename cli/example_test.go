package cli_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"testing/fstest"

	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/cli"
)

// A program hangs the commands into its own; this one has nothing but them.
func ExampleCommand() {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection would have a database of its own
	files := fstest.MapFS{"sql/base/1_units.sql": &fstest.MapFile{
		Data: []byte("-- +goose Up\nCREATE TABLE units (id INTEGER);\n-- +goose Down\nDROP TABLE units;\n"),
	}}

	cmd := cli.Command(func(context.Context) (*gooseplus.Migrator, error) {
		return gooseplus.New(db, gooseplus.WithDialect("sqlite3"), gooseplus.WithFS(files)), nil
	})
	cmd.SetOut(os.Stdout)
	cmd.SetArgs([]string{"plan"})
	fmt.Println("exit code", cli.ExitCode(cmd.Execute()))
	// Output:
	// DO  VERSION  SOURCE                NOTES
	// up  1        sql/base/1_units.sql
	// exit code 0
}
