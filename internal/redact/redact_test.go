package redact

import (
	"net/url"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/lib/pq"
)

func TestText(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, text, want string }{
		{"a URL", "postgres://app:s3cret@db:5432/app?sslmode=disable", "postgres://app:xxxxx@db:5432/app?sslmode=disable"},
		{"a URL in a sentence", `cannot parse "postgres://app:s3cret@db/app": refused`, `cannot parse "postgres://app:xxxxx@db/app": refused`},
		{"a URL in backticks", "cannot parse `postgres://app:s3cret@db/app`: refused", "cannot parse `postgres://app:xxxxx@db/app`: refused"},
		{"a URL without a user", "redis://:s3cret@cache:6379", "redis://:xxxxx@cache:6379"},
		{"a URL with several hosts", "postgres://app:s3cret@a:5432,b:5432/app", "postgres://app:xxxxx@a:5432,b:5432/app"},
		{"a URL with an IPv6 host", "postgres://app:s3cret@[::1]:5432/app", "postgres://app:xxxxx@[::1]:5432/app"},
		{"two URLs", "postgres://a:one111@x/d and postgres://b:two222@y/d", "postgres://a:xxxxx@x/d and postgres://b:xxxxx@y/d"},
		{"an @ in the password", "postgres://app:s3@cret@db/app", "postgres://app:xxxxx@db/app"},
		{"a colon in the password", "postgres://app:s3:cret@db/app", "postgres://app:xxxxx@db/app"},
		{"a percent sign in the password", "postgres://app:s3%cret%zz@db/app", "postgres://app:xxxxx@db/app"},
		{"an encoded password", "postgres://app:s3%40%2Fcret@db/app", "postgres://app:xxxxx@db/app"},
		{"a slash in the password", "postgres://app:s3/cret@db/app", "postgres://app:xxxxx@db/app"},
		{"a question mark in the password", "postgres://app:s3?cret#x@db/app", "postgres://app:xxxxx@db/app"},
		{"an apostrophe in the password", "postgres://app:s3'cret@db/app", "postgres://app:xxxxx@db/app"},
		{"a quote in the password", `postgres://app:s3"cret@db/app`, "postgres://app:xxxxx@db/app"},
		{"an escaped quote in the password", `parse "postgres://app:s3\"cret@db/app": x`, `parse "postgres://app:xxxxx@db/app": x`},
		{"digits and a slash", "postgres://app:12345/6@db/app", "postgres://app:xxxxx@db/app"},
		{"an @ in the user", "postgres://app@tenant:s3cret@db:5432/app", "postgres://app@tenant:xxxxx@db:5432/app"},
		{"an @ in the user, digits", "postgres://app@tenant:123456@db/app", "postgres://app@tenant:xxxxx@db/app"},
		{"an encoded @ in the user", "postgres://app%40tenant:s3cret@db/app", "postgres://app%40tenant:xxxxx@db/app"},
		{"a port that can't be parsed", `parse "postgres://app:s3cret@db:x/app": invalid port ":x" after host`,
			`parse "postgres://xxxxx": invalid port ":xxxxx" after host`},
		{"a query string", "postgres://db/app?user=app&password=s3cret&sslmode=disable", "postgres://db/app?user=app&password=xxxxx&sslmode=disable"},
		{"a query string's end", `"postgres://db/app?password=s3cret"`, `"postgres://db/app?password=xxxxx"`},
		{"both at once", "postgres://app:s3cret@db/app?sslpassword=t0p&password=s3cret", "postgres://app:xxxxx@db/app?sslpassword=xxxxx&password=xxxxx"},

		{"go-sql-driver", "app:s3cret@tcp(db:3306)/app?parseTime=true", "app:xxxxx@tcp(db:3306)/app?parseTime=true"},
		{"go-sql-driver, a socket", "app:s3cret@unix(/run/mysqld.sock)/app", "app:xxxxx@unix(/run/mysqld.sock)/app"},
		{"go-sql-driver, another network", "app:s3cret@my-tunnel+tls(db)/app", "app:xxxxx@my-tunnel+tls(db)/app"},
		{"go-sql-driver, no network", "app:s3cret@(db:3306)/app", "app:xxxxx@(db:3306)/app"},
		{"go-sql-driver, no address", "app:s3cret@tcp/app", "app:xxxxx@tcp/app"},
		{"go-sql-driver, neither", "app:s3cret@/app", "app:xxxxx@/app"},
		{"go-sql-driver, no user", ":s3cret@tcp(db)/app", ":xxxxx@tcp(db)/app"},
		{"go-sql-driver in quotes", `dsn "app:s3cret@tcp(db)/app": refused`, `dsn "app:xxxxx@tcp(db)/app": refused`},
		{"go-sql-driver, odd password", `app:p@:/%'"x@tcp(db)/app`, "app:xxxxx@tcp(db)/app"},
		{"go-sql-driver, a slash first", "app:/s3cret@tcp(db)/app", "app:xxxxx@tcp(db)/app"},
		{"go-sql-driver, a URL in it", "app:a://b:c@tcp(db)/app", "app:xxxxx@tcp(db)/app"},
		{"go-sql-driver as a URL", "mysql://app:s3cret@tcp(db:3306)/app", "mysql://app:xxxxx@tcp(db:3306)/app"},

		{"keywords", "host=db user=app password=s3cret dbname=app", "host=db user=app password=xxxxx dbname=app"},
		{"keywords, spaces", "host = db password = s3cret dbname = app", "host = db password = xxxxx dbname = app"},
		{"keywords, at the end", `"host=db password=s3cret": refused`, `"host=db password=xxxxx": refused`},
		{"keywords, in parentheses", "refused (password=s3cret), try again", "refused (password=xxxxx), try again"},
		{"keywords, quoted", "host=db password='s3 cret' dbname=app", "host=db password=xxxxx dbname=app"},
		{"keywords, quoted with a quote", `host=db password='s3\' cret' dbname=app`, "host=db password=xxxxx dbname=app"},
		{"keywords, quoted with a doubled quote", `host=db password='s3'' cret' dbname=app`, "host=db password=xxxxx dbname=app"},
		{"keywords, odd password", `host=db password=s3;c&r'e"t dbname=app`, "host=db password=xxxxx dbname=app"},
		{"keywords, escaped by %q", `"host=db password='it\\'s' dbname=app"`, `"host=db password=xxxxx' dbname=app"`},
		{"keywords, a key's password", "sslkey=k sslpassword=s3cret host=db", "sslkey=k sslpassword=xxxxx host=db"},
		{"the environment", "PGPASSWORD=s3cret psql", "PGPASSWORD=xxxxx"},

		{"ADO", "Server=db;User Id=app;Password=s3cret;Database=app", "Server=db;User Id=app;Password=xxxxx;Database=app"},
		{"ADO, the short form", "server=db;uid=app;pwd=s3cret;", "server=db;uid=app;pwd=xxxxx;"},
		{"ADO, before a key of two words", "Password=s3cret;Initial Catalog=app", "Password=xxxxx Catalog=app"},
		{"ADO, quoted", `Server=db;Password="s3;cret";Database=app`, "Server=db;Password=xxxxx;Database=app"},
		{"ADO, quoted with a doubled quote", `Server=db;Password="s3"";cret";Database=app`, "Server=db;Password=xxxxx;Database=app"},
		{"ADO, quoted and escaped by %q", `"Server=db;Password=\"s3;cret\";Database=app"`, `"Server=db;Password=xxxxx;Database=app"`},
		{"ODBC, in braces", "Driver=x;PWD={s3;c}}ret};Database=app", "Driver=x;PWD=xxxxx;Database=app"},

		{"a space in the password", "postgres://app:s3 cr et@db/app refused", "postgres://app:xxxxx@db/app refused"},
		{"a space and an @ in the password", `parse "postgres://app:s3@ cr@et@db/app": refused`, `parse "postgres://app:xxxxx@db/app": refused`},
		{"a user with a colon", "postgres://a%3Ab:s3cret@db/app", "postgres://a%3Ab:xxxxx@db/app"},
		{"two @", "postgres://app:S3cr@tPart@h/x", "postgres://app:xxxxx@h/x"},
		{"go-sql-driver, a space", "app:s3 cret@tcp(db)/app", "app:xxxxx@tcp(db)/app"},
		{"go-sql-driver, a question mark", "mysql://u:p?w@tcp(h)/db", "mysql://u:xxxxx@tcp(h)/db"},
		{"keywords, spaces in the value", "host=db password=a b Secret user=x", "host=db password=xxxxx user=x"},
		{"keywords, spaces at the end", "cannot parse `host=db password=a b Secret`: refused", "cannot parse `host=db password=xxxxx`: refused"},
		{"keywords, an escaped space", `password=hun\ ter2 user=x`, "password=xxxxx user=x"},
		{"keywords, hidden in part", "cannot parse `host=db password=xxxxx b Secret`: refused", "cannot parse `host=db password=xxxxx`: refused"},

		{"a piece in a port", `parse "postgres://app:S3cr/tPart@h/x": invalid port ":S3cr" after host`, `parse "postgres://xxxxx": invalid port ":xxxxx" after host`},
		{"the beginning of a URL", `parse "postgres://app:S3cr": invalid port ":S3cr" after host`, `parse "postgres://xxxxx": invalid port ":xxxxx" after host`},
		{"the beginning of a URL, with quotes", `parse "postgres://app:S3'\"cr": invalid port ":S3'\"cr" after host`, `parse "postgres://xxxxx": invalid port ":xxxxx" after host`},
		{"a piece in an escape", `parse "postgres://app:S3cr%zzPart@h/x": invalid URL escape "%zz"`, `parse "postgres://xxxxx": invalid URL escape "xxxxx"`},
		{"a # after an @", `parse "postgres://app:p@sa%0": invalid URL escape "%0"`, `parse "postgres://xxxxx": invalid URL escape "xxxxx"`},
		{"a quote before an @", `parse "postgres://app:\"@00": net/url: invalid userinfo`, `parse "postgres://xxxxx": net/url: invalid userinfo`},
		{"a piece in a port, without the DSN", "failed to parse as URL (invalid port \":S3cr\" after host)", "failed to parse as URL (invalid port \":xxxxx\" after host)"},
		{"a piece in a number", `pq: wrong value for "port": strconv.ParseUint: parsing "100000": value out of range`, `pq: wrong value for "port": strconv.ParseUint: parsing "xxxxx": value out of range`},
		{"two quotes in a query string", `postgres://db/app?user=app&password=''"000&sslmode=disable`, "postgres://db/app?user=app&password=xxxxx&sslmode=disable"},
		{"a piece in a host", "lookup tPart@h: no such host", "lookup xxxxx@h: no such host"},
		{"a piece in a database", "failed to connect to `user=root database=tPart@h:1/x`: refused", "failed to connect to `user=root database=xxxxx@h:1/x`: refused"},
		{"a piece in a keyword", `missing "=" after "Secret" in connection info string`, `missing "=" after "xxxxx" in connection info string`},
		{"a piece in a percent sign", `failed to parse as URL (invalid percent-encoded token: "Secr"%zz")`, `failed to parse as URL (invalid percent-encoded token: "xxxxx")`},
		{"a piece in a network", "default addr for network 'u:S3cr' unknown", "default addr for network 'xxxxx' unknown"},
		{"the name of the user, which is the password", `postgres://app:app@h/x: no role "app"`, `postgres://app:xxxxx@h/x: no role "app"`},

		{"JSON", `{"user": "app", "password": "s3c\"ret", "port": 1}`, `{"user": "app", "password": "xxxxx", "port": 1}`},
		{"JSON, escaped", `"{\"password\":\"s3cret\",\"a\":\"b\"}"`, `"{\"password\":\"xxxxx\",\"a\":\"b\"}"`},
		{"JSON, a number", `{"password": 123456}`, `{"password": xxxxx}`},
		{"hstore", `"secret"=>"s3cret"`, `"secret"=>"xxxxx"`},
		{"a secret", "https://x/?secret=s3cret&a=b", "https://x/?secret=xxxxx&a=b"},
		{"a token", "https://x/?a=b&token=s3cret", "https://x/?a=b&token=xxxxx"},
		{"a client's secret", "client_secret=s3cret", "client_secret=xxxxx"},
		{"a key", "AWS_SECRET_ACCESS_KEY=s3cret", "AWS_SECRET_ACCESS_KEY=xxxxx"},
		{"an API's key", `api_key = 's3cret'`, `api_key = xxxxx`},
		{"a bearer", "Authorization: Bearer s3cret.x", "Authorization: Bearer xxxxx"},

		{"a role", "CREATE ROLE x LOGIN PASSWORD 's3''cret' VALID UNTIL 'infinity'", "CREATE ROLE x LOGIN PASSWORD 'xxxxx' VALID UNTIL 'infinity'"},
		{"a role, lower case", "alter user x with encrypted password 's3cret';", "alter user x with encrypted password 'xxxxx';"},
		{"a role, an escape string", `ALTER ROLE x PASSWORD E's3\'cret'`, `ALTER ROLE x PASSWORD E'xxxxx'`},
		{"a role, dollars", "ALTER ROLE x PASSWORD $a$s3'cret$a$ NOLOGIN", "ALTER ROLE x PASSWORD $a$xxxxx$a$ NOLOGIN"},
		{"a role, a quote in the password", "CREATE ROLE x PASSWORD 's3'cret' LOGIN", "CREATE ROLE x PASSWORD 'xxxxx' LOGIN"},
		{"a role, no quotes", "CREATE ROLE x PASSWORD s3cret;", "CREATE ROLE x PASSWORD xxxxx;"},
		{"a role without one", "ALTER ROLE x PASSWORD NULL", "ALTER ROLE x PASSWORD NULL"},
		{"a user mapping", "OPTIONS (user 'x', password 's3cret')", "OPTIONS (user 'x', password 'xxxxx')"},
		{"a subscription", "CONNECTION 'host=h password=s3cret' PUBLICATION p", "CONNECTION 'host=h password=xxxxx' PUBLICATION p"},
		{"MySQL's user", "CREATE USER 'x'@'%' IDENTIFIED BY 's3cret' REQUIRE SSL", "CREATE USER 'x'@'%' IDENTIFIED BY 'xxxxx' REQUIRE SSL"},
		{"MySQL's user, double quotes", `CREATE USER x IDENTIFIED BY "s3cret"`, `CREATE USER x IDENTIFIED BY "xxxxx"`},
		{"MySQL's plugin", "IDENTIFIED WITH mysql_native_password AS '*AB12'", "IDENTIFIED WITH mysql_native_password AS 'xxxxx'"},
		{"MySQL, the old one too", "ALTER USER x IDENTIFIED BY 's3cret' REPLACE 'old3r'", "ALTER USER x IDENTIFIED BY 'xxxxx' REPLACE 'xxxxx'"},
		{"MariaDB's plugin", "IDENTIFIED VIA mysql_native_password USING PASSWORD('s3cret')", "IDENTIFIED VIA mysql_native_password USING PASSWORD('xxxxx')"},
		{"MySQL's SET PASSWORD", "SET PASSWORD FOR 'x'@'%' = PASSWORD('s3cret')", "SET PASSWORD FOR 'x'@'%' = PASSWORD('xxxxx')"},
		{"MySQL's SET PASSWORD, plain", "SET PASSWORD FOR x = 's3cret'", "SET PASSWORD FOR x = 'xxxxx'"},
		{"MySQL's error", "near 'IDENTIFIED BY 's3cr' at line 1", "near 'IDENTIFIED BY 'xxxxx' at line 1"},
		{"a mistyped keyword", "CREATE USER q IDENTIFED BY 's3cret'", "CREATE USER q IDENTIFED BY 'xxxxx'"},
		{"a mistyped keyword, double quotes", `ALTER USER q IDENTIFED BY "s3cret"`, `ALTER USER q IDENTIFED BY "xxxxx"`},
		{"a mistyped keyword, PostgreSQL", "CREATE ROLE \"q\" PASSWORDD E's3\\'cret'; SELECT 'x'", "CREATE ROLE \"q\" PASSWORDD E'xxxxx'; SELECT 'x'"},
		{"a mistyped keyword, dollars", "ALTER ROLE q PASWORD $a$s3cr;et$a$ LOGIN; SELECT 'x'", "ALTER ROLE q PASWORD $a$xxxxx$a$ LOGIN; SELECT 'x'"},
		{"a mistyped keyword in a block", "DO $$ BEGIN CREATE ROLE q PASSWRD 's3cret'; PERFORM 'x'; END $$", "DO $$ BEGIN CREATE ROLE q PASSWRD 'xxxxx'; PERFORM 'x'; END $$"},
		{"a mistyped keyword, several users", "CREATE OR REPLACE USER IF NOT EXISTS 'a'@'%' IDENTIFED BY 's3cret', 'b'@localhost IDENTIFED BY 't0p;s'",
			"CREATE OR REPLACE USER IF NOT EXISTS 'a'@'%' IDENTIFED BY 'xxxxx', 'b'@localhost IDENTIFED BY 'xxxxx'"},
		{"a mistyped option of a server", "CREATE SERVER s FOREIGN DATA WRAPPER \"w\" OPTIONS (host 'h', pasword 's3cret')", "CREATE SERVER s FOREIGN DATA WRAPPER \"w\" OPTIONS (host 'h', pasword 'xxxxx')"},
		{"a mistyped option of a user mapping", "ALTER USER MAPPING FOR \"q\" SERVER \"s\" OPTIONS (SET pasword 's3cret')", "ALTER USER MAPPING FOR \"q\" SERVER \"s\" OPTIONS (SET pasword 'xxxxx')"},
		{"a mistyped keyword of a subscription", "ALTER SUBSCRIPTION s CONECTION 'host=h pasword=s3cret'", "ALTER SUBSCRIPTION s CONECTION 'xxxxx'"},
		{"a mistyped keyword of SET PASSWORD", "SET PASSWORD FOR 'q' := PASSWRD('s3cret')", "SET PASSWORD FOR 'q' := PASSWRD('xxxxx')"},
		{"a mistyped keyword of GRANT", "GRANT ALL ON `a`.* TO 'q' IDENTIFED BY 's3cret'", "GRANT ALL ON `a`.* TO 'q' IDENTIFED BY 'xxxxx'"},
		{"a mistyped keyword of a replica", "CHANGE MASTER TO MASTER_PASWORD='s3cret'", "CHANGE MASTER TO MASTER_PASWORD='xxxxx'"},
		{"a mistyped keyword, a host behind the password", "CREATE USER 'q'@'%' IDENTIFED BY 's3cret'@'t0p'", "CREATE USER 'q'@'%' IDENTIFED BY 'xxxxx'@'xxxxx'"},
		{"a mistyped keyword, FOR", "CREATE USER q IDENTIFED FOR 's3cret'", "CREATE USER q IDENTIFED FOR 'xxxxx'"},
		{"a mistyped keyword, USER", `CREATE USER q IDENTIFED BY USER "s3cret"`, `CREATE USER q IDENTIFED BY USER "xxxxx"`},
		{"a mistyped keyword, no space", "CREATE USER 'q'IDENTIFED BY 's3cret'", "CREATE USER 'xxxxx'"},
		{"a mistyped keyword, two lines", "CREATE USER q PASSWORDD 's3\ncret'; SELECT 'x'", "CREATE USER q PASSWORDD 'xxxxx'; SELECT 'x'"},
		{"a mistyped keyword, a quote that isn't closed", "CREATE USER q PASSWORDD 's3cret\n", "CREATE USER q PASSWORDD 'xxxxx\n"},
		{"a mistyped keyword behind comments", "-- don't\nCREATE /* x */ USER q -- don't; log in\n /* ; ' */ PASSWORDD 's3cret'", "-- don't\nCREATE /* x */ USER q -- don't; log in\n /* ; ' */ PASSWORDD 'xxxxx'"},
		{"a mistyped keyword behind comments of MySQL", "# don't\nCREATE USER q # don't; log in\n IDENTIFED BY 's3cret'", "# don't\nCREATE USER q # don't; log in\n IDENTIFED BY 'xxxxx'"},
		{"a mistyped keyword in a comment that is executed", "/*!50003 CREATE USER q /*!50100 IDENTIFED BY 's3cret' */", "/*!50003 CREATE USER q /*!50100 IDENTIFED BY 'xxxxx' */"},
		{"a mistyped keyword behind a comment without an end", "CREATE USER q /* IDENTIFED BY 's3cret'", "CREATE USER q /* IDENTIFED BY 'xxxxx'"},
		{"a mistyped keyword behind a semicolon in a name", "GRANT ALL ON `a;b`.* TO 'q'@'%' IDENTIFED BY 's3cret'; CREATE USER \"a;b\" PASWORD 't0p'", "GRANT ALL ON `a;b`.* TO 'q'@'%' IDENTIFED BY 'xxxxx'; CREATE USER \"a;b\" PASWORD 'xxxxx'"},
		{"a mistyped keyword behind an escaped quote", `INSERT INTO x VALUES ('it\'s'); CREATE USER q IDENTIFED BY 's3cret'`, `INSERT INTO x VALUES ('it\'s'); CREATE USER q IDENTIFED BY 'xxxxx'`},
		{"a mistyped keyword in a procedure", "CREATE PROCEDURE p() BEGIN IF 'x' THEN CREATE USER q IDENTIFED BY 's3cret'; END IF; SELECT 'y'; END", "CREATE PROCEDURE p() BEGIN IF 'x' THEN CREATE USER q IDENTIFED BY 'xxxxx'; END IF; SELECT 'y'; END"},
		{"a mistyped keyword in a function", "CREATE FUNCTION f() RETURNS void AS $f$ CREATE USER q PASWORD 's3cret' $f$ LANGUAGE sql; SELECT 'y'", "CREATE FUNCTION f() RETURNS void AS $f$ CREATE USER q PASWORD 'xxxxx' $f$ LANGUAGE sql; SELECT 'y'"},
		{"a mistyped keyword behind a comment of a line", "CREATE -- x\nUSER q IDENTIFED BY 's3cret'", "CREATE -- x\nUSER q IDENTIFED BY 'xxxxx'"},
		{"a mistyped keyword, double quotes without a space", `CREATE USER "q"IDENTIFED BY "s3cret"`, `CREATE USER "xxxxx"`},
		{"a mistyped keyword of a group", "CREATE GROUP g PASWORD 's3cret'; ALTER GROUP g PASWORD 't0p'", "CREATE GROUP g PASWORD 'xxxxx'; ALTER GROUP g PASWORD 'xxxxx'"},
		{"a mistyped keyword of a new subscription", "CREATE SUBSCRIPTION s CONECTION 'host=h pasword=s3cret'", "CREATE SUBSCRIPTION s CONECTION 'xxxxx'"},
		{"a mistyped option of a wrapper", "CREATE FOREIGN DATA WRAPPER w OPTIONS (pasword 's3cret'); ALTER FOREIGN DATA WRAPPER w OPTIONS (SET pasword 't0p')",
			"CREATE FOREIGN DATA WRAPPER w OPTIONS (pasword 'xxxxx'); ALTER FOREIGN DATA WRAPPER w OPTIONS (SET pasword 'xxxxx')"},
		{"a mistyped option of an altered server", "ALTER SERVER s OPTIONS (SET pasword 's3cret')", "ALTER SERVER s OPTIONS (SET pasword 'xxxxx')"},
		{"a mistyped keyword of a new replica", "CHANGE REPLICATION SOURCE TO SOURCE_PASWORD='s3cret'", "CHANGE REPLICATION SOURCE TO SOURCE_PASWORD='xxxxx'"},
		{"other names of keys", "https://x/?passwd=s3cret&passphrase=t0p111&private_key=q9w8e7&my_encryption_key=z5y4v3", "https://x/?passwd=xxxxx&passphrase=xxxxx&private_key=xxxxx&my_encryption_key=xxxxx"},
		{"a part of a URL's password elsewhere", `open postgres://app:s3cret@db/app: no "cret"`, `open postgres://app:xxxxx@db/app: no "xxxxx"`},
		{"a part of go-sql-driver's password elsewhere", `open app:s3cret@tcp(db)/app: no "cret"`, `open app:xxxxx@tcp(db)/app: no "xxxxx"`},
		{"SET PASSWORD, mistyped", "SET PASWORD FOR q = 's3cret'", "SET PASWORD FOR q = 'xxxxx'"},
		{"SET PASSWORD of one's own, mistyped", "SET PASWORD = 's3cret'", "SET PASWORD = 'xxxxx'"},
		{"SET PASSWORD with a mistyped function", "SET PASSWORD FOR bob := PASSWRD('s3cret')", "SET PASSWORD FOR bob := PASSWRD('xxxxx')"},
		{"a role's SET PASSWORD", "ALTER ROLE q SET PASWORD TO 's3cret'", "ALTER ROLE q SET PASWORD TO 'xxxxx'"},
		{"a role's setting and a password", "ALTER ROLE q SET a.b = 'x', 'y' PASWORD 's3cret'", "ALTER ROLE q SET a.b = 'x', 'y' PASWORD 'xxxxx'"},
		{"an option of a password", "CREATE USER q IDENTIFED BY host 's3cret'", "CREATE USER q IDENTIFED BY host 'xxxxx'"},
		{"a URL with a space in the password", "postgres://app:a bc@db/app", "postgres://app:xxxxx@db/app"},
		{"a URL with a space in the password after a digit", "postgres://app:1abc def@db/app", "postgres://app:xxxxx@db/app"},
		{"a URL with a space and an @ in the password", "postgres://app:1ab@c d@db/app", "postgres://app:xxxxx@db/app"},
		{"a URL without a user and with a space in the password", "redis://:abc def@cache:6379", "redis://:xxxxx@cache:6379"},
		{"a DSN of MySQL without a user and with a space in the password", ":abc def@tcp(db)/app", ":xxxxx@tcp(db)/app"},
		{"the key of a SQLite URI", "file:x.db?_pragma_key=s3cret&mode=ro", "file:x.db?_pragma_key=xxxxx&mode=ro"},
		{"the text key of a SQLite URI", "file:x.db?vfs=adiantum&textkey=s3cret", "file:x.db?vfs=adiantum&textkey=xxxxx"},
		{"the hexadecimal key of a SQLite URI", "cannot open file:x.db?hexkey=aabbcc&x=1: no file", "cannot open file:x.db?hexkey=xxxxx&x=1: no file"},
		{"the key as a pragma of a SQLite URI", "file:x.db?_pragma=key('s3cret')&_pragma=busy_timeout(5)", "file:x.db?_pragma=key('xxxxx')&_pragma=busy_timeout(5)"},
		{"the key as an escaped pragma of a SQLite URI", "file:x.db?_pragma=hexkey%28%27aabbcc%27%29", "file:x.db?_pragma=hexkey%28xxxxx"},
		{"SQLite's key", "PRAGMA key = 's3cret'", "PRAGMA key = 'xxxxx'"},
		{"SQLite's attached key", "ATTACH 'x.db' AS x KEY 's3cret'", "ATTACH 'x.db' AS x KEY 'xxxxx'"},
		{"a hash that is made", "VALUES (crypt('s3cret', gen_salt('bf')))", "VALUES (crypt('xxxxx', gen_salt('bf')))"},
		{"rows", "INSERT INTO users (name, \"password\") VALUES ('a', 's3cret'), (lower('B,('), 't0p;s')",
			"INSERT INTO users (name, \"password\") VALUES ('a', 'xxxxx'), (lower('B,('), 'xxxxx')"},

		{"SQLite", "file:x.db?_auth_user=app&_auth_pass=s3cret&_fk=1", "file:x.db?_auth_user=app&_auth_pass=xxxxx&_fk=1"},
		{"Turso", "libsql://db.example.com?authToken=eyJ.s3cret", "libsql://db.example.com?authToken=xxxxx"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := Text(tc.text)
			if got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
			if again := Text(got); again != got {
				t.Errorf("the second time it became %s", again)
			}
		})
	}
}

