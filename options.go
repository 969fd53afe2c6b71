package gooseplus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"runtime/debug"
	"slices"
	"time"

	"github.com/pressly/goose/v3"
	"go.uber.org/zap"

	"github.com/gooseplus/gooseplus/internal/mutex"
	"github.com/gooseplus/gooseplus/internal/session"
)

// An Option configures a [Migrator]. Options are applied in the order given: if two options
// set the same thing, the last one counts; [WithEnvironments], [WithGoMigrations], [WithDefinitions],
// [WithObserver], [WithContextHook] and [WithGooseOptions] add to what earlier ones gave.
type Option interface {
	apply(*options)
}

type optionFunc func(*options)

func (f optionFunc) apply(o *options) { f(o) }

// options are the settings as given. They are checked by faults, not when they are set, so that
// everything that is wrong is found together.
type options struct {
	dialect        string
	fsys           fs.FS
	basePath       string
	environments   []string
	unnamed        bool // WithEnvironments was given an empty name
	versionTable   string
	strictOrder    bool
	foreignHistory Policy
	unknown        Policy // what becomes of a run where unknown versions are applied
	checksums      Policy // what becomes of a run where the file of an applied version was edited
	storedDowns    bool
	checkpoints    bool
	application    string // its version
	schema         string // "" with bound: the tenant has no schema of its own
	bound          bool   // to a schema
	createSchema   bool
	batches        bool     // migrations of an empty database run together where they can
	dropCreated    bool     // a failed run leaves no schema that it has created
	searchPath     []string // schemas behind its own
	role           *string  // nil without WithRole
	tenant         string
	namespaces     []string // in the order in which they are migrated; nil without WithNamespaces
	namespace      string   // the one of them that the Migrator is for

	protectedEnvironments []string

	timeout          time.Duration
	timeoutSet       bool // with WithTimeout: else a deadline of the context counts instead
	migrationTimeout time.Duration
	rollbackTimeout  time.Duration
	rollback         Strategy
	globalLock       bool
	lockWait         time.Duration // negative: as long as the run may take
	redactedDetails  bool
	// statementTimeouts are nil without the option: nothing is tried again then.
	statementTimeouts *StatementTimeouts

	logger       *zap.Logger // nil: zap.L() when the run starts
	observers    []func(context.Context, Event)
	contextHooks []func(context.Context, Event) context.Context
	trace        session.Trace // hears of the statements of the migrations; nil without [Migrator.Trace]
	lockTimes    lockTimes
	goMigrations []*goose.Migration
	definitions  []*Definitions
	gooseOptions []goose.ProviderOption
}

// folders are the paths, below the base path, of the folders that the migrations are in.
func (o *options) folders() (list []string) {
	namespaces := o.namespaces
	switch {
	case o.namespace != "":
		namespaces = []string{o.namespace}
	case namespaces == nil:
		namespaces = []string{""}
	}
	for _, namespace := range namespaces {
		if namespace != "" {
			list = append(list, namespace) // which may have its migrations directly
		}
		for _, environment := range o.environments {
			list = append(list, path.Join(".", namespace, environment))
		}
	}
	return list
}

// baseEnvironment is the folder that every database has.
const baseEnvironment = "base"

func defaultOptions() options {
	return options{
		dialect:      "postgres",
		fsys:         os.DirFS("."),
		basePath:     "sql",
		environments: []string{baseEnvironment},
		versionTable: goose.DefaultTablename,

		foreignHistory:        Refuse,
		unknown:               Warn,
		checksums:             Warn,
		application:           applicationVersion(),
		protectedEnvironments: []string{"production"},

		timeout:          5 * time.Minute,
		migrationTimeout: time.Minute,
		rollbackTimeout:  5 * time.Minute,
		rollback:         RollbackDown,
		lockWait:         -1,
		lockTimes:        lockTimes{lockIdle, mutex.Beats{Every: lockBeat, Patience: lockPatience}},
	}
}

