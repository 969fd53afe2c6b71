package plan

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// table is a version table: its rows in the order in which they were written.
type table []row

type row struct{ version, key int64 }

func at(versions ...int64) table {
	t := table{}
	for _, v := range versions {
		t = append(t, row{v, v})
	}
	return t
}

func (t table) Versions() []int64 {
	var list []int64
	for _, r := range t {
		if !slices.Contains(list, r.version) {
			list = append(list, r.version)
		}
	}
	return list
}

func (t table) Keys(version int64) (keys []int64) {
	for _, r := range t {
		if r.version == version {
			keys = append(keys, r.key)
		}
	}
	return keys
}

func (t table) Foreign(version, key int64) bool {
	keys := t.Keys(version)
	return len(keys) > 1 || len(keys) == 1 && key != 0 && keys[0] != key
}

func (t table) without(version int64) table {
	return slices.DeleteFunc(slices.Clone(t), func(r row) bool { return r.version == version })
}

func up(versions ...int64) func(*Ledger) {
	return func(l *Ledger) {
		for _, v := range versions {
			l.Record(Change{Version: v}, v)
		}
	}
}

func down(versions ...int64) func(*Ledger) {
	return func(l *Ledger) {
		for _, v := range versions {
			l.Record(Change{v, true}, 0)
		}
	}
}

func failed(f Failure) func(*Ledger) { return func(l *Ledger) { l.Fail(f, 0) } }

func inherited(dead ...Dead) func(*Ledger) { return func(l *Ledger) { l.Inherit(dead) } }