func TestDSN(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]string{
		"app:s3cret@db/app":      "app:xxxxx@db/app",
		"app:s3cret":             "app:xxxxx",
		"app:5432x":              "app:xxxxx",
		"app:x5432":              "app:xxxxx",
		"db:5432":                "db:5432",
		"db:5432/app":            "db:5432/app",
		"postgres://db:5432/app": "postgres://db:5432/app",
		"host=db":                "host=db",
	} {
		if got := DSN(dsn); got != want {
			t.Errorf("%s became %s", dsn, got)
		}
	}
}

func TestTextWithoutSecretsIsUnchanged(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"",
		"dial tcp 127.0.0.1:5432: connect: connection refused",
		`ERROR: relation "users" does not exist (SQLSTATE 42P01)`,
		`Error 1146 (42S02): Table 'app.users' doesn't exist`,
		"failed to connect to `user=app database=app`: 127.0.0.1:5432 (localhost): dial error",
		"postgres://db:5432/app?sslmode=disable",
		"postgres://app@db:5432/app",
		"postgres://app@db:5432/app?application_name=x@y",
		"postgres://app@db/app?application_name=x@y",
		"app@tcp(db:3306)/app",
		"file:/var/lib/app/test.db?mode=ro",
		"file:test.db?_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)",
		"file:test.db?_foreign_keys=1&_fk=1&keys=3",
		"postgres://db:5432 refused the connection of bob@example.org",
		"http://db:8080, and mail bob@example.org",
		"https://pkg.go.dev/github.com/pressly/goose/v3@v3.29.0",
		"at 10:30 someone@example.com/x asked",
		`Key (email)=(a@b.example) already exists.`,
		`password authentication failed for user "app"`,
		"Error 1045 (28000): Access denied for user 'app'@'localhost' (using password: YES)",
		"Error 1054 (42S22): Unknown column 'users.password' in 'field list'",
		"Error 1062 (23000): Duplicate entry 'a' for key 'PRIMARY'",
		`duplicate key value violates unique constraint "users_password_key"`,
		"ALTER TABLE users ADD COLUMN password text NOT NULL DEFAULT '', ADD COLUMN token text",
		"INSERT INTO users (name, age) VALUES ('a', 3)",
		"INSERT INTO settings VALUES ('colour', 'red')",
		`unexpected token "x"`,
		"CREATE USER x; COMMENT ON ROLE x IS 'y'",
		`GRANT SELECT ON "orders" TO "app", "other" GRANTED BY "owner"`,
		`ALTER ROLE "app" RENAME TO "shop"; CREATE TABLE "users" (a text DEFAULT 'x')`,
		"INSERT INTO permissions VALUES ('user.create', 'Create user'), ('role', 'Alter role ; create user')",
		"INSERT INTO help VALUES ($$x; create user 'a'$$, 'create user \"bob\" by hand', 'GRANT x TO y', 'z')",
		"COMMENT ON TABLE x IS 'we create user rows'; SELECT 'create role', 'y'; SELECT create_user('x')",
		"SELECT 'a' -- create user\n, 'b' /* ; alter role */, 'c', \"create user\", 'd'",
		"ALTER ROLE app SET search_path = \"app\", 'public'",
		"ALTER ROLE app IN DATABASE \"shop\" SET timezone TO 'UTC'",
		"CREATE ROLE app LOGIN VALID UNTIL 'infinity' IN ROLE \"a\", \"b\"",
		"CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'db', dbname 'orders', port '5432'); ALTER SERVER s OPTIONS (SET host 'db2')",
		"CREATE SUBSCRIPTION \"s\" PUBLICATION \"p\", \"q\" WITH (slot_name = 'orders')",
		"CREATE USER IF NOT EXISTS 'a'@'%', b @ 'localhost', 'it''s'; ALTER USER IF EXISTS 'a', 'b' ACCOUNT LOCK; CREATE ROLE 'a', 'b'",
		"GRANT SELECT ON `x`.* TO 'a'@'%', 'b' WITH GRANT OPTION",
		"CREATE USER 'a\\'b'@'%', `a b`@'%' , 'c'; CREATE ROLE \"a\"\"b\" LOGIN",
		"CREATE USER MAPPING FOR \"q\" SERVER \"s\"; CREATE USER MAPPING IF NOT EXISTS FOR \"q\" SERVER \"s\"; ALTER USER MAPPING IF EXISTS FOR \"q\" SERVER \"s\"",
		"ALTER GROUP app SET search_path = \"app\" , 'public'; ALTER USER app SET timezone TO 'UTC'",
		"ALTER ROLE app SET plan_cache_mode = 'auto'; ALTER ROLE app SET parallel_leader_participation = 'off'",
		"database=shop user=app",
		"postgres://a:5432,b:5432/app and postgres://[::1]:5432 and file://C:/x and http://db:80)",
		"lookup db on 10.0.0.1:53: no such host",
		`column "password" does not exist`,
		"syntax error at or near \"password\"",
		"compass=north bypass=1 password_hash=abc passwords are missing",
		"password=",
		"panic: x\n\tgoose/v3@v3.29.0/provider_run.go:123 +0x1",
	} {
		if got := Text(text); got != text {
			t.Errorf("got  %s\nwant %s", got, text)
		}
	}
}

