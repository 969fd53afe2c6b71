package gooseplus

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// others are what was there before the first step of a run.
type others struct {
	objects []string // that a Down of the run would remove, as dialect.Object names them
	tables  []string // the names of all tables and views, where nothing was applied
}

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
	return p.target.migrationError(step.down(), "", fmt.Errorf("not executed: %s was there before the run, and %s: "+
		"undo it by hand, or keep it and mend the migration that failed", name, why))
}

// keptBy names the first of them that the Up of a step in SQL may have been content with, "" if there is none.
func (o others) keptBy(p *part, step plannedStep) string {
	if step.sections[0].Function {
		return ""
	}
	texts := p.upTexts(step)
	if slices.ContainsFunc(texts, sqltext.MayKeep) {
		if name := o.removedBy(p, step); name != "" {
			return name
		}
	}
	if table := o.tableIn(texts); table != "" {
		return strconv.Quote(table)
	}
	return ""
}

// tableIn is the first of the tables that stands in a text which may be content with it.
func (o others) tableIn(texts []string) string {
	if len(o.tables) == 0 {
		return ""
	}
	for _, text := range texts {
		if name := sqltext.ContentWith(text, o.tables); name != "" {
			return name
		}
	}
	return ""
}

// removedBy names the first of them that the Down of a step in SQL removes, "" if there is none.
func (o others) removedBy(p *part, step plannedStep) string {
	if len(o.objects) == 0 {
		return ""
	}
	fold := p.target.dialect.Fold
	for _, object := range p.removes(step) {
		if slices.ContainsFunc(o.objects, func(name string) bool { return fold(name) == fold(object.String()) }) {
			return object.String()
		}
	}
	return ""
}

// upTexts are the SQL of the Up of a step.
func (p *part) upTexts(step plannedStep) []string {
	step.Direction = directionUp
	return p.statements(step)
}

// removes are the objects that the Down of a step in SQL removes, as far as it says so.
func (p *part) removes(step plannedStep) []dialect.Object {
	if step.sections[1].Function {
		return nil
	}
	step.Direction = directionDown
	return p.objects(p.statements(step), sqltext.Removals)
}

// objects are those that are found in texts. What the server couldn't read is none.
func (p *part) objects(texts []string, in func(text string) []sqltext.Removal) (list []dialect.Object) {
	for _, text := range texts {
		for _, r := range in(text) {
			if o, err := p.target.dialect.Removed(r); err == nil {
				list = append(list, o)
			}
		}
	}
	return list
}

// lookBefore looks for the objects that are there before the first step, and that would go with a Down. Two kinds of steps matter:
//
//   - those whose Up may be content with such an object;
//   - those that may end half-way, in this run or with it, so that nobody knows whether they have made it.
//
// What an Up of the run itself removes or renames before is not what its Down would remove.
func (o others) lookBefore(ctx context.Context, p *part) (others, error) {
	if p.target.state == nil || p.run.options.rollback != RollbackDown || p.run.holding != nil && p.run.holding.created {
		return o, nil
	}
	present, err := p.target.state.Present(ctx, p.run.db.own, p.target.schema, o.endangered(p))
	if err != nil {
		return o, p.target.tableError(ctx, fmt.Errorf("what is there before the run can't be looked for: %w", err))
	}
	o.objects = slices.Clone(o.objects)
	for _, object := range present {
		o.objects = append(o.objects, object.String())
	}
	return o, nil
}

// endangered are the objects that lookBefore looks for.
func (o others) endangered(p *part) (list []dialect.Object) {
	theirs := make(map[int64]bool) // what they have made may be a dead run's work
	for _, d := range p.run.holding.inheritedBy(p) {
		for _, v := range d.Planned {
			theirs[v] = true
		}
	}
	first, ignored := len(p.found.Applied) == 0, p.run.options.foreignHistory == Ignore
	gone, key := make(map[string]bool), func(o dialect.Object) string { return p.target.dialect.Fold(o.String()) }
	for _, s := range p.steps {
		if s.Direction == directionDown || s.checkpoint != nil || s.sections[0].Function || theirs[s.Version] {
			continue
		}
		texts := p.upTexts(s)
		for _, object := range p.objects(texts, func(text string) []sqltext.Removal { return append(sqltext.Removals(text), sqltext.Renamed(text)...) }) {
			gone[key(object)] = true
		}
		if !(slices.ContainsFunc(texts, sqltext.MayKeep) && !(first && ignored)) && s.Transactional {
			continue
		}
		for _, object := range p.removes(s) {
			nothing := first && !ignored && len(o.tables) == 0 && object.Schema == "" // which is known already
			if !nothing && !gone[key(object)] && !gone[key(dialect.Object{Name: object.Name})] {
				list = append(list, object)
			}
		}
	}
	return list
}

// forHeir are they for the run that takes over from this one, which can't find them out any more: the objects, an empty name, and the
// tables. Those come first for which a Down of this run is refused: there may be too many for all to be remembered.
func (o others) forHeir(p *part) []string {
	names := append(slices.Clone(o.objects), "")
	seen := make(map[string]bool)
	note := func(list ...string) {
		for _, name := range list {
			if name != "" && !seen[name] {
				names, seen[name] = append(names, name), true
			}
		}
	}
	for _, s := range p.steps {
		note(o.tableIn(p.upTexts(s)))
	}
	for _, v := range p.ledger.Owed() {
		note(o.tableIn(p.upTexts(p.files.step(v))))
	}
	note(o.tables...)
	return names
}

// inherit takes over what dead runs have found before their first migration: what is there now may be theirs. A run
// without plans has not looked, and an earlier version has not recorded it, or no objects.
func (o others) inherit(dead []history.Run) others {
	dead = slices.DeleteFunc(slices.Clone(dead), func(d history.Run) bool { return len(d.Planned) == 0 })
	if len(dead) == 0 {
		return o
	}
	if !slices.ContainsFunc(dead, func(d history.Run) bool { return d.Others == nil }) {
		o = others{}
	}
	for _, d := range dead {
		at := slices.Index(d.Others, "")
		o.objects = append(o.objects, d.Others[:max(0, at)]...)
		o.tables = append(o.tables, d.Others[at+1:]...)
	}
	return o
}
