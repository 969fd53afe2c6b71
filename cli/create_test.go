package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
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
		{"days", numbering{highest: 20231103, width: 8}, "20240229225959"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.n.next(now); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}