// alphabet is what passwords are made of. A blank ends most forms, so there is none.
const alphabet = `abcdefghijkmnpqrstuvwyzABCDEFGHJKLMNPQRSTUVWXYZ0123456789-_.~!$*+,:@%/?#^()[]{}|<>;&="'` + "`" + `\`

// forms are DSNs with a password, each with the characters that the form itself can't have in it.
var forms = []struct{ name, before, after, without string }{
	{"a URL", "postgres://app:", "@db:5432/app?sslmode=disable", ""},
	{"a URL without a path", "postgres://app:", "@db", ""},
	{"a URL with an @ in the user", "postgres://app@tenant:", "@db/app", "/?"},
	{"go-sql-driver", "app:", "@tcp(db:3306)/app?parseTime=true", ""},
	{"go-sql-driver without a host", "app:", "@/app", ""},
	{"a query string", "postgres://db/app?user=app&password=", "&sslmode=disable", "&;="},
	{"keywords", "host=db user=app password=", " dbname=app", "="},
	{"keywords at the end", "host=db user=app password=", "", "="},
	{"keywords, quoted", "host=db password='", "' dbname=app", `'\`},
	{"ADO", "Server=db;User Id=app;Password=", ";Database=app", ";&="},
	{"ADO, quoted", `Server=db;User Id=app;Password="`, `";Database=app`, `"`},
	{"a URL's query, a token", "https://api/x?token=", "&a=b", "&;="},
	{"JSON", `{"user":"app","password":"`, `","a":1}`, `"\`},
	{"a role", "CREATE ROLE x PASSWORD '", "' LOGIN", `'\`},
	{"a role, dollars", "CREATE ROLE x PASSWORD $q$", "$q$", "$"},
	{"a user", "CREATE USER x IDENTIFIED BY '", "' REQUIRE SSL", `'\`},
	{"rows", "INSERT INTO users (name, password) VALUES ('a', '", "')", `'\`},
	{"ODBC", "Driver=x;PWD={", "};Database=app", "}"},
}

// frames are what errors put around a DSN.
var frames = []struct{ before, after string }{
	{"", ""},
	{`parse "`, `": refused`},
	{"cannot parse `", "`: refused"},
	{"invalid dsn '", "'"},
	{"open (", "), giving up"},
	{"open ", " at 10:30"},
}

// FuzzText hides an arbitrary password in every form and looks for what is left of it.
func FuzzText(f *testing.F) {
	for _, s := range []string{"s3cret", "p@ss:w/rd", "100%sure", `it's"mine`, "p@ss:w#00", "//slash", "12345/6", "a;b&c=d", `back\slash`, "{brace}", "a@b:c@d", "]),.;:", `mis" 0000`, `mis"=0000`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, random []byte) {
		for _, form := range forms {
			password := passwordOf(random, form.without)
			if len(password) < 6 {
				continue
			}
			for _, frame := range frames {
				text := frame.before + form.before + password + form.after + frame.after
				got := Text(text)
				if part := survivor(got, password, strings.Replace(text, password, "", 1)); part != "" {
					t.Errorf("%s: %q is left of %q\nin   %s\nfrom %s", form.name, part, password, got, text)
				}
			}
		}
		_ = Text(string(random))
		pieces(t, random)
	})
}

