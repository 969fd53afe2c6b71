package gooseplus

import (
	"fmt"
)

// A Policy says what a run does about a questionable finding.
type Policy int

const (
	Ignore Policy = iota // the run doesn't look for it
	Warn                 // the run sends a [Warning] to the observers, and goes on
	Refuse               // the run returns an error, and touches nothing
)

// String returns the name of the constant.
func (p Policy) String() string {
	switch p {
	case Ignore:
		return "Ignore"
	case Warn:
		return "Warn"
	case Refuse:
		return "Refuse"
	}
	return fmt.Sprintf("Policy(%d)", int(p))
}
