package gooseplustest

import (
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/dbtest"
)

// A fault is a migration whose Down forgets something, beside a first migration that makes what it works on.
type fault struct {
	name     string
	base, up string
	down     string // the faulty one
	missing  string // what it forgets
	want     []string
}

// product is a kind of database that the kit is for.
type product struct {
	name, dialect string
	open          func(t testing.TB, opts ...gooseplus.Option) *sql.DB
	empty         func(t testing.TB) *sql.DB
	faults        []fault
	// together are the names of faults that are tried in one migration: none touches what another has made. Each of the others
	// has a migration of its own.
	together [][]string
}

var databases = []product{
	{"PostgreSQL", "postgres", func(t testing.TB, opts ...gooseplus.Option) *sql.DB { return Postgres(t, "", opts...) },
		func(t testing.TB) *sql.DB { return dbtest.Postgres(t).NewDatabase(t).Open(t, "postgres") }, slices.Concat(postgresFaults, postgresMore), postgresTogether},
	{"MariaDB", "mysql", func(t testing.TB, opts ...gooseplus.Option) *sql.DB { return MySQL(t, "", opts...) },
		func(t testing.TB) *sql.DB { return dbtest.MySQL(t).NewDatabase(t).Open(t, "mysql") }, slices.Concat(mysqlFaults, mysqlMore), mysqlTogether},
	{"SQLite", "sqlite3", func(t testing.TB, opts ...gooseplus.Option) *sql.DB { return SQLite(t, opts...) },
		func(t testing.TB) *sql.DB { return sqliteCopy(t, nil) }, sqliteFaults, nil},
}

const users = `CREATE TABLE users (id INTEGER PRIMARY KEY, email VARCHAR(100), age INTEGER DEFAULT 18);`

