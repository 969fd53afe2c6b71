package migset

import (
	"cmp"
	"io/fs"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"

	"github.com/pressly/goose/v3"
)

// Description has everything that decides how a database looks after a run.
type Description struct {
	Dialect goose.Dialect
	Schema  string // the run is bound to it; "" if it is bound to none
	// Tables are the names of the version tables, the state table and its parts, without their schema.
	Tables []string
	// TablesIn is the schema in WithVersionTable, "" if there is none.
	TablesIn string
	// Settings are the other options as text, for comparison only.
	Settings string
	// Migrations are ascending by version in each namespace; the namespaces are in their order.
	Migrations []Shown
	// OwnDatabase is true for a tenant that opens its own database.
	OwnDatabase bool
	// FS and BasePath are where the migrations are.
	FS       fs.FS
	BasePath string
	// Folders are the paths of the folders in FS that the migrations of the last namespace are in, in the order of the
	// environments.
	Folders []Folder
	// Warnings are those that a run sends before it looks at the database. They are by namespace, "" for those of no
	// namespace, and complete even if a file can't be read.
	Warnings []Warned
}

// Warned is a warning about the folders of a namespace.
type Warned struct{ Namespace, Text string }

// Folder is the folder of an environment, which may not exist.
type Folder struct{ Environment, Path string }

// Home is the schema that has to exist before the migrations run, "" for none.
func (d Description) Home() string { return cmp.Or(d.Schema, d.TablesIn) }

// Shown is all that identifies a migration. If it changed, so did the migration.
type Shown struct {
	// Namespace is "" unless the Migrator is for several.
	Namespace string
	Version   int64
	Source    string
	// Text is the text that goose reads, "" for a Go migration.
	Text string
	// Files are the source files of a Go migration's functions, as the compiler names them. They need not exist here.
	Files []string
	// Covered is what a checkpoint says of the migration.
	Covered Covered
}

// Show returns the migrations of the set, with their texts.
func (s *Set) Show() (list []Shown, err error) {
	texts, err := s.Files.All()
	if err != nil {
		return nil, err
	}
	for _, m := range s.List {
		sum, err := s.Sum(m.Version)
		if err != nil {
			return nil, err
		}
		source := m.Source
		if filepath.IsAbs(source) { // on the machine that compiled it
			source = filepath.Base(source)
		}
		list = append(list, Shown{
			Namespace: s.Namespace, Version: m.Version, Source: m.Source, Text: texts[m.Version], Files: m.compiledIn(),
			Covered: Covered{m.Version, sum.Sum, sum.Requires, m.Environment, source},
		})
	}
	return list, nil
}

// compiledIn returns the source files of a migration's functions that are known.
func (m Migration) compiledIn() (files []string) {
	var functions []any
	if m.Go != nil {
		functions = append(functions, m.Go.UpFnContext, m.Go.UpFnNoTxContext, m.Go.DownFnContext, m.Go.DownFnNoTxContext)
		if filepath.IsAbs(m.Go.Source) {
			files = append(files, m.Go.Source)
		}
	}
	if m.down != nil {
		functions = append(functions, m.down.Tx, m.down.DB)
	}
	for _, fn := range functions {
		v := reflect.ValueOf(fn)
		if v.Kind() != reflect.Func || v.IsNil() {
			continue
		}
		if code := runtime.FuncForPC(v.Pointer()); code != nil {
			file, _ := code.FileLine(v.Pointer())
			if !slices.Contains(files, file) {
				files = append(files, file)
			}
		}
	}
	return files
}

// CompiledIn returns the source files of a version's functions, none if its Up is SQL.
func (s *Set) CompiledIn(version int64) []string {
	m, _ := s.Find(version)
	if m.Go == nil {
		return nil
	}
	return m.compiledIn()
}
