package dialect

import (
	"fmt"

	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// Object is a table, a column of one, or a schema: a Name without a table.
type Object struct {
	Name
	Column string // "" for the whole table
}

// String names the object, for errors.
func (o Object) String() string {
	table := o.Table
	if o.Schema != "" {
		table = o.Schema + "." + table
	}
	switch {
	case o.Table == "":
		return fmt.Sprintf("schema %q", o.Schema)
	case o.Column != "":
		return fmt.Sprintf("column %q of %q", o.Column, table)
	}
	return fmt.Sprintf("table %q", table)
}

// Removed is the object that a statement removes. On MySQL a database is a schema.
func (d Dialect) Removed(r sqltext.Removal) (o Object, err error) {
	if o.Name, err = d.ParseName(r.Name); err != nil {
		return o, err
	}
	if r.Schema {
		o.Name = Name{Schema: o.Table}
	}
	if r.Column != "" {
		column, err := d.ParseName(r.Column)
		o.Column = column.Table
		return o, err
	}
	return o, nil
}
