package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/gooseplus/gooseplus/internal/drive"
	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/migset"
	"github.com/gooseplus/gooseplus/internal/plan"
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

// WithApplicationVersion sets the version of the application that the state table remembers for each migration and run.
//
// The default is the version in the program's build information, or the revision that it was built from.
func WithApplicationVersion(version string) Option {
	return optionFunc(func(o *options) { o.application = version })
}

func applicationVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}

// keepsHistory says whether the state table remembers the applied migrations.
func (o *options) keepsHistory() bool {
	return o.checksums != Ignore || o.unknown != Ignore || o.storedDowns
}

// remembers says whether the part has a state table that remembers applied migrations.
func (p memory) remembers() bool { return p.target.state != nil && p.run.options.keepsHistory() }

// memory is what the state table remembers of the applied versions of a part.
type memory struct{ *part }

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

func (p memory) compareSums(ctx context.Context) error {
	t, v := p.target, p.view
	if newest := plan.Newest(t.set.Versions()); v.sums.Requires > newest {
		return fmt.Errorf("%w: an applied migration requires a program that knows version %d, and this program's newest version is %d. Nothing was touched",
			ErrTooOld, v.sums.Requires, newest)
	}
	if p.run.options.checksums == Ignore {
		return nil
	}
	if same, _ := sameSums(t.set, v.applied, v.sums); same {
		return nil
	}
	rows, err := t.state.Versioned.List(ctx, p.run.db.own, t.set.Namespace)
	if err != nil {
		return t.stateError(ctx, err)
	}
	edited, unreadable := editedFiles(t.set, rows, v.applied)
	if unreadable != nil {
		unreadable = fmt.Errorf("files of applied migrations can't be read, so it is unknown whether they were edited: %w", unreadable)
	}
	return allOf([]error{p.tell(editedError(t.set, edited)), p.tell(unreadable)})
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

// tell warns once in a run of what a comparison has found, or refuses.
func (p memory) tell(err error) error {
	if err == nil {
		return nil
	}
	if p.run.options.checksums == Refuse {
		return fmt.Errorf("%w. Nothing was touched", err)
	}
	if told := err.Error(); !slices.Contains(p.admission.told, told) {
		p.admission.told = append(p.admission.told, told)
		p.events.send(Warning{Message: told})
	}
	return nil
}

// adopt has the state table remember the applied versions that it doesn't know, as they are now.
func (p memory) adopt(ctx context.Context) error {
	if !p.remembers() {
		return nil
	}
	if err := p.run.ensureState(ctx); err != nil || p.run.holding.isFresh() && len(p.found.Applied) == 0 {
		return err
	}
	st, namespace := p.target.state, p.target.set.Namespace
	rows, err := st.Versioned.List(ctx, p.run.db.own, namespace)
	if err != nil {
		return p.target.stateError(ctx, err)
	}
	var missing, gone []int64
	for _, version := range p.found.Applied {
		if _, remembered := rows[version]; remembered {
			continue
		}
		if _, err := p.target.set.Sum(version); err == nil { // otherwise a later run can, perhaps
			missing = append(missing, version)
		}
	}
	for version := range rows {
		if !slices.Contains(p.found.Applied, version) { // goose alone has taken it back
			gone = append(gone, version)
		}
	}
	list, err := asNow(p.target.set, missing, p.row.id)
	if err != nil {
		return err
	}
	p.addDowns(ctx, list)
	list = append(list, p.missingDowns(ctx, rows)...)
	if err := errors.Join(st.Versioned.Put(ctx, p.run.db.own, namespace, list...), st.Versioned.Remove(ctx, p.run.db.own, namespace, gone...)); err != nil {
		return p.target.stateError(ctx, err)
	}
	return nil
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

// remember has the state table remember a step, together with the version table.
func (p memory) remember(ctx context.Context, db history.Querier, step drive.Step, took time.Duration) error {
	if !p.remembers() {
		return nil
	}
	versioned, namespace := p.target.state.Versioned, p.target.set.Namespace
	if !p.run.options.oneTransaction() && !p.mayRemoveTables(step) {
		versioned = versioned.Staying()
	}
	if step.Down {
		return versioned.Remove(ctx, db, namespace, step.Version)
	}
	list, err := asNow(p.target.set, append(slices.Clone(step.Instead), step.Version), p.row.id)
	for i := range list {
		list[i].Application = p.run.options.application
		if list[i].Version == step.Version && step.Texts == nil {
			list[i].Duration = took
		}
	}
	p.addReadDowns(list)
	return errors.Join(err, versioned.Put(ctx, db, namespace, list...))
}

// again has the state table remember what the run has applied so far.
func (p memory) again(ctx context.Context) error {
	if !p.remembers() {
		return nil
	}
	list, err := asNow(p.target.set, p.ledger.Recorded(), p.row.id)
	if err != nil {
		return err
	}
	return p.target.state.Versioned.Put(ctx, p.run.db.own, p.target.set.Namespace, list...)
}

// mayRemoveTables says whether a step may drop or rename a table that it doesn't know of. A word in a comment counts too.
func (p memory) mayRemoveTables(step drive.Step) bool {
	if step.Function {
		return true
	}
	statements := step.Texts
	if statements == nil {
		m, known := p.target.set.Find(step.Version)
		if !known || step.Instead != nil {
			return true
		}
		up, down := p.target.set.Sections(m, p.files.read[step.Version])
		if statements = up.Statements; step.Down {
			statements = down.Statements
		}
	}
	return len(statements) == 0 || slices.ContainsFunc(statements, func(text string) bool {
		return len(text) > mostSearched || slices.ContainsFunc(strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && r != '_' }),
			func(word string) bool { return slices.Contains(removing, word) })
	})
}

