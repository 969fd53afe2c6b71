package drive

import (
	"database/sql"
	"errors"
	"testing"
	"testing/fstest"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/session"
)

// TestLeftNothing asserts when a step that failed is certain to have left nothing. On MySQL, where DDL commits by itself, each
// situation after the first has one reason against it, or another reason for it.
func TestLeftNothing(t *testing.T) {
	t.Parallel()
	refused := errors.New("the table exists")
	partial := func(err error) error { return &goose.PartialError{Err: err} }
	syntax := &mysql.MySQLError{Number: 1064, Message: "You have an error in your SQL syntax near '(id INTEGER)' at line 1"}
	composed := &mysql.MySQLError{Number: 1064, Message: "You have an error in your SQL syntax near 'FOO' at line 1"}
	answers := func(d *Driver) { // there is no table without transactions
		d.cfg.DB.SetMaxOpenConns(1)
		for _, statement := range []string{"ATTACH ':memory:' AS information_schema", "CREATE TABLE information_schema.tables (table_type, engine, table_schema)"} {
			if _, err := d.cfg.DB.Exec(statement); err != nil {
				t.Error(err)
			}
		}
	}
	for situation, s := range map[string]struct {
		change func(*Driver, *Step)
		err    error
		want   bool
	}{
		"one statement of DDL":                  {func(*Driver, *Step) {}, partial(refused), true},
		"its rollback failed":                   {func(*Driver, *Step) {}, refused, false},
		"outside a transaction":                 {func(_ *Driver, s *Step) { s.InTransaction = false }, partial(refused), false},
		"the second statement":                  {func(d *Driver, _ *Step) { d.trace.statements = 2 }, partial(refused), false},
		"in a Go function":                      {func(d *Driver, _ *Step) { d.trace.functions = 1 }, partial(refused), false},
		"two in one text":                       {func(d *Driver, _ *Step) { d.trace.statement += "; DROP TABLE b" }, partial(refused), false},
		"the version table":                     {func(d *Driver, _ *Step) { record(t, d, false) }, partial(refused), false},
		"DDL that isn't atomic":                 {func(d *Driver, _ *Step) { d.trace.statement = "DROP TABLE a, b" }, partial(refused), false},
		"rows, and the server doesn't answer":   {func(d *Driver, _ *Step) { d.trace.statement = "DELETE FROM a" }, partial(refused), false},
		"rows":                                  {func(d *Driver, _ *Step) { d.trace.statement = "DELETE FROM a"; answers(d) }, partial(refused), true},
		"a procedure":                           {func(d *Driver, _ *Step) { d.trace.statement = "CALL changes()"; answers(d) }, partial(refused), false},
		"nothing was executed":                  {func(d *Driver, _ *Step) { d.trace.statements = 0 }, refused, true},
		"a transaction that takes back all":     {func(d *Driver, s *Step) { s.Transactional, d.trace.statements = true, 5 }, refused, true},
		"not sent":                              {func(*Driver, *Step) {}, session.ErrPooled, true},
		"not sent, after another one":           {func(d *Driver, _ *Step) { d.trace.statements = 2 }, session.ErrPooled, false},
		"not sent, in a Go function":            {func(d *Driver, _ *Step) { d.trace.functions = 1 }, session.ErrPooled, false},
		"not sent, and it was the record":       {func(d *Driver, _ *Step) { record(t, d, false) }, session.ErrPooled, false},
		"not parsed":                            {func(*Driver, *Step) {}, syntax, true},
		"not parsed, after another in its text": {func(d *Driver, _ *Step) { d.trace.statement += "; CREAT TABLE b" }, syntax, false},
		"not parsed, in what it executes":       {func(d *Driver, _ *Step) { d.trace.statement = "CALL changes()" }, syntax, false},
		"not parsed, in a comment's procedure":  {func(d *Driver, _ *Step) { d.trace.statement = "/*M!100100 CALL changes(id INTEGER) */" }, syntax, false},
		"not parsed, but not its own text":      {func(d *Driver, s *Step) { s.InTransaction = false }, composed, false},
	} {
		t.Run(situation, func(t *testing.T) {
			known, table := versionTable(t, "mysql")
			r, err := NewReader(Source{Files: fstest.MapFS{"1_a.sql": {}}, Table: table})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			db, err := sql.Open("sqlite", ":memory:") // which has no such catalog as MySQL
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			d := New(r, Config{Dialect: known, Table: table, DB: db})
			d.trace.statements, d.trace.statement = 1, "CREATE TABLE a (id INTEGER)"
			step := Step{Version: 1, Section: Section{InTransaction: true, GooseTransaction: true}}
			s.change(d, &step)
			if got := d.leftNothing(t.Context(), step, s.err); got != s.want {
				t.Errorf("leftNothing = %t", got)
			}
		})
	}
}

// TestFirstRefused: on PostgreSQL the first statement in goose's transaction leaves nothing, whatever comes after it.
func TestFirstRefused(t *testing.T) {
	t.Parallel()
	refused := error(&goose.PartialError{Err: errors.New("the table exists")})
	outside := func(_ *Driver, s *Step) { s.GooseTransaction = false }
	for situation, s := range map[string]struct {
		dialect string
		change  func(*Driver, *Step)
		err     error
		want    bool
	}{
		"goose's transaction":              {"postgres", func(*Driver, *Step) {}, refused, true},
		"DDL commits by itself":            {"mysql", func(*Driver, *Step) {}, refused, false},
		"its rollback failed":              {"postgres", func(*Driver, *Step) {}, errors.New("the connection broke"), false},
		"no transaction":                   {"postgres", func(_ *Driver, s *Step) { s.GooseTransaction = false }, refused, false},
		"a Go function":                    {"postgres", func(_ *Driver, s *Step) { s.Function = true }, refused, false},
		"not parsed":                       {"postgres", outside, &pgconn.PgError{Code: "42601", Position: 1}, true},
		"a value isn't parsed":             {"postgres", outside, &pgconn.PgError{Code: "42601"}, false},
		"it ends goose's transaction":      {"postgres", func(d *Driver, _ *Step) { d.trace.statement = "COMMIT; DROP TABLE b" }, refused, false},
		"it was the record of the version": {"postgres", func(d *Driver, _ *Step) { record(t, d, false) }, refused, false},
	} {
		t.Run(situation, func(t *testing.T) {
			known, table := versionTable(t, s.dialect)
			r, err := NewReader(Source{Files: fstest.MapFS{"1_a.sql": {}}, Table: table})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			d := New(r, Config{Dialect: known, Table: table})
			d.trace.statements, d.trace.statement = 1, "CREATE TABLE a (id INTEGER)"
			step := Step{Version: 1, Section: Section{GooseTransaction: true}}
			s.change(d, &step)
			if got := d.leftNothing(t.Context(), step, s.err); got != s.want {
				t.Errorf("leftNothing = %t", got)
			}
		})
	}
}
