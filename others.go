package gooseplus

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// others are what was there before the first migration of a run: the objects that Downs of the run would remove, and, where
// nothing was applied, the names of all tables.
type others []string

// mayTake refuses a Down that could remove what was there before: the Up may have been content with that.
func (o others) mayTake(p *part, step plannedStep) error {
	return p.notExecuted(step, o.keptBy(p, step), "the Up may have kept it (IF NOT EXISTS or the like)")
}

// mayTakeHalf is mayTake for a step that failed half-way, perhaps because of what was there before.
func (o others) mayTakeHalf(p *part, step plannedStep) error {
	if err := o.mayTake(p, step); err != nil {
		return err
	}
	return p.notExecuted(step, o.removedBy(p, step), "the Up ended half-way")
}

func (p *part) notExecuted(step plannedStep, name, why string) error {
	if name == "" {
		return nil
	}
	if !strings.HasSuffix(name, `"`) { // it is a name alone
		name = strconv.Quote(name)
	}
	return p.target.migrationError(step.down(), "", fmt.Errorf("not executed: %s was there before the run, and %s: "+
		"undo it by hand, or keep it and mend the migration that failed", name, why))
}

// keptBy is the first of them that the Up of a step in SQL may have been content with, "" if there is none.
func (o others) keptBy(p *part, step plannedStep) string {
	if len(o) == 0 || step.sections[0].Function {
		return ""
	}
	step.Direction = directionUp // of which the statements are asked for
	texts := p.statements(step)
	if slices.ContainsFunc(texts, sqltext.Content) {
		if name := o.removedBy(p, step); name != "" {
			return name
		}
	}
	for _, text := range texts {
		if name := sqltext.ContentWith(text, o); name != "" {
			return name
		}
	}
	return ""
}

// removedBy is the first of them that the Down of a step in SQL removes, "" if there is none.
func (o others) removedBy(p *part, step plannedStep) string {
	for _, object := range p.removes(step) {
		if name := object.String(); slices.Contains(o, name) {
			return name
		}
	}
	return ""
}

// removes are the objects that the Down of a step in SQL removes, as far as it says so.
func (p *part) removes(step plannedStep) (list []dialect.Object) {
	if step.sections[1].Function {
		return nil
	}
	step.Direction = directionDown
	for _, text := range p.statements(step) {
		for _, r := range sqltext.Removals(text) {
			if o, err := p.target.dialect.Removed(r); err == nil { // otherwise the server refuses it too
				list = append(list, o)
			}
		}
	}
	return list
}

// lookBefore looks for what is there before the first step and would go with a Down: of a step whose Up may be content with it, and
// of one that may end half-way, in this run or with it. What dead runs had planned may be theirs.
func (o others) lookBefore(ctx context.Context, p *part) (others, error) {
	if p.target.state == nil || p.run.options.rollback != RollbackDown {
		return o, nil
	}
	theirs := make(map[int64]bool)
	for _, d := range p.run.holding.inheritedBy(p) {
		for _, v := range d.Planned {
			theirs[v] = true
		}
	}
	first := len(p.found.Applied) == 0
	var objects []dialect.Object
	for _, s := range p.steps {
		if s.Direction == directionDown || s.checkpoint != nil || s.sections[0].Function || theirs[s.Version] {
			continue
		}
		kept := !(first && p.run.options.foreignHistory == Ignore) && slices.ContainsFunc(p.statements(s), sqltext.Content)
		if kept || !s.Transactional {
			objects = append(objects, p.removes(s)...)
		}
	}
	present, err := p.target.state.Present(ctx, p.run.db.own, p.target.schema, objects)
	if err != nil {
		return o, p.target.stateError(ctx, err)
	}
	list := slices.Clone(o)
	for _, object := range present {
		list = slices.Insert(list, 0, object.String())
	}
	return list, nil
}

// forHeir are they for the run that takes over from this one, which can't find them out any more. Those come first for which a
// Down of this run is refused: there may be too many for all to be remembered.
func (o others) forHeir(p *part) (names []string) {
	seen := make(map[string]bool)
	note := func(list ...string) {
		for _, name := range list {
			if name != "" && !seen[name] {
				names, seen[name] = append(names, name), true
			}
		}
	}
	for _, s := range p.steps {
		note(o.keptBy(p, s))
	}
	for _, v := range p.ledger.Owed() {
		note(o.keptBy(p, p.files.step(v)))
	}
	note(o...)
	return names
}

// inherit takes over what dead runs have found before their first migration: what is there now may be theirs. A run
// without plans has not looked, and an earlier version has not recorded it.
func (o others) inherit(dead []history.Run) others {
	dead = slices.DeleteFunc(slices.Clone(dead), func(d history.Run) bool { return len(d.Planned) == 0 })
	if len(dead) == 0 {
		return o
	}
	if !slices.ContainsFunc(dead, func(d history.Run) bool { return d.Others == nil }) {
		o = nil
	}
	for _, d := range dead {
		o = append(o, d.Others...)
	}
	return o
}
