package gooseplus

import (
	"fmt"
	"slices"

	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// others are the tables that were there before the first migration of a run, where nothing was applied.
type others []string

// mayTake refuses a Down that could remove what was there before: the Up may have been content with that.
func (o others) mayTake(p *part, step plannedStep) error {
	name := o.keptBy(p, step)
	if name == "" {
		return nil
	}
	return p.target.migrationError(step.down(), "", fmt.Errorf("not executed: %q was there before the first migration, and the Up may have kept it "+
		"(IF NOT EXISTS or the like): undo it by hand, or keep it and mend the migration that failed", name))
}

// keptBy is the first of them that the Up of a step in SQL may have been content with, "" if there is none.
func (o others) keptBy(p *part, step plannedStep) string {
	if len(o) == 0 || step.sections[0].Function {
		return ""
	}
	step.Direction = directionUp // of which the statements are asked for
	for _, text := range p.statements(step) {
		if name := sqltext.ContentWith(text, o); name != "" {
			return name
		}
	}
	return ""
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
