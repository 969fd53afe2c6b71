package plan

import "testing"

func TestNext(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		start, planned, applied []int64
		want                    int64
		first                   bool
	}{
		"nothing is done":      {[]int64{1}, []int64{2, 3}, []int64{1}, 2, true},
		"the first is applied": {[]int64{1}, []int64{2, 3}, []int64{1, 2}, 3, false},
		"all are applied":      {[]int64{1}, []int64{2, 3}, []int64{1, 2, 3}, 0, false},
		"one is undone":        {[]int64{1, 2, 3}, []int64{3, 2}, []int64{1, 2}, 2, false},
		"down, then up":        {[]int64{1, 3}, []int64{3, 2}, []int64{1}, 2, false},
		"nothing is planned":   {[]int64{1}, nil, []int64{1}, 0, false},
	} {
		if got, first := Next(tc.start, tc.planned, tc.applied); got != tc.want || first != tc.first {
			t.Errorf("%s: %d, %t", name, got, first)
		}
	}
}
