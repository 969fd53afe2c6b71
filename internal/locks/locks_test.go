package locks

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pressly/goose/v3"
)

// server is what a PostgreSQL server says.
type server struct {
	began string
	facts [][]driver.Value // besides the settings
	asked []string
	fail  error
}

func (s *server) ask(query string) ([][]driver.Value, error) {
	s.asked = append(s.asked, query)
	switch {
	case s.fail != nil:
		return nil, s.fail
	case strings.HasPrefix(query, "SELECT pg_catalog.now()"):
		return [][]driver.Value{{s.began}}, nil
	case query != postgresFacts:
		return nil, nil
	}
	return append(slices.Clone(s.facts), row("setting", "2s", "on", "now")), nil
}

func row(values ...any) []driver.Value {
	list := make([]driver.Value, 8)
	for i, v := range values {
		list[i] = v
	}
	return list
}

// a is a table with an index. Its file and the number of its scans are given.
func a(file, scans string, columns string) [][]driver.Value {
	return [][]driver.Value{row("relation", "1", "1", "a", "r", file, scans, columns), row("relation", "2", "1", "a_index", "i", "20", "0", nil)}
}

func start(t *testing.T, d goose.Dialect) *Recorder {
	t.Helper()
	r, err := NewRecorder(d)
	if err != nil {
		t.Fatal(err)
	}
	r.Start(Migration{Version: 1, Source: "1.sql"})
	return r
}

// execute has a statement executed, which leaves these facts.
func execute(t *testing.T, r *Recorder, s *server, text string, inTransaction bool, facts [][]driver.Value) {
	t.Helper()
	after, err := r.Before(Statement{Text: text, File: "1.sql", Line: len(text)}, inTransaction, s.ask)
	if err != nil {
		t.Fatal(err)
	}
	s.facts = facts
	if err := after(time.Millisecond, nil); err != nil {
		t.Fatal(err)
	}
}

func TestPostgres(t *testing.T) {
	for _, x := range []struct {
		name, text    string
		before, after [][]driver.Value
		want          string // locks
		kind          string
	}{
		{"nothing", "SELECT 1", a("10", "0", ""), a("10", "0", ""), "", ""},
		{"lock", "ALTER", a("10", "0", ""), append(a("10", "0", ""), row("lock", "1", "AccessExclusiveLock")), "[{a ACCESS EXCLUSIVE  false}]", ""},
		{"strongest lock", "ALTER", nil, append(a("10", "0", ""), row("lock", "1", "AccessShareLock"), row("lock", "1", "ShareLock"), row("lock", "1", "RowShareLock")), "", ""}, // a is new
		{"lock of an index", "REINDEX", a("10", "0", ""), append(a("10", "0", ""), row("lock", "1", "ShareLock"), row("lock", "2", "AccessExclusiveLock")), "[{a ACCESS EXCLUSIVE  false}]", ""},
		{"lock that was there", "SELECT", append(a("10", "0", ""), row("lock", "1", "ShareLock")), append(a("10", "0", ""), row("lock", "1", "ShareLock")), "", ""},
		{"rewrite", "ALTER", a("10", "0", ""), append(a("11", "1", ""), row("lock", "1", "AccessExclusiveLock")), "[{a ACCESS EXCLUSIVE  true}]", "rewrite"},
		{"empty", "truncate a", a("10", "0", ""), append(a("11", "1", ""), row("lock", "1", "AccessExclusiveLock")), "[{a ACCESS EXCLUSIVE  false}]", ""},
		{"scan under a lock of its own", "ALTER", a("10", "0", ""), append(a("10", "1", ""), row("lock", "1", "AccessExclusiveLock")), "[{a ACCESS EXCLUSIVE  false}]", "scan"},
		{"scan under a weak lock", "ALTER", a("10", "0", ""), append(a("10", "1", ""), row("lock", "1", "ShareUpdateExclusiveLock")), "[{a SHARE UPDATE EXCLUSIVE  false}]", ""},
		{"NOT NULL", "ALTER", a("10", "0", "1?n\n2!id"), append(a("10", "1", "1!n\n2!id"), row("lock", "1", "AccessExclusiveLock")), "[{a ACCESS EXCLUSIVE  false}]", "not null"},
		{"NOT NULL that is proven", "ALTER", a("10", "0", "1?n"), append(a("10", "0", "1!n"), row("lock", "1", "AccessExclusiveLock")), "[{a ACCESS EXCLUSIVE  false}]", ""},
		{"constraint", "ALTER", a("10", "0", ""), append(a("10", "1", ""), row("constraint", "9", "1", "k", "c"), row("lock", "1", "AccessExclusiveLock")), "[{a ACCESS EXCLUSIVE  false}]", "constraint"},
		{"constraint of before", "ALTER", append(a("10", "0", ""), row("constraint", "9", "1", "k", "c")), append(a("10", "1", ""), row("constraint", "9", "1", "k", "c"), row("lock", "1", "AccessExclusiveLock")),
			"[{a ACCESS EXCLUSIVE  false}]", "scan"},
		{"index", "CREATE INDEX", a("10", "0", ""), append(a("10", "1", ""), row("relation", "3", "1", "x", "i", "30", "0"), row("lock", "1", "ShareLock")), "[{a SHARE  false}]", "index"},
		{"index under another number", "ALTER", a("10", "0", ""), append(a("10", "0", ""), row("relation", "3", "1", "x", "i", "20", "0"), row("lock", "1", "AccessExclusiveLock")), "[{a ACCESS EXCLUSIVE  false}]", ""},
		{"index of a partitioned table", "CREATE INDEX", a("10", "0", ""), append(a("10", "0", ""), row("relation", "3", "1", "x", "I", "0", "0"), row("lock", "1", "ShareLock")), "[{a SHARE  false}]", ""},
		{"dropped", "DROP", a("10", "0", ""), [][]driver.Value{row("lock", "1", "AccessExclusiveLock")}, "[{a ACCESS EXCLUSIVE  false}]", ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			r := start(t, goose.DialectPostgres)
			s := &server{facts: x.before, began: "before"}
			execute(t, r, s, x.text, true, x.after)
			m := r.Report().Migrations[0]
			if have := fmt.Sprint(m.Statements[0].Locks); have != x.want && (x.want != "" || have != "[]") {
				t.Errorf("locks %s, want %s", have, x.want)
			}
			kind := ""
			for _, f := range m.Findings {
				kind += f.Kind
			}
			if kind != x.kind {
				t.Errorf("finding %q, want %q", kind, x.kind)
			}
			if slices.Contains(s.asked, "BEGIN") {
				t.Error("the statement is in a transaction, and got another one")
			}
		})
	}
}