// faults reports what is wrong with the settings in themselves.
func (o *options) faults() []error {
	var faults []error
	if o.unnamed {
		faults = append(faults, errors.New("WithEnvironments: an environment's name is empty: "+
			"is a variable not set? SetEnvironments(nil) means no folders"))
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"WithTimeout", o.timeout},
		{"WithMigrationTimeout", o.migrationTimeout},
		{"WithRollbackTimeout", o.rollbackTimeout},
	} {
		if d.value < 0 {
			faults = append(faults, fmt.Errorf("%s: %v is negative", d.name, d.value))
		}
	}
	if o.namespaces != nil && len(o.namespaces) == 0 {
		faults = append(faults, errors.New("WithNamespaces: there is no name"))
	}
	for _, p := range []struct {
		name  string
		value Policy
	}{{"WithForeignHistory", o.foreignHistory}, {"WithUnknownVersions", o.unknown}, {"WithChecksums", o.checksums}} {
		if p.value < Ignore || p.value > Refuse {
			faults = append(faults, fmt.Errorf("%s: %v is not a policy", p.name, p.value))
		}
	}
	if !o.rollback.known() {
		faults = append(faults, fmt.Errorf("WithRollback: %v is not a strategy", o.rollback))
	}
	return faults
}

// WithDialect names the database in goose's words: postgres (or pgx), mysql (or mariadb), sqlite3
// (or sqlite), and any other name that goose's command line takes, except dsql: goose needs
// goose.WithIsolateDDL for it, which a run can't do with. An unknown name is a configuration fault.
//
// The default is "postgres". Only PostgreSQL, MariaDB (MySQL) and SQLite are tested.
func WithDialect(name string) Option {
	return optionFunc(func(o *options) { o.dialect = name })
}

// WithFS sets the file system that holds the migrations: an embed.FS, an os.DirFS or any other. It
// is listed once, by the first call that needs it; a file is read when its migration is pending, and by
// [Migrator.Err] and [Migrator.Status].
//
// The default is os.DirFS(".").
func WithFS(fsys fs.FS) Option {
	return optionFunc(func(o *options) { o.fsys = fsys })
}

// WithBasePath sets the folder of the file system that holds the environment folders. It is
// relative to the file system's root; "." is the root. A base path that does not exist is a
// configuration fault, unless there are migrations that need no folder ([WithGoMigrations],
// [WithDefinitions]).
//
// The default is "sql".
func WithBasePath(path string) Option {
	return optionFunc(func(o *options) { o.basePath = path })
}

// WithEnvironments adds environments: folders of the base path whose migrations are merged, by
// version, with those that are already chosen. A missing folder counts as empty, with a warning.
//
// These are configuration faults: a missing folder whose name resembles an existing one, or abbreviates it (prod for
// production); no folder at all for any of the environments, and no migrations elsewhere; migrations directly in
// the base path; an empty name, as from a variable that isn't set; a name with a comma, with a slash, or with spaces
// around it.
//
// The default is the one environment "base".
func WithEnvironments(names ...string) Option {
	return optionFunc(func(o *options) {
		o.environments = o.environments[:len(o.environments):len(o.environments)]
		for _, name := range names {
			if name == "" {
				o.unnamed = true
				continue
			}
			o.environments = append(o.environments, name)
		}
	})
}

// SetEnvironments replaces the environments, base included. With nil or an empty slice there are
// no environment folders: the migrations are the files directly in the base path. An empty
// name in the list stands for these files.
//
// The default is []string{"base"}.
func SetEnvironments(names []string) Option {
	return optionFunc(func(o *options) {
		if len(names) == 0 {
			names = []string{""}
		}
		o.environments, o.unnamed = append([]string(nil), names...), false
	})
}