var postgresFaults = []fault{
	{"index", users, `CREATE INDEX users_email_idx ON users (email);`, ``, `DROP INDEX users_email_idx;`,
		[]string{`index users_email_idx is left behind: CREATE INDEX users_email_idx ON public.users USING btree (email)`}},
	{"column", users, `ALTER TABLE users ADD COLUMN phone TEXT, ADD COLUMN fax TEXT;`, `ALTER TABLE users DROP COLUMN phone;`, `ALTER TABLE users DROP COLUMN fax;`,
		[]string{`column users.fax is left behind: text`}},
	{"default", users, `ALTER TABLE users ALTER COLUMN age SET DEFAULT 21, ALTER COLUMN email SET DEFAULT 'none';`, `ALTER TABLE users ALTER COLUMN email DROP DEFAULT;`,
		`ALTER TABLE users ALTER COLUMN age SET DEFAULT 18;`, []string{`default of users.age is not as it was: before "18", now "21"`}},
	{"enum value", `CREATE TYPE mood AS ENUM ('sad', 'glad');`, `ALTER TYPE mood ADD VALUE 'so so' BEFORE 'glad';`, ``,
		`DROP TYPE mood; CREATE TYPE mood AS ENUM ('sad', 'glad');`, []string{`enum value mood.'so so' is left behind`}},
	{"trigger", users + stamp, `CREATE TRIGGER stamped BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION stamp();`, ``, `DROP TRIGGER stamped ON users;`,
		[]string{`trigger stamped on users is left behind: CREATE TRIGGER stamped BEFORE UPDATE ON public.users FOR EACH ROW EXECUTE FUNCTION stamp()`}},
	{"function", users, `CREATE FUNCTION twice(n integer) RETURNS integer LANGUAGE sql AS 'SELECT 2 * n';`, ``, `DROP FUNCTION twice;`,
		[]string{`function twice(integer) is left behind: CREATE OR REPLACE FUNCTION public.twice(n integer) RETURNS integer LANGUAGE sql AS $function$SELECT 2 * n$function$`}},
	{"view definition", users + `CREATE VIEW adults AS SELECT id FROM users WHERE age >= 18;`, `CREATE OR REPLACE VIEW adults AS SELECT id FROM users WHERE age >= 21;`, ``,
		`CREATE OR REPLACE VIEW adults AS SELECT id FROM users WHERE age >= 18;`,
		[]string{`view adults is not as it was: before "SELECT `}},
	{"sequence", users, `CREATE SEQUENCE invoices START 1000;`, ``, `DROP SEQUENCE invoices;`,
		[]string{`sequence invoices is left behind: as bigint start 1000 increment 1 from 1 to 9223372036854775807 cache 1`}},
	{"constraint", users, `ALTER TABLE users ADD CONSTRAINT old_enough CHECK (age > 17);`, ``,
		`ALTER TABLE users DROP CONSTRAINT old_enough;`, []string{`constraint old_enough on users is left behind: CHECK ((age > 17))`}},
	{"comment", users + `COMMENT ON TABLE users IS 'everybody';`, `COMMENT ON TABLE users IS 'who has paid'; COMMENT ON COLUMN users.age IS 'in years';`, ``,
		`COMMENT ON TABLE users IS 'everybody'; COMMENT ON COLUMN users.age IS NULL;`, []string{
			`comment on column users.age is left behind: in years`, `comment on table users is not as it was: before "everybody", now "who has paid"`}},
	{"grant", users, `GRANT SELECT, INSERT ON users TO PUBLIC;`, `REVOKE INSERT ON users FROM PUBLIC;`, `REVOKE SELECT ON users FROM PUBLIC;`,
		[]string{`grant of SELECT on table users to public is left behind`}},
	{"extension", users, `CREATE EXTENSION pg_trgm;`, ``, `DROP EXTENSION pg_trgm;`, []string{`extension pg_trgm is left behind: version 1.`}},

	{"column that is not put back", users, `ALTER TABLE users DROP COLUMN age;`, ``, `ALTER TABLE users ADD COLUMN age INTEGER DEFAULT 18;`,
		[]string{`column users.age is not put back: integer`}},
	{"type of a column", users, `ALTER TABLE users ALTER COLUMN email TYPE TEXT;`, ``, `ALTER TABLE users ALTER COLUMN email TYPE VARCHAR(100);`,
		[]string{`column users.email is not as it was: before "character varying(100)", now "text"`}},
	{"storage of a column", users, `ALTER TABLE users ALTER COLUMN email SET STORAGE EXTERNAL;`, ``, `ALTER TABLE users ALTER COLUMN email SET STORAGE EXTENDED;`,
		[]string{`column users.email is not as it was: before "character varying(100)", now "character varying(100) storage external"`}},
	{"table", users, `CREATE TABLE orders (id SERIAL PRIMARY KEY, placed DATE DEFAULT now()); COMMENT ON TABLE orders IS 'x';`, ``, `DROP TABLE orders;`,
		[]string{`table orders is left behind`}},
	{"composite type", `CREATE TYPE place AS (x INTEGER);`, `COMMENT ON TYPE place IS 'where'; REVOKE USAGE ON TYPE place FROM PUBLIC;`, ``,
		`COMMENT ON TYPE place IS NULL; GRANT USAGE ON TYPE place TO PUBLIC;`,
		[]string{`comment on type place is left behind: where`, `grant of USAGE on type place to public is not put back`}},
	{"policy", users, `ALTER TABLE users ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON users USING (id > 0);`,
		`ALTER TABLE users DISABLE ROW LEVEL SECURITY;`, `DROP POLICY own ON users;`, []string{`policy own on users is left behind: permissive for all to public using (id > 0)`}},
}