func passwordOf(random []byte, without string) string {
	var b strings.Builder
	for _, c := range random {
		if strings.IndexByte(alphabet, c) < 0 {
			c = alphabet[int(c)%len(alphabet)]
		}
		if strings.IndexByte(without, c) < 0 {
			b.WriteByte(c)
		}
	}
	return strings.TrimLeft(b.String(), "/") // app://… would be a URL
}

// survivor finds three characters in a row of the password that are in text and not of the rest.
func survivor(text, password, rest string) string {
	for i := 0; i+3 <= len(password); i++ {
		if part := password[i : i+3]; strings.Contains(text, part) && !strings.Contains(rest, part) {
			return part
		}
	}
	return ""
}

// pieces has the drivers' own parsers take a DSN apart, whose errors quote a piece of it, and hides the pieces both with
// the DSN at hand and without it.
func pieces(t *testing.T, random []byte) {
	password := passwordOf(random, "")
	if len(password) < 6 {
		return
	}
	for _, form := range []struct {
		parse         func(string) error
		before, after string
		without       string
	}{
		{parseURL, "postgres://app:", "@db:5432/app", ""},
		{parsePgx, "postgres://app:", "@db:5432/app", ""},
		{parsePgx, "host=db user=app password=", " dbname=app", ` =\'`},
		{parsePq, "postgres://app:", "@db:5432/app", ""},
		{parsePq, "host=db user=app password=", " dbname=app", ` =\'`},
		{parseMySQL, "app:", "@tcp(db:3306)/app", ""},
	} {
		password := password
		if form.without != "" { // in the middle a space, which these forms don't have
			password = passwordOf(random, form.without)
			password = password[:len(password)/2] + " " + password[len(password)/2:]
		}
		dsn := form.before + password + form.after
		err := form.parse(dsn)
		if err == nil {
			continue
		}
		rest := form.before + form.after + strings.Join(quotedByDrivers, " ")
		for text, got := range map[string]string{err.Error(): In(dsn).Hide(err.Error()), "alone: " + err.Error(): Text("alone: " + err.Error())} {
			if part := survivor(got, password, rest); part != "" {
				t.Errorf("%q is left of %q\nin   %s\nfrom %s", part, password, got, text)
			}
		}
	}
}

