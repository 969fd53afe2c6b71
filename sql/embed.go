// Package schema is a small real schema of a shop, as goose SQL files: customers, orders and order
// items, and their settings. The examples and the tests of gooseplus use it.
//
// The files are portable across PostgreSQL, MariaDB (MySQL) and SQLite, and each has a Down that
// undoes it. There are three environments:
//
//   - base: the tables, for every database;
//   - production: settings of the live shop;
//   - test: settings of a sandbox, and customers and orders to test with.
//
// Versions are timestamps, and those of production and test lie between those of base.
package schema

import "embed"

// FS has the environment folders at its root:
//
//	gooseplus.New(db,
//		gooseplus.WithFS(schema.FS),
//		gooseplus.WithBasePath("."),
//		gooseplus.WithEnvironments("production"))
//
//go:embed base production test
var FS embed.FS