func TestWayBackOfLedger(t *testing.T) {
	t.Parallel()
	maybe := Failure{Change: Change{Version: 2}, MaybeRecorded: true}
	for situation, tc := range map[string]struct {
		start table
		did   []func(*Ledger)
		rows  table
		want  Return
	}{
		"nothing was done":              {at(1), nil, at(1), Return{}},
		"newest first":                  {at(1), list(up(2, 3)), at(1, 2, 3), Return{Undo: []Undo{{3, false}, {2, false}}}},
		"another runner's stays":        {at(1), list(up(2)), at(1, 2, 9), Return{Undo: []Undo{{2, false}}}},
		"back up, the last first":       {at(1, 2, 3), list(down(3, 2)), at(1), Return{Reapply: []int64{2, 3}}},
		"down and up":                   {at(1, 9), list(down(9), up(2)), at(1, 2), Return{Undo: []Undo{{2, false}}, Reapply: []int64{9}}},
		"it is undone already":          {at(1), list(up(2)), at(1), Return{Undo: []Undo{{2, true}}}},
		"a row is lost in between":      {at(1), list(up(2, 3, 4)), at(1, 2, 4), Return{Undo: []Undo{{4, false}, {3, true}, {2, false}}}},
		"a row has come back":           {at(1, 2), list(down(2)), at(1, 2), Return{Stuck: &Change{2, true}}},
		"another row has come":          {at(1, 2), list(down(2)), table{{1, 1}, {2, 7}}, Return{}},
		"the last may be recorded":      {at(1), list(failed(maybe)), at(1, 2), Return{Undo: []Undo{{2, false}}}},
		"the last was not recorded":     {at(1), list(failed(maybe)), at(1), Return{}},
		"inherited":                     {at(1, 2, 3), list(inherited(Dead{[]int64{1}, []int64{2, 3}}), up(4)), at(1, 2, 3, 4), Return{Undo: []Undo{{4, false}, {3, false}, {2, false}}}},
		"inherited, not planned":        {at(1, 2, 3), list(inherited(Dead{[]int64{1}, []int64{2}})), at(1, 2, 3), Return{Undo: []Undo{{2, false}}}},
		"inherited, down":               {at(1), list(inherited(Dead{[]int64{1, 2, 3}, []int64{3, 2}})), at(1), Return{Reapply: []int64{2, 3}}},
		"inherited, down, out of order": {at(1), list(inherited(Dead{[]int64{1, 3, 2}, []int64{2, 3}})), at(1), Return{Reapply: []int64{3, 2}}},
		"inherited, down, not planned":  {at(1), list(inherited(Dead{[]int64{1, 2, 3}, []int64{3}})), at(1), Return{Reapply: []int64{3}}},
		"inherited, down, up again":     {at(1), list(inherited(Dead{[]int64{1, 2, 3}, []int64{3, 2}}), up(2)), at(1, 2), Return{Reapply: []int64{3}}},
		"inherited, up, down again":     {at(1, 2), list(inherited(Dead{[]int64{1}, []int64{2}}), down(2)), at(1), Return{}},
		"the oldest dead run counts":    {at(1, 2, 3), list(inherited(Dead{[]int64{1, 2}, []int64{3}}, Dead{[]int64{1}, []int64{2}})), at(1, 2, 3), Return{Undo: []Undo{{3, false}, {2, false}}}},
	} {
		t.Run(situation, func(t *testing.T) {
			l := NewLedger(tc.start)
			for _, do := range tc.did {
				do(l)
			}
			if got := l.WayBack(tc.rows); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func list(did ...func(*Ledger)) []func(*Ledger) { return did }

func TestVerify(t *testing.T) {
	t.Parallel()
	for situation, tc := range map[string]struct {
		start table
		did   []func(*Ledger)
		rows  table
		want  Mismatch
	}{
		"as it should be":        {at(1, 9), list(down(9), up(2)), at(1, 2), Mismatch{}},
		"another runner added":   {at(1), list(up(2)), at(1, 2, 5), Mismatch{}},
		"a row is missing":       {at(1), list(up(2, 3)), at(1, 3), Mismatch{Missing: []int64{2}}},
		"a start row is missing": {at(1, 2), list(up(3)), at(1, 3), Mismatch{Missing: []int64{2}}},
		"a row is left":          {at(1, 2), list(down(2)), at(1, 2), Mismatch{Left: []int64{2}}},
		"two rows":               {at(1), list(up(2)), append(at(1, 2), row{2, 7}), Mismatch{Foreign: []int64{2}}},
		"another's row":          {at(1), list(up(2)), table{{1, 1}, {2, 7}}, Mismatch{Foreign: []int64{2}}},
	} {
		t.Run(situation, func(t *testing.T) {
			l := NewLedger(tc.start)
			for _, do := range tc.did {
				do(l)
			}
			got := l.Verify(tc.rows)
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
			if got.None() != reflect.DeepEqual(tc.want, Mismatch{}) {
				t.Errorf("None = %t", got.None())
			}
		})
	}
}

func TestStrangers(t *testing.T) {
	t.Parallel()
	l := NewLedger(at(1, 2))
	up(3, 4)(l)
	down(2)(l)
	equal(t, "alone", l.Strangers(at(1, 3, 4)), nil)
	equal(t, "one added, one recorded twice", l.Strangers(append(at(1, 3, 4, 9), row{3, 8})), []int64{9, 3})
	equal(t, "a row that is back is none", l.Strangers(at(1, 2, 3)), nil)
}

func TestTouched(t *testing.T) {
	t.Parallel()
	for situation, tc := range map[string]struct {
		do   func(*Ledger)
		want bool
	}{
		"nothing":             {func(*Ledger) {}, false},
		"up":                  {up(2), true},
		"down":                {down(1), true},
		"failed half-way":     {failed(Failure{Change: Change{Version: 2}}), true},
		"failed without work": {failed(Failure{Change: Change{Version: 2}, LeftNothing: true}), false},
	} {
		l := NewLedger(at(1))
		tc.do(l)
		if l.Touched() != tc.want {
			t.Errorf("%s: Touched = %t", situation, l.Touched())
		}
	}
}

func TestBalance(t *testing.T) {
	t.Parallel()
	l := NewLedger(at(1, 2))
	down(2)(l)
	up(3, 4)(l)
	want := Balance{Kept: []int64{3}, Undone: []int64{2}, Added: []int64{3, 7}, Removed: []int64{2}}
	if got := l.Balance(at(1, 3, 7)); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// world is a database: what was executed on it, and what its version table says.
type world struct {
	schema []int64 // in the order in which the Ups were executed
	table  table
	key    int64
}

func (w *world) up(v int64) int64 {
	w.key++
	w.schema, w.table = append(w.schema, v), append(w.table, row{v, w.key})
	return w.key
}

func (w *world) down(v int64) {
	w.schema = slices.DeleteFunc(w.schema, func(x int64) bool { return x == v })
	w.table = w.table.without(v)
}

// follow goes back as the ledger says, up to limit steps. An undone migration must be the last that was executed.
func (w *world) follow(t *testing.T, r Return, limit int) {
	t.Helper()
	for _, u := range r.Undo {
		if limit--; limit < 0 {
			return
		}
		if w.schema[len(w.schema)-1] != u.Version {
			t.Errorf("version %d is undone while %v were executed", u.Version, w.schema)
		}
		w.down(u.Version)
	}
	for _, v := range r.Reapply {
		if limit--; limit < 0 {
			return
		}
		w.up(v)
	}
}

// TestLedgerGoesBack lets runs change a database, each up to a random point at which its process dies, half of them on
// their way back; the last one fails, and goes back. The database must be what it was before the first, in the same
// order, whatever rows of their own migrations the runs have removed.
func TestLedgerGoesBack(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20_000) {
		random := rand.New(rand.NewPCG(seed, 1))
		var known []int64
		for v := range int64(8) {
			known = append(known, v+1)
		}
		w := new(world)
		for _, v := range known[:random.IntN(8)] {
			w.up(v)
		}
		before := slices.Clone(w.schema)
		var dead []Dead // newest first
		for runs := 1 + random.IntN(3); runs > 0; runs-- {
			l := NewLedger(slices.Clone(w.table))
			l.Inherit(dead)
			equal(t, "starting point", l.Start(), before)
			target := int64(random.IntN(9))
			down, pending := Above(w.table.Versions(), target), Pending(known, w.table.Versions(), target)
			planned := slices.Concat(down, pending, l.Owed())
			var changes []Change
			for _, v := range down {
				changes = append(changes, Change{v, true})
			}
			for _, v := range pending {
				changes = append(changes, Change{v, false})
			}
			done := random.IntN(len(changes) + 1)
			for i, c := range changes[:done] {
				key := int64(0)
				if c.Down {
					w.down(c.Version)
				} else {
					key = w.up(c.Version)
				}
				if last := i == done-1; last && random.IntN(3) == 0 {
					l.Fail(Failure{Change: c, LeftNothing: true, MaybeRecorded: true}, key)
				} else {
					l.Record(c, key)
				}
			}
			if runs > 1 {
				if random.IntN(2) == 0 {
					w.follow(t, l.WayBack(w.table), random.IntN(4))
				}
				dead = slices.Insert(dead, 0, Dead{l.Start(), planned})
				continue
			}
			if m := l.Verify(w.table); !m.None() {
				t.Errorf("seed %d: %+v before the way back", seed, m)
			}
			if lost := w.lose(random, l); lost {
				if l.Verify(w.table).None() {
					t.Errorf("seed %d: nobody misses a row", seed)
				}
			}
			back := l.WayBack(w.table)
			w.follow(t, back, 100)
			if back.Stuck != nil {
				t.Errorf("seed %d: stuck at %+v", seed, *back.Stuck)
			}
			if !slices.Equal(w.schema, before) {
				t.Fatalf("seed %d: the way back %+v of %+v led to %v instead of %v", seed, back, l, w.schema, before)
			}
			if b := l.Balance(w.table); len(b.Kept)+len(b.Undone)+len(b.Added)+len(b.Removed) > 0 {
				t.Errorf("seed %d: after the way back: %+v", seed, b)
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// lose removes rows of migrations that the run itself applied.
func (w *world) lose(random *rand.Rand, l *Ledger) (lost bool) {
	for _, e := range l.recorded {
		sure := l.failed == nil || l.failed.Version != e.version
		if e.own && sure && !slices.Contains(l.start, e.version) && random.IntN(4) == 0 {
			w.table, lost = w.table.without(e.version), true
		}
	}
	return lost
}
