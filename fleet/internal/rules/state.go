// Package rules decides, without a database: what becomes of a tenant after an attempt, which wave may be worked on, and when
// a rollout has failed too often.
package rules

import "time"

// A State is where a tenant is in its rollout.
type State string

// The states of a tenant.
const (
	New     State = "new"     // in no rollout yet
	Pending State = "pending" // its turn will come
	Claimed State = "claimed" // a lane has it
	Done    State = "done"
	Failed  State = "failed"  // it is tried again
	Stale   State = "stale"   // it is left out until somebody resets it
	Missing State = "missing" // its schema or database is not there
	Undone  State = "undone"
	Held    State = "held" // pinned, or its server is frozen; never stored
)

// Shown is the state as people see it: what waits and can't be claimed is held.
func (s State) Shown(held bool) State {
	if held && (s == Pending || s == Failed) {
		return Held
	}
	return s
}

// An Outcome is what an attempt came to.
type Outcome int

// The outcomes of an attempt.
const (
	Succeeded   Outcome = iota
	Broke               // it failed, and may succeed later
	Hopeless            // it failed, and a person has to look
	Absent              // there is no such schema or database
	Occupied            // another runner has the tenant's lock
	Interrupted         // the server went away, or the worker was told to stop
	NotBegun            // the ledger did not let it begin
)

// delays are the times before a failed tenant is tried again. One more failure makes it stale.
var delays = [...]time.Duration{5 * time.Second, 30 * time.Second, 3 * time.Minute}

// patience is how many attempts may cost nothing before an interruption counts as a failure: the tenant's own migration may be
// what brings its server down.
const patience = 20

// again is the time before a tenant is tried again that could not be worked on.
const again = 5 * time.Second

// A Verdict is what becomes of a tenant.
type Verdict struct {
	State    State
	Attempts int           // failed ones
	Waited   bool          // it was an attempt that costs nothing
	After    time.Duration // until the next attempt
}

// Failure says whether the verdict counts against the budget.
func (v Verdict) Failure() bool { return v.State == Failed || v.State == Stale || v.State == Missing }

// Judge says what becomes of a tenant after an attempt, given how many failed before and how many cost nothing. success is the
// state of a tenant that is where it should be.
func Judge(o Outcome, attempts, waits int, success State) Verdict {
	if o == Interrupted && waits >= patience {
		o = Broke
	}
	switch o {
	case Succeeded:
		return Verdict{State: success, Attempts: attempts}
	case Hopeless:
		return Verdict{State: Stale, Attempts: attempts + 1}
	case Absent:
		return Verdict{State: Missing, Attempts: attempts + 1}
	case Occupied, Interrupted:
		return Verdict{State: Pending, Attempts: attempts, Waited: true, After: again}
	case NotBegun:
		return Verdict{State: Pending, Attempts: attempts}
	}
	if attempts >= len(delays) {
		return Verdict{State: Stale, Attempts: attempts + 1}
	}
	return Verdict{State: Failed, Attempts: attempts + 1, After: delays[attempts]}
}
