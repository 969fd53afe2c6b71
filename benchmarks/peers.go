package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/golang-migrate/migrate/v4"
	migratepostgres "github.com/golang-migrate/migrate/v4/database/postgres"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	tern "github.com/jackc/tern/v2/migrate"
	_ "github.com/lib/pq" // the driver "postgres"
	"github.com/pressly/goose/v3"
	sqlmigrate "github.com/rubenv/sql-migrate"

	"github.com/gooseplus/gooseplus"
)

// A peer is a library on a driver, used as its documentation shows, with its defaults.
type peer struct {
	name string
	// against is the peer whose times are 1.00: goose on the same driver.
	against string
	// format writes migrations as the library wants them.
	format func([]migration) *files
	// connect opens a connection that answers.
	connect func(ctx context.Context, dsn string) (connection, error)
	// together is connect for one of several replicas that boot at once. It is nil where the library has no lock by
	// which they could do so, or none that a single option switches on.
	together func(ctx context.Context, dsn string) (connection, error)
}

func (p peer) String() string { return p.name }

// A connection is what a service has before it boots its migration library.
type connection struct {
	// migrate constructs the library and migrates.
	migrate func(context.Context, *files) error
	close   func()
}

var peers = []peer{
	{name: "goose", against: "goose", format: gooseFiles("."), connect: overSQL("postgres", runGoose)},
	{name: "gooseplus", against: "goose", format: gooseFiles("sql/base"), connect: overSQL("postgres", runGooseplus),
		together: overSQL("postgres", runLocked)},
	{name: "gooseplus-locked", against: "goose", format: gooseFiles("sql/base"), connect: overSQL("postgres", runLocked)},
	{name: "golang-migrate", against: "goose", format: migrateFiles, connect: overSQL("postgres", runMigrate),
		together: overSQL("postgres", runMigrate)},
	{name: "sql-migrate", against: "goose", format: sqlMigrateFiles, connect: overSQL("postgres", runSQLMigrate)},
	{name: "goose-pgx", against: "goose-pgx", format: gooseFiles("."), connect: overSQL("pgx", runGoose)},
	{name: "gooseplus-pgx", against: "goose-pgx", format: gooseFiles("sql/base"), connect: overSQL("pgx", runGooseplus),
		together: overSQL("pgx", runLocked)},
	{name: "gooseplus-locked-pgx", against: "goose-pgx", format: gooseFiles("sql/base"), connect: overSQL("pgx", runLocked)},
	{name: "tern", against: "goose-pgx", format: ternFiles, connect: connectTern, together: connectTern},
}

// overSQL connects for libraries that take a *sql.DB. The pool has its defaults; one of its connections is open.
func overSQL(driver string, migrate func(context.Context, *sql.DB, *files) error) func(context.Context, string) (connection, error) {
	return func(ctx context.Context, dsn string) (connection, error) {
		db, err := sql.Open(driver, dsn)
		if err != nil {
			return connection{}, err
		}
		if err := db.PingContext(ctx); err != nil {
			return connection{}, errors.Join(err, db.Close())
		}
		return connection{
			migrate: func(ctx context.Context, f *files) error { return migrate(ctx, db, f) },
			close:   func() { _ = db.Close() },
		}, nil
	}
}

