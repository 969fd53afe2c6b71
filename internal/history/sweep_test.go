package history

import (
	"fmt"
	"slices"
	"testing"
)

// TestNewestOfUnordered: the newest row of a version counts, in whatever order the server gives them.
func TestNewestOfUnordered(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		rows []row
		want string
	}{
		"as they are":        {[]row{{key: 1, version: 0, applied: true}, {key: 2, version: 5, applied: true}, {key: 3, version: 7, applied: true}}, "[5 7]"},
		"taken back":         {[]row{{key: 2, version: 5, applied: true}, {key: 3, version: 5, applied: false}, {key: 4, version: 7, applied: true}}, "[7]"},
		"and applied again":  {[]row{{key: 4, version: 5, applied: true}, {key: 2, version: 5, applied: true}, {key: 3, version: 5, applied: false}}, "[5]"},
		"taken back, mixed":  {[]row{{key: 3, version: 5, applied: false}, {key: 2, version: 5, applied: true}}, "[]"},
		"nothing but a zero": {[]row{{key: 1, version: 0, applied: true}}, "[]"},
	} {
		got := newest(newestFirst(slices.Clone(tc.rows)))
		slices.Sort(got)
		if fmt.Sprint(got) != tc.want {
			t.Errorf("%s: %v, want %s", name, got, tc.want)
		}
	}
}
