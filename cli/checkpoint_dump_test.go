package cli_test

import (
	"crypto/rand"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestCheckpointWithoutPgDump: pg_dump is missing, or older than the server. The error says what to install, and neither a
// database nor a file is left.
func TestCheckpointWithoutPgDump(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the older pg_dump is a script")
	}
	h := homes()[0]
	db, shadow := h.open(t)
	var major string
	if err := db.QueryRow("SELECT current_setting('server_version_num')::int / 10000").Scan(&major); err != nil {
		t.Fatal(err)
	}
	_ = db.Close() // nobody else may be connected to the shadow
	watch, _ := h.open(t)
	role := "dumper" + strings.ToLower(rand.Text()[:12]) // whose databases are this test's
	u, err := url.Parse(shadow)
	if err != nil {
		t.Fatal(err)
	}
	owner := `ALTER DATABASE "` + strings.TrimPrefix(u.Path, "/") + `" OWNER TO `
	run := func(statements ...string) {
		for _, statement := range statements {
			if _, err := watch.Exec(statement); err != nil {
				t.Error(err)
			}
		}
	}
	run("CREATE ROLE "+role+" LOGIN CREATEDB PASSWORD 'dump'", "GRANT "+role+" TO CURRENT_USER", owner+role)
	t.Cleanup(func() { run(owner+"CURRENT_USER", "DROP ROLE "+role) })
	u.User = url.UserPassword(role, "dump")
	shadow = u.String()
	for _, tc := range []struct{ situation, pgDump, want string }{
		{"missing", "", "pg_dump is not in PATH: it is needed to write a checkpoint, and never to run one: install the PostgreSQL client of version " + major + " or a newer one"},
		{"older", "#!/bin/sh\necho 'pg_dump: error: aborting because of server version mismatch' >&2\n" +
			"echo 'pg_dump: detail: server version: 15.1 (Debian 15.1-1); pg_dump version: 9.6.24' >&2\nexit 1\n",
			"pg_dump is of version 9.6.24, and can't read a server of version 15.1 (Debian 15.1-1): install the PostgreSQL client of version " + major + " or a newer one (Debian and Ubuntu: postgresql-client-" + major},
		{"broken", "#!/bin/sh\necho 'pg_dump: error: out of memory' >&2\nexit 1\n", "pg_dump: exit status 1: pg_dump: error: out of memory"},
	} {
		t.Run(tc.situation, func(t *testing.T) { // one after another, as they have one shadow
			dir, path, temporary := t.TempDir(), t.TempDir(), t.TempDir()
			write(t, dir, map[string]string{"sql/base/1_a.sql": "-- +goose Up\nCREATE TABLE a (id int);\n"})
			if tc.pgDump != "" {
				if err := os.WriteFile(filepath.Join(path, "pg_dump"), []byte(tc.pgDump), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			code, out, errOut := gooseplusIn(t, dir, []string{"PATH=" + path, "TMPDIR=" + temporary}, "checkpoint", "--shadow", shadow)
			if code != 7 || out != "" || !strings.Contains(errOut, tc.want) {
				t.Errorf("exit code %d\n%s%s", code, out, errOut)
			}
			var left int
			if err := watch.QueryRow("SELECT count(*) FROM pg_database WHERE pg_get_userbyid(datdba) = $1", role).Scan(&left); err != nil || left != 1 {
				t.Errorf("the user has %d databases, want the shadow alone, %v", left, err)
			}
			for _, folder := range []string{filepath.Join(dir, "sql", "base"), temporary} {
				files, err := os.ReadDir(folder)
				if err != nil {
					t.Fatal(err)
				}
				for _, file := range files {
					if file.Name() != "1_a.sql" {
						t.Errorf("%s is left in %s", file.Name(), folder)
					}
				}
			}
		})
	}
}
