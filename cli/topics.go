package cli

import "github.com/spf13/cobra"

// topics are help texts that belong to no command.
func topics(standalone bool) []*cobra.Command {
	list := []*cobra.Command{
		{Use: "output", Short: "What commands print: text and JSON", Long: outputTopic},
		{Use: "exit-codes", Short: "What the exit code says", Long: exitTopic},
	}
	if standalone {
		list = append(list, &cobra.Command{Use: "settings", Short: "Flags, variables, .env files, and DSNs", Long: settingsTopic})
	}
	return list
}

const outputTopic = `The result goes to the standard output, everything else (errors, warnings, questions, the progress bar) to the
standard error. Colours and the bar are for terminals; NO_COLOR and --no-color turn the colours off.

--output json writes one document, also when the command fails (but for a flag that isn't known, if it comes first):

    command    its name, such as "up" or "tenants status"
    outcome    "done", "failed and undone", "refused", "unreachable", "failed", "locked" or "tenants failed"
    exit_code  the number of that
    data       what the command found or did, see below; absent if it came to nothing
    error      absent if there is none:
               message, and where they are known: faults (several messages), tenant, namespace, environment, version,
               source, direction ("up" or "down") and statement

data is, of

    up, up-to, down, rollback, down-to, goto
               from, to (versions; -1 if it can't be read), applied, undone (counts), and steps, in their order: version,
               source, environment, namespace, direction, way_back (it undid what the run had done), duration_ms, error;
               of several namespaces, instead of from and to, namespaces: namespace, from, to, applied, undone
    up --then-tenants
               master (as up) and tenants (as tenants up; null if the master failed)
    status, list
               current_version, pending, dirty, environments and migrations: version, state ("applied", "pending",
               "late", "dirty" or "unknown"), locked, applied_at (null if it isn't), environment, source; of several
               namespaces, all this in namespaces, by their names
    show       one migration, as in status, with up and down
    version    version
    plan       steps: version, source, environment, namespace, direction, transactional, reversible
    runs       running (null, or one of runs) and runs, newest first: namespace, holder, started, ended (null while it
               runs), from, to (null likewise), outcome ("running", "migrated", "rolled back", "failed", "cut off" or
               "crashed"), error
    force      version, added, removed (lists of versions)
    lock, unlock
               version, locked
    validate   warnings (texts; absent if there are faults)
    create     version, files
    tenants up, tenants up-to, tenants down, tenants down-to, tenants goto
               total, migrated, up_to_date, failed, skipped, duration_ms and tenants: name, state ("migrated", "up to
               date", "failed and undone", "failed", "dirty", "missing", "locked" or "skipped"), from, to (-1 if it
               can't be read), duration_ms, error
    tenants status
               generated, total, up_to_date, pending, failed, skipped and tenants: name, state ("up to date",
               "pending", "skipped", or that of a failure as above), version, pending (-1 if it can't be read, and the
               version of several namespaces), error
    tenants list
               tenants (names)

Times are in UTC. Fields can be added in later versions; none is renamed or removed.`

const exitTopic = `0  done
1  failed and undone: the database is where it was; or interrupted before anything was done
2  the command, the settings, the files or the login are wrong, or the run was refused; nothing was touched
3  the database can't be reached or read
4  failed and not undone, or dirty: a person has to look
5  the lock was not obtained; nothing was touched
6  not all tenants are done: some failed, or were skipped

Ctrl-C (SIGINT), SIGTERM and SIGHUP end a run like a failure: it is undone, which is waited for. A second Ctrl-C says
what is going on. A process that is killed leaves whole migrations, and the next run says what became of it.`

const settingsTopic = `A setting is that of its flag; else that of a variable of the environment; else that of a variable in the file .env of
the current folder (--env-file). The variable of a flag is its name in capitals after GOOSEPLUS_: --lock-wait is
GOOSEPLUS_LOCK_WAIT. These have a second name: GOOSE_DBSTRING (--dsn), GOOSE_DRIVER (--driver), GOOSE_MIGRATION_DIR
(--dir), GOOSE_TABLE (--table) and MASTER_DB_URL (--master-dsn). Of the file .env only these variables count. What the
drivers read, such as PGPASSWORD or PGHOST, has to be in the environment.

The DSN says which database it is for:

    postgres://user:password@host:5432/name?sslmode=disable     or the words of libpq: host=… dbname=…
    mysql://user:password@host:3306/name                        or that of go-sql-driver: user:password@tcp(host:3306)/name
    sqlite:path/to/file.db, or just the path of a file that ends in .db or .sqlite

Characters such as @ / ? # % in the password of a URL have to be encoded. A DSN on the command line can be seen by other
users of the machine; that in a variable can't.

--dir is the folder of the environments: sql/base, sql/production and so on, of which base is always taken and --env
names others. A folder with the migrations directly in it, as goose has it, works as it is.

--namespaces are folders of --dir whose versions are counted apart: up migrates all of them as one run. What means a
version of one of them takes --namespace too.

A database that holds the list of tenants is --master-dsn; without it, --dsn is. up --then-tenants migrates the master
with the migrations in --dir first, and then the tenants with those in --tenants-dir, or --dir if there is none.`
