package gooseplus

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/envfs"
)

// Definitions are migrations that are written in Go, used through [WithDefinitions]. The zero value is
// ready. Several goroutines may use it at once, as may the init functions and the variables of several
// files: the order in which versions are defined doesn't matter.
//
//	var schema gooseplus.Definitions
//
//	func init() {
//		schema.Define(1).Up(`CREATE TABLE cities (name TEXT)`).Down(`DROP TABLE cities`)
//	}
type Definitions struct {
	// Namespace is the one that they belong to. It is needed with several namespaces ([WithNamespaces]), and
	// must be set before the first use of a Migrator.
	Namespace string

	mu   sync.Mutex
	list []*Definition // guarded by mu, and so is what is in it
}

// A Definition is one migration of [Definitions].
type Definition struct {
	of       *Definitions
	version  int64
	source   string
	up, down []Action // more than one is a fault
}

// Define adds a migration. Nothing is checked yet: see [Definitions.Err]. Its source, as in
// [MigrationStatus], is the place of this call, with the last folder of its path: migrations/schema.go:12.
func (d *Definitions) Define(version int64) *Definition {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := &Definition{of: d, version: version, source: place(runtime.Caller(1))}
	d.list = append(d.list, m)
	return m
}

// place shortens the position of a call: the rest of the path is that of the machine that compiled it.
func place(_ uintptr, file string, line int, ok bool) string {
	if !ok {
		return "a Definition"
	}
	file = filepath.ToSlash(file)
	return fmt.Sprintf("%s:%d", path.Join(path.Base(path.Dir(file)), path.Base(file)), line)
}

// Up is UpAction of [Command].
func (m *Definition) Up(sql string) *Definition { return m.UpAction(Command(sql)) }

// Down is DownAction of [Command].
func (m *Definition) Down(sql string) *Definition { return m.DownAction(Command(sql)) }

// UpAction says what applies the migration. Every migration needs one, and only one.
func (m *Definition) UpAction(a Action) *Definition {
	m.of.mu.Lock()
	defer m.of.mu.Unlock()
	m.up = append(m.up, a)
	return m
}

// DownAction says what undoes the migration. Without one it can't be undone ([ErrIrreversible]); two are a
// fault.
func (m *Definition) DownAction(a Action) *Definition {
	m.of.mu.Lock()
	defer m.of.mu.Unlock()
	m.down = append(m.down, a)
	return m
}

// An Action is what a [Definition] does in one direction: a [Command], a [TxFunc], a [DBFunc], or the
// [Replay] of another version.
type Action struct {
	kind   actionKind
	sql    string
	tx     goose.GoMigrationContext
	db     goose.GoMigrationNoTxContext
	replay int64
}

type actionKind int

const (
	noAction actionKind = iota
	command
	function
	replay
)

// Command executes SQL in the transaction of the migration, as one piece: functions with semicolons need
// no annotations. Several statements at once are sent as they are. PostgreSQL and SQLite take that;
// go-sql-driver/mysql does only with multiStatements=true in the DSN, and returns the server's syntax
// error otherwise. A single statement that the database refuses in a transaction, such as CREATE INDEX CONCURRENTLY or
// VACUUM, is executed outside one.
func Command(sql string) Action { return Action{kind: command, sql: sql} }

// TxFunc calls a Go function with the transaction of the migration, which it must not end.
func TxFunc(fn func(context.Context, *sql.Tx) error) Action { return Action{kind: function, tx: fn} }

// DBFunc calls a Go function outside a transaction, with a pool of the run's own: what it does can be left half-done.
// That lends it the run's connection, and more if the application's pool has them; what it sets there ends with it.
func DBFunc(fn func(context.Context, *sql.DB) error) Action { return Action{kind: function, db: fn} }

// Replay executes the Up of a lower version, in a transaction or not as that is: the Down of
// a view's second version creates the first one again, and so can the Up of its third. The other version can be a definition, a file, a
// pair of files, or a Go migration, and may be a Replay itself. In an SQL file, a Down that is nothing but the line
//
//	-- +gooseplus Replay 3
//
// does the same; comments may stand around it.
func Replay(version int64) Action { return Action{kind: replay, replay: version} }

// fault is what is wrong with an action in itself.
func (a Action) fault() error {
	switch {
	case a.kind == noAction:
		return errors.New("an Action is empty: it is made by Command, TxFunc, DBFunc or Replay")
	case a.kind == function && a.tx == nil && a.db == nil:
		return errors.New("its function is nil")
	}
	return nil
}

// goFunc is the action as goose has it, nil if it is no function.
func (a Action) goFunc() *goose.GoFunc {
	if a.kind != function {
		return nil
	}
	return &goose.GoFunc{RunTx: a.tx, RunDB: a.db}
}

// Err returns every fault of the definitions, joined, each as a [*DefinitionError]: versions that are defined twice,
// with both places, or that are below 1; an Up that is missing or blank; an Up or a Down that is set twice; a
// Replay of an unknown version, of a later one, or of itself. An unknown version here is one that isn't
// defined: that it is one of a file is known to a Migrator only, see [Migrator.Err].
func (d *Definitions) Err() error {
	list, faults := d.check()
	for i, m := range list {
		if i > 0 && list[i-1].version == m.version {
			faults = append(faults, m.fault(&envfs.DuplicateError{Version: m.version, Paths: [2]string{list[i-1].source, m.source}}))
		}
		for _, side := range m.sides() {
			defined := func(other Definition) bool { return other.version == side.replay }
			if side.kind == replay && !slices.ContainsFunc(list, defined) {
				faults = append(faults, m.fault(unknownReplay(side.name, side.replay)))
			}
		}
	}
	return errors.Join(faults...)
}

