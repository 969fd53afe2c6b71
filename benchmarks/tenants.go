package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/gooseplus/gooseplus"
)

const (
	tenantMigrations = 20
	tenantWorkers    = 4
	freshTenants     = 200
	bareStatements   = 200 // in one round trip
)

// A fleet is how tenants are migrated: all schemas of one database to the files.
type fleet struct {
	name string
	// run returns how long it took; connecting is part of it.
	run func(ctx context.Context, d *database, schemas []string, f *fleetFiles) error
}

// fleetFiles are the same migrations in every form that a fleet wants.
type fleetFiles struct {
	goose, gooseplus *files
	psql             string // a directory with one file for each migration, and all.sql
}

var (
	gooseLoop = fleet{"goose, a DSN for each schema", runGooseLoop}
	plusPQ    = fleet{"gooseplus", gooseplusFleet("postgres")}
	plusPGX   = fleet{"gooseplus-pgx", gooseplusFleet("pgx")}
	plusOneTx = fleet{"gooseplus, RollbackTransaction", gooseplusFleet("postgres", gooseplus.WithRollback(gooseplus.RollbackTransaction))}
	bare      = fleet{"bare SELECTs", runBare}
	psqlEach  = fleet{"psql, a transaction a file", psqlFleet(false)}
	psqlOne   = fleet{"psql -1", psqlFleet(true)}
)

