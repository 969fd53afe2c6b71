package migset

import (
	"fmt"
	"slices"
	"testing"
	"testing/fstest"
)

func TestGapsInTheNumbering(t *testing.T) {
	t.Parallel()
	for _, s := range []struct {
		situation string
		versions  []int64
		want      string
	}{
		{"none", []int64{1, 2, 3}, ""},
		{"one", []int64{1, 2, 4}, "there is no version 3"},
		{"between two", []int64{1, 3}, "there is no version 2"},
		{"several", []int64{1, 2, 4, 5, 6, 10}, "there is no version 3, 7 to 9"},
		{"a large one", []int64{1, 2, 3, 4, 100}, "there is no version 5 to 99"},
		{"before the first, which may be a summary", []int64{7, 8}, ""},
		{"numbers in steps", []int64{10, 20, 30, 40}, ""},
		{"dates", []int64{20240101, 20240103}, ""},
		{"times", []int64{20240101120000, 20240101120002, 20240101120003}, ""},
		{"seconds since 1970", []int64{1700000000, 1700000002, 1700000003}, ""},
		{"numbers before times", []int64{1, 2, 20240101120000}, ""},
		{"a single one", []int64{5}, ""},
	} {
		t.Run(s.situation, func(t *testing.T) {
			fsys := fstest.MapFS{}
			for _, v := range s.versions {
				fsys[fmt.Sprintf("sql/base/%d_t.sql", v)] = &fstest.MapFile{}
			}
			var want []string
			if s.want != "" {
				want = []string{"the numbering has a gap: " + s.want}
			}
			if got := resolved(t, Config{FS: fsys})[0].Warnings; !slices.Equal(got, want) {
				t.Errorf("warnings %q, want %q", got, want)
			}
		})
	}
}
