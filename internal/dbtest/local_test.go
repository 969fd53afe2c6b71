package dbtest

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// needLocal skips or fails the test where the server's programs are not installed.
func needLocal(t *testing.T, e *engine) {
	t.Helper()
	if _, err := e.local.locate(); err != nil {
		if mustFail(&missingError{engine: e}, os.Getenv(requireEnv)) {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

func TestStartLocal(t *testing.T) {
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			needLocal(t, kind.engine)
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			temp := t.TempDir()
			openToAll(t, temp)
			t.Setenv("TMPDIR", temp)
			s, err := startLocal(t.Context(), kind.engine, freePort)
			if err != nil {
				t.Fatal(err)
			}
			if files, _ := filepath.Glob(filepath.Join(temp, "gooseplus-*", "log")); len(files) != 1 {
				t.Errorf("logs under TMPDIR: %v", files)
			}
			if err := s.engine.ping(t.Context(), s.endpoint); err != nil {
				t.Error(err)
			}
			if err := s.stop(); err != nil {
				t.Error(err)
			}
			if err := s.engine.ping(t.Context(), s.endpoint); err == nil {
				t.Error("the server answers after it was stopped")
			}
			if left, _ := filepath.Glob(filepath.Join(temp, "*")); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// openToAll lets an unprivileged user pass the private parents of a test's temporary directory.
func openToAll(t *testing.T, dir string) {
	t.Helper()
	if err := errors.Join(os.Chmod(dir, 0o777), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
}

func TestStartLocalOnATakenPort(t *testing.T) {
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			needLocal(t, kind.engine)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			calls := 0
			s, err := startLocal(t.Context(), kind.engine, func() (int, error) {
				if calls++; calls == 1 {
					return l.Addr().(*net.TCPAddr).Port, nil
				}
				return freePort()
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := s.stop(); err != nil {
					t.Error(err)
				}
			}()
			if calls != 2 {
				t.Errorf("%d ports were tried, want 2", calls)
			}
			if err := s.engine.ping(t.Context(), s.endpoint); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestStartLocalTellsWhyTheServerEnded(t *testing.T) {
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			needLocal(t, kind.engine)
			e := *kind.engine
			e.local.serve = `echo "the password is $(tr -d '\n' <password)$(cat init.sql)" 2>&1; exit 3`
			_, err := startLocal(t.Context(), &e, freePort)
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), "the password is") || !strings.Contains(err.Error(), "***") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestLocatePrefersTheNewest(t *testing.T) {
	root := t.TempDir()
	for _, version := range []string{"9.6", "15", "17", "18"} {
		dir := filepath.Join(root, version, "bin")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		names := []string{"postgres", "initdb"}
		if version == "18" {
			names = names[:1] // a client package without the server's tools
		}
		for _, name := range names {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	p := postgres.local
	p.dirs = []string{filepath.Join(root, "*", "bin")}
	got, err := p.locate()
	if want := filepath.Join(root, "17", "bin", "postgres"); err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}
