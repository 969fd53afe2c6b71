package gooseplus

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/history"
	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// others are what other people had in the database before the first step of a run.
type others struct {
	objects map[stepKey][]string // that the Down of a step would remove, as dialect.Object names them
	tables  []string             // the names of all tables and views, where nothing was applied
	gone    map[string]bool      // what the steps that were looked at remove or rename, as fold gives it
	runs    []string             // the dead runs of which all this is known
}

// stepKey is a version of a namespace.
type stepKey struct {
	namespace string
	version   int64
}

func (p *part) key(version int64) stepKey { return stepKey{p.target.set.Namespace, version} }

// mayTake refuses a Down that could remove what was there before, because the Up may have kept it.
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

// keptBy names the first object that was there before the run and that the executed Up of a step in SQL may have kept; "" if
// there is none. The Up has not kept an object that it removed or renamed itself.
func (o others) keptBy(p *part, step plannedStep) string {
	if step.sections[0].Function {
		return ""
	}
	texts := p.upTexts(step)
	if objects := o.objects[p.key(step.Version)]; len(objects) > 0 && slices.ContainsFunc(texts, sqltext.MayKeep) {
		gone := make(map[string]bool)
		p.removedIn(texts, gone)
		for _, name := range objects {
			if !gone[p.fold(name)] {
				return name
			}
		}
	}
	if table := o.tableIn(texts); table != "" {
		return strconv.Quote(table)
	}
	return ""
}

// tableIn is the first of the tables that one of the texts may have kept, "" if there is none.
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

// removedBy names the first object that was there before the run and that the Down of a step removes, "" if there is none.
func (o others) removedBy(p *part, step plannedStep) string {
	if objects := o.objects[p.key(step.Version)]; len(objects) > 0 {
		return objects[0]
	}
	return ""
}

// upTexts are the SQL of the Up of a step.
func (p *part) upTexts(step plannedStep) []string {
	step.Direction = directionUp
	return p.statements(step)
}

// removes are the objects that the Down of a step in SQL removes, as far as it says so, and doesn't make again.
func (p *part) removes(step plannedStep) (list []dialect.Object) {
	if step.sections[1].Function {
		return nil
	}
	step.Direction = directionDown
	texts := p.statements(step)
	again := make(map[string]bool)
	for _, object := range p.objects(texts, sqltext.Made) {
		again[p.fold(object.String())] = true
	}
	for _, object := range p.objects(texts, sqltext.Removals) {
		if !again[p.fold(object.String())] {
			list = append(list, object)
		}
	}
	return list
}

// objects are the objects that in finds in texts, without names that the server can't read.
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

// removedIn notes what texts remove or rename. A text of megabytes has rows, and is not read for that.
func (p *part) removedIn(texts []string, gone map[string]bool) {
	texts = slices.DeleteFunc(slices.Clone(texts), func(text string) bool { return len(text) > mostRead })
	for _, in := range []func(string) []sqltext.Removal{sqltext.Removals, sqltext.Renamed} {
		for _, object := range p.objects(texts, in) {
			gone[p.fold(object.String())] = true
		}
	}
}

// mostRead is how long a text may be that is read for what it removes.
const mostRead = 1 << 20

// fold makes two names of objects equal if the database may take them for the same.
func (p *part) fold(name string) string { return p.target.dialect.Fold(name) }

// lookBefore looks for the objects that are there before the first step, and that would go with a Down. Two kinds of steps matter:
//
//   - steps whose Up may keep such an object (IF NOT EXISTS and the like);
//   - steps that may end half-way, so that nobody knows whether they have made it.
//
// It doesn't look for an object that an earlier step removes or renames: the Down can then only remove a newer one.
func (o others) lookBefore(ctx context.Context, p *part) (others, error) {
	if p.target.state == nil || p.run.options.oneTransaction() {
		return o, nil
	}
	o.gone = nonNil(o.gone)
	wanted := make(map[string]dialect.Object)
	at := make(map[string][]stepKey)
	for key, objects := range o.endangered(p) {
		for _, object := range objects {
			wanted[object.String()], at[object.String()] = object, append(at[object.String()], key)
		}
	}
	var list []dialect.Object
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		list = append(list, wanted[name])
	}
	present, err := p.target.state.Present(ctx, p.run.db.own, p.run.sessions.path, list)
	if err != nil {
		return o, p.target.tableError(ctx, fmt.Errorf("what is there before the run can't be looked for: %w", err))
	}
	o.objects = nonNil(o.objects)
	for _, object := range present {
		for _, key := range at[object.String()] {
			o.objects[key] = append(o.objects[key], object.String())
		}
	}
	return o, nil
}