// WithNamespaces divides the base path into bounded contexts: each is a folder of it, with a sequence, a
// version table and versions of its own. [Migrator.Migrate] runs all of them in the order given, as one run:
// under one lock, and if a namespace fails, what the run applied in those before it is undone too, in
// reverse. [Migrator.Namespace] chooses one namespace; methods that take a version require that.
//
// The folder of a namespace has either migrations or folders of environments; a mixture of the two is a configuration
// fault, as is a folder that doesn't exist, unless definitions or Go migrations were given for the namespace. Its
// version table is {version table}_{namespace}, with the name as it is: quoted where it is no identifier, capitals
// included. These are configuration faults as well: no name; an empty name; a name with a slash, a backslash, a control
// character or a blank at its ends; a name that is given twice (also in other capitals, except on PostgreSQL); a name that
// makes the table's name too long for the server; "lock" and names that begin with "lock_", which the state table uses; on
// PostgreSQL "pkey", "id_seq" and names that end in one of them after an underscore, as indexes and sequences do.
// Migrations directly in the base path, or in a folder that belongs to no namespace, are a configuration fault: a forgotten
// namespace would not be migrated.
//
// There are no namespaces by default. The last use of this option counts.
func WithNamespaces(names ...string) Option {
	return optionFunc(func(o *options) { o.namespaces = append([]string{}, names...) })
}

// WithSchema binds the Migrator to one schema of the database, which on MySQL and MariaDB is a database
// of the same server. The version table and the state table are in that schema, and migrations find unqualified names
// there. On PostgreSQL the schema is the whole search_path of each transaction, so a type or function of an extension in
// another schema needs that schema's name, or [WithSearchPath]. The name is taken as it is, including capitals, dots
// and quotes. A missing schema is [ErrTenantMissing].
//
// These are configuration faults: an empty name; a name longer than the server takes (63 bytes on PostgreSQL); "$user" and
// "pg_temp", which PostgreSQL takes for other schemas in a search_path, even with quotes; a dialect without
// schemas; and a version table that is named with a schema. See [Migrator.Tenant] for many schemas.
//
// By default the Migrator works where the connection does.
func WithSchema(name string) Option {
	return optionFunc(func(o *options) { o.schema, o.bound = name, true })
}

// WithProtectedEnvironments replaces the environments that protect a database. A database remembers
// with which environments other than base it was migrated; once it has seen a protected one, a run
// with an environment that it has not seen is refused with [ErrProtectedEnvironment], so that test
// data can't reach production. With no names nothing is protected. Dialects that gooseplus leaves to
// goose (see [WithDialect]) remember nothing.
//
// The default is "production".
func WithProtectedEnvironments(names ...string) Option {
	return optionFunc(func(o *options) { o.protectedEnvironments = slices.Clone(names) })
}

// WithVersionTable names the version table, as goose's WithTableName does: a name, or a schema and
// a name with a dot between them. A part that needs quotes is given with the quotes of the
// dialect (`"Acme Corp".versions`). Anything else is a configuration fault, as is a name longer
// than the server's limit leaves room for: the state table's is longer by up to 11 bytes, so that
// PostgreSQL takes 52.
//
// The default is "goose_db_version", goose's own, which an empty name means too.
func WithVersionTable(name string) Option {
	return optionFunc(func(o *options) { o.versionTable = cmp.Or(name, goose.DefaultTablename) })
}

// WithStrictOrder makes a late version a fault: a pending migration with a lower version than the
// newest applied one. The run then returns [ErrMergeMigrations] and applies nothing.
//
// The default is false: late versions are applied, lowest first.
func WithStrictOrder(strict bool) Option {
	return optionFunc(func(o *options) { o.strictOrder = strict })
}

// WithUnknownVersions says what a run up does where applied versions have no migration in this configuration: as a rule
// the release was rolled back, and this program is older than the database. [Warn] sends one [Warning] and goes on,
// [Refuse] returns [ErrUnknownVersion] before anything is touched. Runs down, which people start, are not affected.
//
// The default is [Warn]. A value that is none of the three policies is a configuration fault.
func WithUnknownVersions(p Policy) Option {
	return optionFunc(func(o *options) { o.unknown = p })
}

// WithTimeout limits a whole run. When the time is exceeded, the running migration is
// interrupted and the way back begins, which has a limit of its own ([WithRollbackTimeout]). If the
// context has a deadline too, the earlier of the two ends the run. Zero means no limit but the context's; a
// negative duration is a configuration fault.
//
// The default is 5 minutes.
func WithTimeout(d time.Duration) Option {
	return optionFunc(func(o *options) { o.timeout, o.timeoutSet = d, true })
}

