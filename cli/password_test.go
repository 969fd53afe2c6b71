package cli_test

import (
	"errors"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/gooseplus/gooseplus/internal/dbtest"
)

const secret = "s3cr/t@:pass"

// gooseplusIn executes gooseplus and returns its code, and both outputs.
func gooseplusIn(t *testing.T, dir string, env []string, args ...string) (code int, out, errOut string) {
	t.Helper()
	cmd := exec.Command("gooseplus", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return code, stdout.String(), stderr.String()
}

// TestNoPassword gives every command a database that can't be used, with a password, and looks for that in
// all that is printed. The error is one sentence.
func TestNoPassword(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{"sql/base/1_a.sql": "-- +goose Up\nCREATE TABLE a (id INTEGER);\n-- +goose Down\nDROP TABLE a;\n"})

	postgres, err := url.Parse(dbtest.Postgres(t).NewDatabase(t).DSN)
	if err != nil {
		t.Fatal(err)
	}
	postgres.User = url.UserPassword(postgres.User.Username(), secret)
	nowhere := *postgres
	nowhere.Host = "127.0.0.1:1"
	stranger := *postgres
	stranger.User = url.UserPassword("nobody", secret)
	maria, err := mysql.ParseDSN(dbtest.MySQL(t).NewDatabase(t).DSN)
	if err != nil {
		t.Fatal(err)
	}
	maria.Passwd = secret
	mariaURL := url.URL{Scheme: "mysql", User: url.UserPassword(maria.User, secret), Host: maria.Addr, Path: "/" + maria.DBName}
	if maria.Net == "unix" {
		mariaURL.Host, mariaURL.RawQuery = "localhost", url.Values{"socket": {maria.Addr}}.Encode()
	}

	commands := [][]string{
		{"up"}, {"up-to", "1"}, {"up-to", "2023-11-03"}, {"down"}, {"rollback", "--steps", "2", "--yes"}, {"down-to", "0", "--yes"}, {"goto", "1"},
		{"status"}, {"version"}, {"plan"}, {"show", "1"}, {"list", "--all"}, {"runs"}, {"force", "1", "--yes"}, {"baseline", "1", "--yes"}, {"up-by-one"}, {"redo", "--yes"}, {"reset", "--yes"}, {"env"}, {"renumber"},
		{"lock", "1"}, {"unlock", "1"},
		{"tenants", "up", "--schemas-like", "x%"}, {"tenants", "down", "--schemas-query", "SELECT 1"}, {"tenants", "list", "--databases-query", "SELECT 1, 2"},
		{"tenants", "status", "--schemas-like", "x%"}, {"up", "--then-tenants", "--databases-query", "SELECT 1, 2"},
	}
	few := [][]string{{"up"}, {"status"}, {"runs"}, {"tenants", "up", "--schemas-like", "x%"}, {"tenants", "list", "--databases-query", "SELECT 1, 2"}}
	for i, tc := range []struct {
		name, dsn string
		code      int
	}{
		{"a wrong password", postgres.String(), 3},
		{"nobody there", nowhere.String(), 3},
		{"an unknown user", stranger.String(), 3},
		{"the words of libpq", "host=127.0.0.1 port=1 user=app dbname=x password='" + secret + "'", 3},
		{"words that libpq doesn't know", "host=127.0.0.1 sslmode=maybe user=app password=" + secret, 2},
		{"no URL", "postgres://app:" + secret + "@127.0.0.1:1/x%zz", 2},
		{"a host that isn't known", "postgres://app:" + url.QueryEscape(secret) + "@no-such-host.invalid/x?sslmode=disable", 3},
		{"no database that is known", "oracle://app:" + secret + "@127.0.0.1:1/x", 2},
		{"MariaDB, a wrong password", maria.FormatDSN(), 3},
		{"MariaDB's URL, a wrong password", mariaURL.String(), 3},
		{"MySQL, nobody there", "app:" + secret + "@tcp(127.0.0.1:1)/x", 3},
		{"MySQL, an unknown option", "app:" + secret + "@tcp(127.0.0.1:1)/x?tls=maybe", 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			commands := commands
			if i >= 2 {
				commands = few
			}
			for j, command := range commands {
				formats := []string{"text", "json"}
				if i > 0 { // each command in one of them, and each case in both
					formats = formats[(i+j)%2 : (i+j)%2+1]
				}
				for _, format := range formats {
					code, out, errOut := gooseplusIn(t, dir, []string{"GOOSEPLUS_DSN=" + tc.dsn, "GOOSEPLUS_OUTPUT=" + format}, command...)
					if code != tc.code {
						t.Errorf("%v: exit code %d, want %d\n%s%s", command, code, tc.code, out, errOut)
					}
					for _, s := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret), "s3cr"} {
						if strings.Contains(out+errOut, s) {
							t.Errorf("%v: the password is in\n%s%s", command, out, errOut)
						}
					}
					if strings.Count(errOut, "no such host") > 1 {
						t.Errorf("%v: it says so twice:\n%s", command, errOut)
					}
					if strings.Count(errOut, "\n") != 1 && !(command[0] == "up" && len(command) > 1) {
						t.Errorf("%v: more than one sentence:\n%s", command, errOut)
					}
				}
			}
		})
	}
}