// mostSearched is how long a text may be that is searched for words.
const mostSearched = 1 << 16

// removing are the words without which no statement removes a table, or calls what does.
var removing = []string{"drop", "rename", "schema", "do", "call", "execute", "select", "perform", "trigger"}

// Accept has the state table remember the file of an applied migration as it is now: the edit is right ([ErrEdited]). It also
// remembers, as they are, all applied migrations that it doesn't know yet. It executes no migration, and takes the lock if
// there is one. A version that isn't applied, or has no migration here, is an error.
func (m *Migrator) Accept(ctx context.Context, version int64) error {
	return m.runOne(ctx, func(ctx context.Context, p *part) error {
		if p.target.state == nil {
			return fmt.Errorf("dialect %s: gooseplus remembers no sums here", p.target.dialect.Goose)
		}
		nothing := fmt.Errorf("version %d: it isn't applied, or has no migration in this configuration: there is nothing to accept", version)
		if err := p.look(ctx); err != nil {
			return p.target.tableError(ctx, err)
		}
		if p.view.absent {
			return nothing
		}
		return p.run.withLock(ctx, always, func(ctx context.Context) (err error) {
			if p.found, err = p.owned(ctx, p.run.db.own, false); err != nil {
				return p.target.tableError(ctx, err)
			}
			if _, known := p.target.set.Find(version); !known || !slices.Contains(p.found.Applied, version) {
				return nothing
			}
			p.row.accepted, p.end.from, p.ledger = true, p.end.to, plan.NewLedger(p.found)
			if p.run.holding != nil {
				if err := p.run.holding.register(ctx, p.run.parts); err != nil {
					return err
				}
			}
			if err := (memory{p}).adopt(ctx); err != nil {
				return err
			}
			list, err := asNow(p.target.set, []int64{version}, p.row.id)
			if err != nil {
				return err
			}
			memory{p}.addDowns(ctx, list)
			if err := p.target.state.Versioned.Put(ctx, p.run.db.own, p.target.set.Namespace, list...); err != nil {
				return p.target.stateError(ctx, err)
			}
			return nil
		})
	})
}
