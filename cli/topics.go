package cli

import "github.com/spf13/cobra"

// topics are help texts that belong to no command.
func topics(standalone bool) []*cobra.Command {
	list := []*cobra.Command{
		{Use: "output", Short: "What commands print: text and JSON", Long: outputTopic},
		{Use: "exit-codes", Short: "What the exit code says", Long: exitTopic()},
	}
	if standalone {
		list = append(list, &cobra.Command{Use: "settings", Short: "Flags, variables, .env files, and DSNs", Long: settingsTopic})
	}
	return list
}

const outputTopic = `The result goes to the standard output, everything else (errors, warnings, questions, progress) to the standard
error. Colours and the progress bar are for terminals; NO_COLOR and --no-color turn the colours off. --quiet prints
errors, and the results of read-only commands; --verbose prints more.

--output json writes one document, also when the command fails. (An unknown flag before --output is the exception.)

    command    its name, such as "up" or "tenants status"
    outcome    the word of the exit code, such as "done" or "refused": see the topic exit-codes
    exit_code  the number
    data       what the command found or did, see below; absent if there is nothing
    error      absent if there is none:
               message, and if they are known: faults (several messages), tenant, namespace, environment, version,
               source, direction ("up" or "down"), line (of the file), detail, hint (both of PostgreSQL), statement, and
               commands (for a dirty database: the commands to choose from after its repair)

These are the fields of data, by command:

    up, up-by-one, up-to, down, rollback, down-to, reset, redo, goto
               from, to (versions; -1 if unknown), applied, undone (counts), and steps, in their order: version, source,
               environment, namespace, direction, way_back (it undid what the run had done), duration_ms, error;
               with several namespaces, instead of from and to, namespaces: namespace, from, to, applied, undone
    up --then-tenants
               master (as up) and tenants (as tenants up; null if the master failed)
    status, list
               current_version, pending, dirty, foreign_history (a sentence about another tool's history; absent if
               there is none), unknown (applied versions that have no migration here), environments and migrations:
               version, state ("applied", "pending", "late", "dirty", "edited" or "unknown"), locked, applied_at (null if it
               isn't applied), environment, source, stored_down (true for an unknown version that --stored-downs can undo;
               absent otherwise); with several namespaces, all this in namespaces, by their names; running (as in runs;
               absent if no run is in progress)
    show       one migration, as in status, with up and down
    version    version
    plan       steps: version, source, environment, namespace, direction, transactional, reversible, and with --sql
               sql (the statements, in one text)
    check      dirty, unknown, edited, pending (lists of versions), and differences, as in drift, if there are any
    runs       running (null, or one of runs) and runs, newest first: namespace, holder, started, ended (null while it
               runs), from, to (null while it runs), outcome ("running", "migrated", "forced", "accepted", "rolled back", "failed",
               "cut off" or "crashed"), error; the outcome of a run down is "migrated" too (the text says "migrated down");
               a run in progress also has connection (the server's name for the connection with the lock), at, source
               (version and file of the migration that it executes) and since
    env        environments: name, folder (absent if there is none), migrations (how many), chosen, seen (by the
               database; null without one)
    drift      differences: kind, name, change ("missing", "extra" or "changed"), want (what the migrations make), have
    wait       duration_ms
    force, baseline
               version, added, removed, cleared (lists of versions; cleared ones were dirty)
    accept     version
    lock, unlock
               version, locked
    validate   warnings (texts; absent if there are faults)
    create     version, files, sum (the file gooseplus.sum, if it was updated)
    renumber   renamed: from, to (versions), files (from, to); sum, as in create
    sum        file, migrations (how many files it lists)
    trace      migrations: namespace, version, source, allow_lock (the reason in the file; absent if there is none),
               statements: number, statement (its first words), file, line, known ("observed", "documented", "tried" or "not
               available"), duration_ms, locks: table, lock, algorithm (MySQL, MariaDB), rewrite; and findings: kind ("held",
               "index", "rewrite", "constraint", "not null", "scan", "concurrently" or "lock timeout"), statement (its
               number), file, line, table, does, instead; and notes (what the server can't tell)
    a command with commands below it
               commands: name, short
    tenants up, tenants up-to, tenants down, tenants down-to, tenants goto, tenants force
               total, migrated, up_to_date, undone (by --way-back), failed, skipped, duration_ms and tenants: name, state
               ("migrated", "up to date", "undone", "not undone", "failed and undone", "failed", "dirty", "missing",
               "locked" or "skipped"), from, to (-1 if it can't be read), applied (the versions that tenants up applied),
               duration_ms, error
    tenants status
               generated, total, up_to_date, pending, failed, skipped and tenants: name, state ("up to date",
               "pending", "skipped", or a failure as above), version, pending and unknown (how many versions; -1 if it
               can't be told; with several namespaces version is always -1), error
    tenants plan
               total, up_to_date, pending, failed, skipped and tenants: name, state (as in tenants status), steps (as in
               plan), error
    tenants runs
               total, failed, skipped and tenants: name, running and runs (as in runs), error
    tenants drift
               total, same, drifted, failed and tenants: name, differences (as in drift), error
    tenants list
               tenants (names)

Times are in UTC. Later versions can add fields; they don't rename or remove any.`

// exitTopic is about the codes, and about what ends a command.
func exitTopic() string {
	return exitTable() + `
Ctrl-C (SIGINT), SIGTERM and SIGHUP end a run like a failure: the command undoes it and waits for that. A second Ctrl-C
prints what is going on. If a process is killed, each migration in a transaction is whole or absent, and the next run
reports what became of the others.`
}

const settingsTopic = `A setting comes from its flag; without the flag, from a variable of the environment; without that, from a variable
in the file .env of the current folder (--env-file). The variable of a flag is GOOSEPLUS_ and the flag's name
in capitals: GOOSEPLUS_LOCK_WAIT for --lock-wait. Some flags have a second variable: GOOSE_DBSTRING (--dsn), GOOSE_DRIVER
(--driver), GOOSE_MIGRATION_DIR (--dir), GOOSE_TABLE (--table) and MASTER_DB_URL (--master-dsn). DATABASE_URL is the
database if neither --dsn nor --master-dsn has a value. The file .env sets these variables only: variables that drivers
read, such as PGPASSWORD or PGHOST, have to be in the environment. In .env, $NAME stands for another variable of that
file.

The DSN says which database it is for:

    postgres://user:password@host:5432/name?sslmode=disable     or libpq's form: host=… dbname=…
    mysql://user:password@host:3306/name                        go-sql-driver's form: user:password@tcp(host:3306)/name
    sqlite:path/to/file.db, or just the path of a file that ends in .db or .sqlite

Encode characters such as @ / ? # % in the password of a URL. Other users of the machine can see a DSN on the command
line; they can't see one in a variable.

--dir is the folder that holds the folders of the environments: sql/base, sql/production and so on. base is always used;
--env names others. A folder with the migrations directly in it, as goose has it, works too.

--namespaces are folders of --dir, each with versions of its own: up migrates all of them as one run. A command that
takes a version needs --namespace too.

The database that holds the list of tenants is --master-dsn, or --dsn without it. up --then-tenants migrates the master
with the migrations in --dir first, and then the tenants with the migrations in --tenants-dir (or --dir without it).`