// TestHeld: the lock of an earlier statement counts as long as the server says that it is held, and the last statement that
// did not find it is the one that has taken it.
func TestHeld(t *testing.T) {
	r := start(t, goose.DialectPostgres)
	b := func(scans string) []driver.Value { return row("relation", "5", "5", "b", "r", "50", scans, "") }
	lock := row("lock", "1", "AccessExclusiveLock")
	s := &server{facts: append(a("10", "0", ""), b("0")), began: "before"}
	execute(t, r, s, "ALTER", true, append(a("10", "0", ""), b("0"), lock))
	execute(t, r, s, "ALTER again", true, append(a("11", "0", ""), b("0"), lock))
	execute(t, r, s, "UPDATE b", true, append(a("11", "0", ""), b("1"), lock))
	s.facts = append(a("11", "0", ""), b("1"))
	execute(t, r, s, "UPDATE b", true, append(a("11", "0", ""), b("2")))
	var have []string
	for _, f := range r.Report().Migrations[0].Findings {
		have = append(have, fmt.Sprint(f.Statement, " ", f.Kind, " ", f.Does))
	}
	want := []string{"2 rewrite rewrites a under ACCESS EXCLUSIVE: until it is done, nobody else can use the table",
		"3 held reads all of b while ACCESS EXCLUSIVE on a is held since 1.sql:5: every query on a waits until the transaction ends"}
	if !slices.Equal(have, want) {
		t.Errorf("findings %q, want %q", have, want)
	}
}

// TestOutside: a statement outside of transactions gets one of its own, so that its locks can be read, unless it can't have
// one or has one; and that is rolled back if the statement fails.
func TestOutside(t *testing.T) {
	failed := errors.New("it failed")
	for _, x := range []struct {
		name, text, began string
		err               error
		want              string // the statements that are asked besides the questions
		source            string
	}{
		{"ALTER", "ALTER TABLE a", "before", nil, "BEGIN COMMIT", Observed},
		{"failed", "ALTER TABLE a", "before", failed, "BEGIN ROLLBACK", NotAvailable},
		{"comes again", "ALTER TABLE a", "before", driver.ErrSkip, "BEGIN ROLLBACK", ""},
		{"own transaction", "ALTER TABLE a", "now", nil, "", Observed},
		{"BEGIN", "BEGIN", "before", nil, "", Documented},
		{"DO", "DO $$$$", "before", nil, "", Documented},
		{"alone", "VACUUM FULL a", "before", nil, "", Documented},
	} {
		t.Run(x.name, func(t *testing.T) {
			r := start(t, goose.DialectPostgres)
			s := &server{facts: a("10", "0", ""), began: x.began}
			after, err := r.Before(Statement{Text: x.text}, false, s.ask)
			if err != nil {
				t.Fatal(err)
			}
			if err := after(0, x.err); err != x.err {
				t.Errorf("error %v", err)
			}
			asked := strings.Join(slices.DeleteFunc(s.asked, func(q string) bool { return strings.HasPrefix(q, "SELECT") }), " ")
			source := ""
			for _, s := range r.Report().Migrations[0].Statements {
				source = s.Known
			}
			if asked != x.want || source != x.source {
				t.Errorf("asked %q, want %q; known: %q, want %q", asked, x.want, source, x.source)
			}
		})
	}
}

