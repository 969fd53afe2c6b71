package dialect

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"

	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// Object is a table, a column of one, or something else that can be removed.
type Object struct {
	Kind   string // as sqltext calls it, "" for a table
	Name          // a schema or an extension is in no schema
	Column string // of a table, "" for the whole of it
}

// String names the object, for errors.
func (o Object) String() string {
	name := o.Table
	if o.Schema != "" {
		name = o.Schema + "." + name
	}
	if o.Column != "" {
		return fmt.Sprintf("column %q of %q", o.Column, name)
	}
	return fmt.Sprintf("%s %q", cmp.Or(o.Kind, "table"), name)
}

// In are the places in which an object can be whose name has no schema, if these are looked through.
func (o Object) In(path []string) (list []Object) {
	if o.Schema != "" || len(path) == 0 || o.Kind == sqltext.Schema || o.Kind == sqltext.Extension {
		return []Object{o}
	}
	for _, schema := range path {
		at := o
		at.Schema = schema
		list = append(list, at)
	}
	return list
}

// Removed is the object that a statement removes. On MySQL a database is a schema.
func (d Dialect) Removed(r sqltext.Removal) (o Object, err error) {
	if o.Name, err = d.ParseName(d.tidy(r.Name)); err != nil {
		return o, err
	}
	o.Kind = r.Kind
	if d.OneWriter() && strings.EqualFold(o.Schema, "main") {
		o.Schema = ""
	}
	if r.Column != "" {
		column, err := d.ParseName(d.tidy(r.Column))
		o.Column = column.Table
		return o, err
	}
	return o, nil
}

// tidy is a name of a statement as ParseName takes it: without spaces around the dots, and in the dialect's own quotes.
func (d Dialect) tidy(name string) string {
	parts := nameParts.FindAllString(name, -1)
	for i, part := range parts {
		switch inner := part[1:max(1, len(part)-1)]; {
		case d.OneWriter() && part[0] == '`', d.OneWriter() && part[0] == '[':
			parts[i] = Quoted(inner)
		case d.Schemas() && !d.SearchPaths() && '0' <= part[0] && part[0] <= '9':
			parts[i] = QuotedMySQL(part)
		}
	}
	return strings.Join(parts, ".")
}

var nameParts = regexp.MustCompile(`"(?:[^"]|"")+"|` + "`(?:[^`]|``)+`" + `|\[[^\]]+\]|[^\s."` + "`" + `\[\]]+`)
