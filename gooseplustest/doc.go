// Package gooseplustest gives each test a database of its own that is migrated and ready, in milliseconds.
//
//	func TestLend(t *testing.T) {
//		t.Parallel()
//		db := gooseplustest.Postgres(t, gooseplustest.Server(t), gooseplus.WithFS(files))
//		…
//	}
//
// The environments base and test are applied: rows that only tests want are migrations in sql/test. An application passes
// the same options as when it boots. A project without such a folder needs nothing; where test would be a near miss of
// another folder's name, gooseplus.SetEnvironments says which ones are meant. Nothing has to be called from TestMain; a
// TestMain that calls [Run] has the databases made in advance.
//
// # Templates
//
// On PostgreSQL the migrations run once, into a template, which is copied for each test with CREATE DATABASE … TEMPLATE.
// A template belongs to what it was made of: the text of all migrations, with the variables of the environment that goose
// puts into it, the environments, the options that matter (dialect, base path, namespaces, schema, version table, lock,
// strategy), the server's version, the user, and the settings of his sessions, such as a search_path or a TimeZone in the
// DSN. Of a migration in Go it is the version, the Go files of the folder that it was compiled in without its tests, and the
// files that those embed; with -trimpath, or away from the sources, the whole program, so that each package has a template of
// its own. Nobody sees the rest: what a function calls in other packages, the variables that a closure has, values of a
// context (the migrations of a template have none). A set that depends on such a thing should say so in a version or in a
// text. A template is made from template0, so that nothing of the machine is in it, but for the schema that WithSchema or
// WithVersionTable names.
//
// All tests of all packages share it, at the same time or one after the other. If several processes want one that isn't
// there, one makes it and the others wait. It gets its name when it is whole; what a killed process left half-made
// has another one, is never taken for a template, and is removed by the next process. When the migrations change, the
// first process that uses the new template removes the old one, unless another process still works with it. Two sets
// count as old and new if the module, the options and the first version are the same, the names of at least half of all their
// migrations, and one migration as a whole; so several services of one module, whose files are numbered from 1, keep theirs.
// A template that nobody has used for a week is removed by the next process that tests the same module.
//
// A copy has the settings that migrations gave the database with ALTER DATABASE … SET. It does not have what they granted
// on the database itself, which PostgreSQL does not copy.
//
// The files are copied (STRATEGY = FILE_COPY) where that is faster: on a server from PostgreSQL 15 on that does not sync to
// disk, or whose file system can share the blocks. Otherwise it is the server's default.
//
// # What is left behind
//
// Nothing but the templates, if the tests have passed. With [Run] that is true when all tests are done. The database of a
// failed test is kept for three days, and its DSN is in the test's log; DROP DATABASE removes it sooner, and a template after
// ALTER DATABASE … IS_TEMPLATE false. Databases of a process that was killed, or that ended in a timeout of `go test`, are
// removed by the next process that uses the server: each process holds advisory locks as long as it lives (on MySQL and
// MariaDB GET_LOCK), by which others see that its databases are in use. They need a session, so the DSN must not be that of a
// pooler in transaction mode. SQLite files of a process that was killed stay for three days. The names of all databases begin
// with gpt_. Processes that use one server should name the same database in their DSNs: locks of PostgreSQL belong to a
// database. If they don't, a template may be made twice.
//
// # Connections
//
// For each DSN that its tests name, a process opens at most two connections for the creation and removal of PostgreSQL
// databases, and keeps them until it ends; while it makes templates, two at a time, it has one more for each, and those of
// the migrations. On MySQL and MariaDB it has three, as long as a test has a database. Each test adds what it uses of its
// own pool. There is no goroutine between tests, and no connection but those, unless TestMain calls [Run]: then there is one
// to each database that is made in advance.
//
// If a server has no connection to give, everybody gives back what he doesn't use, but for one, and waits, a minute at most,
// instead of failing. max_connections then decides how many tests go on at once. It has to be more than the number of
// processes that use the server at a time, which is what `go test -p` says.
//
// # Migrations
//
// [Stairway] tests the migrations themselves: it takes each up, down, and up again, and tells what a Down forgot.
//
//	func TestMigrations(t *testing.T) {
//		db := gooseplustest.Postgres(t, gooseplustest.Server(t), opts...)
//		gooseplustest.Stairway(t, gooseplus.New(db, opts...))
//	}
package gooseplustest
