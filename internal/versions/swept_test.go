package versions

import (
	"fmt"
	"slices"
	"testing"
)

// TestSweptVersions: the newest row of a version counts, in whatever order the server gives them.
func TestSweptVersions(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		rows []sweptRow
		want string
	}{
		"as they are":        {[]sweptRow{{1, 0, true}, {2, 5, true}, {3, 7, true}}, "[5 7]"},
		"taken back":         {[]sweptRow{{2, 5, true}, {3, 5, false}, {4, 7, true}}, "[7]"},
		"and applied again":  {[]sweptRow{{4, 5, true}, {2, 5, true}, {3, 5, false}}, "[5]"},
		"taken back, mixed":  {[]sweptRow{{3, 5, false}, {2, 5, true}}, "[]"},
		"nothing but a zero": {[]sweptRow{{1, 0, true}}, "[]"},
	} {
		got := sweptVersions(slices.Clone(tc.rows))
		slices.Sort(got)
		if fmt.Sprint(got) != tc.want {
			t.Errorf("%s: %v, want %s", name, got, tc.want)
		}
	}
}
