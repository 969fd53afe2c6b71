package gooseplus

import (
	"fmt"
	"slices"

	"github.com/gooseplus/gooseplus/internal/migset"
)

// Describe is for package gooseplustest, which has to know of which migrations a database was made. It is no part of the
// API: it may change in any release.
func (m *Migrator) Describe() (d migset.Description, err error) {
	ts, err := m.resolve()
	if err != nil {
		return d, err
	}
	o, whole := &m.options, ts.whole
	d = migset.Description{
		Dialect: whole.dialect.Goose, Schema: whole.schema, OwnDatabase: m.own != nil,
		Settings: fmt.Sprintf("%q %q %q %v %q %q %v %v %v %q %q %q %q", whole.dialect.Goose, o.basePath, o.environments, o.bound, o.schema,
			whole.table.Name(), o.globalLock, o.rollback, o.namespaces != nil, o.namespaces, o.namespace, o.searchPath, o.asRole()),
	}
	d.FS, d.BasePath = o.fsys, o.basePath
	if whole.state != nil {
		d.Tables = whole.state.Tables()
	}
	for _, w := range ts.warnings {
		d.Warnings = append(d.Warnings, migset.Warned{Text: w})
	}
	for _, part := range ts.parts {
		for _, w := range part.set.Warnings {
			d.Warnings = append(d.Warnings, migset.Warned{Namespace: part.set.Namespace, Text: w})
		}
	}
	for _, part := range ts.parts {
		d.Folders = nil
		for _, environment := range append([]string{""}, o.environments...) { // "" is a namespace without folders in it
			if folder, ok := part.set.Files.Folders[environment]; ok && !slices.Contains(d.Folders, migset.Folder{Environment: environment, Path: folder}) {
				d.Folders = append(d.Folders, migset.Folder{Environment: environment, Path: folder})
			}
		}
		list, err := part.set.Show()
		if err != nil {
			return d, part.named(err)
		}
		for i := range list {
			if !ts.several() {
				list[i].Namespace = ""
			}
		}
		d.Migrations = append(d.Migrations, list...)
		if whole.state == nil {
			continue
		}
		name, err := whole.dialect.ParseName(part.table.Name())
		if err != nil {
			return d, err
		}
		if whole.schema == "" {
			d.TablesIn = name.Schema
		}
		if part.set.Namespace != "" {
			d.Tables = append(d.Tables, name.Table)
		}
	}
	return d, nil
}
