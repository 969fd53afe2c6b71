package conformance

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gooseplus/gooseplus"
)

// TestSecretsInSQL fails in statements that have passwords in them. Nothing that the run tells, logs or records has a
// piece of one, though the servers quote the statement.
func TestSecretsInSQL(t *testing.T) {
	statements := map[string][]string{
		"postgres": {
			"CREATE ROLE x PASSWORD 'S3cr tPart' BOGUS;", "CREATE ROLE x PASSWORD S3crtPart;", "CREATE USER MAPPING FOR x SERVER y OPTIONS (password 'S3cr'tPart');",
			"CREATE USER x PASSWORDD 'S3cr tPart';", "ALTER SUBSCRIPTION x CONECTION 'host=h pasword=S3crtPart';",
			`INSERT INTO nowhere VALUES ('{"password": "S3cr tPart"}');`, `SELECT 1 FROM nowhere WHERE dsn = 'postgres://app:S3cr@tPart@h/x';`,
		},
		"mysql": {
			"CREATE USER x IDENTIFIED BY 'S3cr tPart' BOGUS;", "CREATE USER x IDENTIFIED BY S3crtPart;", "SET PASSWORD FOR x = S3crtPart;",
			"SELECT 1 FROM nowhere WHERE token = 'S3cr tPart';", "CREATE USER x IDENTIFED BY 'S3cr tPart';", "GRANT SELECT ON *.* TO x IDENTIFED BY 'S3crtPart';",
		},
		"sqlite": {`INSERT INTO nowhere (name, password) VALUES ('a', 'S3cr tPart');`, "ATTACH 'x' AS x KEY 'S3cr'tPart';"},
	}
	ctx := context.Background()
	onEach(t, func(t *testing.T, p *place) {
		for i, statement := range statements[p.dialect] {
			var mu sync.Mutex
			var told strings.Builder
			core, logs := observer.New(zap.DebugLevel)
			m := p.migrator(from(files(map[string]*fstest.MapFile{"001_a.sql": table("a"), "002_b.sql": {Data: []byte("-- +goose Up\n" + statement + "\n-- +goose Down\nSELECT 1;\n")}})),
				gooseplus.WithGlobalLock(true), gooseplus.WithLogger(zap.New(core)),
				gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
					mu.Lock()
					defer mu.Unlock()
					fmt.Fprintf(&told, "%T %+v\n", e, e)
					if done, ok := e.(gooseplus.MigrationFinished); ok && done.Err != nil {
						var migration *gooseplus.MigrationError
						if errors.As(done.Err, &migration) {
							fmt.Fprintf(&told, "statement %s\n", migration.Statement)
						}
					}
				}))
			err := m.Migrate(ctx)
			var migration *gooseplus.MigrationError
			if !errors.As(err, &migration) || migration.Version != 2 || !strings.Contains(migration.Statement, "xxxxx") {
				t.Fatalf("%s: %v (%+v)", statement, err, migration)
			}
			mu.Lock()
			told.WriteString(err.Error())
			for _, entry := range logs.All() {
				fmt.Fprintf(&told, "%s %v\n", entry.Message, entry.ContextMap())
			}
			runs, err := m.Runs(ctx)
			if err != nil || len(runs) == 0 || runs[0].Error == "" {
				t.Errorf("%s: %v, %v", statement, runs, err)
			}
			fmt.Fprintf(&told, "%+v\n%s", runs, dump(t, p.db, "goose_db_version_lock"))
			if text := told.String(); strings.Contains(text, "S3cr") || strings.Contains(text, "tPart") {
				t.Errorf("%d, %s: a piece of the password is in\n%s", i, statement, text)
			}
			mu.Unlock()
		}
	})
}

// TestRunsMask: the text of an error that another release, or another program, has recorded is not trusted.
func TestRunsMask(t *testing.T) {
	ctx := context.Background()
	onEach(t, func(t *testing.T, p *place) {
		m := p.migrator(from(chain(1)), gooseplus.WithGlobalLock(true))
		if err := m.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := p.db.Exec(`UPDATE goose_db_version_lock SET error_text = 'dial postgres://app:S3cret@db/x' WHERE outcome = 'migrated'`); err != nil {
			t.Fatal(err)
		}
		runs, err := m.Runs(ctx)
		if err != nil || len(runs) != 1 || runs[0].Error != "dial postgres://app:xxxxx@db/x" {
			t.Errorf("%+v, %v", runs, err)
		}
	})
}

// dump is all that a table has.
func dump(t *testing.T, db *sql.DB, table string) string {
	t.Helper()
	rows, err := db.Query("SELECT * FROM " + table)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for rows.Next() {
		values := make([]sql.NullString, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, values)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestSecretsOfCreate: the functions that create and drop a tenant's database fail with a password in their errors.
func TestSecretsOfCreate(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	onSchemas(t, func(t *testing.T, p *fleetPlace) {
		secret := errors.New("cannot parse postgres://u:S3cretPW@h/db and password=S3cretPW")
		fails, panics := func(context.Context) error { return secret }, func(context.Context) error { panic(secret) }
		for _, f := range []func(context.Context) error{fails, panics} {
			names := p.names(2)
			create, _ := p.ownDatabase(t, names[0])
			create.Create = f
			drop, _ := p.ownDatabase(t, names[1])
			drop.Drop = f
			for _, tenant := range []gooseplus.Tenant{create, drop} {
				err := p.migrator(from(files(map[string]*fstest.MapFile{"1_a.sql": script("SELECT nothing;", "SELECT 1;")}))).Provision(ctx, tenant)
				wantIs(t, err, secret)
				if strings.Contains(err.Error(), "S3cret") || !strings.Contains(err.Error(), "xxxxx") {
					t.Error(err)
				}
			}
		}
	})
}
