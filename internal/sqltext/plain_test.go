package sqltext

import (
	"strings"
	"testing"
)

func TestMeddles(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"CREATE TABLE a (id INTEGER)":          false,
		"ROLLBACK":                             true,
		"INSERT OR ROLLBACK INTO a VALUES (1)": false,
		"CREATE TABLE a (id INTEGER UNIQUE ON CONFLICT rollback)": false,
		"INSERT OR ROLLBACK INTO a VALUES (1); ROLLBACK":          true,
		"SELECT 1; -- one or\nROLLBACK":                           true,
		"SELECT 1; /* one or */ ROLLBACK":                         true,
		"SELECT 1 AS author; ROLLBACK":                            true,
		"SELECT 1 AS color ROLLBACK":                              true,
		"SELECT 1 OR COMMIT":                                      true,
		"SELECT '{commit}'":                                       true,
		"SELECT committed_by_all_of_the_others, ends, COMMITS":    false,
	} {
		if got := Meddles(text); got != want {
			t.Errorf("Meddles(%q) = %t", text, got)
		}
	}
}

func TestPlain(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"CREATE TABLE a (id int);":                                                                            true,
		"-- what for\n/* why */ alter table a add b text;":                                                    true,
		"INSERT INTO a VALUES (1); DELETE FROM b;":                                                            true,
		"UPDATE a SET b = 1":                                                                                  false, // SET is a word of Meddles
		"SELECT f()":                                                                                          false,
		"WITH x AS (SELECT f()) INSERT INTO a SELECT * FROM x":                                                false,
		"CREATE TEMPORARY TABLE a (id int)":                                                                   false,
		"CREATE TABLE pg_temp.a (id int)":                                                                     false,
		"CREATE TABLE a (id int); LISTEN x":                                                                   false,
		"DECLARE c CURSOR WITH HOLD FOR VALUES (1)":                                                           false,
		"SELECT set_config('search_path', 'x', false)":                                                        false,
		"INSERT INTO a SELECT set_config('role', 'x', false)":                                                 false,
		"CREATE FUNCTION f() RETURNS int AS $$ SELECT 1; $$":                                                  false,
		"INSERT INTO a SELECT f()":                                                                            false,
		"INSERT INTO a VALUES (pg_Try_Advisory_lock(1))":                                                      false,
		"INSERT INTO a VALUES ('adviser')":                                                                    true,
		"INSERT INTO a VALUES (1) RETURNING setseed(0.5)":                                                     false,
		"INSERT INTO a VALUES (1) RETURNING PG_create_logical_replication_slot('s', 'p', true)":               false,
		`INSERT INTO a VALUES (1) RETURNING U&"\0073et_config"('role', 'x', false)`:                           false,
		"CREATE TABLE a_pg_ (at timestamptz DEFAULT pg_catalog.now())":                                        false,
		"CREATE TABLE a_pg (at timestamptz DEFAULT pg_catalog.now())":                                         true,
		"CREATE TABLE a (pg_catalog int, pg_catalogs int, _ int)":                                             true,
		"CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'LISTEN x'; INSERT INTO a VALUES (1) RETURNING f()": false,
		"CREATE /* it */ OR REPLACE PROCEDURE f() LANGUAGE sql AS 'LISTEN x'":                                 false,
		"CREATE TRIGGER t AFTER INSERT ON a FOR EACH ROW EXECUTE FUNCTION f(); DROP FUNCTION g":               true,
		"CREATE EXTENSION citext":                                                                             false,
		"GRANT INSERT ON a TO b":                                                                              true,
		"DO $$ BEGIN PERFORM 1; END $$":                                                                       false,
		"":                                                                                                    false,
	} {
		if got := Plain(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestLasts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"PREPARE p AS SELECT 1": true,
		"Deallocate ALL":        true,
		"DISCARD ALL":           true,
		"SELECT set_config('app.tenant', '1', true)":       true,
		"SET app.tenant = '1'":                             true,
		"create table a (id int);\nset\tlocal app . x = 1": true,
		`SET SESSION "app".tenant TO 1`:                    true,
		"SELECT setseed(0.5)":                              true,
		"SET seed = 0.5":                                   true,
		`SET SESSION "seed" TO 0.5`:                        true,
		"LOAD 'auto_explain'":                              true,
		"SELECT dblink_connect('a', 'host=b')":             true,
		"SELECT pg_catalog.pg_create_physical_replication_slot('a', true, true)": true,
		"SELECT pg_replication_origin_session_setup('a')":                        true,
		"INSERT INTO seed (seed) VALUES (1)":                                     false,
		"SET search_path = app":                                                  false,
		"UPDATE a SET b = c.d":                                                   false,
		"CREATE TABLE prepared (pragmas text)":                                   false,
		"INSERT INTO a.set VALUES (1)":                                           false,
		"SET":                                                                    false,
		"DELETE FROM a USING b WHERE true AND b.id = a.id":                       false,
		"": false,
	} {
		if got := Lasts(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestPragmasSet(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"PRAGMA foreign_keys = ON; -- why\npragma\tmain.Journal_Mode=off":  "foreign_keys journal_mode",
		"PRAGMA \"main\".\"user_version\" = 3; PRAGMA main.cache_size(10)": "user_version cache_size",
		"PRAGMA /* it */ journal_mode -- off\n = /* why */ OFF":            "journal_mode",
		"PRAGMA foreign_key_check; PRAGMA journal_mode":                    "",
		"SELECT * FROM pragma_table_info('a')":                             "",
		"PRAGMA":                                                           "",
		"SELECT a = 1; UPDATE a(b) = 1":                                    "",
		"PRAGMA;":                                                          "",
		"":                                                                 "",
	} {
		if got := strings.Join(PragmasSet(text), " "); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
