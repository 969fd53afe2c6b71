package rules

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestRetries(t *testing.T) {
	t.Parallel()
	v := Verdict{State: Pending}
	for i, want := range []Verdict{
		{State: Failed, Attempts: 1, After: 5 * time.Second},
		{State: Failed, Attempts: 2, After: 30 * time.Second},
		{State: Failed, Attempts: 3, After: 3 * time.Minute},
		{State: Stale, Attempts: 4},
	} {
		if v = Judge(Broke, v.Attempts, 0, Done); v != want {
			t.Errorf("failure %d: %+v, want %+v", i+1, v, want)
		}
	}
}

func TestPatience(t *testing.T) {
	t.Parallel()
	if v := Judge(Interrupted, 0, patience-1, Done); v.State != Pending || v.Attempts != 0 {
		t.Errorf("%+v", v)
	}
	if v := Judge(Interrupted, 0, patience, Done); v.State != Failed || v.Attempts != 1 {
		t.Errorf("%+v", v)
	}
	if v := Judge(Occupied, 0, 100*patience, Done); v.State != Pending {
		t.Errorf("a tenant that is locked for long: %+v", v)
	}
}

// Outcomes in any order: what costs no attempt never makes a tenant stale, and a tenant ends after four failures at most.
func TestVerdictsInAnyOrder(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		attempts, broke := 0, 0
		for range 50 {
			o := Outcome(r.IntN(int(NotBegun) + 1))
			v := Judge(o, attempts, 0, Done)
			switch o {
			case Succeeded:
				if v.State != Done || v.Failure() {
					t.Fatalf("success: %+v", v)
				}
			case Broke:
				broke++
				if stale := broke > len(delays); stale != (v.State == Stale) || !v.Failure() {
					t.Fatalf("failure %d: %+v", broke, v)
				}
			case Hopeless, Absent:
				if v.After != 0 || !v.Failure() {
					t.Fatalf("%d: %+v", o, v)
				}
			default:
				if v.State != Pending || v.Attempts != attempts || v.Failure() {
					t.Fatalf("%d: %+v", o, v)
				}
			}
			if attempts = v.Attempts; v.State != Pending && v.State != Failed {
				break
			}
		}
	}
}

func TestBudget(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		budget            Budget
		failed, processed int
		want              bool
	}{
		{Budget{}, 1000, 1000, false},
		{Budget{Failures: 3}, 2, 2, false},
		{Budget{Failures: 3}, 3, 1000, true},
		{Budget{Rate: 0.05}, 19, 19, false},
		{Budget{Rate: 0.05}, 1, 20, false},
		{Budget{Rate: 0.05}, 2, 20, true},
		{Budget{Failures: 100, Rate: 0.05}, 50, 1000, false},
	} {
		if got := c.budget.Exceeded(c.failed, c.processed) != ""; got != c.want {
			t.Errorf("%+v with %d of %d failed: %v", c.budget, c.failed, c.processed, got)
		}
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	for range 10_000 {
		waves := make([]Wave, 1+r.IntN(6))
		for i := range waves {
			waves[i] = Wave{Canaries: i == 0 && r.IntN(2) == 0, Share: r.Float64()}
		}
		canaries, total := r.IntN(10), r.IntN(1000)
		last := 0
		bounds := Bounds(waves, canaries, total)
		for i, b := range bounds {
			if b < last || b > total {
				t.Fatalf("%+v, %d and %d tenants: %v", waves, canaries, total, bounds)
			}
			if want := waves[i].Share * float64(canaries+total); i < len(waves)-1 && !waves[i].Canaries && float64(b+canaries) < min(want, float64(canaries+total)) {
				t.Fatalf("wave %d of %+v has %d of %d", i, waves, b, total)
			}
			last = b
		}
		if last != total {
			t.Fatalf("%d of %d tenants have a wave", last, total)
		}
	}
}

// A rollout is walked through with random results: no wave opens before the ones before it have ended, soaked and been
// approved, and after a failed canary none does.
func TestWavesInOrder(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	for range 2_000 {
		waves := make([]Wave, 1+r.IntN(5))
		for i := range waves {
			waves[i] = Wave{Canaries: i == 0, Share: 1, Soak: time.Duration(r.IntN(3)) * time.Second, Approve: r.IntN(3) == 0}
		}
		s := Standing{Unfinished: r.IntN(5)}
		for step := 0; ; step++ {
			if step > 1000 {
				t.Fatalf("%+v never ends: %+v", waves, s)
			}
			d := Decide(waves, s)
			if s.Unfinished > 0 && d != (Decision{}) {
				t.Fatalf("%+v at %+v", d, s)
			}
			if s.Wave == 0 && s.Failed > 0 && (d.Open || d.End) {
				t.Fatalf("a canary failed: %+v", d)
			}
			if d.Open && (!s.Finished || s.Since < waves[s.Wave+1].Soak || waves[s.Wave+1].Approve != (d.Pause != "")) {
				t.Fatalf("%+v at %+v of %+v", d, s, waves)
			}
			switch {
			case d.End && s.Wave != len(waves)-1:
				t.Fatalf("ended in wave %d of %d", s.Wave, len(waves))
			case d.End, d.Stop != "":
			case d.Finish:
				s.Finished = true
			case d.Open:
				s = Standing{Wave: s.Wave + 1, Unfinished: r.IntN(5)}
			case s.Unfinished > 0:
				s.Unfinished--
				s.Failed += r.IntN(2) * r.IntN(2) * r.IntN(2)
			default:
				s.Since += time.Second / 2
			}
			if d.End || d.Stop != "" {
				break
			}
		}
	}
}