func TestQuestionsFail(t *testing.T) {
	r := start(t, goose.DialectPostgres)
	s := &server{fail: errors.New("no connection")}
	if _, err := r.Before(Statement{Text: "SELECT 1"}, true, s.ask); !errors.Is(err, s.fail) {
		t.Errorf("error %v", err)
	}
	if _, err := readFacts([][]driver.Value{row("setting", "0", "off", "now")}); err == nil || !strings.Contains(err.Error(), "track_counts is off") {
		t.Errorf("without counts: %v", err)
	}
	if after, err := r.Before(Statement{Text: "SET TRANSACTION READ WRITE"}, true, nil); err != nil || after(0, nil) != nil || r.Report().Migrations[0].Statements[0].Known != NotAvailable {
		t.Errorf("what must come first: %v", err)
	}
	if _, err := NewRecorder(goose.DialectSQLite3); err == nil || !strings.Contains(err.Error(), "locks the whole file") {
		t.Errorf("SQLite: %v", err)
	}
	if _, err := NewRecorder(goose.DialectClickHouse); err == nil {
		t.Error("ClickHouse")
	}
}

// TestMySQLObserved: where performance_schema is on, a statement that is no DDL is observed.
func TestMySQLObserved(t *testing.T) {
	r := start(t, goose.DialectMySQL)
	after, err := r.Before(Statement{Text: "INSERT INTO a VALUES (1)"}, true, func(query string) ([][]driver.Value, error) {
		switch query {
		case mysqlTables:
			return [][]driver.Value{{"a"}}, nil
		case mysqlLocks:
			return [][]driver.Value{{"a", "SHARED_WRITE"}, {"new", "SHARED_WRITE"}}, nil
		}
		return [][]driver.Value{{"long", "on", ""}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := after(0, nil); err != nil {
		t.Fatal(err)
	}
	report := r.Report()
	s := report.Migrations[0].Statements[0]
	if fmt.Sprint(s.Locks) != "[{a metadata SHARED_WRITE  false}]" || s.Known != Observed || len(report.Notes) > 0 || len(report.Migrations[0].Findings) > 0 {
		t.Errorf("%+v, %q", s, report.Notes)
	}
}

func TestDDLOf(t *testing.T) {
	for text, want := range map[string]string{
		"ALTER TABLE `Orders` ADD x INT;": "orders", "alter online table if exists a add x int": "a", "CREATE UNIQUE INDEX i ON b (x)": "b", "DROP INDEX i ON b": "b",
		"TRUNCATE t": "t", "DROP TABLE IF EXISTS a, b": "a", "RENAME TABLE a TO b": "a", "CREATE TRIGGER x BEFORE INSERT ON a FOR EACH ROW SET @a = 1": "a",
		"/* note */ ALTER TABLE a ADD x INT": "a", "CREATE TABLE a (n INT)": "", "INSERT INTO a VALUES ('ALTER TABLE b')": "", "SELECT 1": "",
	} {
		if d := ddlOf(text); d.table != want || want != "" && !strings.EqualFold(strings.Trim(d.text[d.from:d.to], "`"), want) {
			t.Errorf("%s: %+v, want %s", text, d, want)
		}
	}
}

// TestRows: each statement has a row, and each of its further locks another one.
func TestRows(t *testing.T) {
	m := Migration{Namespace: "core", Version: 7, Source: "7.sql", Statements: []Statement{
		{Number: 1, File: "7.sql", Line: 3, FirstWords: "ALTER TABLE a ADD COLUMN something", Known: Observed, Took: 1234567,
			Locks: []Lock{{Table: "a", Mode: "SHARE"}, {Table: "b", Mode: exclusive, Rewrite: true, Algorithm: "COPY"}}},
		{Number: 2, FirstWords: "SELECT 1", Known: NotAvailable},
	}}
	want := [][]string{
		{"1  ALTER TABLE a ADD COLUMN something", "7.sql:3", "a", "SHARE", "no", "observed", "1.23ms"},
		{"", "", "b", "metadata EXCLUSIVE, ALGORITHM=COPY", "yes", "", ""},
		{"2  SELECT 1", "statement 2", "-", "-", "no", "not available", "0s"},
	}
	if have := m.Rows(); !slices.EqualFunc(have, want, slices.Equal) {
		t.Errorf("%q, want %q", have, want)
	}
	if have := beginning("-- why\nALTER TABLE\n  a ADD COLUMN something TEXT"); have != "ALTER TABLE a ADD COLUMN something" {
		t.Errorf("beginning %q", have)
	}
	if have := beginning("CREATE ROLE app LOGIN PASSWORD 's3cret'"); strings.Contains(have, "s3cret") || !strings.HasPrefix(have, "CREATE ROLE app LOGIN PASSWORD") {
		t.Errorf("beginning %q", have)
	}
	if m.Title() != "core  7  7.sql" {
		t.Errorf("title %q", m.Title())
	}
}
