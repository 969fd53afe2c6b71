// Package conformance holds tests only: the situations in which a run must keep its contract, played
// through on every database and driver that is supported. Where databases differ, the difference is
// a capability that the target declares, and the tests assert it both ways.
//
// The tests run at the same time, also beside those of other packages on the same servers. Each calls
// t.Parallel, has a database of its own (onEach, target.place), and looks at nothing else: it names its
// database when it asks for sessions or locks. Variables that a test writes belong inside the function
// that it gives to onEach, which runs it for all targets at once, after the test's own function has returned.
package conformance
