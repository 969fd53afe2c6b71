package migset

import "slices"

// Checkpoints are the checkpoints of a set that cover no environment but those of the set.
type Checkpoints struct {
	list []*Checkpoint // ascending by version
	use  bool          // new databases begin with one
}

// First returns the checkpoint to begin with where nothing is applied and these versions are pending, in ascending order: the
// newest that covers exactly the versions up to its own. It is nil if there is none, or if checkpoints are off.
func (l Checkpoints) First(pending []int64) *Checkpoint {
	return l.newest(func(c *Checkpoint) bool {
		n := len(c.Covered)
		return l.use && n <= len(pending) && slices.Equal(pending[:n], c.Versions()) && (n == len(pending) || pending[n] > c.Version)
	})
}

// At returns the checkpoint with that source, nil if there is none.
func (l Checkpoints) At(source string) *Checkpoint {
	return l.newest(func(c *Checkpoint) bool { return c.Source == source })
}

// Covering returns the newest checkpoint that covers a version, nil if there is none.
func (l Checkpoints) Covering(version int64) *Checkpoint {
	return l.newest(func(c *Checkpoint) bool { return slices.Contains(c.Versions(), version) })
}

func (l Checkpoints) newest(is func(*Checkpoint) bool) *Checkpoint {
	for _, c := range slices.Backward(l.list) {
		if is(c) {
			return c
		}
	}
	return nil
}

// unused returns the newest checkpoint if it doesn't fit the versions of a set, and the versions that it doesn't cover.
func (l Checkpoints) unused(versions []int64) (c *Checkpoint, uncovered []int64) {
	if !l.use || len(l.list) == 0 {
		return nil, nil
	}
	c = l.list[len(l.list)-1]
	return c, c.uncovered(versions)
}

// uncovered are the versions up to the checkpoint's own that it doesn't cover.
func (c *Checkpoint) uncovered(versions []int64) []int64 {
	covered := c.Versions()
	return slices.DeleteFunc(slices.Clone(versions), func(v int64) bool {
		_, covers := slices.BinarySearch(covered, v)
		return covers || v > c.Version
	})
}
