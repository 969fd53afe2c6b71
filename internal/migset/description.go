package migset

import (
	"cmp"
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"

	"github.com/pressly/goose/v3"
)

// Description is what decides how a database looks after a run.
type Description struct {
	Dialect goose.Dialect
	Schema  string // that the run is bound to, "" if it is to none
	// Tables are the names of the version tables, of the state table and of its parts, without their schema.
	Tables []string
	// TablesIn is the schema that the option for the version table names, "" if it names none.
	TablesIn string
	// Settings are the other options as text, for comparison only.
	Settings string
	// Migrations are ascending by version in each namespace; the namespaces are in their order.
	Migrations []Shown
	// OwnDatabase is true for a tenant that opens its own database.
	OwnDatabase bool
}

// Home is the schema that has to exist before the migrations run, "" for none.
func (d Description) Home() string { return cmp.Or(d.Schema, d.TablesIn) }

// Shown is all that makes a migration what it is, for whoever has to notice that it changed.
type Shown struct {
	// Namespace is "" unless the Migrator is for several.
	Namespace string
	Version   int64
	Source    string
	// Text is what goose reads of it, "" for a Go migration.
	Text string
	// Files are those that a Go migration's functions were compiled in, as the compiler names them. They need not exist here.
	Files []string
}

// Show returns the migrations of the set, with their texts.
func (s *Set) Show() (list []Shown, err error) {
	texts, err := s.texts()
	if err != nil {
		return nil, err
	}
	for _, m := range s.List {
		text, isFile := texts[m.Version]
		if !isFile && m.Go == nil {
			return nil, fmt.Errorf("migration %s has neither a text nor a function", m)
		}
		list = append(list, Shown{Namespace: s.Namespace, Version: m.Version, Source: m.Source, Text: text, Files: m.compiledIn()})
	}
	return list, nil
}

// texts are what goose reads, by version.
func (s *Set) texts() (map[int64]string, error) {
	texts := make(map[int64]string)
	entries, err := s.Files.ReadDir(".")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		version, err := goose.NumericComponent(e.Name())
		if err != nil {
			return nil, err
		}
		text, err := fs.ReadFile(s.Files, e.Name())
		if err != nil {
			return nil, err
		}
		texts[version] = string(text)
	}
	return texts, nil
}

// compiledIn returns the files of a migration's functions, as far as they are known.
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