var postgresMore = []fault{
	{"rights", `CREATE TABLE audit (n INTEGER); CREATE FOREIGN DATA WRAPPER wrap; CREATE SERVER away FOREIGN DATA WRAPPER wrap;`,
		`REVOKE DELETE ON audit FROM CURRENT_USER; GRANT SELECT (n) ON audit TO PUBLIC; GRANT USAGE ON FOREIGN SERVER away TO PUBLIC;
		REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC;
		DO $$ BEGIN EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database()); END $$;`, ``,
		`DO $$ BEGIN EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO PUBLIC', current_database()); END $$;
		ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM PUBLIC; GRANT USAGE ON LANGUAGE plpgsql TO PUBLIC;
		REVOKE USAGE ON FOREIGN SERVER away FROM PUBLIC; REVOKE SELECT (n) ON audit FROM PUBLIC; GRANT DELETE ON audit TO CURRENT_USER;`,
		[]string{`default privileges of `, `grant of DELETE on table audit to its owner is not put back`, `grant of SELECT on column audit.n to public is left behind`,
			`grant of TEMPORARY on the database to public is not put back`, `grant of USAGE on language plpgsql to public is not put back`,
			`grant of USAGE on server away to public is left behind`}},
	{"owners", `CREATE TABLE t (a INTEGER, b INTEGER); CREATE TYPE mood AS ENUM ('sad'); CREATE DOMAIN d AS INTEGER; CREATE COLLATION co (locale = 'C'); CREATE STATISTICS st ON a, b FROM t;`,
		`ALTER TABLE t OWNER TO pg_monitor; ALTER TYPE mood OWNER TO pg_monitor; ALTER DOMAIN d OWNER TO pg_monitor;
		ALTER COLLATION co OWNER TO pg_monitor; ALTER STATISTICS st OWNER TO pg_monitor;`, ``,
		`ALTER TABLE t OWNER TO CURRENT_USER; ALTER TYPE mood OWNER TO CURRENT_USER; ALTER DOMAIN d OWNER TO CURRENT_USER;
		ALTER COLLATION co OWNER TO CURRENT_USER; ALTER STATISTICS st OWNER TO CURRENT_USER;`,
		[]string{`collation public.co is not as it was: before "libc, locale C", now "libc, locale C, owner pg_monitor"`, `statistics st is not as it was`,
			`table t is not as it was: before "", now "owner pg_monitor"`, `type d is not as it was: before "domain integer", now "domain integer, owner pg_monitor"`,
			`type mood is not as it was: before "enum", now "enum, owner pg_monitor"`}},
	{"attributes of columns and types", `CREATE TABLE p (a INTEGER PRIMARY KEY); CREATE TABLE t (a INTEGER REFERENCES p); CREATE DOMAIN d AS TEXT; CREATE DOMAIN positive AS INTEGER; CREATE TYPE r AS RANGE (subtype = float8);`,
		`ALTER DOMAIN positive ADD CONSTRAINT plus CHECK (VALUE > 0); ALTER TABLE t ALTER a SET STATISTICS 77; ALTER TABLE t DISABLE TRIGGER ALL; DROP DOMAIN d; CREATE DOMAIN d AS TEXT COLLATE "C";
		DROP TYPE r; CREATE TYPE r AS RANGE (subtype = float8, subtype_diff = float8mi);`, ``,
		`ALTER DOMAIN positive DROP CONSTRAINT plus; ALTER TABLE t ENABLE TRIGGER ALL; ALTER TABLE t ALTER a SET STATISTICS -1; DROP DOMAIN d; CREATE DOMAIN d AS TEXT; DROP TYPE r; CREATE TYPE r AS RANGE (subtype = float8);`,
		[]string{`column t.a is not as it was: before "integer", now "integer statistics 77"`, `constraint plus on positive is left behind: CHECK ((VALUE > 0))`,
			`constraint t_a_fkey on t is not as it was: before "FOREIGN KEY (a) REFERENCES p(a)", now "FOREIGN KEY (a) REFERENCES p(a), triggers not enabled"`,
			`type d is not as it was: before "domain text", now "domain text collate \"C\""`,
			`type r is not as it was: before "range of double precision", now "range of double precision subtype_diff float8mi"`}},
	{"beside the tables", `CREATE SCHEMA x; CREATE TABLE x.t (a INTEGER, b INTEGER); CREATE TABLE t (a INTEGER, b INTEGER); CREATE STATISTICS st ON a, b FROM t;
		CREATE FUNCTION seen() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER ev ON ddl_command_start EXECUTE FUNCTION seen();
		CREATE PUBLICATION pub FOR TABLE t; CREATE FOREIGN DATA WRAPPER wrap; CREATE SERVER away FOREIGN DATA WRAPPER wrap; CREATE FOREIGN TABLE f (a INTEGER) SERVER away;`,
		`CREATE STATISTICS x.st ON a, b FROM x.t; CREATE TABLE x.goose_db_version (a INTEGER); ALTER EVENT TRIGGER ev DISABLE;
		ALTER PUBLICATION pub ADD TABLE x.t; ALTER PUBLICATION pub SET (publish = 'insert'); ALTER SERVER away OPTIONS (ADD host 'x');
		CREATE USER MAPPING FOR PUBLIC SERVER away OPTIONS (password 'secret1'); ALTER FOREIGN TABLE f ALTER a OPTIONS (ADD column_name 'z');
		DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = ''5MB''', current_database()); END $$;`, ``,
		`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET work_mem', current_database()); END $$;
		ALTER FOREIGN TABLE f ALTER a OPTIONS (DROP column_name); DROP USER MAPPING FOR PUBLIC SERVER away; ALTER SERVER away OPTIONS (DROP host);
		ALTER PUBLICATION pub SET (publish = 'insert, update, delete, truncate'); ALTER PUBLICATION pub DROP TABLE x.t; ALTER EVENT TRIGGER ev ENABLE;
		DROP TABLE x.goose_db_version; DROP STATISTICS x.st;`,
		[]string{`column f.a is not as it was: before "integer", now "integer options (column_name=z)"`,
			`event trigger ev is not as it was: before "on ddl_command_start execute seen", now "on ddl_command_start execute seen, disabled"`,
			`publication pub is not as it was: before "insert, update, delete, truncate, `, `server away is not as it was: before "", now "options host=x"`,
			`setting work_mem is left behind: 5MB`, `statistics x.st is left behind`, `table x.goose_db_version is left behind`,
			`user mapping for public server away is left behind: options `}},
	{"text search, operators and casts", `CREATE TEXT SEARCH DICTIONARY td (template = simple); CREATE TEXT SEARCH CONFIGURATION tc (COPY = english); CREATE TYPE cc AS (a INTEGER);
		CREATE FUNCTION number(cc) RETURNS INTEGER LANGUAGE sql AS 'SELECT $1.a'; CREATE CAST (cc AS INTEGER) WITH FUNCTION number(cc);
		CREATE FUNCTION yes(INTEGER, TEXT) RETURNS BOOLEAN LANGUAGE sql AS 'SELECT true'; CREATE OPERATOR === (LEFTARG = INTEGER, RIGHTARG = TEXT, FUNCTION = yes);
		CREATE OPERATOR FAMILY fam USING btree; CREATE AGGREGATE total(INTEGER) (sfunc = int4pl, stype = int, initcond = '0'); CREATE COLLATION co (locale = 'C');`,
		`ALTER TEXT SEARCH DICTIONARY td (stopwords = english); ALTER TEXT SEARCH CONFIGURATION tc ALTER MAPPING FOR word WITH td;
		CREATE TEXT SEARCH TEMPLATE tt (LEXIZE = dsimple_lexize); DROP CAST (cc AS INTEGER); CREATE CAST (cc AS INTEGER) WITH FUNCTION number(cc) AS IMPLICIT;
		CREATE TRANSFORM FOR cc LANGUAGE sql (FROM SQL WITH FUNCTION prsd_lextype(internal));
		DROP OPERATOR === (INTEGER, TEXT); CREATE OPERATOR === (LEFTARG = INTEGER, RIGHTARG = TEXT, FUNCTION = yes, RESTRICT = eqsel);
		ALTER OPERATOR FAMILY fam USING btree ADD OPERATOR 1 < (INTEGER, INTEGER); DROP COLLATION co; CREATE COLLATION co (locale = 'POSIX');
		DROP AGGREGATE total(INTEGER); CREATE AGGREGATE total(INTEGER) (sfunc = int4pl, stype = int, initcond = '0', combinefunc = int4pl);`, ``,
		`DROP AGGREGATE total(INTEGER); CREATE AGGREGATE total(INTEGER) (sfunc = int4pl, stype = int, initcond = '0');
		DROP COLLATION co; CREATE COLLATION co (locale = 'C'); ALTER OPERATOR FAMILY fam USING btree DROP OPERATOR 1 (INTEGER, INTEGER);
		DROP OPERATOR === (INTEGER, TEXT); CREATE OPERATOR === (LEFTARG = INTEGER, RIGHTARG = TEXT, FUNCTION = yes);
		DROP TRANSFORM FOR cc LANGUAGE sql; DROP CAST (cc AS INTEGER); CREATE CAST (cc AS INTEGER) WITH FUNCTION number(cc); DROP TEXT SEARCH TEMPLATE tt;
		ALTER TEXT SEARCH CONFIGURATION tc ALTER MAPPING FOR word WITH english_stem; ALTER TEXT SEARCH DICTIONARY td (stopwords);`,
		[]string{`aggregate total(integer) is not as it was: before "sfunc int4pl, stype integer, initcond 0`,
			`cast (public.cc AS integer) is not as it was: before "with function number(cc)", now "with function number(cc) as implicit"`,
			`collation public.co is not as it was: before "libc, locale C", now "libc, locale POSIX"`,
			`operator family public.fam USING btree is not as it was: before "", now "operator 1 <(integer,integer)"`,
			`operator public.===(integer,pg_catalog.text) is not as it was: before "function yes", now "function yes, restrict eqsel"`,
			`text search configuration public.tc is not as it was: before "… `,
			`text search dictionary public.td is not as it was: before "template simple", now "template simple stopwords = 'english'"`,
			`text search template public.tt is left behind`, `transform for public.cc `}},
	{"statistics and replica identity", `CREATE TABLE t (a INTEGER, b INTEGER); CREATE STATISTICS st ON a, b FROM t; CREATE INDEX i ON t ((a + 1)); CREATE TABLE u (a INTEGER);`,
		`ALTER STATISTICS st SET STATISTICS 7; ALTER INDEX i ALTER COLUMN 1 SET STATISTICS 99; ALTER TABLE u REPLICA IDENTITY NOTHING;`, ``,
		`ALTER TABLE u REPLICA IDENTITY DEFAULT; ALTER INDEX i ALTER COLUMN 1 SET STATISTICS -1; ALTER STATISTICS st SET STATISTICS -1;`,
		[]string{`index i is not as it was`, `statistics st is not as it was`, `table u is not as it was: before "", now "replica identity nothing"`}},
	{"columns of a publication", `CREATE TABLE t (a INTEGER, b INTEGER); CREATE TABLE u (a INTEGER, b INTEGER); CREATE PUBLICATION pub FOR TABLE t (a), u; CREATE PUBLICATION other FOR TABLE t;`,
		`ALTER PUBLICATION pub SET TABLE t (b), u; ALTER PUBLICATION other SET TABLE t WHERE (a > 3);`, ``, `ALTER PUBLICATION other SET TABLE t; ALTER PUBLICATION pub SET TABLE t (a), u;`,
		[]string{`publication other is not as it was`, `publication pub is not as it was`}},

	{"told once", `CREATE TABLE part (a INTEGER, b INTEGER) PARTITION BY RANGE (a); CREATE TABLE part1 PARTITION OF part FOR VALUES FROM (1) TO (2); CREATE TABLE q (a INTEGER PRIMARY KEY);
		CREATE TABLE parts (a INTEGER PRIMARY KEY) PARTITION BY RANGE (a); CREATE TABLE refers (a INTEGER REFERENCES parts); CREATE TABLE t (a INTEGER);` + stamp,
		`ALTER TABLE part ADD COLUMN c INTEGER DEFAULT 3, ALTER b TYPE BIGINT, ADD CONSTRAINT k CHECK (b > 0), ADD CONSTRAINT f FOREIGN KEY (b) REFERENCES q;
		CREATE INDEX i ON part (b); CREATE TRIGGER stamped AFTER INSERT ON part FOR EACH ROW EXECUTE FUNCTION stamp(); CREATE TABLE parts1 PARTITION OF parts DEFAULT;
		ALTER TABLE t ADD COLUMN s SERIAL; CREATE TYPE r AS RANGE (subtype = float8);
		CREATE OPERATOR CLASS oc FOR TYPE INTEGER USING btree AS OPERATOR 1 <, FUNCTION 1 btint4cmp(INTEGER, INTEGER);`, ``,
		`DROP OPERATOR FAMILY oc USING btree; DROP TYPE r; ALTER TABLE t DROP COLUMN s; ALTER TABLE parts DETACH PARTITION parts1; DROP TABLE parts1; DROP TRIGGER stamped ON part; DROP INDEX i;
		ALTER TABLE part DROP CONSTRAINT f, DROP CONSTRAINT k, ALTER b TYPE INTEGER, DROP COLUMN c;`,
		[]string{`column part.b is not as it was: before "integer", now "bigint"`, `column part.c is left behind: integer`, `column t.s is left behind: integer not null`,
			`constraint f on part is left behind`, `constraint k on part is left behind`, `index i is left behind`, `operator family public.oc USING btree is left behind`,
			`table parts1 is left behind`, `trigger stamped on part is left behind`, `type r is left behind: range of double precision`}},
	{"table with another name", users + `CREATE INDEX i ON users (age);`, `ALTER TABLE users RENAME TO people;`, ``, `ALTER TABLE people RENAME TO users;`,
		[]string{`table people is left behind`, `table users is not put back`}},
}

