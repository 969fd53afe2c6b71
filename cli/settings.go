package cli

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
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

	output       string
	yes, noColor bool
	masterDSN    string
	namespace    string // "" is all

	dsn, driver           string
	tenantsDriver         string
	master                bool
	dir, tenantsDir       string
	environments          []string
	namespaces            []string
	protected             []string
	envFile               string
	table, schema         string
	noLock, strictOrder   bool
	lockWait              time.Duration
	timeout               time.Duration
	migrationTimeout      time.Duration
	rollbackTimeout       time.Duration
	rollback              string
	foreign               string
	lockTimeout, stmtTime time.Duration
	retries               int

	looks     bool // the command changes nothing
	opened    []*sql.DB
	connected string // the database that a person is about to change
}

func newSettings(standalone bool) *settings { return &settings{standalone: standalone} }

// connectTimeout is how long the server may take to answer at all.
const connectTimeout = 10 * time.Second

func (s *settings) flags(f *pflag.FlagSet) {
	f.StringVarP(&s.output, "output", "o", "text", "`format` of the result: text, json, or html for tenants status")
	f.BoolVarP(&s.yes, "yes", "y", false, "confirm what has to be confirmed")
	f.BoolVar(&s.noColor, "no-color", false, "no colours on a terminal, as with NO_COLOR")
	f.StringVar(&s.namespace, "namespace", "", "`namespace` to work on, of several")
	f.StringVar(&s.masterDSN, "master-dsn", "", "`DSN` of the tenants' master database (MASTER_DB_URL)")
	if !s.standalone {
		return
	}
	f.StringVar(&s.dsn, "dsn", "", "`DSN` of the database (GOOSE_DBSTRING)")
	f.BoolVar(&s.master, "master", false, "work on the master database, not on that of --dsn")
	f.StringVar(&s.driver, "driver", "", "postgres, mysql or sqlite, if the DSN doesn't say so (GOOSE_DRIVER)")
	f.StringVar(&s.dir, "dir", "sql", "`folder` of the migrations (GOOSE_MIGRATION_DIR)")
	f.StringVar(&s.tenantsDriver, "tenants-driver", "", "postgres, mysql or sqlite, if the tenants' databases are of another kind than the master's")
	f.StringVar(&s.tenantsDir, "tenants-dir", "", "`folder` of the tenants' migrations, if it is another one")
	f.StringSliceVar(&s.environments, "env", nil, "`environments` beside base, separated by commas")
	f.StringSliceVar(&s.namespaces, "namespaces", nil, "`namespaces`, folders with versions of their own, separated by commas")
	f.StringSliceVar(&s.protected, "protected-env", []string{"production"}, "`environments` that protect a database from others")
	f.StringVar(&s.envFile, "env-file", ".env", "`file` with settings that neither a flag nor the environment has")
	f.StringVar(&s.table, "table", "goose_db_version", "`name` of the version table (GOOSE_TABLE)")
	f.StringVar(&s.schema, "schema", "", "`schema` to migrate, if it isn't the connection's")
	f.BoolVar(&s.noLock, "no-lock", false, "run without the lock that keeps other runners out")
	f.DurationVar(&s.lockWait, "lock-wait", -1, "how long to wait for the lock; negative, the default, is as long as the run may take")
	f.Lookup("lock-wait").DefValue = "0" // that is what pflag shows nothing for
	f.DurationVar(&s.timeout, "timeout", 5*time.Minute, "limit of a run; 0 is none")
	f.DurationVar(&s.migrationTimeout, "migration-timeout", time.Minute, "limit of each migration; 0 is none")
	f.DurationVar(&s.rollbackTimeout, "rollback-timeout", 5*time.Minute, "limit of the way back; 0 is none")
	f.StringVar(&s.rollback, "rollback", "down", "what a failed run does: down, transaction or none")
	f.StringVar(&s.foreign, "foreign-history", "refuse", "what to do where another tool has migrated the database: refuse, warn or ignore")
	f.BoolVar(&s.strictOrder, "strict-order", false, "refuse versions that come late")
	f.DurationVar(&s.lockTimeout, "lock-timeout", 0, "how long the server lets a statement wait for a lock; 0 is its own limit")
	f.DurationVar(&s.stmtTime, "statement-timeout", 0, "how long the server lets a statement take; 0 is its own limit")
	f.IntVar(&s.retries, "retries", 0, "how often a migration that others were in the way of is tried again; 0 is as often as its limit allows with one of these two limits, and never without")
}

