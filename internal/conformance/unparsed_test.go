package conformance

import (
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
)

// TestSyntaxErrorOfAValue: PostgreSQL calls it a syntax error too if it can't parse a value while it builds an index, which it leaves
// invalid: the Down is executed. After an error of its parser it isn't.
func TestSyntaxErrorOfAValue(t *testing.T) {
	t.Parallel()
	having(server, transactionalDDL).onEach(t, func(t *testing.T, p *place) {
		p.exec(t, "CREATE TABLE docs (q TEXT)", "INSERT INTO docs VALUES ('foo'), ('foo bar')")
		with := func(index, down string) *gooseplus.Migrator {
			return p.migrator(gooseplus.WithForeignHistory(gooseplus.Ignore), from(files(map[string]*fstest.MapFile{
				"1_q.sql": noTransaction("CREATE INDEX CONCURRENTLY docs_q ON docs ("+index+");", down),
			})))
		}
		wantFailed(t, with("to_tsquery('simple', q)", "DROP INDEX CONCURRENTLY docs_q;").Migrate(t.Context()), 1)
		if left := column[string](t, p.db, "SELECT relname FROM pg_class WHERE relname = 'docs_q'"); len(left) > 0 {
			t.Error("the index is left")
		}
		wantFailed(t, with("(q", "DROP TABLE docs;").Migrate(t.Context()), 1)
		p.want(t, nil, []string{"docs"})
	})
}

// TestSyntaxErrorOfAProcedure: it has committed before it fails at a statement that it puts together.
func TestSyntaxErrorOfAProcedure(t *testing.T) {
	t.Parallel()
	having(server, without(transactionalDDL)).onDatabases(t, func(t *testing.T, p *place) {
		p.exec(t, "CREATE TABLE noted (id INTEGER)",
			"CREATE PROCEDURE p() BEGIN INSERT INTO noted VALUES (1); COMMIT; PREPARE s FROM 'FOO BAR'; END")
		calls := []string{"CALL p()", "/*!50003 CALL p() */"}
		if p.isMariaDB() {
			calls = append(calls, "/*M!100100 CALL p() */", "SET STATEMENT max_statement_time = 60 FOR CALL p()",
				"/*!50003 BEGIN NOT ATOMIC CALL p(); SELECT 'FOO BAR'; END */")
		}
		for _, call := range calls {
			fsys := files(map[string]*fstest.MapFile{
				"1_p.sql": noTransaction("-- +goose StatementBegin\n"+call+"\n-- +goose StatementEnd", "DELETE FROM noted;"),
			})
			wantFailed(t, p.migrator(gooseplus.WithForeignHistory(gooseplus.Ignore), from(fsys)).Migrate(t.Context()), 1)
			if got := column[int64](t, p.db, "SELECT id FROM noted"); len(got) > 0 {
				t.Errorf("%s has left %v", call, got)
				p.exec(t, "DELETE FROM noted")
			}
		}
	})
}

// TestTableOfAFunctionThatWrites: what the function has written stays when the statement fails, so the Down is executed. A table
// that can't be created leaves nothing, and needs no Down.
func TestTableOfAFunctionThatWrites(t *testing.T) {
	t.Parallel()
	having(server, without(transactionalDDL)).onDatabases(t, func(t *testing.T, p *place) {
		p.exec(t, "CREATE TABLE noted (id INTEGER)", "CREATE TABLE source (id INTEGER)", "INSERT INTO source VALUES (1), (2)",
			"CREATE FUNCTION note(x INTEGER) RETURNS INTEGER MODIFIES SQL DATA BEGIN INSERT INTO noted VALUES (x); RETURN 1; END")
		with := func(up, down string) *gooseplus.Migrator {
			return p.migrator(gooseplus.WithForeignHistory(gooseplus.Ignore), from(files(map[string]*fstest.MapFile{"1_b.sql": script(up, down)})))
		}
		for _, query := range []string{"AS SELECT note(id) AS id FROM source", "AS SELECT note(1) AS id UNION ALL SELECT note(2)"} {
			wantFailed(t, with("CREATE TABLE b (id INTEGER PRIMARY KEY) "+query+";", "DELETE FROM noted;").Migrate(t.Context()), 1)
			if got := column[int64](t, p.db, "SELECT id FROM noted"); len(got) > 0 {
				t.Errorf("%s has left %v", query, got)
			}
		}
		wantFailed(t, with("CREATE TABLE noted (id INTEGER);", "DROP TABLE noted;").Migrate(t.Context()), 1)
		p.want(t, nil, []string{"noted", "source"})
	})
}
