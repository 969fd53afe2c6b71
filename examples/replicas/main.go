// The replicas example boots several processes of a service at the same moment, against one
// database. One of them migrates; the others wait until it has, and find nothing left to do.
//
// It uses an SQLite file, so that it runs anywhere. With GOOSEPLUS_DSN, the URL of an empty
// PostgreSQL database, it uses that one.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	_ "github.com/lib/pq"
	_ "modernc.org/sqlite"

	"github.com/gooseplus/gooseplus"
	schema "github.com/gooseplus/gooseplus/sql"
)

const (
	replicas   = 8
	replicaEnv = "EXAMPLE_REPLICA" // the DSN, in the processes that are replicas
)

func main() {
	var err error
	if dsn := os.Getenv(replicaEnv); dsn != "" {
		err = boot(os.Stdout, dsn)
	} else {
		err = run(os.Stdout)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// boot is what each replica does before it serves.
func boot(w io.Writer, dsn string) error {
	driver, dialect := "sqlite", "sqlite3"
	if strings.HasPrefix(dsn, "postgres") {
		driver, dialect = "postgres", "postgres"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return err
	}
	defer db.Close()

	waited, applied := false, 0
	err = gooseplus.New(db,
		gooseplus.WithDialect(dialect),
		gooseplus.WithFS(schema.FS),
		gooseplus.WithBasePath("."),
		gooseplus.WithGlobalLock(true),
		gooseplus.WithObserver(func(_ context.Context, event gooseplus.Event) {
			switch e := event.(type) {
			case gooseplus.LockWaiting:
				waited = true
			case gooseplus.RunFinished:
				applied = e.Applied
			}
		}),
	).Migrate(context.Background())
	if err != nil {
		return err
	}
	switch {
	case applied > 0:
		_, err = fmt.Fprintf(w, "migrated: %d migrations\n", applied)
	case waited:
		_, err = fmt.Fprintln(w, "waited: nothing was left to do")
	default:
		_, err = fmt.Fprintln(w, "came later: nothing was left to do")
	}
	return err
}

// run starts the replicas and tells what they did.
func run(w io.Writer) (err error) {
	dsn := os.Getenv("GOOSEPLUS_DSN")
	if dsn == "" {
		dir, mkdirErr := os.MkdirTemp("", "gooseplus-replicas-")
		if mkdirErr != nil {
			return mkdirErr
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		dsn = "file:" + filepath.Join(dir, "shop.db") + "?_pragma=busy_timeout(10000)"
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var started []*exec.Cmd
	var outputs []*strings.Builder
	for range replicas {
		output := new(strings.Builder)
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), replicaEnv+"="+dsn)
		cmd.Stdout, cmd.Stderr = output, output
		if err := cmd.Start(); err != nil {
			return err
		}
		started, outputs = append(started, cmd), append(outputs, output)
	}
	var lines []string
	for i, cmd := range started {
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("a replica failed: %w: %s", err, outputs[i])
		}
		lines = append(lines, outputs[i].String())
	}
	slices.Sort(lines) // the one that migrated is not always the same
	_, err = fmt.Fprintf(w, "%d replicas booted\n%s", replicas, strings.Join(lines, ""))
	return err
}
