// Package conformance holds tests only: the situations in which a run must keep its contract, played
// through on every database and driver that is supported. Where databases differ, the difference is
// a capability that the target declares, and the tests assert it both ways.
package conformance
