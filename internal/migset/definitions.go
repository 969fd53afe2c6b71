package migset

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/envfs"
)

// Definitions are migrations that are written in Go, of one namespace.
type Definitions struct {
	Namespace string
	List      []Defined
}

// Defined is one definition. More than one action in a direction is a fault.
type Defined struct {
	Version  int64
	Source   string
	Up, Down []Action
}

// Action is what a definition does in one direction.
type Action struct {
	Kind   ActionKind
	SQL    string
	Tx     goose.GoMigrationContext
	DB     goose.GoMigrationNoTxContext
	Replay int64
}

// ActionKind says which fields of an [Action] are set.
type ActionKind int

// The kinds of actions.
const (
	NoAction ActionKind = iota
	Command
	Function
	Replay
)

// goFunc returns the action in goose's type, nil if it is no function.
func (a Action) goFunc() *goose.GoFunc {
	if a.Kind != Function {
		return nil
	}
	return &goose.GoFunc{RunTx: a.Tx, RunDB: a.DB}
}

// Check returns the faults of definitions by themselves. A Replay of a version that is only in a file is a fault here too.
func Check(list []Defined) []*Fault {
	list, faults := sorted(list, func(of int64) bool {
		return slices.ContainsFunc(list, func(d Defined) bool { return d.Version == of })
	})
	for i := 1; i < len(list); i++ {
		if d := list[i]; list[i-1].Version == d.Version {
			faults = append(faults, d.fault(&envfs.DuplicateError{Version: d.Version, Paths: [2]string{list[i-1].Source, d.Source}}))
		}
	}
	return faults
}

// sorted returns the definitions by version, and the faults of each.
func sorted(list []Defined, known func(version int64) bool) (_ []Defined, faults []*Fault) {
	for _, d := range list {
		faults = append(faults, d.faults(known)...)
	}
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b Defined) int { return cmp.Compare(a.Version, b.Version) })
	return list, faults
}

func (d Defined) fault(err error) *Fault {
	return definitionFault(Migration{Version: d.Version, Source: d.Source}, err)
}

func (d Defined) faults(known func(version int64) bool) (faults []*Fault) {
	fault := func(text string) { faults = append(faults, d.fault(errors.New(text))) }
	if d.Version < 1 {
		fault("the lowest version is 1")
	}
	if len(d.Up) == 0 || len(d.Up) == 1 && d.Up[0].Kind == Command && strings.TrimSpace(d.Up[0].SQL) == "" {
		fault("it has no Up")
	}
	for i, actions := range [][]Action{d.Up, d.Down} {
		side := [...]string{"Up", "Down"}[i]
		if len(actions) > 1 {
			fault("its " + side + " is set twice")
		}
		for _, a := range actions {
			switch {
			case a.Kind == NoAction:
				fault("an Action is empty: it is made by Command, TxFunc, DBFunc or Replay")
			case a.Kind == Command && strings.Contains(a.SQL, "\x00"):
				fault("its " + side + ": " + withNUL)
			case a.Kind == Function && a.Tx == nil && a.DB == nil:
				fault("its function is nil")
			case a.Kind == Replay:
				if err := replayFault(side, d.Version, a.Replay, known); err != nil {
					faults = append(faults, d.fault(err))
				}
			}
		}
	}
	return faults
}

// migration makes a migration of a definition without faults. SQL goes to the files, functions to goose's Go migrations. A
// Down of another kind than the Up is kept apart.
func (d Defined) migration(files *envfs.Overlay, of dialect.Dialect) Migration {
	m := Migration{Version: d.Version, Source: d.Source, defined: true}
	up, down := d.Up[0], Action{}
	if len(d.Down) > 0 {
		down = d.Down[0]
	}
	together := down.Kind == NoAction || down.Kind == up.Kind && up.Kind != Replay
	if !together {
		m.down = &down
	}
	switch up.Kind {
	case Function:
		m.Go = goose.NewGoMigration(d.Version, up.goFunc(), down.goFunc())
		return m
	case Replay:
		m.upReplay = up.Replay // its file is made when all migrations are known
		return m
	}
	text := envfs.Text{Up: envfs.Sendable(files.Quoting, up.SQL)}
	m.written = up.SQL
	if together && down.Kind == Command {
		text.Down = envfs.Sendable(files.Quoting, down.SQL)
		m.written += "\n-- +goose Down\n" + down.SQL
	}
	text.NoTransaction = slices.ContainsFunc(slices.Concat(text.Up, text.Down), alone(of))
	files.Add(d.Version, func() (envfs.Text, error) { return text, nil })
	return m
}

// collectDefinitions adds the SQL of the definitions to the files.
func (c *Config) collectDefinitions(files *envfs.Overlay) (list []Migration, faults []*Fault) {
	for _, definitions := range c.Definitions {
		if definitions.Namespace != "" && c.Namespaces == nil {
			faults = append(faults, mergeFault("WithDefinitions: their Namespace is %q, and there are none (WithNamespaces)", definitions.Namespace))
		}
		sorted, wrong := sorted(definitions.List, func(int64) bool { return true }) // for now
		faults = append(faults, wrong...)
		for _, d := range sorted {
			if len(wrong) == 0 {
				list = append(list, d.migration(files, c.Dialect))
			} else { // its version may be claimed twice as well
				list = append(list, Migration{Version: d.Version, Source: d.Source, defined: true})
			}
		}
	}
	return list, faults
}

// defined says whether there is any definition: an empty list is probably a forgotten import.
func (c *Config) defined() bool {
	return slices.ContainsFunc(c.Definitions, func(d Definitions) bool { return len(d.List) > 0 })
}
