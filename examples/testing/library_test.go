package library

import (
	"database/sql"
	"errors"
	"os"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver of the service, and so that of its tests

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/gooseplustest"
)

// TestMain is for speed alone: PostgreSQL copies the database of the next test while one works.
func TestMain(m *testing.M) { os.Exit(gooseplustest.Run(m)) }

// open is all that a test needs: sql/base and sql/test are applied.
func open(t *testing.T) *sql.DB {
	t.Helper()
	return gooseplustest.Postgres(t, gooseplustest.Server(t), Migrations()...)
}

func TestLend(t *testing.T) {
	t.Parallel()
	db := open(t)
	for _, reader := range []string{"Ada", "Grace"} {
		if err := Lend(t.Context(), db, "Middlemarch", reader); err != nil {
			t.Error(err)
		}
	}
	if err := Lend(t.Context(), db, "Middlemarch", "Emmy"); !errors.Is(err, ErrNoCopy) {
		t.Errorf("a third copy: %v", err)
	}
}

// Nothing that TestLend does is seen here.
func TestLendLastCopyToOneReader(t *testing.T) {
	t.Parallel()
	db := open(t)
	results := make(chan error)
	for _, reader := range []string{"Ada", "Grace"} {
		go func() { results <- Lend(t.Context(), db, "On the Origin of Species", reader) }()
	}
	first, second := <-results, <-results
	if first != nil && second != nil || !errors.Is(errors.Join(first, second), ErrNoCopy) {
		t.Errorf("results %v and %v", first, second)
	}
}

func TestNobodyCanLendWhatIsNotThere(t *testing.T) {
	t.Parallel()
	if err := Lend(t.Context(), open(t), "Dracula", "Ada"); !errors.Is(err, sql.ErrNoRows) {
		t.Error(err)
	}
}

// Every Down undoes its Up.
func TestMigrations(t *testing.T) {
	opts := append(Migrations(), gooseplus.WithEnvironments("test"))
	gooseplustest.Stairway(t, gooseplus.New(open(t), opts...))
}

// No migration has readers and writers of an existing table wait.
func TestLocks(t *testing.T) {
	t.Parallel()
	gooseplustest.Locks(t, gooseplus.New(open(t), Migrations()...))
}

// The same schema for each of several customers.
func TestTenants(t *testing.T) {
	t.Parallel()
	db := open(t)
	tenants := gooseplustest.Tenants(t, db, 3, gooseplus.New(db, Migrations()...))
	for _, tenant := range tenants {
		var books int
		if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM `+tenant.Schema+`.books`).Scan(&books); err != nil || books != 0 {
			t.Errorf("%s: %d books, error %v", tenant.Schema, books, err)
		}
	}
}