var postgresTogether = [][]string{
	{"index", "column", "default", "enum value", "trigger", "function", "view definition", "sequence", "constraint", "comment", "grant", "extension", "storage of a column",
		"table", "composite type", "policy"},
	{"column that is not put back", "rights", "statistics and replica identity"},
	{"type of a column", "text search, operators and casts"},
	{"table with another name", "attributes of columns and types"},
}

const stamp = `
-- +goose StatementBegin
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
-- +goose StatementEnd
`

// nobody is somebody to grant to. MariaDB 10.5 forgets the password of a CURRENT_USER who is granted something.
const nobody = "CREATE USER IF NOT EXISTS gp_nobody@localhost ACCOUNT LOCK;\n"

var mysqlFaults = []fault{
	{"index", users, `CREATE INDEX users_email_idx ON users (email);`, ``, `DROP INDEX users_email_idx ON users;`,
		[]string{"index users_email_idx on users is left behind: KEY `users_email_idx` (`email`)"}},
	{"column", users, `ALTER TABLE users ADD COLUMN fax INT;`, ``, `ALTER TABLE users DROP COLUMN fax;`, []string{`column users.fax is left behind: int`}},
	{"default", users, `ALTER TABLE users ALTER COLUMN age SET DEFAULT 21;`, ``, `ALTER TABLE users ALTER COLUMN age SET DEFAULT 18;`,
		[]string{`default of users.age is not as it was: before "18", now "21"`}},
	{"enum value", `CREATE TABLE feelings (mood ENUM ('sad', 'glad'));`, `ALTER TABLE feelings MODIFY mood ENUM ('sad', 'so, so', 'glad');`, ``,
		`ALTER TABLE feelings MODIFY mood ENUM ('sad', 'glad');`, []string{`enum value feelings.mood.'so, so' is left behind`}},
	{"trigger", users, `CREATE TRIGGER stamped BEFORE UPDATE ON users FOR EACH ROW SET NEW.age = 1;`, ``, `DROP TRIGGER stamped;`,
		[]string{`trigger stamped on users is left behind: BEFORE UPDATE on users SET NEW.age = 1`}},
	{"function", users, `CREATE FUNCTION twice(n INT) RETURNS INT DETERMINISTIC RETURN 2 * n;`, ``, `DROP FUNCTION twice;`,
		[]string{`function twice is left behind`}},
	{"view definition", users + "\nCREATE VIEW adults AS SELECT id FROM users WHERE age >= 18;", `CREATE OR REPLACE VIEW adults AS SELECT id FROM users WHERE age >= 21;`, ``,
		`CREATE OR REPLACE VIEW adults AS SELECT id FROM users WHERE age >= 18;`, []string{`view adults is not as it was`}},
	{"sequence", users, `CREATE SEQUENCE invoices START 1000;`, ``, `DROP SEQUENCE invoices;`, []string{`sequence invoices is left behind: start with 1000`}},
	{"constraint", users, `ALTER TABLE users ADD CONSTRAINT old_enough CHECK (age > 17);`, ``, `ALTER TABLE users DROP CONSTRAINT old_enough;`,
		[]string{"constraint old_enough on users is left behind: CONSTRAINT `old_enough` CHECK ("}},
	{"constraint of a column", users, `ALTER TABLE users MODIFY age INT DEFAULT 18 COMMENT 'it''s CHECK (x)' CHECK (age > 17);`, `ALTER TABLE users MODIFY age INT DEFAULT 18 CHECK (age > 17);`,
		`ALTER TABLE users MODIFY age INT DEFAULT 18;`, []string{"check of users.age is left behind: CHECK (`age` > 17)"}},
	{"comment", users, `ALTER TABLE users COMMENT = 'who has paid';`, ``, `ALTER TABLE users COMMENT = '';`, []string{`comment on table users is left behind: who has paid`}},
	{"grant", nobody + users, `GRANT SELECT ON users TO gp_nobody@localhost;`, ``, `REVOKE SELECT ON users FROM gp_nobody@localhost;`, []string{`grant of SELECT on table users to`}},
	{"table", users, `CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT);`, ``, `DROP TABLE orders;`, []string{`table orders is left behind: ENGINE=InnoDB`}},
}

