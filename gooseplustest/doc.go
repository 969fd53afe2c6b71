// Package gooseplustest gives each test its own migrated database, in milliseconds.
//
//	func TestLend(t *testing.T) {
//		t.Parallel()
//		db := gooseplustest.Postgres(t, gooseplustest.Server(t), gooseplus.WithFS(files))
//		…
//	}
//
// Pass the options that the application boots with. The environments base and test are applied, so put rows that only tests
// want into migrations in sql/test. A project without that folder needs nothing else, as long as sql/base is there, even
// empty. If the name test resembles the name of another folder, name the environments with gooseplus.SetEnvironments.
//
// No TestMain is needed. A TestMain that calls [Run] has the databases made in advance.
//
// # Servers
//
// [Server] finds or starts a PostgreSQL server, and [MySQL] does the same for MySQL and MariaDB. Where no server can be had,
// the test is skipped and says why. Set GOOSEPLUS_REQUIRE_SERVERS=1 in CI: then the test fails instead. [SQLite] needs no
// server.
//
// # Templates
//
// On PostgreSQL the migrations run once, into a template database. Each test gets a copy of it, made with CREATE DATABASE …
// TEMPLATE. All tests of all packages share the template, at the same time or one after the other. If several processes need
// a template that does not exist yet, one process makes it and the others wait.
//
// A template is used again as long as nothing that it was made from has changed:
//
//   - the text of all migrations, including the values of environment variables that goose substitutes;
//   - the environments, and the options dialect, base path, namespaces, schema, version table, lock and strategy;
//   - the version of the server, the user, and the session settings in the DSN, such as search_path or TimeZone;
//   - for a migration in Go: its version, the Go files in its folder (without tests), and the files that they embed.
//     With -trimpath, or where the sources are missing, it is the whole test program, and each package has its own template.
//
// The kit does not notice other changes: code in other packages that a Go migration calls, variables of a closure, values of
// a context (migrations of a template have none). If a migration depends on one of these, change its version or its text.
//
// A template is made from template0, so it has nothing of your machine in it, and nothing that you have put into template1.
// Only the schema that WithSchema or WithVersionTable names is created first. A migration has to create the schemas of
// WithSearchPath, for example a migration in sql/test.
//
// A template gets its name when it is complete. The kit never copies what a killed process has left half-made; the next
// process removes it. When the migrations change, the first process that uses the new template removes the old one, unless
// another process still uses it. A new template replaces an old one if both have the same module, options and first version,
// at least half of all migration names in common, and one migration that is the same in both. So several services of one
// module keep their templates even if all of them number their files from 1. The next process that tests the same module
// removes a template that nobody has used for a week.
//
// A copy has the settings that migrations gave the database with ALTER DATABASE … SET. It does not have grants on the
// database itself, because PostgreSQL does not copy them.
//
// The server copies files (STRATEGY = FILE_COPY) where that is faster: from PostgreSQL 15 on, if the server does not sync to
// disk or its file system can share blocks. Otherwise it uses its default strategy.
//
// # What stays on the server
//
// When the tests have passed, only the templates stay. With [Run] that is true once all tests are done.
//
// The database of a failed test is kept for three days. Its DSN is in the log of the test, with a masked password. DROP
// DATABASE removes it sooner. To drop a template, run ALTER DATABASE … IS_TEMPLATE false first. The names of all databases
// begin with gpt_.
//
// If a process is killed, or ends in a timeout of go test, the next process that uses the server removes its databases.
// SQLite files of a killed process stay for three days.
//
// Each process holds advisory locks (GET_LOCK on MySQL and MariaDB) as long as it lives. They tell other processes that its
// databases are in use. This has two consequences for the DSN:
//
//   - It must not lead through a pooler in transaction mode, because a lock needs a session.
//   - All processes that use a server should name the same database, because PostgreSQL's locks belong to a database.
//     Otherwise a template may be made twice.
//
// # Connections
//
// For each DSN, a process keeps at most two connections to PostgreSQL until it ends; they create and drop databases. While it
// makes templates, at most two at a time, it has one more for each of them, and those of the migrations. On MySQL and MariaDB
// it has three connections as long as a test has a database. Each test adds the connections of its own pool. With [Run] there
// is also one connection to each database that is made in advance.
//
// The kit leaves no goroutine and no other connection between tests, except with [Run], so tests may look for leaks.
//
// If the server has no free connection, the kit closes the connections that it does not need and waits up to a minute instead
// of failing. max_connections then limits how many tests run at once. It must be higher than the number of processes that use
// the server at the same time, which go test -p limits.
//
// # Testing the migrations
//
// [Stairway] tests the migrations themselves. It takes each one up, down and up again, and reports what a Down forgot:
//
//	func TestMigrations(t *testing.T) {
//		db := gooseplustest.Postgres(t, gooseplustest.Server(t), opts...)
//		gooseplustest.Stairway(t, gooseplus.New(db, opts...))
//	}
//
// [Locks] reports the statements of migrations for which an application would have to wait.
package gooseplustest
