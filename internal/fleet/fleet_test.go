package fleet

import (
	"context"
	"fmt"
	"slices"
	"testing"
)

// numbers are a source of tenants without an end of its own in the way.
func numbers(n int) func(func(int, error) bool) {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
	}
}

func skipped(i int) string { return fmt.Sprint(i, " skipped") }

// TestNoneIsBegunAfterTheContext: not even before the scheduler has heard of the end.
func TestNoneIsBegunAfterTheContext(t *testing.T) {
	t.Parallel()
	for range 300 {
		ctx, cancel := context.WithCancel(context.Background())
		begun := 0
		f := New(Limits{Workers: 1}, Work[int, string]{
			Skipped: skipped,
			Shares:  func(int) bool { return true },
			Do: func(context.Context, int, bool) (string, Outcome) {
				begun++
				cancel()
				return "done", Done
			},
			Progress: func(Progress) {},
		})
		if err := f.Run(ctx, numbers(3)); err != nil || begun != 1 {
			t.Fatalf("%d were begun, want 1; %v", begun, err)
		}
	}
}

// TestNoneIsLookedAtAfterAStop: the tenants that have arrived by then are not looked at either.
func TestNoneIsLookedAtAfterAStop(t *testing.T) {
	t.Parallel()
	failed, looks := make(chan struct{}), 0
	f := New(Limits{Workers: 1, Lookers: 1, Batch: 1, MaxFailures: 1}, Work[int, string]{
		Skipped: skipped,
		Shares:  func(int) bool { return true },
		Look: func(_ context.Context, tenants []int) []*string {
			if looks++; looks > 1 {
				<-failed
			}
			return make([]*string, len(tenants))
		},
		Do: func(context.Context, int, bool) (string, Outcome) { return "failed", Failed },
		Progress: func(p Progress) {
			if p.Failed == 1 && p.Done == 1 {
				select {
				case <-failed:
				default:
					close(failed)
				}
			}
		},
	})
	if err := f.Run(t.Context(), numbers(100)); err != nil || looks > 2 {
		t.Errorf("%d looks, %v", looks, err)
	}
}

// TestResultsCanBeLeft: whoever ranges over the results may have enough.
func TestResultsCanBeLeft(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	f := New(Limits{Workers: 2}, Work[int, string]{
		Skipped: skipped,
		Shares:  func(int) bool { return false },
		Do: func(_ context.Context, i int, _ bool) (string, Outcome) {
			if i == 2 {
				<-release
			}
			return fmt.Sprint(i, " done"), Done
		},
		Progress: func(Progress) {},
	})
	ended := make(chan error, 1)
	go func() { ended <- f.Run(context.Background(), numbers(4)) }()
	for r := range f.Results() {
		if r == "1 done" { // while a later one is worked on
			break
		}
	}
	close(release)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	want := []string{"0 done", "1 done", "2 done", "3 done"}
	if got := slices.Collect(f.Results()); !slices.Equal(got, want) {
		t.Errorf("results %q, want %q", got, want)
	}
}

// TestMaxFailureRateIsExceeded: a share of failures that is just what is allowed doesn't stop the work, and one more does.
func TestMaxFailureRateIsExceeded(t *testing.T) {
	t.Parallel()
	for failures, want := range map[int]int{10: 40, 11: rateSample} {
		done := 0
		f := New(Limits{Workers: 1, MaxFailureRate: 0.5}, Work[int, string]{
			Skipped: skipped,
			Shares:  func(int) bool { return false },
			Do: func(_ context.Context, i int, _ bool) (string, Outcome) {
				done++
				if i < failures {
					return "failed", Failed
				}
				return "done", Done
			},
			Progress: func(Progress) {},
		})
		if err := f.Run(context.Background(), numbers(40)); err != nil || done != want {
			t.Errorf("%d failures: %d were worked on, want %d; %v", failures, done, want, err)
		}
	}
}

// TestGaveUp: a failed canary and a budget that is used up are a reason, and the end of the context is none, whatever fails
// because of it.
func TestGaveUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limits       Limits
		cancel, want bool
	}{
		"no limit":                      {Limits{Workers: 1}, false, false},
		"canary":                        {Limits{Workers: 1, Canaries: 1}, false, true},
		"budget":                        {Limits{Workers: 1, MaxFailures: 2}, false, true},
		"budget that is not used up":    {Limits{Workers: 1, MaxFailures: 4}, false, false},
		"canary, and the context ended": {Limits{Workers: 1, Canaries: 1}, true, false},
		"budget, and the context ended": {Limits{Workers: 1, MaxFailures: 1}, true, false},
	} {
		ctx, cancel := context.WithCancel(context.Background())
		f := New(c.limits, Work[int, string]{
			Skipped: skipped,
			Shares:  func(int) bool { return false },
			Do: func(context.Context, int, bool) (string, Outcome) {
				if c.cancel {
					cancel()
				}
				return "failed", Failed
			},
			Progress: func(Progress) {},
		})
		if err := f.Run(ctx, numbers(3)); err != nil || f.GaveUp() != c.want {
			t.Errorf("%s: gave up %t, want %t; %v", name, f.GaveUp(), c.want, err)
		}
		cancel()
	}
}