// onlyMariaDB are the names of faults that MySQL has not: there are no sequences, constraints belong to the table, and the
// catalog doesn't show the algorithm.
var onlyMariaDB = []string{"sequence", "constraint of a column", "algorithm of a view"}

var mysqlMore = []fault{
	{"attributes", nobody + `CREATE TABLE t (a INT, b INT);
CREATE TRIGGER t1 BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1;
CREATE TRIGGER t2 BEFORE INSERT ON t FOR EACH ROW SET NEW.b = 1;
CREATE FUNCTION f(a INT) RETURNS INT DETERMINISTIC RETURN a;
CREATE PROCEDURE p() SELECT 1;
CREATE VIEW v AS SELECT a FROM t;`,
		`ALTER DATABASE CHARACTER SET latin1 COLLATE latin1_swedish_ci;
DROP TRIGGER t1;
CREATE TRIGGER t1 BEFORE INSERT ON t FOR EACH ROW FOLLOWS t2 SET NEW.a = 1;
SET sql_mode = 'ANSI';
DROP FUNCTION f;
CREATE FUNCTION f(a INT) RETURNS INT DETERMINISTIC RETURN a;
SET sql_mode = DEFAULT;
CREATE PROCEDURE f(IN z INT) SELECT 1;
CREATE OR REPLACE DEFINER = gp_nobody@localhost VIEW v AS SELECT a FROM t;
GRANT EXECUTE ON PROCEDURE p TO gp_nobody@localhost;`, ``,
		`REVOKE EXECUTE ON PROCEDURE p FROM gp_nobody@localhost;
CREATE OR REPLACE VIEW v AS SELECT a FROM t;
DROP PROCEDURE f;
DROP FUNCTION f;
CREATE FUNCTION f(a INT) RETURNS INT DETERMINISTIC RETURN a;
DROP TRIGGER t1;
CREATE TRIGGER t1 BEFORE INSERT ON t FOR EACH ROW PRECEDES t2 SET NEW.a = 1;
ALTER DATABASE CHARACTER SET utf8mb4;`,
		[]string{`SQL mode of function f is not as it was: before "`, `character set of the database is not as it was: before "utf8mb4 `,
			`definer of view v is not as it was: before "`, `grant of execute on procedure p to '`, `order of the triggers before insert on t is not as it was: before "t1, t2", now "t2, t1"`,
			`procedure f is left behind: IN z int`}},
	{"algorithm of a view", users + "\nCREATE VIEW v AS SELECT id FROM users;", `CREATE OR REPLACE ALGORITHM = TEMPTABLE VIEW v AS SELECT id FROM users;`, ``,
		`CREATE OR REPLACE VIEW v AS SELECT id FROM users;`, []string{`view v is not as it was`}},
}

