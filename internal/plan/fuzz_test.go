package plan

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// FuzzPlan runs a plan half-way beside other runners and goes back.
//
// Each byte of known and start is a version, so that duplicates and every order occur; foreign are
// the versions that others apply meanwhile and gone those that they take back; done is how many
// steps the run gets to; seed decides how all that is interleaved.
func FuzzPlan(f *testing.F) {
	f.Add([]byte{1, 2, 3}, []byte{}, []byte{}, []byte{}, uint8(3), int64(255), uint64(1))
	f.Add([]byte{1, 2, 3, 4}, []byte{4, 1}, []byte{9, 2}, []byte{1}, uint8(2), int64(255), uint64(2))
	f.Add([]byte{3, 3, 1}, []byte{2, 2}, []byte{2, 3}, []byte{3}, uint8(9), int64(3), uint64(3))
	f.Fuzz(func(t *testing.T, known, start, foreign, gone []byte, done uint8, target int64, seed uint64) {
		random := rand.New(rand.NewPCG(seed, seed))
		before := unique(versions(start))
		pending := Pending(versions(known), before, target)
		checkPending(t, pending, versions(known), before, target)

		mine := slices.Clone(pending[:min(int(done), len(pending))])
		others := slices.DeleteFunc(unique(versions(foreign)), func(v int64) bool {
			return slices.Contains(before, v) || slices.Contains(mine, v)
		})
		after := slices.Concat(before, interleave(random, mine, others))
		for _, v := range versions(gone) {
			after = dropped(after, v)
		}

		back := wayBack(before, after, mine)
		checkWayBack(t, back, before, after, mine)
		reached := slices.Clone(after)
		for _, v := range back {
			reached = dropped(reached, v)
		}
		want := slices.DeleteFunc(slices.Concat(before, others), func(v int64) bool {
			return slices.Contains(versions(gone), v)
		})
		if missing, extra := Diff(want, reached); len(missing)+len(extra) > 0 {
			t.Errorf("the way back reached %v instead of %v", reached, want)
		}
		if len(others)+len(gone) == 0 && !slices.Equal(reached, before) {
			t.Errorf("alone, the way back reached %v instead of %v", reached, before)
		}
		if again := wayBack(before, reached, mine); len(again) > 0 {
			t.Errorf("there is more to undo after the way back: %v", again)
		}
		checkDiff(t, after, before)
	})
}

func checkPending(t *testing.T, pending, known, applied []int64, target int64) {
	for i, v := range pending {
		if v > target || slices.Contains(applied, v) || !slices.Contains(known, v) {
			t.Errorf("version %d is pending", v)
		}
		if i > 0 && pending[i-1] >= v {
			t.Errorf("pending is out of order or double: %v", pending)
		}
	}
	for _, v := range known {
		if v <= target && !slices.Contains(applied, v) && !slices.Contains(pending, v) {
			t.Errorf("version %d is not pending", v)
		}
	}
	for _, v := range Late(pending, applied) {
		if !slices.Contains(pending, v) || v >= Newest(applied) {
			t.Errorf("version %d is late", v)
		}
	}
}

func checkWayBack(t *testing.T, back, before, after, mine []int64) {
	for i, v := range back {
		switch {
		case slices.Contains(before, v):
			t.Errorf("version %d was there before the run", v)
		case !slices.Contains(mine, v):
			t.Errorf("version %d is another runner's", v)
		case i > 0 && slices.Index(after, back[i-1]) <= slices.Index(after, v):
			t.Errorf("%v is not the reverse of how %v was applied", back, after)
		}
	}
}

func checkDiff(t *testing.T, a, b []int64) {
	missing, extra := Diff(a, b)
	extra2, missing2 := Diff(b, a)
	if !slices.Equal(missing, missing2) || !slices.Equal(extra, extra2) {
		t.Errorf("Diff(%v, %v) = %v, %v, the other way %v, %v", a, b, missing, extra, missing2, extra2)
	}
}

func versions(b []byte) []int64 {
	var list []int64
	for _, v := range b {
		list = append(list, int64(v)+1)
	}
	return list
}

func unique(list []int64) []int64 {
	var out []int64
	for _, v := range list {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// interleave mixes a and b and keeps the order within each.
func interleave(random *rand.Rand, a, b []int64) []int64 {
	var out []int64
	for len(a)+len(b) > 0 {
		from := &a
		if len(a) == 0 || len(b) > 0 && random.IntN(2) == 0 {
			from = &b
		}
		out = append(out, (*from)[0])
		*from = (*from)[1:]
	}
	return out
}

func dropped(list []int64, drop int64) []int64 {
	return slices.DeleteFunc(slices.Clone(list), func(v int64) bool { return v == drop })
}

// FuzzGoto goes down to a target and up from there, stops half-way, and returns.
func FuzzGoto(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4}, []byte{4, 1, 3}, uint8(3), int64(2))
	f.Add([]byte{1, 2, 3}, []byte{9, 3, 1}, uint8(1), int64(0))
	f.Fuzz(func(t *testing.T, known, start []byte, done uint8, target int64) {
		before := unique(versions(start))
		down, up := Above(before, target), Pending(versions(known), before, target)
		slices.Reverse(down)
		if order := slices.DeleteFunc(slices.Clone(before), func(v int64) bool { return v <= target }); !slices.Equal(down, order) {
			t.Errorf("%v is not the order in which %v was applied", down, before)
		}
		slices.Reverse(down)

		undone := down[:min(int(done), len(down))]
		mine := up[:min(max(0, int(done)-len(down)), len(up))]
		after := slices.Concat(without(before, undone), mine)
		for _, v := range after {
			if len(undone) == len(down) && v > target {
				t.Errorf("version %d is above %d", v, target)
			}
		}

		reached := slices.Clone(after)
		for _, v := range wayBack(before, after, mine) {
			reached = dropped(reached, v)
		}
		reached = append(reached, reapply(before, after, undone)...)
		if missing, extra := Diff(before, reached); len(missing)+len(extra) > 0 || len(reached) != len(before) {
			t.Errorf("the way back reached %v instead of %v", reached, before)
		}
		if again := reapply(before, reached, undone); len(again) > 0 {
			t.Errorf("there is more to apply after the way back: %v", again)
		}
	})
}
