package gooseplus

import "testing"

// TestInTurn: nobody overtakes a tenant that comes before it in the source, wherever that one is.
func TestInTurn(t *testing.T) {
	jobs := func(indexes ...int) (list []job) {
		for _, i := range indexes {
			list = append(list, job{index: i})
		}
		return list
	}
	for situation, s := range map[string]struct {
		fleet *fleet
		want  bool
	}{
		"nobody waits":                         {&fleet{arrived: jobs(1)}, false},
		"all others have been looked at":       {&fleet{waiting: jobs(3)}, true},
		"an earlier one has only arrived":      {&fleet{waiting: jobs(3), arrived: jobs(2, 4)}, false},
		"those that have arrived are later":    {&fleet{waiting: jobs(3), arrived: jobs(4)}, true},
		"an earlier batch is looked at":        {&fleet{waiting: jobs(3), looking: []int{5, 1}}, false},
		"the batch that is looked at is later": {&fleet{waiting: jobs(3), looking: []int{5}}, true},
	} {
		if got := s.fleet.inTurn(); got != s.want {
			t.Errorf("%s: inTurn = %t", situation, got)
		}
	}
}
