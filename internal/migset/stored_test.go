package migset

import (
	"strings"
	"testing"
)

// TestStoredIsAsLongAsItsColumn: what counts are the bytes that are stored.
func TestStoredIsAsLongAsItsColumn(t *testing.T) {
	t.Parallel()
	s := Section{Statements: []string{strings.Repeat("ж", 11_000)}}
	text := s.Stored(0)
	if len(text) < 66_000 {
		t.Fatalf("%d bytes", len(text))
	}
	for longest, want := range map[int]string{len(text): text, len(text) - 1: ""} {
		if got := s.Stored(longest); got != want {
			t.Errorf("of %d bytes %d are stored", longest, len(got))
		}
	}
	_, body, err := Restore(1, "", text)
	if err != nil || body.Down[0] != s.Statements[0] {
		t.Errorf("%.100q, %v", body.Down, err)
	}
}
