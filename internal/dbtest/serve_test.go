package dbtest

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestServe(t *testing.T) {
	for _, kind := range kinds {
		needLocal(t, kind.engine)
		t.Setenv(kind.engine.dsnEnv, "")
	}
	t.Setenv(serversEnv, "local")
	failed := errors.New("the command failed")
	var all []endpoint
	err := Serve(func(env []string) error {
		for name, kind := range kinds {
			dsn := valueOf(env, kind.engine.sharedEnv())
			cmd := exec.Command(os.Args[0], "-test.run=^TestChild$", "-test.v")
			cmd.Env = append(slices.Clone(env), childEnv+"="+name)
			out, err := cmd.CombinedOutput()
			if dsn == "" || err != nil || !strings.Contains(string(out), childReady+dsn+" ") {
				t.Errorf("%s: another process used another server than the one at %q: %v\n%s", name, dsn, err, out)
				continue
			}
			ep, err := kind.engine.parse(dsn)
			if err != nil {
				t.Fatal(err)
			}
			if err := kind.engine.ping(t.Context(), ep); err != nil {
				t.Errorf("%s ended with the process that used it: %v", name, err)
			}
			all = append(all, ep)
		}
		return failed
	})
	if !errors.Is(err, failed) {
		t.Errorf("error %v, want that of the command", err)
	}
	for _, ep := range all {
		for name, kind := range kinds {
			if kind.engine.ping(t.Context(), ep) == nil {
				t.Errorf("%s answers after the end", name)
			}
		}
	}
}

// valueOf returns what a process with that environment gets: the last one counts.
func valueOf(env []string, name string) (value string) {
	for _, variable := range env {
		if text, ok := strings.CutPrefix(variable, name+"="); ok {
			value = text
		}
	}
	return value
}

func TestServeLeavesOutAGivenServer(t *testing.T) {
	for _, kind := range kinds {
		t.Setenv(kind.engine.dsnEnv, "given")
		t.Setenv(kind.engine.sharedEnv(), "")
	}
	err := Serve(func(env []string) error {
		for name, kind := range kinds {
			if dsn := valueOf(env, kind.engine.sharedEnv()); dsn != "" {
				t.Errorf("%s was started at %s", name, dsn)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestOwnServers(t *testing.T) {
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			needLocal(t, kind.engine)
			t.Setenv(serversEnv, "local")
			t.Setenv(kind.engine.dsnEnv, "")
			t.Setenv(kind.engine.sharedEnv(), "shared")
			var r registry
			r.ready(false)
			s := r.server(t, kind.engine)
			if err := s.engine.ping(t.Context(), s.endpoint); err != nil {
				t.Error(err)
			}
			if err := r.stop(); err != nil {
				t.Error(err)
			}
		})
	}
}
