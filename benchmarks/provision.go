package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gooseplus/gooseplus"
)

// provision measures a new tenant: a schema that is created and brought to the newest version. goose gets an empty schema, a
// DSN that leads there, and a connection that is open. "bare" is what nobody can do without: the same statements as one text, in one
// transaction, on a connection that is open.
func (b *bench) provision(ctx context.Context, out, log io.Writer) error {
	for _, n := range []int{20, 200} {
		f := makeMigrations(n)
		times := make(map[string][]time.Duration)
		names := []string{"goose", "bare", "Provision", "Provision, pgx", "Migrate"}
		for round := range b.config.rounds {
			d, err := b.srv.create(ctx, nil)
			if err != nil {
				return err
			}
			for i := range names {
				name := names[(i+round)%len(names)]
				took, err := d.newTenant(ctx, name, fmt.Sprintf("tenant_%d", i), f)
				if err != nil {
					d.drop()
					return fmt.Errorf("%s: %w", name, err)
				}
				times[name] = append(times[name], took)
			}
			d.drop()
			b.srv.checkpoint(ctx)
		}
		fmt.Fprintf(log, "measured new tenants with %d migrations\n", n)
		fmt.Fprintf(out, "\nprovision: a new schema with %d migrations (rounds: %d)\n", n, b.config.rounds)
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(w, "way\tmin\tmedian\tto goose\t")
		for _, name := range names {
			t := times[name]
			fmt.Fprintf(w, "%s\t%s\t%s\t%.3f\t\n", name, milliseconds(percentile(t, 0)), milliseconds(percentile(t, 50)), paired(t, times["goose"]))
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// allUp are all statements as one text.
func allUp(list []migration) string {
	var b strings.Builder
	for _, m := range list {
		b.WriteString(strings.Join(m.up, ";\n") + ";\n")
	}
	return b.String()
}

// newTenant measures one way to make a tenant, on connections that are open and have served another tenant.
func (d *database) newTenant(ctx context.Context, way, schema string, list []migration) (took time.Duration, err error) {
	driver, dsn := "postgres", d.dsn
	switch way {
	case "goose":
		dsn = d.inSchema(schema)
	case "Provision, pgx":
		driver = "pgx"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	if err := db.PingContext(ctx); err != nil {
		return 0, err
	}
	if way == "goose" || way == "Migrate" {
		if _, err := db.ExecContext(ctx, "CREATE SCHEMA "+schema); err != nil {
			return 0, err
		}
	}
	tenant := gooseplus.Tenant{Schema: schema}
	files := gooseFiles("sql/base")(list)
	started := time.Now()
	switch way {
	case "bare":
		_, err = db.ExecContext(ctx, "CREATE SCHEMA "+schema+"; SET LOCAL search_path TO "+schema+"; "+allUp(list))
	case "goose":
		err = runGoose(ctx, db, gooseFiles(".")(list))
	case "Migrate":
		err = gooseplus.New(db, gooseplus.WithFS(files), gooseplus.WithGlobalLock(true)).Tenant(tenant).Migrate(ctx)
	default:
		err = gooseplus.New(db, gooseplus.WithFS(files)).Provision(ctx, tenant)
	}
	return time.Since(started), err
}
