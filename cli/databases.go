package cli

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/envfs"
)

// pools are the databases that a command has opened.
type pools struct {
	looks     bool // the command changes nothing
	patient   bool // the command itself waits for the server
	opened    []*sql.DB
	connected string // the database that a person is about to change
	name      string // of that database, for titles
	sums      error  // what doesn't match the file of sums
}

// connectTimeout is how long the server may take to answer at all.
const connectTimeout = 10 * time.Second

// connect opens a database, and makes sure that it is there.
func (p *pools) connect(ctx context.Context, t dsnTarget) (*sql.DB, error) {
	db, err := p.open(t)
	if err != nil {
		return nil, err
	}
	if p.patient {
		return db, nil
	}
	return db, t.ping(ctx, db)
}

// open opens a database without connecting to it.
func (p *pools) open(t dsnTarget) (*sql.DB, error) {
	db, err := t.open(p.looks)
	if err == nil {
		p.opened, p.connected, p.name = append(p.opened, db), t.shown(), t.name()
	}
	return db, err
}

// close closes what was opened.
func (p *pools) close() error {
	var errs []error
	for _, db := range p.opened {
		errs = append(errs, db.Close())
	}
	p.opened = nil
	return errors.Join(errs...)
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

// migrator makes the Migrator of a stand-alone command. It finds faults of the settings and of the migrations before it
// connects: connecting creates a SQLite database.
func (s *settings) migrator(ctx context.Context) (*gooseplus.Migrator, error) {
	purpose, _ := ctx.Value(purposeKey{}).(purpose)
	t, err := s.target(purpose)
	if err != nil {
		return nil, err
	}
	dir := s.files.dir
	if ForTenants(ctx) && s.files.tenantsDir != "" {
		dir = s.files.tenantsDir
	}
	options, err := s.options(dir)
	if err != nil {
		return nil, err
	}
	m := gooseplus.New(nil, append(options, gooseplus.WithDialect(t.dialect))...)
	if purpose == noDatabase {
		return m, nil
	}
	faults := m.Err()
	// A run doesn't need the sums, and neither does the way back; validate and sum --check refuse them.
	s.pools.sums, faults = sumFaults(faults)
	if err := t.faults(faults, s.pools.looks); err != nil || purpose == otherDatabases {
		return m, err
	}
	db, err := s.pools.connect(ctx, t)
	return m.On(db), err
}

// faults returns the faults that forbid opening the database. An existing database may be opened although a file can't be
// parsed: it may have applied that file long ago.
func (t dsnTarget) faults(err error, looks bool) error {
	switch {
	case err == nil, onlyUnparsable(err) && (looks || !t.absent()):
		return nil
	case inSettings(err):
		return &usageError{err}
	}
	return &refusedError{err}
}

// inSettings tells a fault of the settings, such as a wrong --dir, from a fault of the files.
func inSettings(err error) bool {
	var base *envfs.BaseError
	var environment *envfs.NearMissError
	if _, err = sumFaults(err); err == nil {
		return false
	}
	return errors.As(err, &base) || errors.As(err, &environment) || !onlyUnparsable(err) && !errors.Is(err, gooseplus.ErrMergeMigrations)
}

// onlyUnparsable says whether the only faults are files that can't be parsed.
func onlyUnparsable(err error) bool {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return !slices.ContainsFunc(joined.Unwrap(), func(e error) bool { return !onlyUnparsable(e) })
	}
	var unparsable *gooseplus.MigrationError
	return errors.As(err, &unparsable) && !errors.Is(err, gooseplus.ErrMergeMigrations)
}

// target is the database that is to be migrated.
func (s *settings) target(p purpose) (dsnTarget, error) {
	d, master := s.database, s.shared.masterDSN
	if d.master && master == "" && p != noDatabase {
		return dsnTarget{}, usagef("--master works on the master database, and there is none: set MASTER_DB_URL in the environment or in %s, or --master-dsn", s.envName())
	}
	if p == otherDatabases && d.tenantsDriver != "" {
		return parseDSN("", d.tenantsDriver)
	}
	list := []string{d.dsn, master, d.fallbackDSN}
	if p == masterDatabase || d.master && p == mainDatabase {
		list = []string{master, d.dsn, d.fallbackDSN}
	}
	for _, dsn := range list {
		if dsn != "" {
			return parseDSN(dsn, d.driver)
		}
	}
	if p == noDatabase || p == otherDatabases {
		if d.driver != "" {
			return parseDSN("", d.driver)
		}
		return dsnTarget{dialect: "postgres"}, nil
	}
	return dsnTarget{}, usagef("there is no database to work on: set --dsn, or GOOSEPLUS_DSN (or GOOSE_DBSTRING, or DATABASE_URL) in the environment or in %s", s.envName())
}

// hasDSN says whether the settings name a database.
func (s *settings) hasDSN() bool {
	return s.database.dsn != "" || s.shared.masterDSN != "" || s.database.fallbackDSN != ""
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