// aliases are the names that others have given to variables; ours come first.
var aliases = map[string][]string{
	"dsn":        {"GOOSE_DBSTRING"},
	"driver":     {"GOOSE_DRIVER"},
	"dir":        {"GOOSE_MIGRATION_DIR"},
	"table":      {"GOOSE_TABLE"},
	"master-dsn": {"MASTER_DB_URL"},
}

// settable are the flags that a variable sets too. Those that say what one command is to do are not among
// them: what has to be confirmed is confirmed for one command.
var settable = []string{
	"output", "master-dsn", "dsn", "driver", "dir", "tenants-dir", "tenants-driver", "env", "namespace", "namespaces", "protected-env", "table", "schema", "no-lock", "lock-wait",
	"timeout", "migration-timeout", "rollback-timeout", "rollback", "foreign-history", "strict-order", "lock-timeout", "statement-timeout", "retries",
	"schemas-like", "schemas-query", "databases-query", "concurrency", "canary", "max-failures", "create-schema",
}

// variables are the names of the variables of a flag, in their order.
func variables(flag string) []string {
	own := "GOOSEPLUS_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
	return append([]string{own}, aliases[flag]...)
}

// load gives the flags that were not set the values of the environment, and then those of the file. The file's other
// variables, such as PGHOST or SSL_CERT_FILE, are another program's, and are not exported.
func (s *settings) load(cmd *cobra.Command) error {
	file, err := s.file(cmd)
	if err != nil {
		return err
	}
	sources := []func(string) string{os.Getenv, func(name string) string { return file[name] }}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed || !slices.Contains(settable, f.Name) || err != nil || f.Annotations[perCall] != nil {
			return
		}
		for _, source := range sources {
			for _, name := range variables(f.Name) {
				value := source(name)
				if value == "" {
					continue
				}
				if setErr := f.Value.Set(value); setErr != nil {
					err = usagef("%s: %w", name, setErr)
				}
				return
			}
		}
	})
	return err
}

// perCall marks the flag of a command that is called like one of the settable ones, and is another.
const perCall = "percall"

func (s *settings) file(cmd *cobra.Command) (map[string]string, error) {
	if !s.standalone || s.envFile == "" {
		return nil, nil
	}
	file, err := godotenv.Read(s.envFile)
	if errors.Is(err, fs.ErrNotExist) && !cmd.Flags().Changed("env-file") {
		return nil, nil
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		return nil, usagef("--env-file: %w", err)
	}
	if err != nil { // the parser quotes the line, which may have a password in it
		return nil, usagef("--env-file: %s can't be parsed: a line is NAME=VALUE", s.envFile)
	}
	return file, nil
}

// purpose says which database a Migrator is for.
type purpose int

const (
	mainDatabase purpose = iota
	masterDatabase
	noDatabase
	otherDatabases // each tenant brings its own
)

type purposeKey struct{}

func withPurpose(ctx context.Context, p purpose) context.Context {
	return context.WithValue(ctx, purposeKey{}, p)
}

// migrator is what the settings of a stand-alone command describe.
func (s *settings) migrator(ctx context.Context) (*gooseplus.Migrator, error) {
	purpose, _ := ctx.Value(purposeKey{}).(purpose)
	t, err := s.target(purpose)
	if err != nil {
		return nil, err
	}
	var db *sql.DB
	if purpose != noDatabase && purpose != otherDatabases {
		if db, err = t.open(s.looks); err != nil {
			return nil, err
		}
		s.opened = append(s.opened, db)
		s.connected = t.shown()
		if err := t.ping(ctx, db); err != nil {
			return nil, err
		}
	}
	options, err := s.options(ForTenants(ctx))
	if err != nil {
		return nil, err
	}
	return gooseplus.New(db, append(options, gooseplus.WithDialect(t.dialect))...), nil
}

// target is the database that is to be migrated.
func (s *settings) target(p purpose) (dsnTarget, error) {
	if s.master && s.masterDSN == "" && p != noDatabase {
		return dsnTarget{}, usagef("MASTER_DB_URL is not set: --master works on the master database, which that variable names, in the environment or in %s, or the flag --master-dsn", s.envName())
	}
	if p == otherDatabases && s.tenantsDriver != "" {
		return parseDSN("", s.tenantsDriver)
	}
	list := []string{s.dsn, s.masterDSN}
	if p == masterDatabase || s.master && p == mainDatabase {
		slices.Reverse(list)
	}
	for _, dsn := range list {
		if dsn != "" {
			return parseDSN(dsn, s.driver)
		}
	}
	if p == noDatabase || p == otherDatabases {
		if s.driver != "" {
			return parseDSN("", s.driver)
		}
		return dsnTarget{dialect: "postgres"}, nil
	}
	return dsnTarget{}, usagef("there is no database to work on: set --dsn, or GOOSEPLUS_DSN (or GOOSE_DBSTRING) in the environment or in %s", s.envName())
}

