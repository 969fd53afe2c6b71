package gooseplus

import (
	"context"
	"fmt"
	"slices"

	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/migset"
	"github.com/gooseplus/gooseplus/internal/plan"
)

// WithCheckpoints has runs up of databases without any applied version begin with the newest checkpoint that fits. A
// checkpoint is a file VERSION_name.checkpoint.sql beside the migrations, which gooseplus checkpoint (package cli) writes and
// verifies. It runs as one migration instead of all versions that it covers, in one transaction where DDL has transactions,
// and records all of them. Databases with any applied version need nothing. Each namespace has its own checkpoints.
//
// A checkpoint fits if the versions of all folders of the run, up to its own, are exactly those that it covers. So each list
// of environments that differs in such versions needs its own checkpoint, in the folder of one of its environments. If none fits, the
// migrations run one by one.
//
// The files that a checkpoint covers may be deleted once every database has them. Their versions stay known: they are not
// unknown, not pending where they are applied, and undoing one is [ErrIrreversible]. If such a version isn't applied
// and no checkpoint fits, a run returns [ErrMergeMigrations] before anything is touched. The sums of the checkpoint and of
// the files that it covers are checked by [Migrator.Err], and by a run before it uses the checkpoint.
//
// The default is false: checkpoints don't run, and are no migrations either. New databases are then made by the
// same steps as all others, until somebody decides otherwise. A checkpoint whose files are gone is then a configuration
// fault.
func WithCheckpoints(use bool) Option {
	return optionFunc(func(o *options) { o.checkpoints = use })
}

// covered are the versions that a step records, lowest first: all versions of a checkpoint or a batch, otherwise its own.
func (s plannedStep) covered() []int64 {
	switch {
	case s.checkpoint != nil:
		return s.checkpoint.Versions()
	case s.batch != nil:
		return s.batch.steps.versions()
	}
	return []int64{s.Version}
}

// besides are the versions that a step records in addition to its own.
func (s plannedStep) besides() []int64 {
	all := s.covered()
	return all[:len(all)-1]
}

// begin puts a checkpoint in the place of the pending versions that it covers, and refuses those without a file that no
// checkpoint brings.
func (f *files) begin(ctx context.Context, applied, pending []int64) (first steps, rest []int64, err error) {
	set := f.target.set
	rest = pending
	if len(applied) == 0 {
		if c := set.Checkpoints.First(pending); c != nil {
			step, err := f.checkpoint(ctx, c)
			if err != nil {
				return nil, nil, fmt.Errorf("%w: %w", ErrRollForward, err)
			}
			first, rest = steps{step}, pending[len(c.Covered):]
		}
	}
	gone := slices.DeleteFunc(slices.Clone(rest), func(v int64) bool { m, _ := set.Find(v); return !m.Gone() })
	if len(gone) > 0 {
		return nil, nil, fmt.Errorf("%w: %w. Nothing was touched", ErrMergeMigrations, set.Missing(gone, len(applied) == 0))
	}
	return first, rest, nil
}

// checkpoint is the step of a checkpoint, after its sums are checked.
func (f *files) checkpoint(ctx context.Context, c *migset.Checkpoint) (step plannedStep, err error) {
	if read, ok := f.checkpoints[c]; ok {
		return read, nil
	}
	if err := f.target.unreadable(f.target.set.Verify(ctx, c)); err != nil {
		return step, err
	}
	// The way back takes the covered versions down one by one.
	if err := f.load(ctx, c.Versions(), directionDown); err != nil {
		return step, err
	}
	if err := f.makeReader(); err != nil {
		return step, err
	}
	script, err := f.reader.ReadInstead(ctx, c.Version, c.Files)
	if err != nil {
		return step, err
	}
	section := f.target.section(migset.Section{Statements: script.Up, Transactional: script.Transactional})
	step = plannedStep{checkpoint: c, text: script.Up, Step: Step{
		Namespace: f.target.set.Namespace, Version: c.Version, Source: c.Source, Environment: c.Environment, Direction: directionUp,
		Transactional: section.Transactional, Covers: len(c.Covered), Reversible: true,
	}}
	step.sections[0], step.sections[1] = section, section
	for _, v := range c.Versions() {
		step.Reversible = step.Reversible && f.step(v).Reversible
	}
	if f.checkpoints == nil {
		f.checkpoints = make(map[*migset.Checkpoint]plannedStep)
	}
	f.checkpoints[c] = step
	return step, nil
}

// halfCheckpoint is the error of a checkpoint that failed half-way on a database without transactional DDL.
func (w wayBack) halfCheckpoint(step plannedStep) error {
	return fmt.Errorf("%w: checkpoint %s ended half-way: the database was empty before: remove what is in it, or drop it and create it again",
		ErrDirty, ref(step.Version, step.Source))
}

// belowCheckpoint refuses to undo a version that a checkpoint covers if any of them to undo has no file: half a checkpoint is
// a state that nobody has chosen.
func (w wayBack) belowCheckpoint(undo []plan.Undo) error {
	set := w.target.set
	c := set.Checkpoints.Covering(undo[0].Version)
	if c == nil {
		return nil
	}
	covered := c.Versions()
	for _, u := range undo {
		if m, _ := set.Find(u.Version); m.Gone() && slices.Contains(covered, u.Version) {
			return w.target.irreversible(w.files.step(undo[0].Version))
		}
	}
	return nil
}

// cutOffCheckpoint is the checkpoint that a step was, nil if it was a migration.
func cutOffCheckpoint(set *migset.Set, s history.Step) *migset.Checkpoint {
	if s.Down {
		return nil
	}
	return set.Checkpoints.At(s.Source)
}
