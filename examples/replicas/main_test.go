package main

import (
	"os"
	"strings"
	"testing"
)

// TestMain lets the test binary be a replica, as the program is.
func TestMain(m *testing.M) {
	if os.Getenv(replicaEnv) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestReplicas(t *testing.T) {
	var out strings.Builder
	if err := run(&out); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "migrated: 6 migrations\n"); n != 1 {
		t.Errorf("%d replicas migrated, want one:\n%s", n, out.String())
	}
	if n := strings.Count(out.String(), "nothing was left to do\n"); n != replicas-1 {
		t.Errorf("%d replicas had nothing to do, want %d:\n%s", n, replicas-1, out.String())
	}
}