// WithMigrationTimeout limits each single migration, up and down. Zero means no limit; a negative
// duration is a configuration fault. A Go migration has to respect its context for the limit to
// have an effect on it.
//
// The default is 1 minute.
func WithMigrationTimeout(d time.Duration) Option {
	return optionFunc(func(o *options) { o.migrationTimeout = d })
}

// WithRedactedDetails leaves PostgreSQL's DETAIL out of the errors of failed migrations ([MigrationError].Detail). It can
// hold data: "Key (email)=(someone@example.org) already exists."
//
// The default is false.
func WithRedactedDetails(redacted bool) Option {
	return optionFunc(func(o *options) { o.redactedDetails = redacted })
}

// WithObserver adds a function that is called with each [Event] of a run, on the goroutine of the run, in
// order, one event at a time: the runs of [Migrator.MigrateTenants] and [Migrator.EachTenant] take turns. The run
// goes on when the function returns, so it must not block: hand slow work to a goroutine of your own. Its context
// has the values of the context given to the run, and of the hooks ([WithContextHook]), and never ends. A panic of the
// function doesn't reach the run; the logger is told of an observer's first panic in each run. nil is ignored.
//
// There is no observer by default.
func WithObserver(observe func(context.Context, Event)) Option {
	return optionFunc(func(o *options) {
		if observe != nil {
			o.observers = append(o.observers[:len(o.observers):len(o.observers)], observe)
		}
	})
}

// WithContextHook adds an observer, as [WithObserver] does, that also returns a context. Some events begin something:
// [TenantsStarted], [RunRequested], [LockWaiting], [MigrationStarted], [BatchStarted] and [WayBackStarted]. The context that
// the function returns for one of them holds until the event that ends it: for the statements, for a Go migration, and for
// all events until then, the last one included. So the spans of the statements are below a span that the function puts into
// the context. Only the values of the returned context count: the deadline and the cancellation stay the run's. nil, and a
// context returned for any other event, is ignored. The hooks are called before the other observers, each with the context
// that the hook before it returned.
//
// There is no hook by default.
func WithContextHook(hook func(context.Context, Event) context.Context) Option {
	return optionFunc(func(o *options) {
		if hook != nil {
			o.contextHooks = append(o.contextHooks[:len(o.contextHooks):len(o.contextHooks)], hook)
		}
	})
}

// WithGoMigrations adds Go migrations made by goose.NewGoMigration. They are part of every run
// whatever its environments. A version that is taken already is a configuration fault. With several
// namespaces ([WithNamespaces]) each must have a Source in the folder of one, to which it then belongs.
//
// Go migrations that register themselves (goose.AddMigrationContext and its like) need no option:
// they belong to the folder that their source file is in.
func WithGoMigrations(migrations ...*goose.Migration) Option {
	return optionFunc(func(o *options) {
		o.goMigrations = append(o.goMigrations[:len(o.goMigrations):len(o.goMigrations)], migrations...)
	})
}

// WithGooseOptions passes options to goose's Provider, such as goose.WithExcludeVersions. An option that
// would break the contract of a run (a store, a table name, a lock, a logger, no versioning, no
// transactions, Go migrations) is a configuration fault, which names the option of gooseplus to
// use instead. goose.WithVerbose, goose.WithAllowOutofOrder and goose.WithDisableGlobalRegistry have no
// effect: gooseplus decides about these.
//
// There are none by default.
func WithGooseOptions(opts ...goose.ProviderOption) Option {
	return optionFunc(func(o *options) {
		o.gooseOptions = append(o.gooseOptions[:len(o.gooseOptions):len(o.gooseOptions)], opts...)
	})
}

// WithApplicationVersion sets the version of the application that the state table remembers for each migration and run.
//
// The default is the version in the program's build information, or the revision that it was built from.
func WithApplicationVersion(version string) Option {
	return optionFunc(func(o *options) { o.application = version })
}

func applicationVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}
