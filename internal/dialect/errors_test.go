package dialect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

// coded has the shape of one driver's error, and is another one's, or nobody's.
type coded struct{ Number, Code int }

func (coded) Error() string { return "coded" }

// embedding has the field of a struct that is not there.
type embedding struct{ *mysql.MySQLError }

func TestContention(t *testing.T) {
	t.Parallel()
	pqError := func(code string) error { return &pq.Error{Code: pqerror.Code(code)} }
	pgxError := func(code string) error { return &pgconn.PgError{Code: code} }
	mysqlError := func(number uint16) error { return &mysql.MySQLError{Number: number} }
	for _, tc := range []struct {
		name, dialect string
		err           error
		want          bool
	}{
		{"lock timeout", "postgres", pqError("55P03"), true},
		{"lock timeout", "postgres", pgxError("55P03"), true},
		{"deadlock", "postgres", pqError("40P01"), true},
		{"deadlock", "postgres", pgxError("40P01"), true},
		{"serialization failure", "postgres", pqError("40001"), true},
		{"serialization failure", "postgres", pgxError("40001"), true},
		{"statement timeout", "postgres", pqError("57014"), false},
		{"statement timeout", "postgres", pgxError("57014"), false},
		{"wrapped", "postgres", fmt.Errorf("migration: %w", pqError("55P03")), true},
		{"beside another", "postgres", errors.Join(errors.New("first"), fmt.Errorf("%w; %w", sql.ErrTxDone, pgxError("40001"))), true},
		{"after another of the server's", "postgres", errors.Join(pqError("25P02"), pqError("40P01")), true},
		{"only its text", "postgres", errors.New("pq: canceling statement due to lock timeout (55P03)"), false},
		{"a pointer to nothing", "postgres", (*pq.Error)(nil), false},
		{"another database's", "postgres", mysqlError(1205), false},
		{"no error", "postgres", nil, false},
		{"lock timeout", "mysql", mysqlError(1205), true},
		{"deadlock", "mariadb", mysqlError(1213), true},
		{"wrapped", "mysql", fmt.Errorf("migration: %w", mysqlError(1213)), true},
		{"statement timeout", "mariadb", mysqlError(1969), false},
		{"duplicate", "mysql", mysqlError(1062), false},
		{"a pointer to nothing", "mysql", (*mysql.MySQLError)(nil), false},
		{"a number of another kind", "mysql", coded{Number: 1205}, false},
		{"an embedded pointer to nothing", "mysql", embedding{}, false},
		{"busy, as mattn's", "sqlite", coded{Code: 5}, true},
		{"locked, as mattn's", "sqlite", &coded{Code: 6}, true},
		{"constraint, as mattn's", "sqlite", coded{Code: 19}, false},
		{"no struct", "sqlite", context.Canceled, false},
		{"a dialect that is not known", "clickhouse", pqError("55P03"), false},
	} {
		t.Run(fmt.Sprintf("%s: %s %T", tc.dialect, tc.name, tc.err), func(t *testing.T) {
			t.Parallel()
			if got := lookup(t, tc.dialect).Contention(tc.err); got != tc.want {
				t.Errorf("Contention(%v) = %t", tc.err, got)
			}
		})
	}
}

// sqliteDrivers are the names of those that are compiled in.
var sqliteDrivers = []string{"sqlite"}

func TestDeadlock(t *testing.T) {
	for _, tc := range []struct {
		dialect string
		err     error
		want    bool
	}{
		{"mysql", fmt.Errorf("upgrade: %w", &mysql.MySQLError{Number: 1213}), true},
		{"mysql", &mysql.MySQLError{Number: 1205}, false},
		{"mysql", nil, false},
		{"postgres", &mysql.MySQLError{Number: 1213}, false},
		{"postgres", &pq.Error{Code: "40P01"}, false},
	} {
		d, err := Lookup(tc.dialect)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Deadlock(tc.err); got != tc.want {
			t.Errorf("%s, %v: %t", tc.dialect, tc.err, got)
		}
	}
}

// TestUndone: the errors for which a server rolls back more than the statement.
func TestUndone(t *testing.T) {
	for _, tc := range []struct {
		err         error
		is, perhaps bool
	}{
		{fmt.Errorf("step: %w", &mysql.MySQLError{Number: 1213}), true, false},
		{&mysql.MySQLError{Number: 1206}, true, false},
		{&mysql.MySQLError{Number: 1205}, false, true},
		{&mysql.MySQLError{Number: 1062}, false, false},
		{&pq.Error{Code: "40P01"}, false, false},
		{nil, false, false},
	} {
		if is, perhaps := Undone(tc.err), MaybeUndone(tc.err); is != tc.is || perhaps != tc.perhaps {
			t.Errorf("%v: %t, perhaps %t", tc.err, is, perhaps)
		}
	}
}

