package dbtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMustFail(t *testing.T) {
	missing := &missingError{engine: postgres, tried: []error{errAbsent}}
	for _, tc := range []struct {
		name    string
		err     error
		require string
		want    bool
	}{
		{"no server on a laptop", missing, "", false},
		{"no server, requirement spelled as zero", missing, "0", false},
		{"no server, wrapped", fmt.Errorf("x: %w", missing), "", false},
		{"no server in CI", missing, "1", true},
		{"a broken server on a laptop", errors.New("it ended by itself"), "", true},
		{"a broken server in CI", errors.New("it ended by itself"), "1", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := mustFail(tc.err, tc.require); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// unfindable is an engine that no machine has.
func unfindable() *engine {
	e := *postgres
	e.local.binary, e.local.dirs = "gooseplus-no-such-server", nil
	return &e
}

func TestFindWithoutAnyServerNamesTheThreeWays(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix://"+filepath.Join(t.TempDir(), "none.sock"))
	env := func(string) string { return "" }
	_, err := find(t.Context(), unfindable(), env, t.Logf)
	if err == nil || mustFail(err, "") {
		t.Fatalf("got %v, want an error that skips", err)
	}
	for _, way := range []string{postgres.dsnEnv, postgres.imageEnv, "docker", "install the package postgresql"} {
		if !strings.Contains(err.Error(), way) {
			t.Errorf("%q does not mention %s", err, way)
		}
	}
}

func TestFindDoesNotLeaveTheForcedWay(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix://"+filepath.Join(t.TempDir(), "none.sock"))
	for _, way := range []string{"docker", "local", "dokcer"} {
		t.Run(way, func(t *testing.T) {
			env := func(name string) string {
				return map[string]string{serversEnv: way}[name]
			}
			e := unfindable()
			if way == "docker" {
				e = postgres // there may be a local one, which must not be used
			}
			s, err := find(t.Context(), e, env, t.Logf)
			if err == nil {
				t.Fatalf("got %v, want an error", errors.Join(s.stop()))
			}
			if got, want := mustFail(err, ""), way == "dokcer"; got != want {
				t.Errorf("fails %t, want %t: %v", got, want, err)
			}
		})
	}
}

func TestGivenServer(t *testing.T) {
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			there := kind.server(t)
			env := func(dsn string) func(string) string {
				return func(name string) string {
					// The forced way must not matter when there is a DSN.
					return map[string]string{kind.engine.dsnEnv: dsn, serversEnv: "docker"}[name]
				}
			}
			t.Run("doesn't take the password", func(t *testing.T) {
				_, err := find(t.Context(), kind.engine, env(strings.Replace(there.endpoint.admin, there.endpoint.password, "wrong", 1)), t.Logf)
				if err == nil || strings.Contains(err.Error(), "did not answer") || refused(err) == nil {
					t.Errorf("error %v", err)
				}
			})
			t.Run("is used and stays", func(t *testing.T) {
				s, err := find(t.Context(), kind.engine, env(there.endpoint.admin), t.Logf)
				if err != nil {
					t.Fatal(err)
				}
				if !s.outlives {
					t.Error("it is not marked to outlive the process")
				}
				d := s.NewDatabase(t)
				if !exists(t, there, d.Name) {
					t.Error("the database was created elsewhere")
				}
				if err := s.stop(); err != nil {
					t.Error(err)
				}
				d.Open(t, kind.drivers[0])
			})
			t.Run("that refuses us is an error without the password", func(t *testing.T) {
				const secret = "hunter2hunter2"
				dsn := strings.Replace(there.endpoint.admin, there.endpoint.password, secret, 1)
				ctx, cancel := context.WithTimeout(t.Context(), pollInterval)
				defer cancel()
				_, err := find(ctx, kind.engine, env(dsn), t.Logf)
				if err == nil || !mustFail(err, "") || strings.Contains(err.Error(), secret) {
					t.Errorf("got %v", err)
				}
			})
			t.Run("that can't be parsed is an error without the password", func(t *testing.T) {
				const secret = "hunter2hunter2"
				_, err := find(t.Context(), kind.engine, env("x://u:"+secret+"/%zz@["), t.Logf)
				if err == nil || !mustFail(err, "") || strings.Contains(err.Error(), secret) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

func TestHide(t *testing.T) {
	if err := hide(errors.New("access with hunter2 denied"), "hunter2"); strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
	plain := errors.New("plain")
	if hide(plain, "hunter2") != plain || hide(plain, "") != plain || hide(nil, "hunter2") != nil {
		t.Error("an error without the password was changed")
	}
}

func TestReportSkips(t *testing.T) {
	path := filepath.Join(t.TempDir(), "skips")
	t.Setenv("GOOSEPLUS_TEST_SKIPS", path)
	o := &outcome{skipped: 3, err: errors.New("no PostgreSQL server")}
	for range 2 {
		if err := reportSkips(o, "3"); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil || strings.Count(string(text), "SKIPPED 3 in ") != 2 ||
		strings.Count(string(text), ": no PostgreSQL server\n") != 2 {
		t.Errorf("the file holds %q, error %v", text, err)
	}
}

// A fault of the DSN itself is reported at once, and without the password.
func TestAGivenDSNWithAFault(t *testing.T) {
	for dsn, want := range map[string]string{
		"postgres://u:hunter2@127.0.0.1:1/x?sslmode=maybe": "sslmode",
		"postgres://u:hunter2%zz@127.0.0.1:1/x":            "not a URL",
		"mysql://u:hunter2@127.0.0.1:1/x":                  "not a URL",
		"postgres:///x":                                    "not a URL",
	} {
		_, err := postgres.parse(dsn)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", dsn, err)
		}
	}
	if _, err := postgres.parse("postgres:///x?host=/run/postgresql"); err != nil {
		t.Error(err)
	}
}
