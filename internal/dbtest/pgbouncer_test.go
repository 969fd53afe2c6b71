package dbtest

import (
	"errors"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestPgBouncerAnswersAndIsGoneAfterTheTest(t *testing.T) {
	d := Postgres(t).NewDatabase(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	var dsn string
	t.Run("the test", func(t *testing.T) {
		needLocal(t, pgbouncer)
		temp := t.TempDir()
		openToAll(t, temp)
		t.Setenv("TMPDIR", temp)
		t.Cleanup(func() {
			if left, _ := filepath.Glob(filepath.Join(temp, "*")); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
		pooled := PgBouncer(t, d, 2)
		dsn = pooled.DSN
		db := pooled.Open(t, "postgres")
		tx, err := db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := tx.Rollback(); err != nil {
				t.Error(err)
			}
		}()
		var name string
		if err := tx.QueryRow("SELECT current_database()").Scan(&name); err != nil || name != d.Name {
			t.Errorf("reached the database %q: %v", name, err)
		}
	})
	if dsn == "" {
		return
	}
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	if err := postgres.ping(t.Context(), postgresEndpoint(u)); err == nil {
		t.Error("it answers after its test")
	}
}

func TestPgBouncerThatIsNotInstalledIsMissing(t *testing.T) {
	e := *pgbouncer
	e.local.binary = "gooseplus-no-such-pooler"
	_, err := startLocal(t.Context(), &e, freePort)
	if !errors.Is(err, errAbsent) {
		t.Fatal(err)
	}
	missing := &missingError{engine: &e, tried: []error{err}}
	if want := "Install the package pgbouncer"; !strings.Contains(missing.Error(), want) {
		t.Errorf("%q does not say %q", missing, want)
	}
	if mustFail(missing, "") || !mustFail(missing, "1") {
		t.Error("want a skip, and a failure where servers are required")
	}
}

func TestPgBouncerNeedsAURL(t *testing.T) {
	if _, err := pgbouncer.before(Database{DSN: "root:secret@tcp(127.0.0.1:3306)/d"}, 1); err == nil || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}
