package rules

import (
	"fmt"
	"math"
	"time"
)

// A Wave is a part of a rollout that begins when the waves before it have ended.
type Wave struct {
	Canaries bool    // its tenants are named, and none of them may fail
	Share    float64 // of all tenants, with those of the waves before; not used with Canaries
	Soak     time.Duration
	Approve  bool // a person lets it begin
}

// Bounds says how the tenants that aren't canaries are divided: wave i gets those from bound i-1 up to bound i. The last
// bound is total, whatever the shares are.
func Bounds(waves []Wave, canaries, total int) []int {
	bounds := make([]int, len(waves))
	last := 0
	for i, w := range waves {
		if !w.Canaries {
			want := int(math.Ceil(w.Share*float64(canaries+total))) - canaries
			last = max(last, min(want, total))
		}
		bounds[i] = last
	}
	if n := len(bounds); n > 0 {
		bounds[n-1] = total
	}
	return bounds
}

// Standing is where a rollout is.
type Standing struct {
	Wave       int // the latest one that is open
	Unfinished int // tenants of the open waves that are neither at their end nor held
	Frozen     int // tenants of the open waves that wait for their frozen server
	Failed     int // tenants of the latest open wave that failed for good
	Finished   bool
	Since      time.Duration // it finished
}

// A Decision is the next thing to do in a rollout.
type Decision struct {
	Finish bool   // note that the wave has ended; its successor's soak time begins
	Open   bool   // the next wave
	End    bool   // all waves have ended
	Pause  string // why a person has to let it go on
	Stop   string // why it must not go on
}

// Decide says what is next.
func Decide(waves []Wave, s Standing) Decision {
	if s.Unfinished > 0 || s.Wave >= len(waves) {
		return Decision{}
	}
	if waves[s.Wave].Canaries && s.Failed > 0 {
		return Decision{Stop: fmt.Sprintf("%d canaries of wave %d failed", s.Failed, s.Wave+1)}
	}
	next := s.Wave + 1
	switch {
	case next == len(waves):
		return Decision{End: s.Frozen == 0}
	case !s.Finished:
		return Decision{Finish: true}
	case s.Since < waves[next].Soak:
		return Decision{}
	case waves[next].Approve:
		return Decision{Open: true, Pause: fmt.Sprintf("wave %d of %d waits for approval", next+1, len(waves))}
	}
	return Decision{Open: true}
}