func runGoose(ctx context.Context, db *sql.DB, f *files) error {
	p, err := goose.NewProvider(goose.DialectPostgres, db, f)
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

func runGooseplus(ctx context.Context, db *sql.DB, f *files) error {
	return gooseplus.New(db, gooseplus.WithFS(f)).Migrate(ctx)
}

func runLocked(ctx context.Context, db *sql.DB, f *files) error {
	return gooseplus.New(db, gooseplus.WithFS(f), gooseplus.WithGlobalLock(true)).Migrate(ctx)
}

// runMigrate gives golang-migrate a connection of the pool instead of the pool, which it would close.
func runMigrate(ctx context.Context, db *sql.DB, f *files) (err error) {
	source, err := iofs.New(f, ".")
	if err != nil {
		return err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	driver, err := migratepostgres.WithConnection(ctx, conn, &migratepostgres.Config{})
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	m, err := migrate.NewWithInstance("iofs", source, "postgres", driver)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	defer func() {
		sourceErr, dbErr := m.Close()
		err = errors.Join(err, sourceErr, dbErr)
	}()
	if err := m.Up(); !errors.Is(err, migrate.ErrNoChange) {
		return err
	}
	return nil
}

func runSQLMigrate(ctx context.Context, db *sql.DB, f *files) error {
	source := sqlmigrate.HttpFileSystemMigrationSource{FileSystem: http.FS(f)}
	_, err := sqlmigrate.ExecContext(ctx, db, "postgres", source, sqlmigrate.Up)
	return err
}

// connectTern is a connection of pgx itself, which is what tern takes.
func connectTern(ctx context.Context, dsn string) (connection, error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return connection{}, err
	}
	return connection{
		migrate: func(ctx context.Context, f *files) error { return runTern(ctx, conn, f) },
		close:   func() { _ = conn.Close(context.Background()) },
	}, nil
}

func runTern(ctx context.Context, conn *pgx.Conn, f *files) error {
	m, err := tern.NewMigrator(ctx, conn, "public.schema_version")
	if err != nil {
		return err
	}
	if err := m.LoadMigrations(f); err != nil {
		return err
	}
	return m.Migrate(ctx)
}

func gooseFiles(dir string) func([]migration) *files {
	return func(list []migration) *files {
		return newFiles(list, dir, func(m migration) map[string]string {
			return map[string]string{
				fileName(m): annotation(m, "-- +goose NO TRANSACTION\n") + "-- +goose Up\n" + script(m.up) +
					"\n-- +goose Down\n" + script(m.down),
			}
		})
	}
}

// migrateFiles has nothing to say of transactions: golang-migrate opens none.
func migrateFiles(list []migration) *files {
	return newFiles(list, ".", func(m migration) map[string]string {
		name := strings.TrimSuffix(fileName(m), ".sql")
		return map[string]string{name + ".up.sql": script(m.up), name + ".down.sql": script(m.down)}
	})
}

func sqlMigrateFiles(list []migration) *files {
	return newFiles(list, ".", func(m migration) map[string]string {
		option := annotation(m, " notransaction")
		return map[string]string{
			fileName(m): "-- +migrate Up" + option + "\n" + script(m.up) + "\n-- +migrate Down" + option + "\n" + script(m.down),
		}
	})
}

func ternFiles(list []migration) *files {
	return newFiles(list, ".", func(m migration) map[string]string {
		return map[string]string{
			fileName(m): annotation(m, "---- tern: disable-tx ----\n") + script(m.up) +
				"\n---- create above / drop below ----\n\n" + script(m.down),
		}
	})
}

func fileName(m migration) string { return fmt.Sprintf("%05d_%s.sql", m.version, m.name) }

// annotation is text if the migration can't be in a transaction.
func annotation(m migration, text string) string {
	if m.alone {
		return text
	}
	return ""
}

func script(statements []string) string { return strings.Join(statements, ";\n") + ";\n" }

// versions writes which version of each module the program was built with.
func versions(out io.Writer) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return
	}
	wanted := []string{
		"github.com/pressly/goose/v3", "github.com/golang-migrate/migrate/v4", "github.com/jackc/tern/v2",
		"github.com/rubenv/sql-migrate", "github.com/lib/pq", "github.com/jackc/pgx/v5",
	}
	var list []string
	for _, m := range info.Deps {
		if slices.Contains(wanted, m.Path) {
			list = append(list, strings.TrimPrefix(m.Path, "github.com/")+" "+m.Version)
		}
	}
	fmt.Fprintln(out, strings.Join(list, ", "))
}
