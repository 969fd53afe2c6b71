package conformance

import (
	"testing"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

// TestUnneeded: MySQL and MariaDB refuse DDL because everything is already as it would be afterwards, in many ways.
func TestUnneeded(t *testing.T) {
	t.Parallel()
	having(server, without(transactionalDDL)).onEach(t, func(t *testing.T, p *place) {
		d, err := dialect.Lookup(p.dialect)
		if err != nil {
			t.Fatal(err)
		}
		p.exec(t, "CREATE TABLE a (id INTEGER PRIMARY KEY, b INTEGER, CONSTRAINT small CHECK (b < 10))", "CREATE INDEX a_b ON a (b)",
			"CREATE TABLE child (a INTEGER, CONSTRAINT child_a FOREIGN KEY (a) REFERENCES a (id))",
			"CREATE TABLE parts (id INTEGER) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20))",
			"CREATE VIEW v AS SELECT 1 AS one", "CREATE PROCEDURE p() SELECT 1", "CREATE FUNCTION f() RETURNS INTEGER DETERMINISTIC RETURN 1",
			"CREATE TRIGGER tr BEFORE INSERT ON a FOR EACH ROW SET NEW.b = 1", "CREATE EVENT e ON SCHEDULE EVERY 1 YEAR DISABLE DO SELECT 1")
		statements := []string{
			"CREATE TABLE a (id INTEGER)", "DROP TABLE nowhere", "CREATE VIEW v AS SELECT 1 AS one", "DROP VIEW nowhere",
			"ALTER TABLE a ADD COLUMN b INTEGER", "ALTER TABLE a DROP COLUMN nowhere", "ALTER TABLE a RENAME COLUMN nowhere TO b", "ALTER TABLE nowhere ADD COLUMN b INTEGER",
			"CREATE INDEX a_b ON a (b)", "DROP INDEX nowhere ON a", "ALTER TABLE a RENAME INDEX nowhere TO a_b", "RENAME TABLE nowhere TO a",
			"ALTER TABLE child DROP FOREIGN KEY nowhere",
			"ALTER TABLE a ADD CONSTRAINT small CHECK (b < 10)", "ALTER TABLE a DROP CONSTRAINT nowhere",
			"ALTER TABLE a ADD PRIMARY KEY (id)", "ALTER TABLE parts DROP PRIMARY KEY",
			"ALTER TABLE a REMOVE PARTITIONING", "ALTER TABLE a DROP PARTITION p0", "ALTER TABLE parts DROP PARTITION nowhere", "ALTER TABLE parts TRUNCATE PARTITION nowhere",
			"ALTER TABLE parts ADD PARTITION (PARTITION p1 VALUES LESS THAN (30))", "ALTER TABLE parts ADD PARTITION (PARTITION p1 VALUES LESS THAN (20))",
			"CREATE DATABASE " + column[string](t, p.db, "SELECT DATABASE()")[0], "DROP DATABASE gooseplus_nowhere",
			"CREATE PROCEDURE p() SELECT 1", "CREATE FUNCTION f() RETURNS INTEGER DETERMINISTIC RETURN 1",
			"CREATE TRIGGER tr BEFORE INSERT ON a FOR EACH ROW SET NEW.b = 1", "DROP TRIGGER nowhere",
			"CREATE EVENT e ON SCHEDULE EVERY 1 YEAR DISABLE DO SELECT 1", "DROP EVENT nowhere",
		}
		if p.isMariaDB() {
			p.exec(t, "CREATE SEQUENCE s", "CREATE TABLE versioned (id INTEGER) WITH SYSTEM VERSIONING")
			statements = append(statements, "CREATE SEQUENCE s", "DROP SEQUENCE nowhere", "ALTER TABLE versioned ADD SYSTEM VERSIONING", "ALTER TABLE a DROP SYSTEM VERSIONING")
		} else {
			statements = append(statements, "ALTER TABLE a DROP CHECK nowhere", "ALTER TABLE a ALTER CHECK nowhere ENFORCED",
				"ALTER TABLE child ADD CONSTRAINT child_a FOREIGN KEY (a) REFERENCES a (id)") // MariaDB's code says too little
		}
		for _, statement := range statements {
			switch _, err := p.db.ExecContext(t.Context(), statement); {
			case err == nil:
				t.Errorf("%s was executed", statement)
			case !d.Unneeded(err):
				t.Errorf("%s: %v", statement, err)
			}
		}
		for _, statement := range []string{ // the last ones may need what isn't there
			"ALTER TABLE a DROP COLUM b", "DROP TABLE a", "INSERT INTO a VALUES (1, 1), (1, 1)", "ALTER TABLE parts ADD PARTITION (PARTITION p2 VALUES LESS THAN (5))",
			"CREATE VIEW w AS SELECT nowhere()", "ALTER TABLE child ADD CONSTRAINT child_b FOREIGN KEY (a) REFERENCES a (b, id)",
		} {
			if _, err := p.db.ExecContext(t.Context(), statement); err == nil || d.Unneeded(err) {
				t.Errorf("%s: %v", statement, err)
			}
		}
	})
}