// quotedByDrivers are the words of the drivers' own, of which a password can have some by chance.
var quotedByDrivers = []string{
	`missing "=" after " in connection info string`, `invalid port ": after host`, `invalid URL escape "`,
	"alone: parse cannot failed to as URL keyword/value invalid port after host missing = in connection info string xxxxxx", "net/url: invalid userinfo",
	"forbidden value %00 in percent-encoded value", "unexpected spaces found in password, use percent-encoded spaces (%20) instead", "invalid percent-encoded token in password", "unterminated quoted",
	"invalid DSN: missing the slash separating the database name did you forget to escape a param value? default addr for network unknown",
	"alone: cannot parse `xxxxx`: failed to parse as keyword/value (missing cannot parse `xxxxx`: failed to parse as keyword/value (unterminated (invalid",
	"cannot parse `xxxxx`: failed to parse as URL (parse (invalid (forbidden (unexpected (net/url", `parse "postgres://xxxxx": net/url: invalid "postgres://xxxxx": invalid "xxxxx" in "xxxxx" after 'xxxxx' unknown ":xxxxx" after`,
	`missing key/value separator "=" in URI query parameter: "xxxxx"`,
	"invalid character in host name escape control URL path segment", "network address not terminated (missing closing brace)", "literal backslash",
}

