package redact

import (
	"strings"
	"testing"
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
			`parse "postgres://app:xxxxx@db:x/app": invalid port ":x" after host`},
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
		"https://pkg.go.dev/github.com/pressly/goose/v3@v3.29.0",
		"at 10:30 someone@example.com/x asked",
		`Key (email)=(a@b.example) already exists.`,
		`password authentication failed for user "app"`,
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
	for _, s := range []string{"s3cret", "p@ss:w/rd", "100%sure", `it's"mine`, "//slash", "12345/6", "a;b&c=d", `back\slash`, "{brace}", "a@b:c@d", "]),.;:"} {
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
