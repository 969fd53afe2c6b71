package drive

import (
	"testing"
)

func TestAtomicStatements(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		statement string
		ddl, dml  bool
	}{
		{"ALTER TABLE a ADD b INT;", true, false},
		{"alter\n\ttable a ADD b INT", true, false},
		{"CREATE TABLE a (id INT);", true, false},
		{"CREATE TABLE IF NOT EXISTS a (id INT);", true, false},
		{"CREATE TABLE a AS SELECT 1;", true, false},
		{"CREATE TABLE a (id INT) COMMENT 'the table of values, select (1)';", true, false},
		{"CREATE TABLE a (`select` INT); -- select note()", true, false},
		{"CREATE TABLE a LIKE b;", true, false},
		{"CREATE TABLE a (id INT) PARTITION BY RANGE (id) (PARTITION p VALUES LESS THAN (1));", true, false},
		{"CREATE TABLE a (id INT) /*!50100 PARTITION BY LIST (id) (PARTITION p VALUES IN (1)) */;", true, false},
		{"CREATE TABLE a AS SELECT SLEEP(1), NOW();", true, false},
		{"CREATE TABLE a AS SELECT 'note()' AS s;", true, false},
		// Functions that may write, and views that may call them.
		{"CREATE TABLE a AS SELECT note();", false, false},
		{"CREATE TABLE a AS SELECT shop.now();", false, false},
		{"CREATE TABLE a AS SELECT note/* */ (1);", false, false},
		{"CREATE TABLE a (id INT)\nSELECT `note`(1) AS id;", false, false},
		{"CREATE TABLE a AS SELECT * FROM b;", false, false},
		{"CREATE TABLE a TABLE b;", false, false},
		{"CREATE TABLE a AS VALUES ROW(note());", false, false},
		{"CREATE TABLE a AS WITH c AS (SELECT note()) SELECT * FROM c;", false, false},
		{"CREATE TABLE a (id INT) /*! AS SELECT note() */;", false, false},
		{"CREATE TABLE a (s TEXT DEFAULT '\\') AS SELECT note();", false, false},
		{"CREATE OR REPLACE TABLE a (id INT);", false, false},
		{"CREATE OR REPLACE TABLE a AS SELECT 1;", false, false},
		{"CREATE TEMPORARY TABLE a (id INT);", false, false},
		{"CREATE INDEX i ON a (b);", true, false},
		{"CREATE UNIQUE INDEX i ON a (b);", true, false},
		{"create  fulltext\nindex i ON a (b);", true, false},
		{"DROP INDEX i ON a;", true, false},
		{"DROP TABLE a;", true, false},
		{"DROP TABLE a", true, false},
		{"DROP TABLE a ; ", true, false},
		{"DROP TABLE IF EXISTS `a`;\n", true, false},
		{"TRUNCATE TABLE a;", true, false},
		{"DROP TABLE a, b;", false, false},
		{"DROP TABLE a,b;", false, false},
		{"DROP TABLE a ,b;", false, false},
		{"DROP TABLE IF EXISTS a, b;", false, false},
		{"DROP TABLE a\n, b;", false, false},
		{"DROP TABLE a /* and */, b;", false, false},
		{"DROP VIEW v, w;", false, false},
		{"DROP VIEW v;", false, false},
		{"DROP DATABASE d;", false, false},
		{"RENAME TABLE a TO b, c TO d;", false, false},
		{"CALL p();", false, false},
		{"CREATE PROCEDURE p() BEGIN DROP TABLE a; END", false, false},
		{"CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET NEW.b = 1;", false, false},
		{"SELECT 1;", false, false},
		{"ALTERTABLE a;", false, false},
		{"", false, false},

		{"INSERT INTO a VALUES (1);", false, true},
		{"insert\ninto a SELECT 1", false, true},
		{"UPDATE a SET b = 1;", false, true},
		{"DELETE FROM a;", false, true},
		{"REPLACE INTO a VALUES (1);", false, true},
		{"INSERTED;", false, false},
		{"WITH c AS (SELECT 1) SELECT 1;", false, false},
		{"LOAD DATA INFILE 'f' INTO TABLE a;", false, false},

		{"-- a comment\nDROP TABLE a;", true, false},
		{"# a comment\n\n  -- another\n/* and\none */ ALTER TABLE a ADD b INT;", true, false},
		{"-- DROP TABLE a;", false, false},
		{"-- DROP TABLE a;\nCALL p();", false, false},
		{"/* DROP TABLE a */ CALL p();", false, false},
		{"-- a comment\nDELETE FROM a;", false, true},
		// Code, which may be any.
		{"/*! DROP TABLE a */;", false, false},
		{"/*M! DROP TABLE a */;", false, false},
		{"/*M!100100 CALL p() */;\nALTER TABLE a ADD b INT;", false, false},
		{"/*!50000 CALL p() */;\nALTER TABLE a ADD b INT;", false, false},
		{"/* a comment */ /*! CALL p() */ ALTER TABLE a ADD b INT;", false, false},
	} {
		if got := atomicDDL(tc.statement); got != tc.ddl {
			t.Errorf("atomicDDL(%q) = %t", tc.statement, got)
		}
		if got := atomicDML(tc.statement); got != tc.dml {
			t.Errorf("atomicDML(%q) = %t", tc.statement, got)
		}
	}
}

