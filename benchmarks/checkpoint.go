package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing/fstest"
	"text/tabwriter"
	"time"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/migset"
)

// checkpoints measures a new database that begins with a checkpoint, beside psql, which gets the same statements in one
// transaction. Both connect in their time.
func (b *bench) checkpoints(ctx context.Context, out, log io.Writer) error {
	for _, n := range []int{20, 200} {
		statements, files, err := checkpointOf(n)
		if err != nil {
			return err
		}
		script, err := os.CreateTemp("", "checkpoint-*.sql")
		if err != nil {
			return err
		}
		defer os.Remove(script.Name())
		if _, err := script.WriteString(strings.Join(statements, ";\n") + ";\n"); err != nil {
			return err
		}
		if err := script.Close(); err != nil {
			return err
		}
		names := []string{"psql -1", "checkpoint", "checkpoint, pgx", "steps"}
		times := make(map[string][]time.Duration)
		for round := range b.config.rounds {
			for i := range names {
				name := names[(i+round)%len(names)]
				d, err := b.srv.create(ctx, nil)
				if err != nil {
					return err
				}
				took, err := d.fromCheckpoint(ctx, name, script.Name(), files)
				d.drop()
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				times[name] = append(times[name], took)
			}
			b.srv.checkpoint(ctx)
		}
		fmt.Fprintf(log, "measured checkpoints of %d migrations\n", n)
		fmt.Fprintf(out, "\ncheckpoint: a new database with %d migrations, %d statements (rounds: %d)\n", n, len(statements), b.config.rounds)
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(w, "way\tmin\tmedian\tto psql\t")
		for _, name := range names {
			t := times[name]
			fmt.Fprintf(w, "%s\t%s\t%s\t%.3f\t\n", name, milliseconds(percentile(t, 0)), milliseconds(percentile(t, 50)), paired(t, times["psql -1"]))
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// checkpointOf are the statements that make what n migrations make, as pg_dump writes them, and the migrations with the
// checkpoint that has these statements.
func checkpointOf(n int) (statements []string, files fstest.MapFS, err error) {
	var tables, rows, indexes []string
	for i := range n / 4 {
		table := fmt.Sprintf("account_%04d", i)
		tables = append(tables, "CREATE TABLE "+table+" (\n\tid bigint NOT NULL,\n\temail text NOT NULL,\n\tcreated_at timestamptz NOT NULL DEFAULT now(),\n\tname text NOT NULL DEFAULT ''\n)",
			"COMMENT ON TABLE "+table+" IS 'one row for each account'")
		rows = append(rows, "INSERT INTO "+table+" (id, email, name) VALUES\n\t(1, 'ada@example.com', 'Ada'),\n\t(2, 'bob@example.com', 'Bob')")
		indexes = append(indexes, "ALTER TABLE ONLY "+table+" ADD CONSTRAINT "+table+"_pkey PRIMARY KEY (id)",
			"CREATE UNIQUE INDEX "+table+"_email ON "+table+" (email)")
	}
	statements = append(append(tables, rows...), indexes...)
	files = fstest.MapFS{}
	from := gooseFiles("sql/base")(makeMigrations(n))
	names, err := fs.Glob(from, "sql/base/*.sql")
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		text, err := fs.ReadFile(from, name)
		if err != nil {
			return nil, nil, err
		}
		files[name] = &fstest.MapFile{Data: text}
	}
	set, err := gooseplus.New(nil, gooseplus.WithFS(files)).Describe()
	if err != nil {
		return nil, nil, err
	}
	d, err := dialect.Lookup("postgres")
	if err != nil {
		return nil, nil, err
	}
	quoting, _ := d.Quoting()
	var covered []migset.Covered
	for _, m := range set.Migrations {
		covered = append(covered, m.Covered)
	}
	text := migset.CheckpointText("postgres", covered, statements, quoting)
	files[fmt.Sprintf("sql/base/%d_base.checkpoint.sql", n)] = &fstest.MapFile{Data: []byte(text)}
	return statements, files, nil
}

// fromCheckpoint measures one way to make a new database.
func (d *database) fromCheckpoint(ctx context.Context, way, script string, files fstest.MapFS) (took time.Duration, err error) {
	started := time.Now()
	if way == "psql -1" {
		out, err := exec.CommandContext(ctx, "psql", "-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-d", d.dsn, "-f", filepath.Clean(script)).CombinedOutput()
		if err != nil {
			return 0, fmt.Errorf("%w: %s", err, out)
		}
		return time.Since(started), nil
	}
	driver := "postgres"
	if way == "checkpoint, pgx" {
		driver = "pgx"
	}
	db, err := sql.Open(driver, d.dsn)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	err = gooseplus.New(db, gooseplus.WithFS(files), gooseplus.WithGlobalLock(true), gooseplus.WithCheckpoints(way != "steps")).Migrate(ctx)
	return time.Since(started), err
}
