package gooseplustest

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dbtest"
)

func mysqlDatabases(t testing.TB) []string {
	t.Helper()
	db, err := sql.Open("mysql", dbtest.MySQL(t).DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	return texts(t, db, `SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE 'gpt\_%'`)
}

func TestMySQLIsMigratedAndDropped(t *testing.T) {
	r := &recorder{TB: t, name: "TestPassed"}
	db := MySQL(r, "", files(folder("sql/base/1_users.sql", "sql/test/2_seed.sql")))
	if got := texts(t, db, `SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name NOT LIKE 'goose%' ORDER BY 1`); fmt.Sprint(got) != "[seed users]" {
		t.Errorf("tables %v", got)
	}
	name := texts(t, db, `SELECT DATABASE()`)[0]
	tx, err := db.Begin() // a connection that the test forgets, with a lock
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.Exec("INSERT INTO users VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	r.end()
	if slices.Contains(mysqlDatabases(t), name) || r.failed {
		t.Errorf("%s is still there: %s", name, r.text())
	}
}

func TestMySQLSaysWhatIsWrong(t *testing.T) {
	r := &recorder{TB: t, name: "TestWrong"}
	r.do(func() {
		MySQL(r, "", files(fstest.MapFS{"sql/base/1_broken.sql": migration("CREATE TABEL x;", "SELECT 1;")}))
	})
	r.end()
	if text := r.text(); !strings.Contains(text, "migrate the database: ") || !strings.Contains(text, "sql/base/1_broken.sql") {
		t.Errorf("it says %q", text)
	}
}

// A schema is another database, which the test would share with others.
func TestMySQLWithASchema(t *testing.T) {
	r := &recorder{TB: t, name: "TestBound"}
	r.do(func() {
		MySQL(r, "", files(folder("sql/base/1_users.sql")), gooseplus.WithSchema("information_schema"))
	})
	r.end()
	if !strings.Contains(r.text(), "another database than the test's own") {
		t.Errorf("it says %q", r.text())
	}
}

// A server that ends idle sessions soon must not take this process for dead.
func TestMySQLSessionStays(t *testing.T) {
	dsn := dbtest.MySQL(t).DSN() + "&wait_timeout=30"
	MySQL(t, dsn, files(folder("sql/base/1_users.sql")))
	s, err := mysqlServerAt(dsn)
	if err != nil {
		t.Fatal(err)
	}
	var seconds int
	if err := s.alive.QueryRowContext(t.Context(), "SELECT @@SESSION.wait_timeout").Scan(&seconds); err != nil || seconds < 24*60*60 {
		t.Errorf("%d seconds, error %v", seconds, err)
	}
}

func TestMySQLKeepsTheDatabaseOfAFailedTest(t *testing.T) {
	dsn := dsnOf(dbtest.MySQL(t))
	private.Delete(address(dsn))
	defer private.Store(address(dsn), true)
	r := &recorder{TB: t, name: "TestFailed"}
	db := MySQL(r, dsn, files(folder("sql/base/1_users.sql")))
	name := texts(t, db, `SELECT DATABASE()`)[0]
	r.failed = true
	r.end()
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	if config.Passwd != "" && strings.Contains(r.text(), config.Passwd) {
		t.Errorf("the log has the password: %s", r.text())
	}
	if !slices.Contains(mysqlDatabases(t), name) || !strings.Contains(r.text(), name) {
		t.Errorf("%s is gone, or not in %q", name, r.text())
	}
	other := MySQL(t, dsn, files(folder("sql/base/1_users.sql")))
	s, err := mysqlServerAt(dsn)
	if err != nil {
		t.Fatal(err)
	}
	// As if its process had ended: one database is kept, one is not any more, and one was left.
	for dead, comment := range map[string]string{
		"gpt_00000000_c_killedkilled_1_t": note(kept, time.Now().Add(time.Minute)),
		"gpt_00000000_c_killedkilled_2_t": note(kept, time.Now().Add(-time.Minute)),
		"gpt_00000000_c_killedkilled_3_t": "",
		"gpt_chat_c_db_1":                 "", // somebody else's
	} {
		mustExec(t, other, "CREATE DATABASE "+dead)
		if comment != "" {
			mustExec(t, other, "CREATE TABLE "+dead+".gooseplustest_kept (id INTEGER) COMMENT = '"+comment+"'")
		}
	}
	s.sweep()
	left := slices.DeleteFunc(mysqlDatabases(t), func(n string) bool { return !strings.HasPrefix(n, "gpt_00000000_") && n != "gpt_chat_c_db_1" })
	if slices.Sort(left); fmt.Sprint(left) != "[gpt_00000000_c_killedkilled_1_t gpt_chat_c_db_1]" || !slices.Contains(mysqlDatabases(t), name) {
		t.Errorf("%v are left of %v", left, mysqlDatabases(t))
	}
	mustExec(t, other, "DROP DATABASE gpt_00000000_c_killedkilled_1_t", "DROP DATABASE gpt_chat_c_db_1", "DROP DATABASE "+name)
}