// TestContentionInSQLite has two connections meet.
func TestContentionInSQLite(t *testing.T) {
	for _, driver := range sqliteDrivers {
		t.Run(driver, func(t *testing.T) {
			db, err := sql.Open(driver, "file:"+filepath.Join(t.TempDir(), "test.db"))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			ctx := t.Context()
			var conns [2]*sql.Conn
			for i := range conns {
				if conns[i], err = db.Conn(ctx); err != nil {
					t.Fatal(err)
				}
				defer conns[i].Close()
				if _, err := conns[i].ExecContext(ctx, "PRAGMA busy_timeout = 0"); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := conns[0].ExecContext(ctx, "BEGIN EXCLUSIVE"); err != nil {
				t.Fatal(err)
			}
			d := lookup(t, "sqlite")
			if _, err := conns[1].ExecContext(ctx, "CREATE TABLE a (id INTEGER)"); !d.Contention(err) {
				t.Errorf("%v (%T) is no contention", err, err)
			}
			if _, err := conns[0].ExecContext(ctx, "INSERT INTO nowhere VALUES (1)"); err == nil || d.Contention(err) {
				t.Errorf("%v (%T) is contention", err, err)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		err  error
		want bool
	}{
		{"nil", nil, false},
		{"pgx, a wrong password", fmt.Errorf("connect: %w", &pgconn.PgError{Code: "28P01"}), true},
		{"lib/pq, no such user", &pq.Error{Code: "28000"}, true},
		{"pgx, no such database", &pgconn.PgError{Code: "3D000"}, true},
		{"pgx, no such table", &pgconn.PgError{Code: "42P01"}, false},
		{"mysql, a wrong password", errors.Join(errors.New("x"), &mysql.MySQLError{Number: 1045}), true},
		{"mysql, no such database", &mysql.MySQLError{Number: 1049}, true},
		{"mysql, no such table", &mysql.MySQLError{Number: 1146}, false},
		{"another error", errors.New("password authentication failed"), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := Refused(tc.err); got != tc.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

func TestUnparsed(t *testing.T) {
	t.Parallel()
	near := func(message string) error { return &mysql.MySQLError{Number: 1064, Message: message} }
	for _, tc := range []struct {
		name, dialect string
		err           error
		want          bool
	}{
		{"a syntax error", "postgres", &pq.Error{Code: "42601", Position: "1"}, true},
		{"a syntax error", "postgres", fmt.Errorf("migration: %w", &pgconn.PgError{Code: "42601", Position: 1}), true},
		{"a value", "postgres", &pq.Error{Code: "42601"}, false},
		{"a value", "postgres", fmt.Errorf("migration: %w", &pgconn.PgError{Code: "42601"}), false},
		{"no such table", "postgres", &pgconn.PgError{Code: "42P01", Position: 1}, false},
		{"a syntax error", "mysql", fmt.Errorf("migration: %w", near("You have an error in your SQL syntax near 'CREAT TABLE a (b INT)' at line 1")), true},
		{"a syntax error at the end", "mysql", near("You have an error in your SQL syntax near '' at line 1"), true},
		{"a long one", "mariadb", near("You have an error in your SQL syntax near 'CREAT TABLE a...' at line 1"), true},
		{"in German", "mariadb", near("Fehler in der SQL-Syntax bei 'TABLE a (b INT)' in Zeile 1"), true},
		{"another text", "mysql", near("You have an error in your SQL syntax near 'FOO' at line 1"), false},
		{"a search", "mysql", near("syntax error, unexpected '(', expecting FTS_TERM"), false},
		{"without a message", "mysql", near(""), false},
		{"no such table", "mysql", &mysql.MySQLError{Number: 1146}, false},
		{"any error of a statement", "sqlite", coded{Code: 1}, true},
		{"an extended code", "sqlite", coded{Code: 1 | 2<<8}, true},
		{"a constraint", "sqlite", coded{Code: 19}, false},
		{"a disk", "sqlite", coded{Code: 10}, false},
		{"another dialect's", "clickhouse", &mysql.MySQLError{Number: 1064}, false},
		{"no error", "mysql", nil, false},
	} {
		d, err := Lookup(tc.dialect)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Unparsed(tc.err, "CREAT TABLE a (b INT)"); got != tc.want {
			t.Errorf("%s: %s: %t", tc.dialect, tc.name, got)
		}
	}
}
