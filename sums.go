package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/migset"
)

// WithChecksums says what a run up does where the file of an applied migration was edited. The state table remembers the
// SHA-256 sum of each applied migration. Comments, line ends, empty lines and trailing spaces don't count, except in strings
// and dollar quotes. Go functions have no sum. [Warn] sends one [Warning] and goes on, [Refuse] returns [ErrEdited]
// before anything is touched. A file of an applied migration that can't be read is a Warning too, or refused with its own
// error. [Migrator.Accept] remembers the file as it is now.
//
// Migrations that were applied before there were sums are remembered as they are at the next run that has anything to do.
// With [Ignore], WithUnknownVersions(Ignore) and no [WithStoredDowns], nothing is remembered.
//
// The default is [Warn]. A value that is none of the three policies is a configuration fault.
func WithChecksums(p Policy) Option {
	return optionFunc(func(o *options) { o.checksums = p })
}

// compareSums warns of files that were edited after their migrations were applied, or refuses them, and refuses a program
// that is too old. Runs that undo something are started by people, who may have to.
func (ps parts) compareSums(ctx context.Context) error {
	var faults []error
	for _, p := range ps {
		if (memory{p}).remembers() && !slices.ContainsFunc(p.steps, func(s plannedStep) bool { return s.Direction == directionDown }) {
			faults = append(faults, p.target.named(memory{p}.compareSums(ctx)))
		}
	}
	return allOf(faults)
}

// sameSums says whether the files of the applied versions add up to what the state table remembers, or it remembers none.
func sameSums(set *migset.Set, applied []int64, sums history.Sums) (bool, error) {
	if sums.Count == 0 {
		return true, nil
	}
	var want history.Sums
	for _, version := range applied {
		sum, err := set.Sum(version)
		if err != nil {
			return false, err
		}
		want.Add(history.Applied{Sum: sum.Sum})
	}
	return want.Count == sums.Count && want.Checksum == sums.Checksum, nil
}

// editedFiles are the applied versions whose files aren't what the state table remembers, and the errors of those that can't be
// read.
func editedFiles(set *migset.Set, rows map[int64]history.Applied, applied []int64) (edited []int64, err error) {
	if len(rows) == 0 {
		return nil, nil
	}
	var faults []error
	for _, version := range applied {
		row, remembered := rows[version]
		if _, known := set.Find(version); !known || !remembered {
			continue
		}
		sum, err := set.Sum(version)
		switch {
		case err != nil:
			faults = append(faults, err)
		case row.Sum != sum.Sum:
			edited = append(edited, version)
		}
	}
	slices.Sort(edited)
	return edited, errors.Join(faults...)
}

// addHistory adds to a status what the state table knows of applied migrations.
func addHistory(set *migset.Set, list []MigrationStatus, rows map[int64]history.Applied) error {
	var applied []int64
	for i := range list {
		m := &list[i]
		if row, ok := rows[m.Version]; ok && m.AppliedAt != nil {
			m.Application, m.Duration = row.Application, row.Duration
			if m.Unknown {
				m.Source = row.Source
			}
			applied = append(applied, m.Version)
		}
	}
	edited, err := editedFiles(set, rows, applied)
	for i := range list {
		list[i].Edited = slices.Contains(edited, list[i].Version)
	}
	return err
}

// editedError names the edited files, nil if there are none.
func editedError(set *migset.Set, edited []int64) error {
	if len(edited) == 0 {
		return nil
	}
	var refs, calls []string
	for _, version := range edited {
		m, _ := set.Find(version)
		refs, calls = append(refs, ref(version, m.Source)), append(calls, fmt.Sprintf("Accept(%d)", version))
	}
	return fmt.Errorf("%w: %s: take the edit back, or call %s", ErrEdited, strings.Join(refs, ", "), strings.Join(calls, ", "))
}

// asNow are the rows of known versions, with the sums of their files as they are now. run is the run that applied them, or the
// run that found them applied without a row.
func asNow(set *migset.Set, versions []int64, run string) (list []history.Applied, err error) {
	for _, version := range versions {
		m, known := set.Find(version)
		if !known {
			continue
		}
		sum, err := set.Sum(version)
		if err != nil {
			return nil, err
		}
		list = append(list, history.Applied{Version: version, Source: m.Source, Sum: sum.Sum, Requires: sum.Requires, Run: run})
	}
	return list, nil
}