var mysqlTogether = [][]string{
	{"index", "column", "default", "enum value", "trigger", "function", "view definition", "sequence", "constraint", "comment", "grant", "table", "algorithm of a view"},
	{"constraint of a column", "attributes"},
}

var sqliteFaults = []fault{
	{"index", users, `CREATE INDEX users_email_idx ON users (email);`, ``, `DROP INDEX users_email_idx;`, []string{`index users_email_idx on users is left behind`}},
	{"column", users, `ALTER TABLE users ADD COLUMN phone TEXT; ALTER TABLE users ADD COLUMN fax TEXT;`, `ALTER TABLE users DROP COLUMN phone;`, `ALTER TABLE users DROP COLUMN fax;`,
		[]string{`column users.fax is left behind: text`}},
	{"default", users, `ALTER TABLE users DROP COLUMN age; ALTER TABLE users ADD COLUMN age INTEGER DEFAULT 21;`, ``,
		`ALTER TABLE users DROP COLUMN age; ALTER TABLE users ADD COLUMN age INTEGER DEFAULT 18;`, []string{`default of users.age is not as it was: before "18", now "21"`}},
	{"trigger", users, `CREATE TRIGGER stamped AFTER UPDATE ON users BEGIN SELECT 1; END;`, ``, `DROP TRIGGER stamped;`, []string{`trigger stamped on users is left behind`}},
	{"view definition", users + `CREATE VIEW adults AS SELECT id FROM users WHERE age >= 18;`, `DROP VIEW adults; CREATE VIEW adults AS SELECT id FROM users WHERE age >= 21;`, ``,
		`DROP VIEW adults; CREATE VIEW adults AS SELECT id FROM users WHERE age >= 18;`, []string{`view adults is not as it was`}},
	{"constraint", users, `CREATE TABLE new (id INTEGER PRIMARY KEY, email VARCHAR(100), age INTEGER DEFAULT 18, CHECK (age > 17)); DROP TABLE users; ALTER TABLE new RENAME TO users;`, ``,
		`CREATE TABLE new (id INTEGER PRIMARY KEY, email VARCHAR(100), age INTEGER DEFAULT 18); DROP TABLE users; ALTER TABLE new RENAME TO users;`,
		[]string{`constraint check ( age > 17 ) on users is left behind`}},
	{"table", users, `CREATE TABLE orders (id INTEGER PRIMARY KEY);`, ``, `DROP TABLE orders;`, []string{`table orders is left behind`}},
}

