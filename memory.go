package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/gooseplus/gooseplus/internal/drive"
	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/plan"
)

// keepsHistory says whether the state table remembers the applied migrations.
func (o *options) keepsHistory() bool {
	return o.checksums != Ignore || o.unknown != Ignore || o.storedDowns
}

// remembers says whether the part has a state table that remembers applied migrations.
func (p memory) remembers() bool { return p.target.state != nil && p.run.options.keepsHistory() }

// memory is what the state table remembers of the applied versions of a part.
type memory struct{ *part }

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