func (s *settings) envName() string { return cmp.Or(s.envFile, ".env") }

func (s *settings) options(tenants bool) ([]gooseplus.Option, error) {
	dir := s.dir
	if tenants && s.tenantsDir != "" {
		dir = s.tenantsDir
	}
	fsys, base := folder(dir)
	options := []gooseplus.Option{
		gooseplus.WithFS(fsys), gooseplus.WithBasePath(base),
		gooseplus.WithVersionTable(s.table), gooseplus.WithGlobalLock(!s.noLock), gooseplus.WithStrictOrder(s.strictOrder),
		gooseplus.WithTimeout(s.timeout), gooseplus.WithMigrationTimeout(s.migrationTimeout), gooseplus.WithRollbackTimeout(s.rollbackTimeout),
		gooseplus.WithProtectedEnvironments(s.protected...),
	}
	namespaces := s.namespaces
	if len(namespaces) == 0 && s.namespace != "" {
		namespaces = []string{s.namespace}
	}
	if len(namespaces) > 0 {
		options = append(options, gooseplus.WithNamespaces(namespaces...))
	} else if flat(fsys, base) {
		options = append(options, gooseplus.SetEnvironments(nil))
	}
	if len(s.environments) > 0 {
		options = append(options, gooseplus.WithEnvironments(s.environments...))
	}
	if s.lockWait >= 0 {
		options = append(options, gooseplus.WithLockWait(s.lockWait))
	}
	if s.schema != "" {
		options = append(options, gooseplus.WithSchema(s.schema))
	}
	if s.lockTimeout != 0 || s.stmtTime != 0 || s.retries != 0 {
		options = append(options, gooseplus.WithStatementTimeouts(gooseplus.StatementTimeouts{
			Lock: s.lockTimeout, Statement: s.stmtTime, Retries: s.retries,
		}))
	}
	strategies := map[string]gooseplus.Strategy{
		"down": gooseplus.RollbackDown, "transaction": gooseplus.RollbackTransaction, "none": gooseplus.RollbackNone,
	}
	strategy, ok := strategies[s.rollback]
	if !ok {
		return nil, usagef("--rollback %q: it is down, transaction or none", s.rollback)
	}
	policies := map[string]gooseplus.Policy{"refuse": gooseplus.Refuse, "warn": gooseplus.Warn, "ignore": gooseplus.Ignore}
	policy, ok := policies[s.foreign]
	if !ok {
		return nil, usagef("--foreign-history %q: it is refuse, warn or ignore", s.foreign)
	}
	return append(options, gooseplus.WithRollback(strategy), gooseplus.WithForeignHistory(policy)), nil
}

// folder makes a file system of a folder such that its files are called as people call them.
func folder(dir string) (fs.FS, string) {
	dir = filepath.Clean(dir)
	if filepath.IsLocal(dir) {
		return os.DirFS("."), filepath.ToSlash(dir)
	}
	if base := filepath.Base(dir); fs.ValidPath(base) && base != "." {
		return os.DirFS(filepath.Dir(dir)), base
	}
	return os.DirFS(dir), "."
}

// migrationName is how the file of a migration begins.
var migrationName = regexp.MustCompile(`^(\d+)_.*\.(sql|go)$`)

// flat says whether the migrations are directly in the folder, as goose has them, rather than in one for
// each environment.
func flat(fsys fs.FS, base string) bool {
	entries, err := fs.ReadDir(fsys, base)
	if err != nil {
		return false
	}
	files := false
	for _, e := range entries {
		if e.Name() == "base" && e.IsDir() {
			return false
		}
		files = files || !e.IsDir() && migrationName.MatchString(e.Name())
	}
	return files
}

// close closes what was opened.
func (s *settings) close() error {
	var errs []error
	for _, db := range s.opened {
		errs = append(errs, db.Close())
	}
	s.opened = nil
	return errors.Join(errs...)
}
