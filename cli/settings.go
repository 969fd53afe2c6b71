package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/joho/godotenv"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gooseplus/gooseplus"
)

// settings are what flags, the environment and the .env file say, in this order.
type settings struct {
	standalone bool

	shared   sharedFlags
	database databaseFlags
	files    filesFlags
	run      runFlags
	pools    pools
	ignored  []string // warnings of the .env file
}

// sharedFlags are the flags of every program.
type sharedFlags struct {
	output, namespace       string // namespace "" is all
	masterDSN               string
	yes                     bool
	noColor, quiet, verbose bool
}

// databaseFlags say which database is migrated, and where in it.
type databaseFlags struct {
	dsn, fallbackDSN      string // fallbackDSN is DATABASE_URL
	driver, tenantsDriver string
	master                bool
	schema, table, role   string
	searchPath            []string
}

// filesFlags say where the migrations are.
type filesFlags struct {
	dir, tenantsDir, envFile            string
	environments, namespaces, protected []string
}

// runFlags say how a run goes.
type runFlags struct {
	lock             bool
	lockWait         time.Duration
	timeout          time.Duration
	migrationTimeout time.Duration
	rollbackTimeout  time.Duration
	statements       gooseplus.StatementTimeouts
	rollback         string
	foreign, unknown string
	checksums        string
	storedDowns      bool
	redactDetails    bool
	strictOrder      bool
	checkpoints      bool
}

// The words that a flag takes, and what they mean.
var (
	strategies = map[string]gooseplus.Strategy{
		"down": gooseplus.RollbackDown, "transaction": gooseplus.RollbackTransaction, "none": gooseplus.RollbackNone,
	}
	policies = map[string]gooseplus.Policy{"refuse": gooseplus.Refuse, "warn": gooseplus.Warn, "ignore": gooseplus.Ignore}
)

func newSettings(standalone bool) *settings { return &settings{standalone: standalone} }

func (s *settings) flags(f *pflag.FlagSet) {
	f.StringVarP(&s.shared.output, "output", "o", "text", "`format` of the result: text, json, or html for tenants status")
	f.BoolVarP(&s.shared.yes, "yes", "y", false, "answer yes to every question")
	f.BoolVarP(&s.shared.quiet, "quiet", "q", false, "print only errors, and the results of read-only commands")
	f.BoolVarP(&s.shared.verbose, "verbose", "v", false, "also print the database, and each step when it begins")
	f.BoolVar(&s.shared.noColor, "no-color", false, "no colours on a terminal, as with NO_COLOR")
	f.StringVar(&s.shared.namespace, "namespace", "", "only this `namespace`")
	f.StringVar(&s.shared.masterDSN, "master-dsn", "", "`DSN` of the tenants' master database (MASTER_DB_URL)")
	settable(f, "output", "namespace")
	settable(f, "master-dsn", "MASTER_DB_URL")
	if s.standalone {
		s.standaloneFlags(f)
	}
}

