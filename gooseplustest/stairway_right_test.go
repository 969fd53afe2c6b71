package gooseplustest

import (
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
)

// These changes are undone by their Downs, though the database writes some of what is put back otherwise than before. Those of
// a migration don't touch what others of it have made.
var rightDowns = map[string][][]struct{ up, down string }{
	"PostgreSQL": {
		{
			{`CREATE TABLE kinds (a VARCHAR(10) CHECK (a IN ('x', 'y')), b INTEGER DEFAULT 3); CREATE INDEX kinds_i ON kinds (b) WHERE a IN ('x', 'y');
				CREATE VIEW kinds_v AS SELECT b FROM kinds WHERE a IN ('x', 'y');`, `DROP TABLE kinds CASCADE;`},
			{`CREATE TABLE part (a INTEGER PRIMARY KEY, b INTEGER CHECK (b > 0)) PARTITION BY RANGE (a); CREATE INDEX part_b ON part (b);
				CREATE TABLE part1 PARTITION OF part FOR VALUES FROM (1) TO (2); CREATE TABLE part2 PARTITION OF part FOR VALUES FROM (2) TO (3);
				CREATE TABLE refers (a INTEGER REFERENCES part);`, `DROP TABLE refers, part;`},
			{`CREATE TABLE one (a INTEGER); CREATE TABLE two (b INTEGER); CREATE TABLE child () INHERITS (one, two);`, `DROP TABLE child, two, one;`},
			{`CREATE TABLE people (id SERIAL PRIMARY KEY, b INTEGER CHECK (b > 1), c TEXT UNIQUE); CREATE VIEW people_v AS SELECT id, b FROM people;
				CREATE TABLE pets (owner INTEGER REFERENCES people); CREATE INDEX people_b ON people (b) WHERE b > 3;`, `DROP TABLE pets, people CASCADE;`},
			{`CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE TABLE moods (x mood DEFAULT 'sad', y mood[]); CREATE INDEX moods_x ON moods (x) WHERE x = 'sad';`,
				`DROP TABLE moods; DROP TYPE mood;`},
		},
		{
			{`DROP VIEW kinds_v; ALTER TABLE kinds ALTER a TYPE TEXT;`, `ALTER TABLE kinds ALTER a TYPE VARCHAR(10);
				CREATE VIEW kinds_v AS SELECT kinds.b FROM kinds WHERE ((kinds.a)::text = ANY ((ARRAY['x'::character varying, 'y'::character varying])::text[]));`},
			{`ALTER TABLE part DETACH PARTITION part1; ALTER TABLE part DETACH PARTITION part2;`,
				`ALTER TABLE part ATTACH PARTITION part2 FOR VALUES FROM (2) TO (3); ALTER TABLE part ATTACH PARTITION part1 FOR VALUES FROM (1) TO (2);`},
			{`ALTER TABLE child NO INHERIT one;`, `ALTER TABLE child INHERIT one;`},
			{`ALTER TABLE people RENAME COLUMN b TO bb; ALTER TABLE people RENAME CONSTRAINT people_pkey TO pk; ALTER INDEX people_b RENAME TO people_bb; ALTER TABLE people RENAME TO users;`,
				`ALTER TABLE users RENAME TO people; ALTER INDEX people_bb RENAME TO people_b; ALTER TABLE people RENAME CONSTRAINT pk TO people_pkey; ALTER TABLE people RENAME COLUMN bb TO b;`},
			{`ALTER TYPE mood ADD VALUE 'so so';`, `ALTER TABLE moods ALTER x DROP DEFAULT; DROP INDEX moods_x; ALTER TYPE mood RENAME TO old; CREATE TYPE mood AS ENUM ('sad', 'glad');
				ALTER TABLE moods ALTER x TYPE mood USING x::text::mood, ALTER y TYPE mood[] USING y::text[]::mood[]; DROP TYPE old;
				ALTER TABLE moods ALTER x SET DEFAULT 'sad'; CREATE INDEX moods_x ON moods (x) WHERE x = 'sad';`},
		},
		{
			{`CREATE TABLE part3 PARTITION OF part FOR VALUES FROM (3) TO (4); CREATE INDEX part_a_b ON part (a, b);`, `DROP INDEX part_a_b; ALTER TABLE part DETACH PARTITION part3; DROP TABLE part3;`},
			{`ALTER TABLE users ALTER id DROP DEFAULT; DROP SEQUENCE people_id_seq; ALTER TABLE users ALTER id ADD GENERATED ALWAYS AS IDENTITY;`,
				`ALTER TABLE users ALTER id DROP IDENTITY; CREATE SEQUENCE people_id_seq AS INTEGER OWNED BY users.id; ALTER TABLE users ALTER id SET DEFAULT nextval('people_id_seq');`},
			{`CREATE SCHEMA "My ""x"" on"; CREATE TABLE "My ""x"" on"."a.b on c" ("d {e} on" INTEGER PRIMARY KEY, f TEXT DEFAULT 'x' CHECK (f <> '}'));
				CREATE STATISTICS st ON a, b FROM part; CREATE STATISTICS "My ""x"" on".st ON id, bb FROM users;
				CREATE FUNCTION "My ""x"" on"."f g"("A b" mood) RETURNS INTEGER LANGUAGE sql AS 'SELECT 1';`,
				`DROP STATISTICS "My ""x"" on".st, st; DROP FUNCTION "My ""x"" on"."f g"; DROP TABLE "My ""x"" on"."a.b on c"; DROP SCHEMA "My ""x"" on";`},
			{`CREATE SCHEMA ext; CREATE EXTENSION pg_trgm SCHEMA ext; CREATE INDEX users_trgm ON users USING gin (c ext.gin_trgm_ops);`, `DROP EXTENSION pg_trgm CASCADE; DROP SCHEMA ext;`},
			{`CREATE DOMAIN d AS TEXT COLLATE "C" NOT NULL DEFAULT 'x' CONSTRAINT dk CHECK (VALUE <> 'y'); CREATE TYPE r AS RANGE (subtype = float8, subtype_diff = float8mi);
				CREATE TYPE pair AS (x d, y r); CREATE TABLE pairs (p pair, q pair[]); COMMENT ON CONSTRAINT dk ON DOMAIN d IS 'z';`, `DROP TABLE pairs; DROP TYPE pair, r; DROP DOMAIN d;`},
			{`CREATE FUNCTION f(a INTEGER, VARIADIC b TEXT[] DEFAULT '{}') RETURNS TABLE (x INTEGER) LANGUAGE sql SET search_path = public AS 'SELECT 1';
				CREATE PROCEDURE p(a INTEGER) LANGUAGE sql AS 'SELECT 1'; CREATE AGGREGATE total(INTEGER) (sfunc = int4pl, stype = int, initcond = '0');
				CREATE FUNCTION wide() RETURNS bigint LANGUAGE internal WINDOW AS 'window_row_number'; REVOKE ALL ON FUNCTION f FROM PUBLIC;`,
				`DROP FUNCTION wide, f; DROP PROCEDURE p; DROP AGGREGATE total(INTEGER);`},
		},
		{
			{`ALTER TABLE users OWNER TO pg_monitor; REVOKE ALL ON pets FROM CURRENT_USER;`, `ALTER TABLE users OWNER TO CURRENT_USER; GRANT ALL ON pets TO CURRENT_USER;`},
			{`CREATE FOREIGN DATA WRAPPER wrap; CREATE SERVER away FOREIGN DATA WRAPPER wrap OPTIONS (host 'x'); CREATE USER MAPPING FOR CURRENT_USER SERVER away OPTIONS (password 'x');
				CREATE FOREIGN TABLE far (a INTEGER OPTIONS (column_name 'z') DEFAULT 3 CHECK (a > 1)) SERVER away; GRANT USAGE ON FOREIGN SERVER away TO PUBLIC;
				CREATE PUBLICATION pub FOR TABLE users; CREATE PUBLICATION pubs FOR ALL TABLES;`, `DROP PUBLICATION pub, pubs; DROP FOREIGN DATA WRAPPER wrap CASCADE;`},
			{`CREATE TEMP TABLE tmp (a SERIAL PRIMARY KEY); SELECT set_config('search_path', '', true); CREATE TABLE public.dumped (a INTEGER DEFAULT 3);
				CREATE VIEW public.dumped_v AS SELECT dumped.a FROM public.dumped; SET LOCAL search_path TO DEFAULT;`, `DROP VIEW dumped_v; DROP TABLE dumped; DROP TABLE IF EXISTS pg_temp.tmp;`},
			{`DROP INDEX users_trgm; ALTER TABLE users DROP COLUMN c;`, `ALTER TABLE users ADD COLUMN c TEXT CONSTRAINT people_c_key UNIQUE; CREATE INDEX users_trgm ON users USING gin (c ext.gin_trgm_ops);`},
		},
	},
	"MariaDB": {
		{{nobody + `CREATE TABLE p (id INT PRIMARY KEY, e INT CHECK (e > 2), g INT AS (e + 1), KEY (e));
CREATE TABLE c (p INT, CONSTRAINT fk FOREIGN KEY (p) REFERENCES p (id));
CREATE TRIGGER tr BEFORE INSERT ON p FOR EACH ROW SET NEW.e = 4;
CREATE VIEW v AS SELECT p FROM c;`, `DROP VIEW v;
DROP TABLE c;
DROP TABLE p;`}},
		{{`RENAME TABLE p TO q;
ALTER TABLE q CHANGE id idd INT NOT NULL;`, `ALTER TABLE q CHANGE idd id INT NOT NULL;
RENAME TABLE q TO p;`}},
		{{`CREATE EVENT ev ON SCHEDULE AT CURRENT_TIMESTAMP + INTERVAL 1 DAY DO SELECT SLEEP(0);
CREATE EVENT ev2 ON SCHEDULE EVERY 1 DAY ENDS CURRENT_TIMESTAMP + INTERVAL 9 DAY DO SELECT SLEEP(0);`, `DROP EVENT ev2;
DROP EVENT ev;
SELECT SLEEP(1.1);`}},
		{{`CREATE FUNCTION f(a INT, b VARCHAR(10)) RETURNS INT DETERMINISTIC COMMENT 'x' RETURN a;
CREATE PROCEDURE f(IN a INT, OUT b INT) SQL SECURITY INVOKER SELECT 1 INTO b;
GRANT EXECUTE ON PROCEDURE f TO gp_nobody@localhost;`, `REVOKE EXECUTE ON PROCEDURE f FROM gp_nobody@localhost;
DROP FUNCTION f;
DROP PROCEDURE f;`}},
		{{"CREATE TABLE `order` (`select` INT, `a``b` INT, `c.d e` INT CHECK (`c.d e` > 1), KEY `i``x` (`a``b`), CONSTRAINT `k on t` CHECK (`select` > 0));\n" +
			"CREATE TABLE `a.b c` (x INT DEFAULT 4 COMMENT 'it''s, (a) CHECK (b)') COMMENT = 'line\\nline \\' COMMENT=';\nCREATE TRIGGER `t on t` BEFORE INSERT ON `a.b c` FOR EACH ROW SET NEW.x = 1;",
			"DROP TABLE `a.b c`;\nDROP TABLE `order`;"}},
		{{`ALTER DATABASE CHARACTER SET latin1;
ALTER TABLE q ADD COLUMN s VARCHAR(10) CHARACTER SET latin1, ADD COLUMN ts TIMESTAMP NULL;`, `ALTER TABLE q DROP COLUMN s, DROP COLUMN ts;
ALTER DATABASE CHARACTER SET utf8mb4;`}},
	},
	"SQLite": {
		{{`CREATE TABLE Users (id INTEGER PRIMARY KEY, m REAL DEFAULT .5 CHECK (users.m > 0.25)); CREATE INDEX Users_m ON users (m);
CREATE TABLE teams (id INTEGER PRIMARY KEY, owner INTEGER REFERENCES users (id));
CREATE VIEW v AS SELECT users.id, teams.id AS team FROM users JOIN teams ON teams.owner = users.id;`, `DROP VIEW v; DROP TABLE teams; DROP TABLE users;`}},
		{{`ALTER TABLE users RENAME TO people;`, `ALTER TABLE people RENAME TO users;`}},
		{{`CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, b TEXT UNIQUE NOT NULL, "check" TEXT);`, `DROP TABLE t;`}},
		{{`DROP TABLE t;`, `CREATE TABLE T (Id INTEGER PRIMARY KEY NOT NULL, "b" TEXT NOT NULL UNIQUE, "check" TEXT);`}},
		{{`CREATE VIRTUAL TABLE docs USING fts5 (title, body); CREATE TABLE w (a INTEGER PRIMARY KEY) WITHOUT ROWID, STRICT;`, `DROP TABLE w; DROP TABLE docs;`}},
	},
}

func TestStairwayOfRightDowns(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			fsys := fstest.MapFS{}
			for i, changes := range rightDowns[d.name] {
				var up, down string
				for _, c := range changes {
					up, down = up+c.up+"\n", c.down+"\n"+down
				}
				fsys[fmt.Sprintf("sql/base/%d_right.sql", i+1)] = migration(up, down)
			}
			Stairway(t, gooseplus.New(d.empty(t), gooseplus.WithDialect(d.dialect), files(fsys)))
		})
	}
}