func parseURL(dsn string) error   { _, err := url.Parse(dsn); return err }
func parsePgx(dsn string) error   { _, err := pgx.ParseConfig(dsn); return err }
func parsePq(dsn string) error    { _, err := pq.NewConnector(dsn); return err }
func parseMySQL(dsn string) error { _, err := mysql.ParseDSN(dsn); return err }

// TestIn hides what a statement has in it from the error about the statement.
func TestIn(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ source, text, want string }{
		{"CREATE ROLE x PASSWORD hunter2", `ERROR: syntax error at or near "hunter2" (SQLSTATE 42601)`, `ERROR: syntax error at or near "xxxxx" (SQLSTATE 42601)`},
		{"INSERT INTO u (password) VALUES ('hunter2')", "Error 1062 (23000): Duplicate entry 'hunter2' for key 'password'", "Error 1062 (23000): Duplicate entry 'xxxxx' for key 'password'"},
		{"GRANT x TO y IDENTIFIED BY 'hunter2' BAR", "near 'BY 'hunter2' BAR' at line 1", "near 'BY 'xxxxx' BAR' at line 1"},
		{"CREATE USER q IDENTIFED BY 'hunter2'", "near 'IDENTIFED BY 'hunter2'' at line 1", "near 'IDENTIFED BY 'xxxxx'' at line 1"},
		{"CREATE ROLE app PASSWORD 'app'", `ERROR: role "app" already exists`, `ERROR: role "app" already exists`},
		{"CREATE TABLE a (id int)", `ERROR: relation "a" already exists`, `ERROR: relation "a" already exists`},
		{"CREATE USER q IDENTIFED BY 's3\nhunter2'", "near 'hunter2'' at line 2", "near 'xxxxx'' at line 2"},
		{"CREATE USER q IDENTIFED BY 'key'", "Error 1064: duplicate key 'key'", "Error 1064: duplicate key 'key'"},
		{"INSERT INTO permissions (code, label) VALUES ('user.create', 'Create user'), ('unique', 'UNIQUE constraint failed'), ('unique', 'x'), ('permissions.code', 'y')",
			"UNIQUE constraint failed: permissions.code", "UNIQUE constraint failed: permissions.code"},
		{"CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'orders', dbname 'wrapper')", `foreign-data wrapper "postgres_fdw" does not exist`, `foreign-data wrapper "postgres_fdw" does not exist`},
		{"ALTER ROLE app SET default_transaction_isolation TO 'serializable'", "could not serialize", "could not serialize"},
		{"host=h password=a b Secret", `missing "=" after "Secret"`, `missing "=" after "xxxxx"`},
	} {
		if got := In(tc.source).Hide(tc.text); got != tc.want {
			t.Errorf("%s\ngot  %s\nwant %s", tc.source, got, tc.want)
		}
	}
}

// TestInManyStrings: only a few of the strings that may be passwords are hidden in other texts.
func TestInManyStrings(t *testing.T) {
	t.Parallel()
	source := "CREATE USER q IDENTIFED BY 'hunter2'" + strings.Repeat(", 'duplicate constraint'", 1000)
	s := In(source)
	if n := len(s.secrets); n != mostPerhaps {
		t.Errorf("%d secrets", n)
	}
	if strings.Contains(s.Text(), "duplicate") || s.Hide("hunter2") != "xxxxx" {
		t.Errorf("%.200s, %s", s.Text(), s.Hide("hunter2"))
	}
}
