package plan

import "slices"

// Rows are the applied versions as the version table has them at one moment.
type Rows interface {
	// Versions are in the order in which they were applied.
	Versions() []int64
	// Keys are the keys of the rows of a version. Some databases have none.
	Keys(version int64) []int64
	// Foreign says whether a version has another row than the one with the given key. The key 0 is unknown.
	Foreign(version, key int64) bool
}

// Ledger is the account of one run: its starting point, and the versions that it, or a dead run that it inherited, recorded
// and took back. The way back doesn't change the ledger: the rows tell how far it got.
type Ledger struct {
	found    Rows
	start    []int64
	recorded []entry // oldest first
	undone   []int64 // in the order in which they were undone
	failed   *Failure
	doubtful bool
}

// entry is a recorded version.
type entry struct {
	version, key int64
	own          bool // not inherited: the run itself has executed it
}

// Failure is the step that ended a run.
type Failure struct {
	Change
	Besides []int64 // the versions that the step would have recorded besides its own, lowest first
	// LeftNothing is true when the step is certain to have changed nothing except the version table.
	LeftNothing bool
	// MaybeRecorded is true when the answer to the change of the version table, or to the COMMIT after it, was lost.
	MaybeRecorded bool
}

// Change is a version in one direction.
type Change struct {
	Version int64
	Down    bool
}

// Dead is a run that was cut off.
type Dead struct {
	Start   []int64 // its starting point
	Planned []int64 // the versions that it was about to change
}

// Since are the applied versions that were not there when the oldest of the dead runs began. They come newest first.
func Since(dead []Dead, applied []int64) (list []int64) {
	for _, d := range dead {
		if len(d.Planned) > 0 {
			_, list = Diff(d.Start, applied)
		}
	}
	return list
}

// NewLedger is the ledger of a run whose starting point are these rows.
func NewLedger(found Rows) *Ledger { return &Ledger{found: found, start: found.Versions()} }

// Inherit takes over the starting points of dead runs, newest first, and the steps that they had planned and taken.
func (l *Ledger) Inherit(dead []Dead) {
	now := set(l.found.Versions())
	for _, d := range dead { // the start of the oldest remains
		if len(d.Planned) == 0 { // it executed no migration, as Force does: its starting point obliges nobody
			continue
		}
		planned, was := set(d.Planned), set(d.Start)
		for _, v := range l.found.Versions() {
			if planned[v] && !was[v] && !slices.ContainsFunc(l.recorded, func(e entry) bool { return e.version == v }) {
				l.recorded = append(l.recorded, entry{version: v})
			}
		}
		for _, v := range slices.Backward(d.Start) { // as they were undone: newest first
			if planned[v] && !now[v] && !slices.Contains(l.undone, v) {
				l.undone = append(l.undone, v)
			}
		}
		l.start = d.Start
	}
}

// Record notes a step that the run has executed. key is the key of the row that a step up has inserted, 0 if it is unknown.
// The step settles a debt for the opposite step, which a dead run may have executed.
func (l *Ledger) Record(c Change, key int64) {
	if c.Down {
		l.undone = append(l.undone, c.Version)
		l.recorded = slices.DeleteFunc(l.recorded, func(e entry) bool { return e.version == c.Version })
		return
	}
	l.recorded = append(l.recorded, entry{c.Version, key, true})
	l.undone = slices.DeleteFunc(l.undone, func(v int64) bool { return v == c.Version })
}

// Fail notes the step that ended the run. If it may be recorded, the run has to take it back.
func (l *Ledger) Fail(f Failure, key int64) {
	l.failed = &f
	if f.MaybeRecorded {
		l.doubtful = true
		for _, v := range f.Besides {
			l.Record(Change{Version: v}, 0)
		}
		l.Record(f.Change, key)
	}
}

// Doubt notes that the answer to a change of the version table was lost, so that the change may still be under way.
func (l *Ledger) Doubt() { l.doubtful = true }

// Doubtful says whether an answer to a change of the version table was lost.
func (l *Ledger) Doubtful() bool { return l.doubtful }

// Failed is the step that ended the run, nil if none did.
func (l *Ledger) Failed() *Failure { return l.failed }

// HalfDone says whether the run ended in a step that may have left traces.
func (l *Ledger) HalfDone() bool { return l.failed != nil && !l.failed.LeftNothing }

// Touched says whether the run has changed anything that a way back could undo.
func (l *Ledger) Touched() bool { return len(l.recorded)+len(l.undone) > 0 || l.HalfDone() }

// Start is the starting point.
func (l *Ledger) Start() []int64 { return l.start }

// Recorded are the versions that the run has to undo if it fails, oldest first.
func (l *Ledger) Recorded() (list []int64) {
	for _, e := range l.recorded {
		list = append(list, e.version)
	}
	return list
}

// Undone are the versions that the run has to apply again if it fails, in the order in which they were undone.
func (l *Ledger) Undone() []int64 { return slices.Clone(l.undone) }