func (s *settings) standaloneFlags(f *pflag.FlagSet) {
	f.StringVar(&s.database.dsn, "dsn", "", "`DSN` of the database (GOOSE_DBSTRING, DATABASE_URL)")
	f.BoolVar(&s.database.master, "master", false, "work on the master database instead of the database of --dsn")
	f.StringVar(&s.database.driver, "driver", "", "postgres, mysql or sqlite, if the DSN doesn't say so (GOOSE_DRIVER)")
	f.StringVar(&s.database.tenantsDriver, "tenants-driver", "", "postgres, mysql or sqlite: the kind of the tenants' databases, if the master's is another")
	f.StringVar(&s.database.table, "table", "goose_db_version", "`name` of the version table (GOOSE_TABLE)")
	f.StringVar(&s.database.schema, "schema", "", "`schema` to migrate, instead of the connection's")
	f.StringSliceVar(&s.database.searchPath, "search-path", nil, "`schemas` whose types and functions are found too, such as those of extensions, separated by commas; PostgreSQL only")
	f.StringVar(&s.database.role, "role", "", "`role` that executes every statement and owns what is created, instead of the user; PostgreSQL only")

	f.StringVar(&s.files.dir, "dir", "sql", "`folder` of the migrations (GOOSE_MIGRATION_DIR)")
	f.StringVar(&s.files.tenantsDir, "tenants-dir", "", "`folder` of the tenants' migrations, if it isn't --dir")
	f.StringVar(&s.files.envFile, "env-file", ".env", "`file` with settings, for those that neither a flag nor a variable sets")
	f.StringSliceVar(&s.files.environments, "env", nil, "`environments` beside base, separated by commas")
	f.StringSliceVar(&s.files.namespaces, "namespaces", nil, "`namespaces`, folders with versions of their own, separated by commas")
	f.StringSliceVar(&s.files.protected, "protected-env", []string{"production"}, "`environments` that a database must not mix with others")

	r := &s.run
	f.BoolVar(&r.lock, "lock", true, "let one runner at a time migrate; the others wait")
	f.VarPF(negation{&r.lock}, "no-lock", "", "run without the lock, as --lock=false").NoOptDefVal = "true"
	f.DurationVar(&r.lockWait, "lock-wait", -1, "how long to wait for the lock; negative (the default) waits until --timeout")
	f.Lookup("lock-wait").DefValue = "0" // pflag shows no default for a zero value
	f.DurationVar(&r.timeout, "timeout", 5*time.Minute, "time limit of a run; 0 is no limit")
	f.DurationVar(&r.migrationTimeout, "migration-timeout", time.Minute, "time limit of each migration; 0 is no limit")
	f.DurationVar(&r.rollbackTimeout, "rollback-timeout", 5*time.Minute, "time limit for undoing a failed run; 0 is no limit")
	f.DurationVar(&r.statements.Lock, "lock-timeout", 0, "how long a statement may wait for a lock; 0 leaves it to the server")
	f.DurationVar(&r.statements.Statement, "statement-timeout", 0, "how long a statement may take; 0 leaves it to the server")
	f.IntVar(&r.statements.Retries, "retries", 0, "retries after lock contention; 0 retries until the migration timeout, if --lock-timeout or --statement-timeout is set")
	f.StringVar(&r.rollback, "rollback", "down", "how a failed run is undone: down, transaction or none")
	f.StringVar(&r.foreign, "foreign-history", "refuse", "what a run does if another tool has migrated the database: refuse, warn or ignore")
	f.BoolVar(&r.checkpoints, "checkpoints", false, "in a database without any applied version, begin with a checkpoint (*.checkpoint.sql)")
	f.StringVar(&r.checksums, "checksums", "warn", "what a run up does if the file of an applied migration was edited: refuse, warn or ignore")
	f.StringVar(&r.unknown, "unknown-versions", "warn", "what a run up does if applied versions have no migration here: refuse, warn or ignore")
	f.BoolVar(&r.storedDowns, "stored-downs", false, "a run up stores the Down of each migration; a run down uses it for migrations that aren't here")
	f.BoolVar(&r.redactDetails, "redact-details", false, "leave PostgreSQL's DETAIL, which can hold data, out of errors")
	f.BoolVar(&r.strictOrder, "strict-order", false, "refuse pending versions that are lower than an applied one")

	settable(f, "dsn", "GOOSE_DBSTRING")
	settable(f, "driver", "GOOSE_DRIVER")
	settable(f, "dir", "GOOSE_MIGRATION_DIR")
	settable(f, "table", "GOOSE_TABLE")
	for _, name := range []string{
		"tenants-dir", "tenants-driver", "env", "namespaces", "protected-env", "schema", "search-path", "role", "lock", "no-lock", "lock-wait", "timeout",
		"migration-timeout", "rollback-timeout", "rollback", "foreign-history", "unknown-versions", "checksums", "stored-downs", "redact-details", "strict-order", "checkpoints",
		"lock-timeout", "statement-timeout", "retries",
	} {
		settable(f, name)
	}
}

// negation is the flag --no-x of a flag --x.
type negation struct{ of *bool }

func (n negation) String() string { return "false" }
func (n negation) Type() string   { return "bool" }
func (n negation) Set(value string) error {
	var no bool
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	f.BoolVar(&no, "no", false, "")
	if err := f.Set("no", value); err != nil {
		return fmt.Errorf("%q is neither true nor false", value)
	}
	*n.of = !no
	return nil
}

