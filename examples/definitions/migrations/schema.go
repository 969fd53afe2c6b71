// Package migrations is the schema, defined in Go.
package migrations

import "github.com/gooseplus/gooseplus"

// Schema collects what the files of this package define, in whatever order they do.
var Schema gooseplus.Definitions

func init() {
	Schema.Define(1).
		Up(`CREATE TABLE country (code TEXT PRIMARY KEY, name TEXT NOT NULL)`).
		Down(`DROP TABLE country`)
	Schema.Define(2).
		Up(`CREATE TABLE city (name TEXT PRIMARY KEY, country TEXT NOT NULL REFERENCES country (code), population INTEGER NOT NULL)`).
		Down(`DROP TABLE city`)
}
