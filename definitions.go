package gooseplus

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"github.com/gooseplus/gooseplus/internal/envfs"
	"github.com/gooseplus/gooseplus/internal/migset"
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
	// Namespace is the namespace of the definitions. It is needed with several namespaces ([WithNamespaces]), and
	// must be set before the first use of a Migrator.
	Namespace string

	mu   sync.Mutex
	list []*Definition // guarded by mu, and so is what is in it
}

// A Definition is one migration of [Definitions].
type Definition struct {
	of      *Definitions
	defined migset.Defined
}

// Define adds a migration. Nothing is checked yet: see [Definitions.Err]. Its source, as in
// [MigrationStatus], is the place of this call, with the last folder of its path: migrations/schema.go:12.
func (d *Definitions) Define(version int64) *Definition {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := &Definition{d, migset.Defined{Version: version, Source: place(runtime.Caller(1))}}
	d.list = append(d.list, m)
	return m
}

// place shortens the position of a call: the rest of the path belongs to the machine that compiled it.
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
	m.defined.Up = append(m.defined.Up, a.action)
	return m
}

// DownAction says what undoes the migration. Without one it can't be undone ([ErrIrreversible]); two are a
// fault.
func (m *Definition) DownAction(a Action) *Definition {
	m.of.mu.Lock()
	defer m.of.mu.Unlock()
	m.defined.Down = append(m.defined.Down, a.action)
	return m
}

// An Action is what a [Definition] does in one direction: a [Command], a [TxFunc], a [DBFunc], or the
// [Replay] of another version.
type Action struct{ action migset.Action }

// Command executes SQL in the transaction of the migration, as one piece: functions with semicolons need
// no annotations. Several statements at once are sent as they are. PostgreSQL and SQLite take that;
// go-sql-driver/mysql does only with multiStatements=true in the DSN, and returns the server's syntax
// error otherwise. A single statement that the database refuses in a transaction, such as CREATE INDEX CONCURRENTLY or
// VACUUM, is executed outside one.
func Command(sql string) Action { return Action{migset.Action{Kind: migset.Command, SQL: sql}} }

// TxFunc calls a Go function with the transaction of the migration, which it must not end.
func TxFunc(fn func(context.Context, *sql.Tx) error) Action {
	return Action{migset.Action{Kind: migset.Function, Tx: fn}}
}

// DBFunc calls a Go function outside a transaction, with a pool of the run's own: what it does can be left half-done.
// The pool lends it the run's connection, and more connections of the application's pool. Settings that the function makes
// there end with it.
func DBFunc(fn func(context.Context, *sql.DB) error) Action {
	return Action{migset.Action{Kind: migset.Function, DB: fn}}
}

// Replay executes the Up of a lower version, in a transaction if that Up runs in one. With it the Down of
// a view's second version creates the first version of the view again. The lower version can be a definition, a file, a
// pair of files, or a Go migration, and may be a Replay itself. In an SQL file, a Down that has nothing but the line
//
//	-- +gooseplus Replay 3
//
// does the same; comments may stand around it.
func Replay(version int64) Action { return Action{migset.Action{Kind: migset.Replay, Replay: version}} }

// Err returns every fault of the definitions, joined, each as a [*DefinitionError]: versions that are defined twice,
// with both places, or that are below 1; an Up that is missing or blank; an Up or a Down that is set twice; a
// Replay of an unknown version, of a later one, or of itself. A version that only a file has counts as unknown here;
// [Migrator.Err] knows the files too.
func (d *Definitions) Err() error {
	var faults []error
	for _, f := range migset.Check(d.frozen()) {
		faults = append(faults, definitionError(f))
	}
	return errors.Join(faults...)
}

// frozen are the definitions as they are now.
func (d *Definitions) frozen() (list []migset.Defined) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range d.list {
		frozen := m.defined
		frozen.Up, frozen.Down = slices.Clone(frozen.Up), slices.Clone(frozen.Down)
		list = append(list, frozen)
	}
	return list
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

func definitionError(f *migset.Fault) error {
	return &DefinitionError{Version: f.Version, Source: f.Source, Err: f.Err}
}

// WithDefinitions adds migrations that are defined in Go. They are merged, by version, with the migrations of the
// folders and are part of every run whatever its environments; alone they need no folder. They are read
// once, by the first call that needs them: later definitions are ignored. A fault of the definitions
// ([Definitions.Err]) is a configuration fault, [ErrMergeMigrations], as is a version that is taken
// already, and a Replay of a version that is neither defined nor in one of the folders.
//
// There are none by default.
func WithDefinitions(d *Definitions) Option {
	return optionFunc(func(o *options) {
		if d == nil || !slices.Contains(o.definitions, d) {
			o.definitions = append(o.definitions[:len(o.definitions):len(o.definitions)], d)
		}
	})
}
