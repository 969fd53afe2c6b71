// Package gooseplus migrates the database of a Go service when it boots. It is a thin layer over
// github.com/pressly/goose/v3: goose parses and runs the migrations and owns the version table, so
// that goose's own commands tell the same story of the same database. gooseplus adds what a boot
// needs: a failed run returns to where it started, environment folders keep test data out of
// production, and a boot with nothing to do costs one statement.
//
//	err := gooseplus.New(db, gooseplus.WithFS(files)).Migrate(ctx)
//
// # A run
//
// A run is one call of [Migrator.Migrate], [Migrator.MigrateTo], [Migrator.Rollback],
// [Migrator.RollbackTo] or [Migrator.Goto]. It goes through these stages, in this order:
//
//  1. Resolve. The folders of the environments are laid over each other and sorted by version.
//     Every fault of the configuration is found here, together, without the database;
//     [Migrator.Err] gives the same answer, and reads the files too. The folders are listed once in a
//     Migrator's life.
//  2. Look. One SELECT reads the applied versions, and what the state table says if there is one.
//     If there is nothing to do, the run is done: nothing was written and nothing was created.
//  3. Hold the lock, if it is enabled ([WithGlobalLock]), and make sure of the version table. That
//     another process creates it at the same moment is no error.
//  4. Prepare. The starting point is read: the set of applied versions that a failed run returns
//     to. The files of all steps are parsed, so that one that goose can't read stops the run before
//     its first step, as does a step down without a Down. So do a database that is dirty, a version
//     that is protected, and an environment that a protected database has not seen.
//  5. Apply. The migrations to undo run one by one, the last applied first, then the pending ones,
//     lowest version first, each under the migration timeout, through a goose Provider that is new
//     for this run. Then the applied versions are read again: each that was applied has to be
//     there, and none that was undone.
//  6. On failure, the way back (see below).
//  7. Verify. The applied versions are read again after the way back, and compared with the
//     starting point.
//  8. The outcome goes to the observers ([WithObserver]) and the logger, and is returned.
//
// # How a run ends
//
//	how it ended             what is true                                       errors.Is
//	success                  every planned migration is applied, or undone      nil
//	failed, undone           the applied versions are those of the start        ErrRollForward
//	failed, not undone       *RollbackError says which version was reached      ErrRollBack
//	                         and why; a migration may be half-applied           ErrRollBack and ErrDirty
//	no Down for a step down  nothing was touched                                ErrIrreversible alone
//	dirty                    nothing was touched                                ErrDirty alone
//	version protected        nothing was touched                                ErrVersionLocked alone
//	environment refused      nothing was touched                                ErrProtectedEnvironment
//	another tool's database  nothing was touched                                ErrForeignHistory
//	lock not obtained        nothing was touched                                ErrLocked
//	lock lost                it may commit until it notices; besides, one of    ErrLockLost
//	                         the two above, or success before the loss
//	table can't be read      nothing was touched                                ErrMigrationTable
//	configuration fault      nothing was touched                                ErrMergeMigrations, for
//	                                                                            the migrations' faults
//	process killed           each transactional step is whole or absent, and the
//	                         next run goes on from there; any other is dirty
//
// The error of a failed migration wraps a [*MigrationError] with the version, the file and the
// statement. errors.As also reaches the driver's own error and goose's PartialError.
//
// # The way back
//
// With [RollbackDown], the default, a failed run undoes exactly the migrations that it applied,
// newest first, in the reverse of the order in which they were applied. It never goes down to a
// version number: after late versions that would undo too little or too much. If another process
// has applied anything meanwhile, nothing is undone, since that may rest on what this run applied.
//
// The way back has a context of its own, which keeps the values of the caller's and nothing else,
// with its own limit ([WithRollbackTimeout]). So it runs after an error, a panic of a Go migration,
// any timeout, and the cancellation of the caller's context. If the server can't be reached, it
// tries for 15 seconds. If the answer to a COMMIT was lost, it waits until that COMMIT has ended one
// way or the other (on PostgreSQL by LOCK TABLE on the version table).
//
// It ends early, with a [*RollbackError], at a migration that has no Down or an empty one
// ([ErrIrreversible]): goose would report success for it, delete its version and leave what it did.
// It ends early, too, at a Down that fails.
//
// A migration outside a transaction (the NO TRANSACTION annotation, or a Go migration without a
// transaction) can fail half-way. Its own Down is run first then; write its statements with IF
// EXISTS. If there is no Down, or it fails, nobody knows what is left: [ErrDirty]. A person has to
// look, and the way back goes no further.
//
// The way back ends as well at a version that is protected ([Migrator.LockVersion]), if the run itself
// applied it.
//
// With [RollbackNone] a failed run stops where it is. Its error says whether that happens to be the
// starting point.
//
// # One transaction
//
// With [RollbackTransaction] the whole run is one transaction, and each migration a savepoint in it. Nothing
// is undone by a Down: what fails, is cancelled or is killed leaves nothing but the version table and
// the state table, which are made before. PostgreSQL and SQLite can do that. Migrations that pass one by
// one can fail in one transaction on PostgreSQL:
//
//   - a value added to an enum type can't be used in the same transaction (55P04);
//   - ALTER TABLE is refused on a table with pending trigger events, such as those of deferred
//     constraints on rows that an earlier migration wrote (55006);
//   - SET LOCAL and SET CONSTRAINTS last to the end of the transaction, and so reach later migrations.
//
// Besides, every lock that a migration takes on a table is held until the end of the run. So it is a
// choice for small runs on databases that can stand still, and not the default. A run whose plan
// has a step outside a transaction is refused, with an error that names each such step. With the lock,
// the run's row stays locked from the first migration to the last.
//
// # Down
//
// [Migrator.Rollback], [Migrator.RollbackTo], [Migrator.RollbackToLocked] and [Migrator.Goto] undo migrations in the reverse of
// the order in which they were applied, which is that of the rows in the version table: after late
// versions it is not the order of the numbers. Before anything is touched, the whole run is refused
// ([ErrIrreversible]) if one of the versions to undo has no Down, an empty one, or isn't known: its
// file is gone, or in the folder of another environment. Applied versions that stay may be unknown.
//
// Such a run that fails returns to its starting point as well: after what it applied is undone, what
// it undid is applied again, the last one first. This restores the set of applied versions and the
// schema, as far as the Ups do. What it can't restore is the data that a Down has removed, nor the
// time and, after a Goto that had got as far as going up, the place of these rows in the version
// table: they count as the last applied.
//
// A Down that fails half-way outside a transaction is [ErrDirty] at once. Its Up is not tried: it
// can be expected to fail on what is still there, and where it doesn't, to do a part of its work
// twice. What was undone before it stays undone then, since it was applied on top of it. An Up that
// fails on the way back ends it.
//
// # Dirty
//
// A step that no transaction makes whole or absent is marked in the state table, {version table}_lock,
// before it starts; this is so with the lock and without. What remains marked is dirty: a step that
// failed and could not be undone, or that was cut off by the end of its process. A run on a dirty
// database is refused with [ErrDirty], which names the version and its file; so is one that has nothing
// to do. [Migrator.Status] shows it. A person puts the database right and says with [Migrator.Force]
// which version it is at. As long as nothing but transactional steps are pending on PostgreSQL or SQLite,
// nothing is ever marked, and there is no state table for it.
//
// Without the lock nobody can tell a step that was cut off from one that another process is at just
// now; a run is refused then too. With it, a run takes over from a dead one on MySQL and MariaDB,
// where every step is marked, if it is certain what the step left: if nothing of the transaction that goose
// opened for it was committed, be it by DDL, and all tables are InnoDB's, it left nothing (the run's row, which
// each transaction updates first, counts those that were); if it ends in its one DDL statement, and its Down is
// one DDL statement (see Databases), that Down is executed first, and that the server refuses it shows that
// there was nothing.
//
// # Looking
//
// [Migrator.Status], [Migrator.Plan] and [Migrator.Version] execute a few SELECTs at most, write nothing,
// and neither take the lock nor wait for it.
// The times of Status are the database's, read as times of the time zone that the session is set to,
// since that is how goose's version table is written in PostgreSQL and MySQL.
//
// # Databases
//
// PostgreSQL and SQLite have transactional DDL: a migration is whole or absent. PostgreSQL is
// tested with lib/pq and pgx/v5, SQLite with modernc.org/sqlite and mattn/go-sqlite3.
//
// A migration that has a BEGIN or a COMMIT of its own leaves the transaction that goose opened for
// it. It is treated as if it were outside a transaction.
//
// MySQL and MariaDB commit each DDL statement by itself, whatever transaction it stands in. Every
// migration of several statements can be left half-applied there, so each is treated as if it were
// outside a transaction: when it fails, its own Down is run. The exception is a migration whose
// first statement the server could not parse, or refused if that statement is known to be all or nothing: ALTER TABLE,
// CREATE TABLE, CREATE and DROP INDEX, DROP and TRUNCATE of one table, and, where every table is
// InnoDB's, INSERT, UPDATE, DELETE and REPLACE. A process that is killed in the middle of a
// migration can leave a part of it.
//
// The other dialects of goose work as far as goose does, and are not tested. Those whose DDL is not
// known to obey transactions are treated like MySQL. What is said below about several processes
// doesn't hold for them: goose's statements are used as they are.
//
// A pool with SetMaxOpenConns(1) works without the lock, and on SQLite with it.
//
// Every method that has changed nothing returns within five seconds of its context's end, whatever the network does. A
// run that has begun goes on with its way back, within the rollback timeout. If the network of a run with the lock is cut,
// the run notices that after 10 seconds without an answer, and gives its connections and its outcome up after that: it
// returned up to 45 seconds after the cut. The driver's connection is closed under a call that doesn't return. A
// connection that can't be closed, because lib/pq has just begun to make it, is abandoned.
//
// What a migration does to its connection ends with it, and reaches neither the application nor a later migration:
// settings, the role, temporary tables, advisory locks, LISTEN, LOCK TABLES, USE, PRAGMAs and ATTACH. Its connection
// is put right or closed; so an application that sets anything for its connections does that in a hook that the driver
// calls on each new one, or in the DSN. A migration that leaves a transaction of its own open fails, and that is
// rolled back; and so does a Go migration that ends the transaction it was given, which may have left something.
//
// On PostgreSQL the connection isn't reset between two migrations if the first one only defines things or changes rows, without a
// SELECT. What a function or a trigger sets there for the session reaches the later migrations of the run, but not the
// application.
//
// # Environments
//
// The base path holds one folder for each environment. A run merges the folders of its
// environments into one sequence, by version, with one version table. A version that is claimed
// twice is a fault that names both files. An environment without a folder counts as empty, since
// git keeps no empty folders, and is logged; but a name that is nearly that of a folder which
// nobody asked for, or the beginning of it, is a fault. Migrations that come late, with a lower version than the newest
// applied one, are applied too ([WithStrictOrder] makes them a fault).
//
// The state table remembers with which environments other than base the database was ever migrated,
// unless the run failed and was undone. Once it has been migrated with a protected one, which is
// "production" unless [WithProtectedEnvironments] says otherwise, a run that has something to do with an
// environment that it has not seen is refused: [ErrProtectedEnvironment].
//
// Go migrations that register themselves with goose belong to the folder that their source file is
// in, and run only if that folder does. The path of the source is the one at compile time; the
// folder's path has to be its end. Where the file system holds .go files in the folder, those
// decide: each must be registered. Where the folder is the root of the file system there is no path
// to compare, and every registered migration belongs to it, as in goose. A migration registered
// without a source belongs nowhere. Those given with [WithGoMigrations] are part of every run.
//
// # Namespaces
//
// [WithNamespaces] divides the base path into bounded contexts: each has a folder there, versions of its own, and
// a version table of its own, {version table}_{namespace}. The folder has folders of environments, or the files
// directly, as it has with SetEnvironments(nil) in any case. Both at once is a fault, since a run could mean
// either. Migrations directly in the base path are in no namespace, which is a fault; migrations in a folder that is
// none of a namespace are a warning.
//
// [Migrator.Migrate] runs all of them in the order given, as one run: all starting points are read, and everything
// that can be refused is, in whichever namespace, before the first step of the first. If a namespace fails, the
// way back leads through all of them, the last one first, after what the failed step may have left was cleared
// away. It ends at the first that can't be undone; those before it keep what they have, since what that one
// keeps may rest on it, and the [*RollbackError] names them all. With [RollbackTransaction] all of it is one
// transaction. When nothing is pending anywhere, one statement tells so.
//
// [Migrator.Namespace] gives a Migrator for one of them. Versions mean nothing without it, so [Migrator.MigrateTo],
// [Migrator.Goto], [Migrator.Rollback], [Migrator.RollbackTo], [Migrator.Version], [Migrator.Status], [Migrator.Force],
// [Migrator.LockVersion] and [Migrator.UnlockVersion] are errors on a Migrator for several. There is one state table,
// and so one lock, that of the version table without a namespace: a run on one waits for a run over all. What is
// dirty or protected is so in its namespace: a dirty one refuses a run over all, and its own, but not
// another's. What the database has of environments is not one namespace's alone.
//
// A run that was cut off is taken over namespace by namespace. A run over all returns to the starting points of all
// that the dead one was at work in, including those that are complete; a run on one takes over that one, and the
// others stay with the next run that covers them. That one returns to their starting points if it fails, and gives
// them up if there is nothing to do.
//
// A registered Go migration is in the namespace whose folder its source file is in; goose's registry takes a
// version only once in a program, though. One given with [WithGoMigrations] has to have a Source in such a folder, and
// [Definitions] have their Namespace, unless there is only one. A Replay is of a version of the same namespace.
//
// # Tenants
//
// [WithSchema] and [Migrator.Tenant] bind a Migrator to one schema: its version table and its state table are there,
// addressed by their quoted, qualified names, and so is what the migrations name without a schema. On
// PostgreSQL every transaction begins with SET LOCAL search_path, so that nothing has to be put back and
// nothing leaks, behind a pooler in transaction mode neither; what is outside a transaction has the search_path of its
// connection set, and put back before the connection returns to the pool, which a pooler in transaction mode can't
// promise. The search_path is the tenant's schema alone: a table that is missing there is an error, and never
// that of another schema. On MySQL and MariaDB a schema is a database of the same server, chosen by USE; a
// connection that had none before is closed afterwards, since there is no way back to none.
//
// A Go migration without a transaction gets a *sql.DB that lends it such connections. [sql.Conn.Raw] gives one of the
// run's there, whose method Raw(func(any) error) error gives the driver's own, as COPY with pgx needs it.
// Tenants with databases of their own have [Tenant].Open.
//
// [Migrator.MigrateTenants] looks at many schemas at once: one statement says which tables there are, and one
// more for each fifty schemas reads their version tables and the flags of their state tables. Only tenants that have
// something to do get a run, each with its own lock, its own limits and its own way back. The source of tenants is
// read ahead of the work, into one small record for each; an open query would keep a snapshot for which CREATE INDEX
// CONCURRENTLY waits. [Migrator.EachTenant] does anything else for each tenant.
//
// # Pairs of files
//
// Migrations in the layout of golang-migrate, 000001_create_users.up.sql and 000001_create_users.down.sql,
// stand beside goose's files or instead of them, in the same folders. The source of such a pair is its up
// file. Each half is executed as one piece: functions with semicolons and dollar quotes need no
// annotations. It is passed on as it is, except that the ends of lines are those of Unix, and that
// comments before the first statement are left out; if there is nothing but comments, it is no statement.
// Several statements in one piece are a matter of the driver: go-sql-driver/mysql takes them with
// multiStatements=true in the DSN, and otherwise the server's syntax error is returned.
//
// A pair runs in goose's transaction, which golang-migrate doesn't have. Both halves run outside one if the up file has
// the line "-- +goose NO TRANSACTION", if a half has a BEGIN or a COMMIT of its own, or if a half is one statement that the
// database refuses in a transaction, such as CREATE INDEX CONCURRENTLY or VACUUM. goose's other annotations are comments
// there. PostgreSQL executes several statements that are sent as one piece in a transaction of its own, so such a
// statement has to be alone in its file. goose's limit of 4 MiB for a line doesn't hold for pairs.
//
// As in golang-migrate, the halves of one version in one folder belong together, and what a name has after .up or
// .down doesn't matter: 1_a.up..sql is half a pair too. Halves whose names differ otherwise are a warning.
//
// An up without a down can't be undone ([ErrIrreversible]). A down without an up of the same version in the
// same folder is a fault, as is a version that a pair and something else claim.
//
// To adopt a database that golang-migrate has migrated, call [Migrator.Force] once with the version in its
// table schema_migrations, see below. The table is not used any more.
//
// # Databases of other tools
//
// An Up with IF NOT EXISTS is content with what another tool has made, and its Down removes that on the way back.
// So a run that would apply something where nothing is applied looks, in the schema of the version table, for the
// histories of other tools, by the names and the columns of their tables: golang-migrate, Flyway, Liquibase, dbmate, Rails,
// sql-migrate, tern, Atlas, Django, Alembic, bun and others, and goose with another version table. One that has a row
// refuses the run, [Migrator.Plan] too, before anything is touched ([ErrForeignHistory]), with an error that names the
// version to call [Migrator.Force] with; [Migrator.Status] shows it. So does one that can't be read. The version
// tables of this Migrator's namespaces are no such history, and with a version applied in one of them nothing is looked for.
// [WithForeignHistory] makes a warning of it, or nothing: services that share a schema need that.
//
// Where golang-migrate says that it is dirty, or another tool that it has failed, Force is refused too: put the database
// right, tell that tool so, and try again, or call Force with WithForeignHistory(Ignore). After a Force the question is
// settled, and the state table remembers that.
//
// # Definitions
//
// [Definitions] are migrations that are written in Go, as SQL or as functions. A version is defined once,
// anywhere in the program, and all are merged with those of the folders ([WithDefinitions]).
//
// The Down of a view's second version is the Up of its first. With [Replay] it need not be copied: the
// statements of that Up are executed, in a transaction or not as it would be, and recorded as the Down. The
// same in an SQL file is a Down section, or a down file, that is nothing but comments and the line
//
//	-- +gooseplus Replay 3
//
// The other version can be of any sort, a Go function too; a version that isn't known to the run, itself,
// or a later one is a fault, as is a Replay beside a statement or, in a file, in an Up. goose alone refuses the line. In a
// definition an Up can be a Replay too.
//
// # Faults and warnings
//
// A fault refuses every run. [Migrator.Err] returns, without a database, all those of the options, the
// folders, the Go migrations and the definitions, and if there are none, those in the files: sections that
// goose can't parse, statements that goose cuts in two for want of StatementBegin and StatementEnd, and faults of a
// Replay. Err reads all files for it; a run reads those of its own steps.
//
// A run that looked in the wrong place would find nothing to do. So these are faults, which name a file and the
// option that mends it:
//
//   - migrations directly in the base path, while there are environments or namespaces;
//   - a base path that is the folder of an environment;
//   - no folder at all for any of the environments, and no migrations of another sort;
//   - files that are badly named, or in deeper folders, and no migrations beside them;
//   - a version of 0 or below, or above the highest int64;
//   - an environment's name that is a list or a path.
//
// A folder without files is no fault, and neither are migrations in Go without a folder.
//
// A warning stops nothing. [Migrator.Warnings] returns those of the folders and files without a database, and each is an
// event of each run ([Warning]), which the logger writes:
//
//   - an environment that has no folder, or that there are no migrations at all;
//   - a file that looks like a migration and is badly named, beside others: x.sql, 1_x.SQL, 1_x.UP.sql, x.up.sql;
//   - a badly named file beside the folders of the environments or of the namespaces, and a migration in a folder
//     inside one of them, which goose doesn't read either: of several the first one is named;
//   - a migration in a folder of the base path that is none of a namespace, and a pair whose halves differ in name;
//   - a statement that the database refuses in the transaction in which it would be executed (not in the event of a run);
//   - a gap in the numbering, if versions are counted (below ten million, and not in larger steps) rather
//     than made of the time. Versions in the folders of other environments are no gap. A branch that is
//     merged later may fill it, so it is no fault;
//   - a migration without a Down, in the run that applies it. [Step] says it before.
//
// # The lock
//
// With [WithGlobalLock] any number of processes can boot at the same moment: one migrates, the others
// wait, and are done without the lock when the one they waited for left nothing to do. The lock
// belongs to the version table, or to all version tables of the namespaces. It needs no table:
//
//   - PostgreSQL: an advisory lock, which a transaction on a connection of its own holds. That transaction is idle: it
//     has no lock on a row or a table, no transaction id and no snapshot. So a migration may alter, rename or drop any
//     table, the state table included.
//   - MySQL and MariaDB: a named lock (GET_LOCK) on a connection of its own. It is the lock of one server: a cluster in
//     which several servers take writes is not supported.
//   - SQLite: a lock on a file beside the database, which stays there, empty, with the database's mode; for a database
//     in memory a lock within the process.
//
// The server frees the lock the moment its holder dies. A server that has no such lock is a clear error. Replicas in
// different schemas of the search_path have the same lock if they use the same version table. A waiting process
// holds neither a transaction nor a statement: CREATE INDEX CONCURRENTLY in the holder would wait for it for ever. It
// asks every 20 to 150 ms whether the lock is free, without taking it.
//
// The state table, {version table}_lock, is created when it is first needed. It records runs and excludes nobody. Tables
// of that name that the original gooseplus or earlier versions have made are upgraded in place. Replicas of those
// versions that are in the middle of a run are waited for. Old replicas that start after the upgrade are not
// supported: stop them first.
//
// A run with the lock has a row in the state table, with its holder, its starting point
// and what it plans, and at the end its outcome; the last 100 stay, and those that were cut off until a later run has
// taken over. A second, narrow row is its fence: every transaction of the run
// begins by updating it. A run without a fence can't commit, and as long as one of its transactions is open nobody can
// take its fence away. For what no transaction covers (NO TRANSACTION
// steps, and all of them on MySQL and MariaDB) the table names the connections of the server that the run uses.
//
// # When a holder disappears
//
// A new holder ends what a dead run has left on the server, before it looks at anything: a connection that is idle after
// two seconds, and a statement that is still executing after ten. It may do so if they are of its own user
// (pg_terminate_backend, KILL). It waits for another user's connection, also for one whose state the server hides, and
// the error of a wait that is over names it. Then it marks the run as crashed and takes over
// its starting point: if the new run fails, what the dead one applied is undone too. [Migrator.Force] waits likewise.
//
// A machine or network that is gone says nothing. The holder asks its connection for a sign of life every two seconds,
// and the server ends a lock whose holder has been silent for thirty. PostgreSQL notices within some 20 seconds that
// nobody is at the other end of a run's transaction (tcp_keepalives_*, tcp_user_timeout,
// client_connection_check_interval: each transaction sets them for itself). So somebody takes over within 45 seconds.
//
// If the holder gets no answer for ten seconds, or an error, its run is cancelled, with [ErrLockLost] as cause, and
// there is no way back: another runner may be at work. A run that has lost its lock goes on until it notices, within 2
// seconds if the connection broke, within 12 if nothing arrives. It can commit until then, or until
// another runner has declared it dead; never after that.
//
// MySQL and MariaDB go on with a statement whose client is gone, and their driver closes the connection
// when a context ends. A run with the lock that loses a connection ends it on the server too,
// and waits until it is gone before it goes back and before it gives the lock away. A run that can't
// achieve that within the rollback timeout leaves its row as that of a run that was cut off, and the next
// holder ends it.
//
// # Privileges
//
// Reading needs SELECT on the version table and the state table: Migrate with nothing pending, Status, Version, Plan
// and Runs. A role that may not read the state table is refused ([ErrMigrationTable]): the database may be dirty. MySQL
// and MariaDB refuse to read a table that isn't there in the same way, unless the role may read the whole database: so a
// role that may read the version table alone is refused there where goose alone has migrated, too. A role that migrates and doesn't own the tables needs, besides
// what its migrations do:
//
//	GRANT SELECT, INSERT, DELETE ON goose_db_version TO app;
//	GRANT USAGE ON SEQUENCE goose_db_version_id_seq TO app;  -- PostgreSQL
//	GRANT SELECT, INSERT, UPDATE, DELETE ON goose_db_version_lock TO app;
//
// Missing privileges on the state table are found before the first step. A role that may write the state table can
// remove dirty marks and protection: grant that to roles that migrate only. On a standby, or for a role that may only
// read, a run with something to do is refused before it writes anything.
//
// # Connections of the lock
//
// The lock takes one connection, and another one while a step runs that no transaction covers; a pool
// that is too small is an error before anything is touched. What a migration does through other
// connections than those it is given, or after a COMMIT of its own, is not fenced. On SQLite set a
// busy timeout, as with any database that several connections write to.
//
// Behind PgBouncer in transaction pooling the lock holds too; the bouncer must have at least two
// connections to the server, of which the lock keeps one. No statement may be more than one exchange of
// messages: lib/pq needs binary_parameters=yes in its DSN, pgx default_query_exec_mode=exec (or
// simple_protocol, or cache_describe), where PgBouncer doesn't follow named statements. What a run can't
// know there is on which connection a step outside a transaction runs. If the process is killed in the
// middle of one, the next holder may begin while the server still works on it, or wait until the bouncer
// closes an idle connection (server_idle_timeout); where that matters, migrate over a direct connection.
//
// # Beside a live application
//
// Who waits for a lock on a table stands in front of everybody who comes later: an ALTER TABLE behind
// one long SELECT stops all other readers of that table. With [WithStatementTimeouts] the database ends
// such a wait, and a statement that takes too long. On PostgreSQL every transaction of the run begins
// with SET LOCAL; elsewhere, and for what is outside a transaction, the connection's settings are
// changed and put back before it returns to the pool. The lock's own transaction and the statements
// with which a run looks are not limited.
//
// A migration that failed because somebody was in its way (a lock timeout, a deadlock, a serialization
// failure, a busy SQLite database) is tried again after a pause in which it holds nothing, as long as
// the migration timeout lasts, on the way back too. It has to be certain that it left nothing: so
// this is for migrations in a transaction and, on MySQL and MariaDB, for those that failed at a first
// statement that is all or nothing. A COMMIT that fails is not tried again. On MySQL and MariaDB no
// attempt is begun that would still be waiting for its lock when the migration timeout is over: a
// statement that is cut off may be executed all the same.
//
// # Without the lock
//
// If two processes migrate at once without the lock, one of them fails as a rule, and doesn't take
// back what the other has recorded: a version is recorded unless it is recorded already, a run knows
// the rows that it wrote, and the way back doesn't begin where there are others. But two processes
// can be inside the same migration at once. In a transaction, one of them is rolled back. Outside a
// transaction, which is everywhere on MySQL and MariaDB, a run claims its first such step in the state table before
// it begins it, and keeps the claim to its end: one that comes to such a step later is refused ([ErrDirty]) before it
// touches anything, and takes back nothing below another one's claim. If two come at the same moment, one gets it. The run
// that finds the other one at work says so once ([Warning]). All of this is true of runs without the lock among
// themselves, and of nothing else: a run with the lock doesn't heed claims that come after its first look, and goose's
// own commands know nothing of them.
//
// # The command line
//
// Package cli has all of this as commands, for people and for scripts: to be added to a program's own commands,
// or as the program cmd/gooseplus. [Migrator.Runs] is what its runs shows: the runs that had the lock.
//
// # What goose is asked, and what it is not
//
// goose's parser is not exported. To know whether a file runs in a transaction and whether its Down
// has a statement, gooseplus drives a goose Provider over a connection that records what it is told
// and executes nothing. The run itself uses goose's ApplyVersion, version by version. Its version
// store is goose's own, except that it doesn't ask the database before each step for what the run
// knows already, and that it inserts the row of a version only if there is none.
package gooseplus
