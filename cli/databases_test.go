package cli_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/gooseplus/gooseplus/internal/dbtest"
)

// TestDatabases goes up and down on each database, with goose's files and with a pair of several statements.
func TestDatabases(t *testing.T) {
	t.Parallel()
	maria := dbtest.MySQL(t).NewDatabase(t)
	config, err := mysql.ParseDSN(dbtest.MySQL(t).NewDatabase(t).DSN)
	if err != nil {
		t.Fatal(err)
	}
	mariaURL := url.URL{Scheme: "mysql", User: url.UserPassword(config.User, config.Passwd), Host: config.Addr, Path: "/" + config.DBName}
	if config.Net == "unix" {
		mariaURL.Host, mariaURL.RawQuery = "localhost", url.Values{"socket": {config.Addr}}.Encode()
	}
	for _, tc := range []struct {
		name, dsn, password string
		pairs               bool
	}{
		{"PostgreSQL", dbtest.Postgres(t).NewDatabase(t).DSN, "", true},
		{"MariaDB", maria.DSN, maria.Password, false}, // whose driver takes one statement at a time
		{"MariaDB by URL", mariaURL.String(), config.Passwd, true},
		{"SQLite", "sqlite:shop.db", "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, map[string]string{"sql/base/1_a.sql": "-- +goose Up\nCREATE TABLE a (id INTEGER);\n-- +goose Down\nDROP TABLE IF EXISTS a;\n"})
			version := "1"
			if tc.pairs {
				version = "2"
				write(t, dir, map[string]string{
					"sql/base/2_b.up.sql":   "CREATE TABLE b (id INTEGER);\nCREATE TABLE c (id INTEGER);\n",
					"sql/base/2_b.down.sql": "DROP TABLE IF EXISTS c;\nDROP TABLE IF EXISTS b;\n",
				})
			}
			do := func(want string, args ...string) {
				t.Helper()
				code, out, errOut := gooseplusIn(t, dir, []string{"GOOSEPLUS_DSN=" + tc.dsn}, args...)
				if code != 0 || !strings.Contains(out, want) {
					t.Errorf("%v: exit code %d, want %q\n%s%s", args, code, want, out, errOut)
				}
				if tc.password != "" && strings.Contains(out+errOut, tc.password) {
					t.Errorf("%v: the password is in\n%s%s", args, out, errOut)
				}
			}
			do("the database is at version "+version, "up")
			do(", 0 pending", "status")
			do("migrated", "runs")
			do(version+"\n", "version")
			do("is locked", "lock", "1")
			do("is not locked", "unlock", "1")
			do("the database is at version 0", "down-to", "0", "--yes")
			do("marked as at version 1", "force", "1", "--yes")
			do("applied", "list", "--all")
		})
	}
}