// variablesOf is the annotation with the names of the variables that can set a flag. Flags that say what one command does
// have none: --yes must not answer the questions of every command.
const variablesOf = "variables"

// settable lets variables set a flag: GOOSEPLUS_ with its name, and the given ones.
func settable(f *pflag.FlagSet, name string, others ...string) {
	own := "GOOSEPLUS_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	_ = f.SetAnnotation(name, variablesOf, append([]string{own}, others...)) // it exists
}

// load gives the flags that were not set the values of the environment, and then those of the file. The file's other
// variables, such as PGHOST or SSL_CERT_FILE, are another program's, and are not exported.
func (s *settings) load(cmd *cobra.Command) error {
	file, err := s.file(cmd)
	if err != nil {
		return err
	}
	lookup := func(names ...string) (name, value string, err error) {
		for _, name := range names {
			if value := os.Getenv(name); value != "" {
				return name, value, nil
			}
		}
		for _, name := range names {
			if value := file.values[name]; value != "" {
				return name, value, file.fault(name)
			}
		}
		return "", "", nil
	}
	lock := cmd.Flags().Changed("lock") || cmd.Flags().Changed("no-lock")
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed || len(f.Annotations[variablesOf]) == 0 || err != nil || lock && (f.Name == "lock" || f.Name == "no-lock") {
			return
		}
		name, value, fault := lookup(f.Annotations[variablesOf]...)
		if err = fault; err != nil || value == "" {
			return
		}
		if setErr := f.Value.Set(value); setErr != nil {
			if os.Getenv(name) == "" {
				name = file.name + ": " + name
			}
			err = usagef("%s: %w", name, setErr)
		}
	})
	if err == nil && s.standalone {
		_, s.database.fallbackDSN, err = lookup("DATABASE_URL")
	}
	for _, name := range []string{"dir", "tenants-dir"} {
		if f := cmd.Flags().Lookup(name); err == nil && f != nil && strings.Contains(f.Value.String(), "://") { // a variable may hold the wrong thing
			err = usagef("--%s is a URL, and has to be a folder", name)
		}
	}
	return err
}

// envFile is a .env file.
type envFile struct {
	name, text string
	values     map[string]string
}

func (s *settings) file(cmd *cobra.Command) (file envFile, err error) {
	file.name = s.files.envFile
	if !s.standalone || file.name == "" {
		return file, nil
	}
	text, err := os.ReadFile(file.name)
	if errors.Is(err, fs.ErrNotExist) && !cmd.Flags().Changed("env-file") {
		return file, nil
	}
	if err != nil {
		return file, usagef("--env-file: %w", err)
	}
	file.text = string(text)
	if file.values, err = godotenv.Unmarshal(file.text); err != nil { // the parser quotes the line, which may have a password in it
		return file, usagef("--env-file: %s can't be parsed from line %d on: write each line as NAME=VALUE", file.name, file.faulty())
	}
	s.ignored = file.ignored(cmd.Root())
	return file, nil
}

// faulty is the number of the first line that can't be parsed.
func (f envFile) faulty() int {
	lines := strings.SplitAfter(f.text, "\n")
	for good := len(lines) - 1; good > 0; good-- {
		if _, err := godotenv.Unmarshal(strings.Join(lines[:good], "")); err == nil {
			return good + 1
		}
	}
	return 1
}

// ignored are warnings of variables that are called like settings, and set none: perhaps they are misspelt.
func (f envFile) ignored(root *cobra.Command) (warnings []string) {
	known := make(map[string]bool)
	var collect func(*cobra.Command)
	collect = func(cmd *cobra.Command) {
		for _, flags := range []*pflag.FlagSet{cmd.PersistentFlags(), cmd.Flags()} {
			flags.VisitAll(func(flag *pflag.Flag) {
				for _, name := range flag.Annotations[variablesOf] {
					known[name] = true
				}
			})
		}
		for _, sub := range cmd.Commands() {
			collect(sub)
		}
	}
	collect(root)
	for _, name := range slices.Sorted(maps.Keys(f.values)) {
		if strings.HasPrefix(name, "GOOSEPLUS_") && !known[name] {
			warnings = append(warnings, fmt.Sprintf("%s: %s is no setting, and is ignored (%s help settings)", f.name, name, program(root)))
		}
	}
	return warnings
}

