package gooseplus

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/inside"
)

// Inside is for package gooseplustest, which has to know of which migrations a database was made. It is no part of the API:
// it may change in any release.
func (m *Migrator) Inside() inside.View[*Migrator] {
	return inside.View[*Migrator]{
		Set: m.inside,
		Open: func(ctx context.Context) (*sql.DB, func(), error) {
			_, db, done, err := m.openAny(ctx)
			return db.pool, done, err
		},
		On: func(db *sql.DB) *Migrator {
			moved := *m
			moved.db, moved.own = db, nil
			return &moved
		},
	}
}

func (m *Migrator) inside() (inside.Set, error) {
	known, err := m.resolve()
	if err != nil {
		return inside.Set{}, err
	}
	o := &m.options
	set := inside.Set{
		Dialect: known.dialect.Goose, Schema: known.schema,
		Settings: fmt.Sprintf("%q %q %q %v %q %q %v %v %v %q %q", known.dialect.Goose, o.basePath, o.environments, o.bound, o.schema,
			known.table.Name(), o.globalLock, o.rollback, o.namespaced, o.namespaces, o.namespace),
	}
	if known.state != nil {
		set.Tables = known.state.Tables()
		if name, err := known.dialect.ParseName(known.table.Name()); err != nil {
			return inside.Set{}, err
		} else if known.schema == "" {
			set.TablesIn = name.Schema
		}
	}
	for _, part := range known.all() {
		if known.state != nil && part.namespace != "" {
			name, err := known.dialect.ParseName(part.table.Name())
			if err != nil {
				return inside.Set{}, err
			}
			set.Tables = append(set.Tables, name.Table)
		}
		list, err := part.shown()
		if err != nil {
			return inside.Set{}, part.named(err)
		}
		if known.parts != nil {
			for i := range list {
				list[i].Namespace = part.namespace
			}
		}
		set.Migrations = append(set.Migrations, list...)
	}
	return set, nil
}

// shown are the migrations of one sequence.
func (ms *migrations) shown() (list []inside.Migration, err error) {
	texts, err := ms.texts()
	if err != nil {
		return nil, err
	}
	for _, one := range ms.list {
		text, isFile := texts[one.version]
		if !isFile && one.goFuncs == nil {
			return nil, fmt.Errorf("migration %s has neither a text nor a function", ref(one.version, one.source))
		}
		list = append(list, inside.Migration{Version: one.version, Source: one.source, Text: text, Files: one.compiledIn()})
	}
	return list, nil
}

// texts are what goose reads, by version.
func (ms *migrations) texts() (map[int64]string, error) {
	texts := make(map[int64]string)
	if ms.files == nil {
		return texts, nil
	}
	entries, err := ms.files.ReadDir(".")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		version, err := goose.NumericComponent(e.Name())
		if err != nil {
			return nil, err
		}
		text, err := fs.ReadFile(ms.files, e.Name())
		if err != nil {
			return nil, err
		}
		texts[version] = string(text)
	}
	return texts, nil
}

// compiledIn returns the files of a migration's functions, as far as they are known.
func (m migration) compiledIn() (files []string) {
	var functions []any
	if g := m.goFuncs; g != nil {
		functions = append(functions, g.UpFnContext, g.UpFnNoTxContext, g.DownFnContext, g.DownFnNoTxContext)
		if filepath.IsAbs(g.Source) {
			files = append(files, g.Source)
		}
	}
	if m.down != nil {
		functions = append(functions, m.down.tx, m.down.db)
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