// check returns the definitions as they are now, by version, and what is wrong with each.
func (d *Definitions) check() (list []Definition, faults []error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range d.list {
		frozen := Definition{version: m.version, source: m.source, up: slices.Clone(m.up), down: slices.Clone(m.down)}
		list = append(list, frozen)
		faults = append(faults, frozen.faults()...)
	}
	slices.SortStableFunc(list, func(a, b Definition) int { return cmp.Compare(a.version, b.version) })
	return list, faults
}

// DefinitionError is a fault of one [Definition]. errors.As finds it in what [Definitions.Err] and [Migrator.Err] return,
// which join several.
type DefinitionError struct {
	Version int64
	Source  string // the place of its Define, as in [MigrationStatus]
	Err     error  // what is wrong with it
}

// Error is one line.
func (e *DefinitionError) Error() string {
	var twice *envfs.DuplicateError
	if errors.As(e.Err, &twice) { // which names the places
		return e.Err.Error()
	}
	return fmt.Sprintf("version %d (%s): %s", e.Version, e.Source, e.Err)
}

// Unwrap returns Err.
func (e *DefinitionError) Unwrap() error { return e.Err }

func (m *Definition) fault(err error) error {
	return &DefinitionError{Version: m.version, Source: m.source, Err: err}
}

// side is one direction of a definition.
type side struct {
	name string
	Action
}

// sides are the directions, one more than once if it is set twice.
func (m *Definition) sides() (list []side) {
	for _, a := range m.up {
		list = append(list, side{"Up", a})
	}
	for _, a := range m.down {
		list = append(list, side{"Down", a})
	}
	return list
}

func (m *Definition) faults() (faults []error) {
	fault := func(text string) { faults = append(faults, m.fault(errors.New(text))) }
	if m.version < 1 {
		fault("the lowest version is 1")
	}
	if len(m.up) == 0 || len(m.up) == 1 && m.up[0].kind == command && strings.TrimSpace(m.up[0].sql) == "" {
		fault("it has no Up")
	}
	if len(m.up) > 1 {
		fault("its Up is set twice")
	}
	if len(m.down) > 1 {
		fault("its Down is set twice")
	}
	for _, a := range slices.Concat(m.up, m.down) {
		if err := a.fault(); err != nil {
			faults = append(faults, m.fault(err))
		}
	}
	for _, side := range m.sides() {
		if err := misplacedReplay(side.name, m.version, side.replay); side.kind == replay && err != nil {
			faults = append(faults, m.fault(err))
		}
	}
	return faults
}

// downAction is the Down, noAction if there is none.
func (m *Definition) downAction() Action {
	if len(m.down) == 0 {
		return Action{}
	}
	return m.down[0]
}

// migration is a definition without faults, as the Migrator knows it. What of it is SQL goes to the files,
// and what is not to goose's Go migrations; a Down that is not of the same sort as the Up is apart.
func (m *Definition) migration(files *envfs.Overlay, alone func(sql string) bool) migration {
	known := migration{version: m.version, source: m.source, defined: true}
	up, down := m.up[0], m.downAction()
	together := down.kind == noAction || down.kind == up.kind && up.kind != replay
	if !together {
		known.down = &down
	}
	if up.kind == function {
		known.goFuncs = goose.NewGoMigration(m.version, up.goFunc(), down.goFunc())
		return known
	}
	if up.kind == replay {
		known.upReplay = up.replay // its files are made when all migrations are known
		return known
	}
	text := envfs.Text{Version: m.version, Up: []string{up.sql}}
	if together && down.kind == command {
		text.Down = []string{down.sql}
	}
	text.NoTransaction = slices.ContainsFunc(slices.Concat(text.Up, text.Down), alone)
	files.Add(text)
	return known
}

var errNilDefinitions = errors.New("WithDefinitions: it is nil")

// collectDefinitions takes over the definitions, once.
func (o *options) collectDefinitions(files *envfs.Overlay, alone func(sql string) bool) (list []migration, err error) {
	var faults []error
	for _, d := range o.definitions {
		if d == nil {
			faults = append(faults, errNilDefinitions)
			continue
		}
		if d.Namespace != "" && !o.namespaced {
			faults = append(faults, fmt.Errorf("WithDefinitions: their Namespace is %q, and there are none (WithNamespaces)", d.Namespace))
		}
		defined, wrong := d.check()
		faults = append(faults, wrong...)
		for _, m := range defined {
			if len(wrong) == 0 {
				list = append(list, m.migration(files, alone))
			} else { // for what else claims its version
				list = append(list, migration{version: m.version, source: m.source, defined: true})
			}
		}
	}
	return list, errors.Join(faults...)
}

// defined says whether there is a definition at all: an empty set is rather a forgotten import.
func (o *options) defined() bool {
	return slices.ContainsFunc(o.definitions, func(d *Definitions) bool {
		if d == nil {
			return false
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		return len(d.list) > 0
	})
}