// tenants measures what a deploy costs that has many schemas to look after, and prints a table for each situation.
func (b *bench) tenants(ctx context.Context, count int, out, log io.Writer) error {
	f, err := newFleetFiles(tenantMigrations)
	if err != nil {
		return err
	}
	defer os.RemoveAll(f.psql)
	more, err := newFleetFiles(tenantMigrations + 1)
	if err != nil {
		return err
	}
	defer os.RemoveAll(more.psql)
	for _, s := range []struct {
		what   string
		count  int
		files  *fleetFiles
		at     int // migrations that are applied before
		fleets []fleet
		rounds int
	}{
		{"nothing to do", count, f, tenantMigrations, []fleet{gooseLoop, plusPQ, plusPGX, bare}, b.config.rounds},
		{"nothing to do", 5 * count, f, tenantMigrations, []fleet{plusPQ, plusPGX, bare}, min(b.config.rounds, 3)},
		{"one new migration", count, more, tenantMigrations, []fleet{gooseLoop, plusPQ, plusPGX}, 1},
		{"empty schemas", freshTenants, f, 0, []fleet{gooseLoop, psqlEach, psqlOne, plusPQ, plusPGX, plusOneTx}, min(b.config.rounds, 3)},
	} {
		fmt.Fprintf(log, "measuring tenants, %s: %d schemas\n", s.what, s.count)
		times := make(map[string][]time.Duration)
		heap := make(map[string]uint64)
		for round := range s.rounds {
			for i := range s.fleets {
				fl := s.fleets[(i+round)%len(s.fleets)]
				took, grown, err := b.fleet(ctx, fl, s.count, s.at, s.files)
				if err != nil {
					return fmt.Errorf("%s: %w", fl.name, err)
				}
				times[fl.name] = append(times[fl.name], took)
				heap[fl.name] = max(heap[fl.name], grown)
			}
		}
		fmt.Fprintf(out, "\ntenants: %d schemas, %d migrations, %s (rounds: %d)\n", s.count, tenantMigrations, s.what, s.rounds)
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(w, "fleet\tmin\tmedian\tto the first\theap growth\t")
		first := percentile(times[s.fleets[0].name], 50)
		for _, fl := range s.fleets {
			t := times[fl.name]
			fmt.Fprintf(w, "%s\t%s\t%s\t%.3f\t%d KiB\t\n", fl.name, milliseconds(percentile(t, 0)), milliseconds(percentile(t, 50)),
				ratio(percentile(t, 50), first), heap[fl.name]>>10)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// fleet measures one fleet on a new database, and how much the heap had grown when it ended.
func (b *bench) fleet(ctx context.Context, fl fleet, count, at int, f *fleetFiles) (took time.Duration, grown uint64, err error) {
	d, err := b.srv.create(ctx, nil)
	if err != nil {
		return 0, 0, err
	}
	defer d.drop()
	schemas, err := d.schemas(ctx, count, at)
	if err != nil {
		return 0, 0, err
	}
	if at > 0 { // the first to read new tables would write to all of them
		if err := runBare(ctx, d, schemas, nil); err != nil {
			return 0, 0, err
		}
	}
	b.srv.checkpoint(ctx)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	started := time.Now()
	err = fl.run(ctx, d, schemas, f)
	took = time.Since(started)
	runtime.ReadMemStats(&after)
	if after.HeapSys > before.HeapSys {
		grown = after.HeapSys - before.HeapSys
	}
	return took, grown, err
}

// schemas creates schemas in which the first migrations are recorded.
func (d *database) schemas(ctx context.Context, count, at int) (names []string, err error) {
	db, err := sql.Open("postgres", d.dsn)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for i := range count {
		names = append(names, fmt.Sprintf("tenant_%05d", i))
	}
	const batch = 100 // within the server's lock table
	for from := 0; from < count; from += batch {
		var text strings.Builder
		for _, name := range names[from:min(from+batch, count)] {
			fmt.Fprintf(&text, "CREATE SCHEMA %s;", name)
			if at > 0 {
				fmt.Fprintf(&text, `CREATE TABLE %[1]s.goose_db_version (id integer PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,
					version_id bigint NOT NULL, is_applied boolean NOT NULL, tstamp timestamp NOT NULL DEFAULT now());
					INSERT INTO %[1]s.goose_db_version (version_id, is_applied) SELECT v, true FROM generate_series(0, %[2]d) AS v;`, name, at)
			}
		}
		if _, err := db.ExecContext(ctx, text.String()); err != nil {
			return nil, err
		}
	}
	_, err = db.ExecContext(ctx, "ANALYZE")
	return names, err
}

func gooseplusFleet(driver string, opts ...gooseplus.Option) func(context.Context, *database, []string, *fleetFiles) error {
	return func(ctx context.Context, d *database, schemas []string, f *fleetFiles) error {
		db, err := sql.Open(driver, d.dsn)
		if err != nil {
			return err
		}
		defer db.Close()
		r, err := gooseplus.New(db, append(opts, gooseplus.WithFS(f.gooseplus))...).
			MigrateTenants(ctx, gooseplus.Schemas(schemas...), gooseplus.WithConcurrency(tenantWorkers))
		if err == nil && r.Migrated+r.UpToDate != len(schemas) {
			err = fmt.Errorf("%d migrated and %d up to date of %d", r.Migrated, r.UpToDate, len(schemas))
		}
		return err
	}
}

// runGooseLoop is what teams write: a pool and a Provider for each schema, some at a time.
func runGooseLoop(ctx context.Context, d *database, schemas []string, f *fleetFiles) error {
	return inWorkers(schemas, func(schema string) error {
		db, err := sql.Open("postgres", d.inSchema(schema))
		if err != nil {
			return err
		}
		defer db.Close()
		return runGoose(ctx, db, f.goose)
	})
}

func (d *database) inSchema(schema string) string {
	u, err := url.Parse(d.dsn)
	if err != nil {
		panic(err) // this program has made it
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

func inWorkers(schemas []string, do func(string) error) error {
	work := make(chan string)
	var mu sync.Mutex
	var failed error
	var all sync.WaitGroup
	for range tenantWorkers {
		all.Go(func() {
			for s := range work {
				if err := do(s); err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
				}
			}
		})
	}
	for _, s := range schemas {
		work <- s
	}
	close(work)
	all.Wait()
	return failed
}

// runBare reads the same version tables and does nothing with what it reads.
func runBare(ctx context.Context, d *database, schemas []string, _ *fleetFiles) error {
	db, err := sql.Open("postgres", d.dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	for len(schemas) > 0 {
		n := min(len(schemas), bareStatements)
		var text strings.Builder
		for _, s := range schemas[:n] {
			fmt.Fprintf(&text, "SELECT version_id, is_applied FROM %s.goose_db_version ORDER BY id DESC;", s)
		}
		schemas = schemas[n:]
		rows, err := db.QueryContext(ctx, text.String())
		if err != nil {
			return err
		}
		for more := true; more; more = rows.NextResultSet() {
			for rows.Next() {
				var version int64
				var applied bool
				if err := rows.Scan(&version, &applied); err != nil {
					return err
				}
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
	}
	return nil
}

// psqlFleet has psql execute the same SQL and record it.
func psqlFleet(one bool) func(context.Context, *database, []string, *fleetFiles) error {
	return func(ctx context.Context, d *database, schemas []string, f *fleetFiles) error {
		return inWorkers(schemas, func(schema string) error {
			u, err := url.Parse(d.dsn)
			if err != nil {
				return err
			}
			args := []string{"-qX", "-v", "ON_ERROR_STOP=1", u.String()}
			if one {
				args = append(args, "-1")
			}
			args = append(args, "-f", filepath.Join(f.psql, map[bool]string{true: "all.sql", false: "each.sql"}[one]))
			cmd := exec.CommandContext(ctx, "psql", args...)
			cmd.Env = append(os.Environ(), "PGOPTIONS=-c search_path="+schema)
			text, err := cmd.CombinedOutput()
			if err != nil {
				return fmt.Errorf("psql: %w: %s", err, text)
			}
			return nil
		})
	}
}

func newFleetFiles(n int) (*fleetFiles, error) {
	dir, err := os.MkdirTemp("", "gooseplus-benchmark-")
	if err != nil {
		return nil, err
	}
	const table = `CREATE TABLE goose_db_version (id integer PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,
	version_id bigint NOT NULL, is_applied boolean NOT NULL, tstamp timestamp NOT NULL DEFAULT now());
INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, true);
`
	each, all := "BEGIN;\n"+table+"COMMIT;\n", table
	migrations := makeMigrations(n)
	for i, m := range migrations {
		text := script(m.up) + fmt.Sprintf("INSERT INTO goose_db_version (version_id, is_applied) VALUES (%d, true);\n", i+1)
		each += "BEGIN;\n" + text + "COMMIT;\n"
		all += text
	}
	f := &fleetFiles{goose: gooseFiles(".")(migrations), gooseplus: gooseFiles("sql/base")(migrations), psql: dir}
	return f, errors.Join(os.WriteFile(filepath.Join(dir, "each.sql"), []byte(each), 0o644),
		os.WriteFile(filepath.Join(dir, "all.sql"), []byte(all), 0o644))
}
