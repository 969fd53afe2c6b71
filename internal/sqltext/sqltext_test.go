package sqltext

import (
	"slices"
	"strings"
	"testing"
)

func TestPieces(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		text string
		want []string
	}{
		{"", []string{""}},
		{"a", []string{"a"}},
		{"a;b; c;", []string{"a", "b", " c", ""}},
		{`';' ";" ` + "`;`" + ` 'it''s;' x;y`, []string{`';' ";" ` + "`;`" + ` 'it''s;' x`, "y"}},
		{"-- ;\na/* ;\n; */;b--;", []string{"-- ;\na/* ;\n; */", "b--;"}},
		{"$$;$$ $tag$ ; $$;$$ ; $tag$;$1;a-b;c/d", []string{"$$;$$ $tag$ ; $$;$$ ; $tag$", "$1", "a-b", "c/d"}},
		{"'no end;x", []string{"'no end", "x"}},
		{"a;$$no end;x", []string{"a", "$$no end;x"}},
	} {
		if got := pieces(tc.text); !slices.Equal(got, tc.want) {
			t.Errorf("pieces(%q) = %q, want %q", tc.text, got, tc.want)
		}
	}
}

func TestPreparesTransaction(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"PREPARE TRANSACTION 'x'":                                 true,
		"SELECT 1;\nxa prepare 'x', 'y'":                          true,
		"XA /* it */ PREPARE 'x'":                                 true,
		"XA START 'x'; PREPARE s FROM 'SELECT 1'":                 false,
		"SELECT 'XA PREPARE ''x'''":                               false,
		"prepare transaction'x'":                                  true,
		"-- why\nSELECT 1; /* and */ PREPARE\nTRANSACTION E'x';":  true,
		"PREPARE /* a */ TRANSACTION -- b\n U&'x'":                true,
		"PREPARE TRANSACTION $$x$$":                               true,
		"PREPARE TRANSACTION $a$x$a$":                             true,
		"PREPARE transaction AS SELECT 1":                         false,
		"PREPARE transaction AS SELECT 'x'":                       false,
		"PREPARE transaction(text) AS SELECT $1; EXECUTE a('x')":  false,
		"PREPARE transactions AS SELECT 1":                        false,
		"PREPARE a AS SELECT 1; SELECT 'PREPARE TRANSACTION ''x'": false,
		"COMMIT PREPARED 'x'":                                     false,
	} {
		if got := PreparesTransaction(text); got != want {
			t.Errorf("%q: %t", text, got)
		}
		if got := ControlsTransactions(text); got != (want || strings.HasPrefix(text, "COMMIT")) {
			t.Errorf("%q controls transactions: %t", text, got)
		}
	}
}

func TestBegins(t *testing.T) {
	t.Parallel()
	both := Quoting{Dollars: true, Backslashes: true}
	for _, tc := range []struct {
		q    Quoting
		text string
		want string // the words there
	}{
		{postgres, "", ""},
		{postgres, "a b; ;c;\n\td", "a c d"},
		{postgres, "';a' b; \";c\" d; `;e` f; -- ;g\n h; /* ;i */ j; $$;k$$ l; $1 m", "h j"},
		{postgres, "a 'it''s; b'; c E'\\'; d'; e '\\'; f", "a c e f"},
		{both, "a 'it\\'s; b'; c # don't; d\n; e", "a c e"},
		{postgres, "a 'not closed; b", "a b"},
		{postgres, "a $$not closed; b", "a"},
		{postgres, "do $x$ declare y int; begin z; end $x$; $$;a$$ c", "do declare begin z end"},
		{postgres, "do $x$ $ $$do $y$ a; b$y$$$ $x$; c", "do c"},
		{postgres, "create function f() as $$ a; b $$; insert into function ($$c; d$$); e", "create a b insert c d e"},
		{mysql, "create procedure p() begin a; if b then c; else d; end if; loop e; end loop; end", "create a if c else d end loop e end end"},
		{mysql, "/*!50003 a; b */; /*M!100100 c */; d", "a b c d"},
		{postgres, "a do $$b; c$$; d", "a d"},
		{postgres, "a -- x\nb; - c; / d", "a"},
		{mysql, "a;# x\nb", "a b"},
		{postgres, "do $x$ do $y$ a; b $y$; c $x$", "do do c"},
		{postgres, "create function f() as 'a; b'; c", "create c"},
		{postgres, "create function f() as $1; a", "create a"},
	} {
		var got []string
		for _, b := range tc.q.Begins(tc.text) {
			got = append(got, firstWord(tc.text[b.At:b.End]))
		}
		if got := strings.Join(got, " "); got != tc.want {
			t.Errorf("%s\ngot  %s\nwant %s", tc.text, got, tc.want)
		}
	}
}