func TestSingle(t *testing.T) {
	t.Parallel()
	for statement, want := range map[string]bool{
		"":                                       true,
		"SELECT 1":                               true,
		"SELECT 1;":                              true,
		"SELECT 1; \r\n;\t":                      true,
		"-- one; two\nSELECT 1;":                 true,
		"/* one; two */ SELECT 1;":               true,
		"# one;\nSELECT 1":                       true,
		"SELECT 1; SELECT 2":                     false,
		"CREATE TABLE a (id INT);\nDROP TABLE b": false,
		"CREATE TABLE a (id INT);CALL p();":      false,
		// Too careful, which costs no more than a Down.
		"INSERT INTO a VALUES (';');": false,
		"SELECT 1; -- one":            false,
	} {
		if got := single(statement); got != want {
			t.Errorf("single(%q) = %t", statement, got)
		}
	}
}

// TestRetractable: only where one statement is all that a step up may have left does its Down take everything back.
func TestRetractable(t *testing.T) {
	const create, drop = "CREATE TABLE a (id INTEGER)", "DROP TABLE a"
	for name, tc := range map[string]struct {
		up, down []string
		want     bool
	}{
		"one statement":                   {[]string{create}, []string{drop}, true},
		"after a question":                {[]string{"SELECT 1", create}, []string{drop}, true},
		"after a name":                    {[]string{"-- the first\nSELECT 'up SQL query'", create}, []string{drop}, true},
		"after a wait":                    {[]string{"DO SLEEP(1)", create}, []string{drop}, true},
		"after a function":                {[]string{"SELECT note()", create}, []string{drop}, false},
		"after a function that is hidden": {[]string{"DO /*! note() */ 1", create}, []string{drop}, false},
		"after a view":                    {[]string{"SELECT * FROM b", create}, []string{drop}, false},
		"after a file":                    {[]string{"SELECT 1 INTO OUTFILE 'f'", create}, []string{drop}, false},
		"of rows that a function makes":   {[]string{create + " AS SELECT note()"}, []string{drop}, false},
		"after a change":                  {[]string{"INSERT INTO b VALUES (1)", create}, []string{drop}, false},
		"after a question in one text":    {[]string{"SELECT 1; DELETE FROM b", create}, []string{drop}, false},
		"before a change":                 {[]string{create, "INSERT INTO a VALUES (1)"}, []string{drop}, false},
		"two in one text":                 {[]string{create + "; " + create}, []string{drop}, false},
		"rows":                            {[]string{"INSERT INTO b VALUES (1)"}, []string{drop}, false},
		"no statement":                    {nil, []string{drop}, false},
		"no Down":                         {[]string{create}, nil, false},
		"a Down of two statements":        {[]string{create}, []string{drop, "DELETE FROM b"}, false},
		"a Down of two in one text":       {[]string{create}, []string{"ALTER TABLE a DROP COLUMN id; DELETE FROM b"}, false},
		"a Down that changes rows":        {[]string{create}, []string{"DELETE FROM b"}, false},
	} {
		if got := Retractable(tc.up, tc.down); got != tc.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
