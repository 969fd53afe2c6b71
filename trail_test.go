package gooseplus

import (
	"errors"
	"testing"
	"time"

	"github.com/gooseplus/gooseplus/internal/history"
)

// TestTrailIsLast: a run of somebody else that ended after those of the trail is in the way, even if it began before them.
func TestTrailIsLast(t *testing.T) {
	t.Parallel()
	at := func(second int) time.Time { return time.Date(2026, 1, 1, 0, 0, second, 0, time.UTC) }
	ours := []history.Run{{ID: "b", Started: at(10), Ended: at(20)}, {ID: "a", Started: at(10), Ended: at(20)}}
	tr := trail{runs: []string{"a", "b"}}
	for name, c := range map[string]struct {
		others []history.Run
		refuse bool
	}{
		"nobody":                         {nil, false},
		"before":                         {[]history.Run{{ID: "x", Started: at(1), Ended: at(5)}}, false},
		"ended while ours waited":        {[]history.Run{{ID: "x", Started: at(1), Ended: at(15)}}, false},
		"after":                          {[]history.Run{{ID: "x", Started: at(30), Ended: at(31)}}, true},
		"began before, waited for ours":  {[]history.Run{{ID: "x", Started: at(5), Ended: at(25)}}, true},
		"at the same moment":             {[]history.Run{{ID: "x", Started: at(5), Ended: at(20)}}, true},
		"running, or its end is unknown": {[]history.Run{{ID: "x", Started: at(5)}}, true},
		"one before, and one after":      {[]history.Run{{ID: "x", Started: at(1), Ended: at(5)}, {ID: "y", Started: at(30), Ended: at(31)}}, true},
	} {
		if err := tr.last(append(c.others, ours...)); errors.Is(err, errWorkedOn) != c.refuse {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := tr.last(nil); !errors.Is(err, errWorkedOn) {
		t.Errorf("ours are gone: %v", err)
	}
}
