package migset

import (
	"cmp"
	"io/fs"
	"slices"
	"sync"

	"github.com/gooseplus/gooseplus/internal/envfs"
)

// Sum identifies the text of a migration, see [sqltext.Quoting.Sum].
type Sum struct {
	Sum       string // "" for a Go function
	Requires  int64  // the version that a program has to know, 0 for any
	AllowLock envfs.Allowance
}

// sums are the sums that were asked for before.
type sums struct {
	fsys fs.FS

	all sync.Once // SumAll

	mu    sync.Mutex
	known map[int64]Sum // guarded by mu
}

// SumAll makes the sums of all files, so that Sum knows them. The first call takes its time, so it is for a moment at which
// there is something to wait for. Errors are left to Sum.
func (s *Set) SumAll() {
	s.sums.all.Do(func() {
		for _, f := range s.Files.SQL {
			_, _ = s.Sum(f.Version)
		}
	})
}

// sumAgain makes the sums anew of those of the versions that have one: the files may be others than at that time. Errors are left
// to Sum.
func sumAgain(s *Set, versions []int64) {
	for _, v := range versions {
		s.sums.mu.Lock()
		_, known := s.sums.known[v]
		delete(s.sums.known, v)
		s.sums.mu.Unlock()
		if known {
			_, _ = s.Sum(v)
		}
	}
}

// Sum returns the sum of a version, whose file is read once, and again by [Set.Read]. There is none where the database's quotes are not known. A
// file, both files of a pair and the SQL of a definition count as they are written, and a Replay as goose reads it.
func (s *Set) Sum(version int64) (Sum, error) {
	if m, ok := s.Find(version); ok && m.Gone() {
		return Sum{Sum: m.gone.Sum, Requires: m.gone.Requires}, nil
	}
	s.sums.mu.Lock()
	defer s.sums.mu.Unlock()
	if sum, ok := s.sums.known[version]; ok {
		return sum, nil
	}
	text, err := written(s, version)
	if err != nil {
		return Sum{}, err
	}
	var sum Sum
	if quoting, ok := s.dialect.Quoting(); ok && text != "" {
		sum = Sum{quoting.Sum(text), envfs.Requires(text), envfs.AllowLock(text)}
	}
	if s.sums.known == nil {
		s.sums.known = make(map[int64]Sum)
	}
	s.sums.known[version] = sum
	return sum, nil
}

// written is the text of a version, "" for a Go function.
func written(s *Set, version int64) (string, error) {
	i, found := slices.BinarySearchFunc(s.Files.SQL, version, func(f envfs.File, v int64) int { return cmp.Compare(f.Version, v) })
	if !found {
		if m, ok := s.Find(version); ok && m.defined && m.Go == nil {
			if m.written != "" {
				return m.written, nil
			}
			texts, err := s.Files.All()
			return texts[version], err
		}
		return "", nil
	}
	f := s.Files.SQL[i]
	text, err := fs.ReadFile(s.sums.fsys, f.Path)
	if err != nil || f.Down == "" {
		return string(text), err
	}
	down, err := fs.ReadFile(s.sums.fsys, f.Down)
	return string(text) + "\n-- +goose Down\n" + string(down), err
}