// FuzzPieces takes arbitrary texts apart: nothing may be lost.
func FuzzPieces(f *testing.F) {
	f.Add("a;b'c;d'e$x$;$x$;-- ;\n/* ; */`;`")
	f.Fuzz(func(t *testing.T, text string) {
		if got := strings.Join(pieces(text), ";"); got != text {
			t.Errorf("%q became %q", text, got)
		}
		ControlsTransactions(text)
		Alone(text)
		for _, q := range []Quoting{{}, {Dollars: true}, {Backslashes: true}, {Brackets: true}} {
			if quote, at := q.Open(text); quote != "" && !strings.HasPrefix(text[at:], quote) {
				t.Errorf("%q: %q is open at %d", text, quote, at)
			}
			q.OpenBody(text)
			for _, b := range q.Begins(text) {
				if wordLength(text[b.At:b.End]) == 0 {
					t.Errorf("%q: no word at %d", text, b.At)
				}
			}
		}
	})
}

func TestAlone(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]bool{
		"":                                      {false, false},
		"CREATE INDEX i ON a (b);":              {false, false},
		"CREATE INDEX CONCURRENTLY i ON a (b);": {true, false},
		"create unique\n\tindex  concurrently IF NOT EXISTS i ON a (b)":    {true, false},
		"-- why\n/* and */ CREATE INDEX CONCURRENTLY i ON a (b); -- end\n": {true, false},
		"CREATE /* now */ INDEX\n-- slowly\nCONCURRENTLY i ON a (b)":       {true, false},
		"\ufeff CREATE INDEX CONCURRENTLY i ON a (b);":                     {false, false}, // the mark is gone before
		"DROP INDEX CONCURRENTLY IF EXISTS i;":                             {true, false},
		"REINDEX INDEX CONCURRENTLY i":                                     {true, false},
		"REINDEX (VERBOSE, CONCURRENTLY) TABLE a;":                         {true, false},
		"REINDEX (VERBOSE) TABLE CONCURRENTLY a;":                          {true, false},
		"REINDEX TABLE a;":         {false, false},
		"REINDEX SCHEMA s;":        {true, false},
		"VACUUM;":                  {true, false},
		"vacuum (full, analyze) a": {true, false},
		"VACUUM ANALYZE a;":        {true, false},
		"ANALYZE a;":               {false, false},
		"CLUSTER;":                 {true, false},
		"CLUSTER VERBOSE;":         {true, false},
		"CLUSTER a USING i;":       {false, false},
		"CREATE DATABASE d;":       {true, false},
		"DROP DATABASE IF EXISTS d WITH (FORCE);":                                      {true, false},
		"ALTER DATABASE d SET TABLESPACE t;":                                           {true, false},
		"ALTER DATABASE d SET work_mem = '1MB';":                                       {false, false},
		"CREATE TABLESPACE t LOCATION '/x';":                                           {true, false},
		"DROP TABLESPACE t;":                                                           {true, false},
		"ALTER SYSTEM SET work_mem = '1MB';":                                           {true, false},
		"CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p;":                          {true, false},
		"CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p WITH (connect = false)":    {false, false},
		"DROP SUBSCRIPTION s;":                                                         {true, false},
		"ALTER SUBSCRIPTION s REFRESH PUBLICATION;":                                    {true, false},
		"ALTER SUBSCRIPTION s DISABLE;":                                                {false, false},
		"ALTER TABLE a DETACH PARTITION b CONCURRENTLY;":                               {true, false},
		"ALTER TABLE a DETACH PARTITION b;":                                            {false, false},
		"DISCARD ALL":                                                                  {true, false},
		"REFRESH MATERIALIZED VIEW CONCURRENTLY v;":                                    {false, false},
		"ALTER TYPE t ADD VALUE 'x';":                                                  {false, false},
		"INSERT INTO a VALUES ('CREATE INDEX CONCURRENTLY');":                          {false, false},
		"CREATE FUNCTION f() RETURNS int AS $$ BEGIN; VACUUM; END $$;":                 {false, false},
		"SET x = 1; CREATE INDEX CONCURRENTLY i ON a (b);":                             {false, true},
		"CREATE INDEX CONCURRENTLY i ON a (b); SET x = 1;":                             {false, true},
		"REINDEX TABLE a; SET x = 1;":                                                  {false, false},
		"CREATE INDEX CONCURRENTLY i ON subscription (a) WHERE connect = false":        {true, false},
		"ALTER SYSTEM SET x.y = 'subscription connect=off'":                            {true, false},
		"CREATE INDEX CONCURRENTLY i ON a (b);\nCREATE INDEX CONCURRENTLY j ON a (c);": {false, true},
	} {
		if alone, among := Alone(text); alone != want[0] || among != want[1] {
			t.Errorf("Alone(%q) = %t, %t", text, alone, among)
		}
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	postgres, mysql, sqlite := Quoting{Dollars: true}, Quoting{Backslashes: true}, Quoting{Brackets: true}
	for _, tc := range []struct {
		quoting Quoting
		text    string
		want    string
		at      int
	}{
		{postgres, "", "", 0},
		{postgres, "CREATE FUNCTION f() AS $$\nBEGIN\n  x;", "$$", 23},
		{postgres, "AS $body$ $$ x;", "$body$", 3},
		{postgres, "AS $body$ $$ x; $body$", "", 0},
		{postgres, "SELECT '$$', \"$$\", a$$b, $1, -- $$\n/* $$ /* $$ */ $$ */ 1;", "", 0},
		{postgres, "VALUES ('a;", "'", 8},
		{postgres, "VALUES ('it''s', E'it\\'s', 'C:\\', e'\\\\');", "", 0},
		{postgres, "VALUES (\"a;", "\"", 8},
		{postgres, "-- don't\nSELECT 1 /* isn't */;", "", 0},
		{postgres, "SELECT '{\"a\": 1}'::jsonb ? 'b' # 1;", "", 0},
		{mysql, "SELECT $$;", "", 0},
		{mysql, "VALUES ('it\\'s', \"a\\\"b\", `a'b`); # don't", "", 0},
		{mysql, "VALUES ('a\\';", "'", 8},
		{sqlite, "SELECT [it's], `it's`, 'C:\\', $$;", "", 0},
		{sqlite, "VALUES ('a;\n", "'", 8},
		{postgres, "SELECT 1 # 'a", "'", 11},
		{postgres, "SELECT e'it\\'s', ARRAY['a", "'", 23},
		{postgres, "SELECT E\"a\\\", namE'a\\', a$$b", "", 0},
		{postgres, "SELECT a1$$b", "", 0},
		{postgres, "SELECT a_$$b", "", 0},
		{sqlite, "VALUES (E'a\\', 'b')", "", 0},
		{sqlite, "[a] 'b", "'", 4},
		{mysql, "SELECT 5--", "", 0},
		{mysql, "SELECT 5\n--it's", "", 0},
		{mysql, "SELECT 5--'a", "'", 10},
		{mysql, "/* a /* b */ 'c", "'", 13},
	} {
		if got, at := tc.quoting.Open(tc.text); got != tc.want || at != tc.at {
			t.Errorf("Open(%q) = %q at %d, want %q at %d", tc.text, got, at, tc.want, tc.at)
		}
	}
}