// reference is $NAME or ${NAME} in the value of a variable.
var reference = regexp.MustCompile(`\$\{?([A-Z0-9_]+)`)

// fault returns an error if a value uses $NAME and the file has no value for NAME: the parser would put nothing there. To
// know whether a value uses NAME, quotes and escapes included, fault parses the file once more with a value for NAME.
func (f envFile) fault(name string) error {
	for _, match := range reference.FindAllStringSubmatch(f.text, -1) {
		used := match[1]
		if f.values[used] != "" {
			continue
		}
		line := regexp.MustCompile(`(?m)^\s*(export\s+)?` + used + `\s*[=:].*$`)
		values, err := godotenv.Unmarshal(used + "=set\n" + line.ReplaceAllString(f.text, ""))
		if err == nil && values[name] != f.values[name] {
			return usagef("%s: %s uses $%s, which is empty: set %[3]s in that file, above that line, or write the value in single quotes if the $ is a part of it",
				f.name, name, used)
		}
	}
	return nil
}

func (s *settings) envName() string { return cmp.Or(s.files.envFile, ".env") }

// options returns the library's options for these flags.
func (r runFlags) options() ([]gooseplus.Option, error) {
	strategy, ok := strategies[r.rollback]
	if !ok {
		return nil, usagef("--rollback %q: use down, transaction or none", r.rollback)
	}
	for _, policy := range []struct{ flag, word string }{{"foreign-history", r.foreign}, {"unknown-versions", r.unknown}, {"checksums", r.checksums}} {
		if _, ok := policies[policy.word]; !ok {
			return nil, usagef("--%s %q: use refuse, warn or ignore", policy.flag, policy.word)
		}
	}
	options := []gooseplus.Option{
		gooseplus.WithGlobalLock(r.lock), gooseplus.WithStrictOrder(r.strictOrder), gooseplus.WithRollback(strategy), gooseplus.WithForeignHistory(policies[r.foreign]),
		gooseplus.WithUnknownVersions(policies[r.unknown]), gooseplus.WithChecksums(policies[r.checksums]), gooseplus.WithCheckpoints(r.checkpoints), gooseplus.WithStoredDowns(r.storedDowns), gooseplus.WithRedactedDetails(r.redactDetails),
		gooseplus.WithTimeout(r.timeout), gooseplus.WithMigrationTimeout(r.migrationTimeout), gooseplus.WithRollbackTimeout(r.rollbackTimeout),
	}
	if r.lockWait >= 0 {
		options = append(options, gooseplus.WithLockWait(r.lockWait))
	}
	if r.statements != (gooseplus.StatementTimeouts{}) {
		options = append(options, gooseplus.WithStatementTimeouts(r.statements))
	}
	return options, nil
}

// options returns the library's options for all flags, with the migrations of a folder.
func (s *settings) options(dir string) ([]gooseplus.Option, error) {
	options, err := s.run.options()
	if err != nil {
		return nil, err
	}
	fsys, base := folder(dir)
	options = append(options, gooseplus.WithFS(fsys), gooseplus.WithBasePath(base),
		gooseplus.WithVersionTable(s.database.table), gooseplus.WithProtectedEnvironments(s.files.protected...))
	if namespaces := s.namespaces(); len(namespaces) > 0 {
		options = append(options, gooseplus.WithNamespaces(namespaces...))
	} else if flat(fsys, base) {
		options = append(options, gooseplus.SetEnvironments(nil))
	}
	if len(s.files.environments) > 0 {
		options = append(options, gooseplus.WithEnvironments(s.files.environments...))
	}
	if s.database.schema != "" {
		options = append(options, gooseplus.WithSchema(s.database.schema))
	}
	if len(s.database.searchPath) > 0 {
		options = append(options, gooseplus.WithSearchPath(s.database.searchPath...))
	}
	if s.database.role != "" {
		options = append(options, gooseplus.WithRole(s.database.role))
	}
	return options, nil
}

// namespaces are the ones that the flags name.
func (s *settings) namespaces() []string {
	if len(s.files.namespaces) == 0 && s.shared.namespace != "" {
		return []string{s.shared.namespace}
	}
	return slices.Clone(s.files.namespaces)
}