// group are faults of one migration. Its name is that of the first one.
type group []fault

func (g group) name() string { return g[0].name }

// groups are the faults that there can be on the server.
func (d product) groups(t *testing.T) (list []group) {
	impossible := d.impossible(t)
	of := make(map[int]int) // where the group is in the list
	for _, f := range d.faults {
		if slices.Contains(impossible, f.name) {
			continue
		}
		together := slices.IndexFunc(d.together, func(names []string) bool { return slices.Contains(names, f.name) })
		if i, begun := of[together]; begun && together >= 0 {
			list[i] = append(list[i], f)
			continue
		}
		of[together] = len(list)
		list = append(list, group{f})
	}
	return list
}

// set is the first migration, and the second with the faulty Downs, or with those that forget nothing.
func (g group) set(dialect string, whole bool) fstest.MapFS {
	var base, up, down string
	for _, f := range g {
		made := f.base
		if strings.Contains(base, users) {
			made = strings.Replace(made, users, "", 1)
		}
		if strings.Contains(base, stamp) {
			made = strings.Replace(made, stamp, "", 1)
		}
		base += made + "\n"
		if strings.Contains(f.up, "TRIGGER") && strings.Contains(f.up, "BEGIN") {
			up += "-- +goose StatementBegin\n" + f.up + "\n-- +goose StatementEnd\n"
		} else {
			up += f.up + "\n"
		}
		undo := f.down + "\n"
		if whole {
			undo += f.missing + "\n"
		}
		down = undo + down
	}
	if strings.TrimSpace(down) == "" {
		down = "SELECT 1;"
	}
	return fstest.MapFS{
		"sql/base/1_first.sql":  migration(base, fault{base: base}.down1(dialect)),
		"sql/base/2_second.sql": migration(up, down),
	}
}