// Owed are the versions that the run has to undo or to apply again if it fails.
func (l *Ledger) Owed() []int64 { return append(l.Recorded(), l.undone...) }

// Added are the recorded versions that were not there at the start.
func (l *Ledger) Added() []int64 {
	added, _ := Diff(l.Recorded(), l.start)
	return added
}

// Expected are the versions that should be applied now, unless another runner changed some.
func (l *Ledger) Expected() []int64 {
	expected, _ := Diff(append(slices.Clone(l.start), l.Recorded()...), l.undone)
	return expected
}

// Mismatch is a difference between the versions that should be applied and the applied ones.
type Mismatch struct {
	Foreign []int64 // recorded by another runner too
	Missing []int64 // should be applied
	Left    []int64 // should be undone
}

// None says whether there is no difference.
func (m Mismatch) None() bool { return len(m.Foreign)+len(m.Missing)+len(m.Left) == 0 }

// Verify compares rows with the rows that a run without an error leaves. Versions that other runners added are no mismatch.
func (l *Ledger) Verify(rows Rows) (m Mismatch) {
	m.Foreign = l.foreign(rows)
	m.Missing, _ = Diff(l.Expected(), rows.Versions())
	applied := set(rows.Versions())
	m.Left = ascending(pick(l.undone, func(v int64) bool { return applied[v] }))
	return m
}

// Strangers are the versions that another runner has applied since the start, also those that this run has recorded too. The
// other runner may have built on migrations of this run.
func (l *Ledger) Strangers(rows Rows) []int64 {
	_, extra := Diff(l.start, rows.Versions())
	added, _ := Diff(extra, l.Recorded())
	return append(added, l.foreign(rows)...)
}

// foreign are the recorded versions with a row of another runner.
func (l *Ledger) foreign(rows Rows) (list []int64) {
	for _, e := range l.recorded {
		if rows.Foreign(e.version, e.key) {
			list = append(list, e.version)
		}
	}
	return list
}

// Lost are the steps that the run has executed while the rows say the opposite, the last one first. A migration has deleted
// rows of the version table, or left open the transaction in which goose wrote one.
func (l *Ledger) Lost(rows Rows) (list []Change) {
	truthful := func(v int64) bool {
		return l.failed != nil && l.failed.MaybeRecorded && (l.failed.Version == v || slices.Contains(l.failed.Besides, v))
	}
	applied := set(rows.Versions())
	for _, e := range slices.Backward(l.recorded) {
		if e.own && !applied[e.version] && !truthful(e.version) {
			list = append(list, Change{Version: e.version})
		}
	}
	for _, v := range slices.Backward(l.undone) {
		if applied[v] && slices.Equal(rows.Keys(v), l.found.Keys(v)) && !truthful(v) {
			list = append(list, Change{Version: v, Down: true})
		}
	}
	return list
}

// Return has the steps back to the starting point, in order.
type Return struct {
	Undo []Undo
	// Stuck is a step for which the rows say the opposite, so that nobody knows how to go on after Undo. It is nil if there
	// is none.
	Stuck   *Change
	Reapply []int64
}

// Undo is a version to undo.
type Undo struct {
	Version int64
	Lost    bool // its row is gone
}

// WayBack returns the steps from rows to the starting point: first it undoes the versions that the run recorded, newest
// first; then it reapplies the versions that the run took back before any step up, the last one first. It never undoes a
// version that was applied before the run, nor one that another runner applied.
func (l *Ledger) WayBack(rows Rows) (r Return) {
	was, lost := set(l.start), make(map[int64]bool)
	order := wayBack(l.start, rows.Versions(), l.Recorded())
	for _, c := range l.Lost(rows) {
		if !c.Down && !was[c.Version] {
			order, lost[c.Version] = append(order, c.Version), true
		} else if r.Stuck == nil {
			r.Stuck = &c
		}
	}
	// Only the ledger knows the place of lost versions among the others. Inherited versions came first.
	when := func(v int64) int {
		return slices.IndexFunc(l.recorded, func(e entry) bool { return e.version == v && e.own })
	}
	slices.SortStableFunc(order, func(a, b int64) int { return when(b) - when(a) })
	for _, v := range order {
		r.Undo = append(r.Undo, Undo{v, lost[v]})
	}
	r.Reapply = reapply(l.start, rows.Versions(), l.undone)
	return r
}

// Balance is how far rows are from the starting point.
type Balance struct {
	Kept, Undone   []int64 // by this run
	Added, Removed []int64 // by any runner
}

// Balance compares rows with the starting point.
func (l *Ledger) Balance(rows Rows) (b Balance) {
	b.Removed, b.Added = Diff(l.start, rows.Versions())
	b.Kept = wayBack(l.start, rows.Versions(), l.Recorded())
	b.Undone = reapply(l.start, rows.Versions(), l.undone)
	return b
}