func TestOnlyComments(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		q    Quoting
		text string
		want bool
	}{
		{postgres, "", true},
		{postgres, " \n-- a\n/* b /* c */ */ -- d", true},
		{postgres, "-- a\nSELECT 1", false},
		{postgres, "/* a", false},
		{postgres, "# a", false},
		{mysql, "# a\n-- b", true},
		{mysql, "/*! SET x = 1 */", false},
		{mysql, "/*M! SET x = 1 */", false},
		{mysql, "/* a */ /* b */", true},
	} {
		if got := tc.q.OnlyComments(tc.text); got != tc.want {
			t.Errorf("%q: %t", tc.text, got)
		}
	}
}

func TestUncommented(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"-- a\n# b\n/* c */ SELECT 1": "SELECT 1",
		"/*! SELECT 1 */":             "/*! SELECT 1 */",
		"/* a */ /*M!100 SELECT 1 */": "/*M!100 SELECT 1 */",
		"/* a /*! */ SELECT 1":        "SELECT 1",
		"/* a":                        "/* a",
	} {
		if got := Uncommented(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
	if Executable("SELECT /* 1 */ 1") || !Executable("SELECT /*!1 */") || !Executable("SELECT /*M!1 */") {
		t.Error("which comments are executed")
	}
}

func TestContentWith(t *testing.T) {
	t.Parallel()
	names := []string{"users", "order items"}
	for text, want := range map[string]string{
		"CREATE TABLE users (id INT)":                         "",
		"create table if not exists Users (id INT)":           "users",
		"CREATE TABLE IF NOT EXISTS users2 (id INT)":          "",
		"CREATE TABLE IF NOT EXISTS \"Order Items\" (id INT)": "order items",
		"INSERT INTO users VALUES (1) ON CONFLICT DO NOTHING": "users",
	} {
		if got := ContentWith(text, names); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestOpenBody(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"CREATE TRIGGER t AFTER INSERT ON a BEGIN\n  DELETE FROM b;":                           true,
		"CREATE TRIGGER t AFTER INSERT ON a BEGIN\n  DELETE FROM b;\nEND;":                     false,
		"-- one\ncreate temp trigger t AFTER INSERT ON a BEGIN SELECT 1; END":                  false,
		"CREATE TRIGGER t AFTER INSERT ON a FOR EACH ROW SET NEW.b = 'begin';":                 false,
		"CREATE TRIGGER t AFTER INSERT ON a FOR EACH ROW EXECUTE FUNCTION begin_it();":         false,
		"CREATE DEFINER=`a`@`b` PROCEDURE p() BEGIN\n  SELECT 1;":                              true,
		"CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC\n  SELECT 1;":    true,
		"CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END;":  false,
		"CREATE FUNCTION f() RETURNS trigger AS $$ BEGIN RETURN NEW; END $$ LANGUAGE plpgsql;": false,
		"CREATE PROCEDURE p() BEGIN SELECT 1; END p;":                                          false,
		"CREATE TABLE begin_x (a int);":                                                        false,
		"BEGIN;":                                                                               false,
	} {
		at, got := Quoting{Dollars: true}.OpenBody(text)
		if got != want || got && !strings.HasPrefix(text[at:], "BEGIN") {
			t.Errorf("OpenBody(%q) = %d, %t", text, at, got)
		}
	}
}

func TestControlsTransactions(t *testing.T) {
	t.Parallel()
	const body = "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END;"
	for _, tc := range []struct {
		want       bool
		statements []string
	}{
		{false, nil},
		{false, []string{""}},
		{false, []string{"CREATE TABLE a (id INT);", "INSERT INTO a VALUES (1);"}},
		{true, []string{"BEGIN;"}},
		{true, []string{"begin"}},
		{true, []string{"BEGIN IMMEDIATE TRANSACTION;"}},
		{true, []string{"CREATE TABLE a (id INT);", "COMMIT;", "SELECT 1;"}},
		{true, []string{"\n\n  Commit Work;"}},
		{true, []string{"-- so that others see it\nCOMMIT;"}},
		{true, []string{"/* so that\nothers see it */COMMIT;"}},
		{true, []string{"COMMIT/* now */;"}},
		{true, []string{"COMMIT AND CHAIN;"}},
		{true, []string{"END;"}},
		{true, []string{"END TRANSACTION;"}},
		{true, []string{"ABORT;"}},
		{true, []string{"ROLLBACK;"}},
		{true, []string{"rollback work"}},
		{true, []string{"START TRANSACTION;"}},
		{true, []string{"start\n\ttransaction READ ONLY;"}},
		{true, []string{"ROLLBACK TO s;", "COMMIT;"}},

		{false, []string{"SAVEPOINT s;", "ROLLBACK TO SAVEPOINT s;", "RELEASE SAVEPOINT s;"}},
		{false, []string{"rollback to s;"}},
		{false, []string{"ROLLBACK WORK TO s;"}},
		{false, []string{"ROLLBACK TRANSACTION\nTO SAVEPOINT s;"}},
		{true, []string{"ROLLBACK TOGETHER;"}},

		{false, []string{"beginning_of_year();", "COMMITS;", "endless;", "aborted;", "rollbacks"}},
		{false, []string{"COMMENT ON TABLE a IS 'commit';"}},
		{false, []string{"INSERT INTO a VALUES ('COMMIT;');"}},
		{false, []string{"-- COMMIT;\nSELECT 1;"}},
		{false, []string{"-- COMMIT;"}},
		{false, []string{"/* BEGIN; */ SELECT 1;"}},
		{false, []string{"START SLAVE;"}},

		{false, []string{body}},
		{false, []string{"CREATE TRIGGER t AFTER INSERT ON a BEGIN\n  DELETE FROM b;\nEND;"}},
		{false, []string{"DO $$\nBEGIN\n  PERFORM 1;\nEND\n$$;"}},
		// Several statements in one text, as in a pair of files.
		{true, []string{"CREATE TABLE a (id INT);\nCOMMIT;\nCREATE TABLE b (id INT);"}},
		{true, []string{"SET x = 1; -- first\n begin; SELECT 1; END;"}},
		{false, []string{"INSERT INTO a VALUES ('; COMMIT;'); SELECT \"; COMMIT\", `; COMMIT`; -- ; COMMIT\n/* ; COMMIT; */ SELECT 1"}},
		{false, []string{"CREATE FUNCTION f() AS $x$ BEGIN; COMMIT; $$; COMMIT; $x$; SELECT $1; DO $$ ; COMMIT; $$"}},
		{false, []string{"SELECT 1; CREATE TRIGGER t AFTER INSERT ON a BEGIN\n  DELETE FROM b;\nEND;"}},
		{false, []string{"SAVEPOINT s; ROLLBACK TO s;"}},
		// Without StatementBegin goose would cut the body, and END; be a statement, which fails anyway.
		{true, []string{"CREATE TRIGGER t AFTER INSERT ON a BEGIN\n  DELETE FROM b;", "END;"}},
	} {
		if got := slices.ContainsFunc(tc.statements, ControlsTransactions); got != tc.want {
			t.Errorf("ControlsTransactions(%q) = %t", strings.Join(tc.statements, " | "), got)
		}
	}
}

func TestCompany(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		q    Quoting
		text string
		want Company
	}{
		{postgres, "-- why\nCREATE TABLE a (id int);\nINSERT INTO a VALUES (1); -- end\n", Any},
		{sqlite, "CREATE TABLE a (id int)", Any},
		{postgres, "", None},
		{postgres, "CREATE TABLE a (id int);; SELECT 1", None},
		{postgres, "ROLLBACK TO s", None},
		{sqlite, "CREATE TABLE a (id int UNIQUE ON CONFLICT ROLLBACK)", NoneAfter},
		{postgres, "DROP FUNCTION f; SET x = 1", None},
		{postgres, "CREATE TABLE a (b text DEFAULT 'x", None},
		{sqlite, "CREATE TABLE a (b text) /* x", None},
		{postgres, "CREATE TEMP TABLE a (id int)", None},
		{postgres, "DO $$ BEGIN PERFORM 1; END $$", None},
		{postgres, "CREATE TABLE a (id int); ALTER TABLE a ADD b text", Any},
		{postgres, "ALTER /* why */ TYPE t ADD VALUE 'x'", None},
	} {
		if got := tc.q.Company([]string{tc.text}); got != tc.want {
			t.Errorf("%q: %d, want %d", tc.text, got, tc.want)
		}
	}
}

func TestCompanyOfFunctions(t *testing.T) {
	q := Quoting{Dollars: true}
	for text, want := range map[string]Company{
		"CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN SET LOCAL session_replication_role = replica; END $$": NoneAfter,
		"CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN -- why\n SET search_path = x; END $$":                 NoneAfter,
		"create /* why */ function f() returns void language sql as $$ set local x.y = 1 $$":                                 NoneAfter,
		"create or replace procedure f() language sql as $f$ set search_path = x $f$":                                        NoneAfter,
		"CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'SET ROLE x'; END $$":                         NoneAfter,
		"CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN IF true THEN RESET ROLE; END IF; END $$":              NoneAfter,
		"UPDATE pg_settings SET setting = 'x' WHERE name = 'search_path'":                                                    NoneAfter,
		"CREATE TABLE t (a xid8 DEFAULT pg_current_xact_id())":                                                               None,
		"CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql SET search_path = x AS $$ BEGIN UPDATE t SET a = 1; END $$":       Any,
		"CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ UPDATE t\n SET a = 1 $$":                                        Any,
		"COMMENT ON TABLE t IS 'set by f'": Any,
	} {
		if have := q.Company([]string{text}); have != want {
			t.Errorf("%d, want %d: %s", have, want, text)
		}
	}
}

// TestCarriageReturn: PostgreSQL ends a comment at a carriage return too, so that code is behind it.
func TestCarriageReturn(t *testing.T) {
	t.Parallel()
	if !ControlsTransactions("-- a\rCREATE TABLE a (id int); COMMIT;") || !ControlsTransactions("-- a\rBEGIN") || !ControlsTransactions("-- a\rb\nBEGIN") {
		t.Error("a BEGIN or a COMMIT behind a comment isn't found")
	}
	if Plain("-- a\rEXPLAIN\nCREATE TABLE a (id int)") {
		t.Error("a statement behind a comment isn't found")
	}
	if alone, _ := Alone("CREATE -- a\rINDEX CONCURRENTLY i ON a (id)"); !alone {
		t.Error("the words behind a comment aren't found")
	}
	postgres := Quoting{Dollars: true}
	if quote, _ := postgres.Open("-- a\rSELECT $$"); quote != "$$" {
		t.Errorf("%q is open", quote)
	}
	for _, q := range []Quoting{postgres, {Backslashes: true}, {Brackets: true}} {
		if q.Sum("-- a\nCREATE TABLE a (id int)") != q.Sum("-- b\r\nCREATE TABLE a (id int)") {
			t.Errorf("%+v: a carriage return before a line feed counts", q)
		}
	}
	if postgres.Sum("a--\rb") != postgres.Sum("a\nb") || postgres.Sum("-- a\rDROP TABLE a") == postgres.Sum("-- a\rDROP TABLE b") {
		t.Error("what is behind a comment isn't in the sum")
	}
}
