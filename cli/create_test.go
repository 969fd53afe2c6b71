package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

func TestNeverOverwrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "1_a.sql")
	if err := writeNew(path, "first"); err != nil {
		t.Fatal(err)
	}
	if err := writeNew(path, "second"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("writing it again: %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "first" {
		t.Errorf("the file is %q, %v", text, err)
	}
}

func TestNextVersion(t *testing.T) {
	now := time.Date(2024, 2, 29, 23, 59, 59, 0, time.FixedZone("", 3600))
	for _, tc := range []struct {
		name string
		n    numbering
		want string
	}{
		{"the first of all", numbering{}, "20240229225959"},
		{"counted", numbering{highest: 9, width: 1}, "10"},
		{"counted, with zeros", numbering{highest: 9, width: 5}, "00010"},
		{"times", numbering{highest: 20231103120000, width: 14}, "20240229225959"},
		{"two in one second", numbering{highest: 20240229225959, width: 14, taken: map[int64]bool{20240229225959: true}}, "20240229230000"},
		{"counted, and a Go migration elsewhere has the next", numbering{highest: 2, width: 1, taken: map[int64]bool{3: true, 4: true}}, "5"},
		{"days", numbering{highest: 20231103, width: 8}, "20240229225959"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.n.next(now); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// TestCreateAtOnce has two dozen processes number a migration in the same second: each gets a version of its own.
func TestCreateAtOnce(t *testing.T) {
	for _, tc := range []struct{ name, first string }{{"times", "20231103120000_a.sql"}, {"counted", "001_a.sql"}} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, tc.first), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			now := time.Now()
			f := &createFlags{dir: dir}
			place, err := f.place()
			if err != nil {
				t.Fatal(err)
			}
			const processes = 24
			versions := make(chan int64, processes)
			var all sync.WaitGroup
			for i := range processes {
				all.Go(func() {
					done, err := place.create(context.Background(), fmt.Sprintf("m%d", i), f, now)
					if err != nil {
						t.Error(err)
					}
					versions <- done.version
				})
			}
			all.Wait()
			close(versions)
			seen := make(map[int64]bool)
			for v := range versions {
				if seen[v] {
					t.Errorf("two migrations have the version %d", v)
				}
				seen[v] = true
			}
		})
	}
}
