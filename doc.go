// Package gooseplus migrates the database of a Go service when it boots. It is a thin layer over
// github.com/pressly/goose/v3: goose parses and runs the migrations and owns the version table, so goose's own
// commands agree with gooseplus about the same database. gooseplus adds what a boot needs: a failed run returns to its
// starting point, one of many replicas migrates while the others wait, test data stays out of production, and a boot
// with nothing to do costs one statement.
//
//	err := gooseplus.New(db, gooseplus.WithFS(files)).Migrate(ctx)
//
// This page is the contract. The folder docs of the repository has a page for each topic, with commands to paste.
//
// # A run
//
// A run is one call of [Migrator.Migrate], [Migrator.MigrateTo], [Migrator.Rollback], [Migrator.RollbackTo] or
// [Migrator.Goto]. Its stages, in this order:
//
//  1. Resolve. The environment folders are merged and sorted by version. All configuration faults are found here,
//     without the database; [Migrator.Err] returns the same faults.
//  2. Look. One SELECT reads the applied versions and, if there is a state table, whether another run is recorded.
//     If nothing is pending, the run ends here. Nothing was written and nothing was created.
//  3. Hold the lock ([WithGlobalLock]) and create the version table if it is missing.
//  4. Read the starting point, which is the set of applied versions that a failed run returns to, and plan from it. The
//     run is refused before its first step if a file of the plan can't be parsed, a step down has no Down, the database
//     is dirty, a version is protected, or a protected database has not seen an environment.
//  5. Apply. Steps down run first, newest applied first; then the pending migrations, lowest version first. Each runs
//     under the migration timeout, through a goose Provider made for this run. Then the applied versions are read again
//     and compared with the plan. A batch that ends the run ([Migrator.Provision]) does that in its own transaction.
//  6. On failure, go back to the starting point.
//  7. Verify: read the applied versions again and compare them with the starting point.
//  8. Record the outcome, release the lock, tell the observers ([WithObserver]) and the logger, and return.
//
// # How a run ends
//
//	how it ended             what is true                                       errors.Is
//	success                  every planned migration is applied, or undone      nil
//	failed, undone           the same versions are applied as at the start      ErrRollForward
//	failed, not undone       *RollbackError says which version was reached      ErrRollBack
//	                         and why; a migration may be half-applied           ErrRollBack and ErrDirty
//	no Down for a step down  nothing was touched                                ErrIrreversible alone
//	dirty                    nothing was touched                                ErrDirty alone
//	version protected        nothing was touched                                ErrVersionLocked alone
//	environment refused      nothing was touched                                ErrProtectedEnvironment
//	another tool's database  nothing was touched                                ErrForeignHistory
//	edited, unknown, too old nothing was touched                                ErrEdited, ErrUnknownVersion, ErrTooOld
//	lock not obtained        nothing was touched                                ErrLocked
//	lock lost                the run may commit until it notices; the error     ErrLockLost
//	                         is also one of the two above, unless it succeeded
//	table can't be read      nothing was touched                                ErrMigrationTable
//	configuration fault      nothing was touched                                ErrMergeMigrations, for
//	                                                                            the migrations' faults
//	process killed           each transactional step is whole or absent, and the
//	                         next run goes on from there; any other is dirty
//
// The error of a failed migration wraps a [*MigrationError] with the version, the file and the statement. errors.As
// also reaches the driver's error and goose's PartialError. A method that has changed nothing returns within five
// seconds of the end of its context, even if the network is silent. A run that has begun goes back first.
//
// # Undoing a failed run
//
// With [RollbackDown], the default, a failed run undoes exactly the migrations that it applied, newest first. A failed
// run down applies again what it had undone. The way back never goes "down to a version": after late versions that
// would undo too little or too much. It undoes nothing if another process has applied a migration meanwhile.
//
// The way back runs on its own context with its own limit ([WithRollbackTimeout]), so it also runs after a panic, a
// timeout, or the cancellation of the caller's context. If the server can't be reached, it tries for 15 seconds. It ends
// early, with a [*RollbackError], at a migration without a Down ([ErrIrreversible]), at a Down that fails, at a version that
// is protected ([Migrator.LockVersion]), and at a Down that would remove what was there before the run and the Up may have
// kept ([WithForeignHistory]).
//
// A migration outside a transaction can fail half-way. Its own Down runs first then, so write such a Down with IF
// EXISTS. If that Down is missing or fails, the database is dirty. Data that a Down deletes does not come back.
//
// [RollbackNone] stops where the run failed, as goose does. [RollbackTransaction] runs everything in one transaction, on
// PostgreSQL and SQLite. A run that fails or is killed then leaves nothing, whatever its Downs say. It is not the default,
// because locks are held to the end of the run and because some migrations that pass one by one fail in one transaction
// on PostgreSQL: a new enum value can't be used (55P04), ALTER TABLE is refused on a table with pending trigger events
// (55006), and SET LOCAL reaches the later migrations.
//
// # Dirty databases
//
// A step that no transaction makes whole or absent is marked in the state table before it starts. A mark that remains
// means that the step failed and could not be undone, or that its process died: the database is dirty. Every run is then
// refused with [ErrDirty], even one with nothing to do. A person repairs the database and calls [Migrator.Force] with
// the version that it is really at.
//
// A run with the lock clears such a step of a dead run by itself where it is certain what the step left: on MySQL and
// MariaDB, a step of which nothing was committed, and a step that ends in its only DDL statement and whose Down is one DDL
// statement.
//
// A migration may remove the state table, or rows of it. The run then puts back its own row, the mark, the protected
// versions, the environments, and that another tool's history was adopted. It sends a [Warning], and goes on. The memory of
// other runs is lost. Without the lock only a missing table is noticed. If a migration drops the version table outside a
// transaction, nobody knows the applied versions any more: the database is dirty.
//
// # Locking
//
// With [WithGlobalLock] any number of processes can boot at once: one migrates, the others wait, and they return without
// the lock once nothing is left to do. The lock is an advisory lock in a transaction on PostgreSQL, GET_LOCK on MySQL and
// MariaDB, and a lock on a file beside the database on SQLite; a server without such a lock is an error. It takes one
// connection, and another one while a step runs outside a transaction. A pool that is too small is an error before
// anything is touched. Waiting processes hold neither a transaction nor a statement.
//
// A run with the lock has a row in the state table, {version table}_lock. Every transaction of the run begins by updating
// that row, its fence. A new holder first takes the fence away from a dead run, which it can't do while a
// transaction of that run is open. So a run that was declared dead can't commit. The new holder ends the
// connections that the dead run left on the server, if they belong to its own user, and waits for them otherwise. It
// takes over the starting point of the dead run, unless something else has applied a migration since: then it undoes its own
// work alone. This happens within 45 seconds, even if the machine of
// the holder lost its power or its network. A holder that gets no answer for 10 seconds cancels its run with [ErrLockLost],
// and doesn't go back. It returns up to 45 seconds after the cut.
//
// Without the lock, two processes that migrate at once don't undo each other's migrations: one fails as a rule, and both
// warn. On MySQL and MariaDB, and for steps outside a transaction, a run claims its steps in the state table, and the
// second runner is refused ([ErrDirty]). A run with the lock ignores claims made after its first look, and goose's own
// commands know neither the lock nor the claims.
//
// Behind PgBouncer in transaction pooling the lock holds, with at least two server connections. lib/pq
// then needs binary_parameters=yes, and pgx default_query_exec_mode=exec. If a process is killed in a step outside a
// transaction there, the next holder may begin while the server still works on that step: use a direct connection for such
// steps. With a role, a schema, a search_path or statement timeouts they are refused there.
//
// # Connections
//
// Whatever a migration sets on its connection ends with the migration: settings, the role, temporary tables, advisory
// locks, LOCK TABLES, USE, ATTACH. The connection is reset or closed before the application gets it, unless nothing can have
// changed it. An exception on PostgreSQL: what a function or a trigger sets for the session reaches later migrations of the same
// run. A migration that leaves a transaction open fails, and that transaction is rolled back.
//
// On PostgreSQL a connection is closed; in a pool with SetMaxOpenConns below 5 it is reset, and has the settings that it had before. What
// the server doesn't list is lost with the reset: settings of the application's own (SET app.tenant), temporary tables, LISTEN,
// advisory locks. A pool whose connect hook makes such things should have 5 connections or more.
//
// [WithStatementTimeouts] has the database limit how long statements wait for locks and how long they take. A migration
// that failed on a lock timeout, a deadlock or a serialization failure is then tried again, if it left nothing.
//
// # Databases
//
// PostgreSQL (lib/pq, pgx/v5) and SQLite (modernc.org/sqlite, mattn/go-sqlite3) have transactional DDL: a migration is
// whole or absent. A migration with its own BEGIN or COMMIT counts as one outside a transaction.
//
// MySQL and MariaDB (go-sql-driver/mysql) commit each DDL statement. Every migration counts as one outside a transaction
// there: when it fails, its own Down runs. The exception is a migration whose first statement failed, if that statement
// is all or nothing: ALTER TABLE, CREATE TABLE without the rows of a table, a view or a function, CREATE and DROP INDEX, DROP
// and TRUNCATE of one table, and on InnoDB tables INSERT, UPDATE, DELETE and REPLACE. If the server's default storage engine
// has no transactions, the version table and the state table are created with InnoDB. A run with something to do is refused
// ([ErrMigrationTable]) if one of them has such an engine.
//
// The other dialects of goose work as far as goose does. They have no lock and no state table, and are not tested.
//
// # Privileges
//
// Reading needs SELECT on the version table and the state table. A role that may not read the state table is refused
// ([ErrMigrationTable]), because the database may be dirty. A role that migrates and doesn't own the tables needs, besides
// what its migrations do:
//
//	GRANT SELECT, INSERT, DELETE ON goose_db_version TO app;
//	GRANT USAGE ON SEQUENCE goose_db_version_id_seq TO app;  -- PostgreSQL
//	GRANT SELECT, INSERT, UPDATE, DELETE ON goose_db_version_lock TO app;
//
// # Environments
//
// The base path has one folder for each environment. A run merges the folders of its environments into one sequence with
// one version table. A version claimed twice is a fault that names both files. A missing folder counts as empty, unless
// its name resembles a folder that exists. Versions that arrive late, below the newest applied one, are applied
// ([WithStrictOrder] makes them a fault).
//
// The state table remembers which environments a database was migrated with. A database that has seen a protected one,
// by default "production", refuses a run with an environment that it has not seen ([ErrProtectedEnvironment]).
//
// # Namespaces
//
// [WithNamespaces] divides the base path into bounded contexts, each with a folder, versions and a version table of its
// own ({version table}_{namespace}). [Migrator.Migrate] runs all of them as one run with one lock, in the given order; if
// one fails, all of them go back, the last one first. [Migrator.Namespace] chooses one; the methods that take a version,
// or return one, require that.
//
// # Tenants
//
// [WithSchema] and [Migrator.Tenant] bind a Migrator to one schema. Its tables have qualified names, and on PostgreSQL
// every transaction begins with SET LOCAL search_path to that schema, with the schemas of [WithSearchPath] behind it. On MySQL and
// MariaDB a schema is a database of the same server, chosen by USE. [Migrator.MigrateTenants] looks at fifty schemas in one
// statement, and starts a run only for those with something to do, each with its own lock, limits and way back. With
// [WithRole] everything happens as one role of PostgreSQL, which owns all that is created.
//
// # Migration files
//
// Migrations are goose's SQL files, pairs in the layout of golang-migrate (1_a.up.sql and 1_a.down.sql), Go migrations
// registered with goose or given with [WithGoMigrations], and [Definitions]. Registered Go migrations belong to the folder
// of their source file, and run only if that folder does. Each half of a pair is sent as one piece, in a transaction unless
// it has a BEGIN or COMMIT, the line "-- +goose NO TRANSACTION" in its up file, or is one statement that the database
// refuses in a transaction.
//
// A Down section or a down file that has nothing but the line "-- +gooseplus Replay 3" executes the Up of version 3, as
// [Replay] does in a definition.
//
// # Edited files and older releases
//
// The state table remembers the sum of each applied migration. A file that was edited later is a warning, or refuses the run
// ([WithChecksums], [Migrator.Accept]). So is an applied version that this program doesn't know, after a release was rolled
// back ([WithUnknownVersions]), which can go down all the same if the newer release has stored its Downs ([WithStoredDowns]).
// Programs older than a line "-- +gooseplus requires 20260101000000" get [ErrTooOld]. [Migrator.Drift] compares the database
// with what its migrations make. In an empty database a checkpoint can stand for many old migrations ([WithCheckpoints]).
//
// # Faults and warnings
//
// A fault refuses every run. A run never succeeds because it looked in the wrong place: migrations directly in
// the base path while there are environments, a base path that is itself an environment's folder, folders that are all
// missing, and folders with nothing but badly named files are faults. [Migrator.Err] returns all faults without a database,
// so a unit test can check them. [Migrator.Warnings] returns what is only suspicious, such as a gap in the numbering.
//
// A run that would apply migrations to a database without any applied version looks for the history tables of other tools
// first (golang-migrate, Flyway, Liquibase, Rails and others) and refuses with [ErrForeignHistory]: its way back might remove
// what was there. [Migrator.Force] adopts such a database; [WithForeignHistory] changes the answer.
package gooseplus