// since15 are the names of faults that PostgreSQL has from version 15 on.
var since15 = []string{"columns of a publication"}

// impossible are the names of the faults that there can't be on the server.
func (d product) impossible(t *testing.T) []string {
	t.Helper()
	switch d.dialect {
	case "postgres":
		if texts(t, admin(t), "SELECT (current_setting('server_version_num')::integer >= 150000)::text")[0] != "true" {
			return since15
		}
	case "mysql":
		db, err := sql.Open("mysql", dbtest.MySQL(t).DSN())
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if !strings.Contains(texts(t, db, "SELECT VERSION()")[0], "MariaDB") {
			return onlyMariaDB
		}
	}
	return nil
}

var made = regexp.MustCompile(`CREATE (TABLE|VIEW|TYPE|FUNCTION|PROCEDURE|DOMAIN|SCHEMA|COLLATION|STATISTICS|EVENT TRIGGER|PUBLICATION|FOREIGN DATA WRAPPER|SERVER|` +
	`AGGREGATE|OPERATOR FAMILY|TEXT SEARCH CONFIGURATION|TEXT SEARCH DICTIONARY) (\w+(?:\(INTEGER\)| USING btree)?)`)

// down1 is the Down of the first migration: it is not what is tested.
func (f fault) down1(dialect string) string {
	var drops []string
	for _, m := range made.FindAllStringSubmatch(f.base, -1) {
		drop := fmt.Sprintf("DROP %s IF EXISTS %s", m[1], m[2])
		if dialect == "postgres" {
			drop += " CASCADE"
		}
		drops = append([]string{drop + ";"}, drops...)
	}
	return strings.Join(drops, "\n")
}
