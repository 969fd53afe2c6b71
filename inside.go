package gooseplus

import (
	"context"
	"database/sql"
	"fmt"

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
	o, whole := &m.options, known.whole
	set := inside.Set{
		Dialect: whole.dialect.Goose, Schema: whole.schema,
		Settings: fmt.Sprintf("%q %q %q %v %q %q %v %v %v %q %q", whole.dialect.Goose, o.basePath, o.environments, o.bound, o.schema,
			whole.table.Name(), o.globalLock, o.rollback, o.namespaces != nil, o.namespaces, o.namespace),
	}
	if whole.state != nil {
		set.Tables = whole.state.Tables()
		if name, err := whole.dialect.ParseName(whole.table.Name()); err != nil {
			return inside.Set{}, err
		} else if whole.schema == "" {
			set.TablesIn = name.Schema
		}
	}
	for _, part := range known.parts {
		if whole.state != nil && part.set.Namespace != "" {
			name, err := whole.dialect.ParseName(part.table.Name())
			if err != nil {
				return inside.Set{}, err
			}
			set.Tables = append(set.Tables, name.Table)
		}
		list, err := part.set.Show()
		if err != nil {
			return inside.Set{}, part.named(err)
		}
		if !known.several() {
			for i := range list {
				list[i].Namespace = ""
			}
		}
		set.Migrations = append(set.Migrations, list...)
	}
	return set, nil
}
