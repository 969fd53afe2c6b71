package sqltext

import "testing"

func TestPlain(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"CREATE TABLE a (id int);":                             true,
		"-- what for\n/* why */ alter table a add b text;":     true,
		"INSERT INTO a VALUES (1); DELETE FROM b;":             true,
		"UPDATE a SET b = 1":                                   false, // SET is a word of Meddles
		"SELECT f()":                                           false,
		"WITH x AS (SELECT f()) INSERT INTO a SELECT * FROM x": false,
		"CREATE TEMPORARY TABLE a (id int)":                    false,
		"CREATE TABLE pg_temp.a (id int)":                      false,
		"CREATE TABLE a (id int); LISTEN x":                    false,
		"DECLARE c CURSOR WITH HOLD FOR VALUES (1)":            false,
		"SELECT set_config('search_path', 'x', false)":         false,
		"INSERT INTO a SELECT set_config('role', 'x', false)":  false,
		"CREATE FUNCTION f() RETURNS int AS $$ SELECT 1; $$":   false,
		"INSERT INTO a SELECT f()":                             false,
		"GRANT INSERT ON a TO b":                               true,
		"DO $$ BEGIN PERFORM 1; END $$":                        false,
		"":                                                     false,
	} {
		if got := Plain(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