func nonNil[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		m = make(map[K]V)
	}
	return m
}

// endangered returns, for each step, the objects that lookBefore looks for. It leaves out steps that a dead run has applied or begun:
// their objects may be that run's work.
func (o others) endangered(p *part) map[stepKey][]dialect.Object {
	theirs := make(map[int64]bool)
	for _, d := range p.run.holding.inheritedBy(p) {
		for _, v := range d.Planned {
			theirs[v] = theirs[v] || slices.Contains(p.found.Applied, v) && !slices.Contains(d.Start, v)
		}
	}
	for _, s := range p.admission.unfinished {
		theirs[s.Version] = true
	}
	ignored := len(p.found.Applied) == 0 && p.run.options.foreignHistory == Ignore
	created := p.run.holding != nil && p.run.holding.created && len(p.run.sessions.path) < 2 // so the schema is empty
	list := make(map[stepKey][]dialect.Object)
	for _, s := range p.steps {
		if s.Direction == directionDown {
			p.removedIn(p.statements(s), o.gone)
		}
		if s.Direction == directionDown || s.checkpoint != nil || s.sections[0].Function || theirs[s.Version] {
			continue
		}
		texts := p.upTexts(s)
		if !ignored && slices.ContainsFunc(texts, sqltext.MayKeep) || !s.Transactional {
			for _, object := range p.removes(s) {
				table := dialect.Object{Kind: object.Kind, Name: object.Name}
				nothing := created && object.Schema == "" && object.Kind == ""
				if !o.gone[p.fold(object.String())] && !o.gone[p.fold(table.String())] && !nothing {
					list[p.key(s.Version)] = append(list[p.key(s.Version)], object)
				}
			}
		}
		p.removedIn(texts, o.gone)
	}
	return list
}

// forHeir lists what was there before, for the run that takes over from this one, which can't find it out any more: the objects,
// each behind its version, then an empty name, then the tables. The tables for which a Down of this run is refused come first,
// because the state table may not have room for all.
func (o others) forHeir(p *part) (names []string) {
	for key, objects := range o.objects {
		for _, name := range objects {
			if key.namespace == p.target.set.Namespace {
				names = append(names, fmt.Sprintf("%d %s", key.version, name))
			}
		}
	}
	slices.Sort(names)
	names = append(names, "")
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
// without plans has not looked, and an earlier version has not recorded it, or only tables.
func (o others) inherit(dead []history.Run) others {
	dead = slices.DeleteFunc(slices.Clone(dead), func(d history.Run) bool { return len(d.Planned) == 0 })
	if len(dead) == 0 {
		return o
	}
	if !slices.ContainsFunc(dead, func(d history.Run) bool { return d.Others == nil }) {
		o = others{}
	}
	o.objects = nonNil(o.objects)
	for _, d := range dead {
		at := slices.Index(d.Others, "")
		for _, text := range d.Others[:max(0, at)] {
			number, name, _ := strings.Cut(text, " ")
			if version, err := strconv.ParseInt(number, 10, 64); err == nil {
				key := stepKey{d.Namespace, version}
				o.objects[key] = append(o.objects[key], name)
			}
		}
		if at >= 0 {
			o.runs = append(o.runs, d.ID)
		}
		o.tables = append(o.tables, d.Others[at+1:]...)
	}
	return o
}

// mayClear says whether the Down of a step that was cut off with its run can only remove what that run has made.
func (o others) mayClear(p *part, s history.Step) bool {
	step := p.files.step(s.Version)
	return slices.Contains(o.runs, s.Run) && o.removedBy(p, step) == "" && o.tableIn(p.upTexts(step)) == ""
}
