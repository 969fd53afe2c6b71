package cli

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/gooseplus/gooseplus"
)

func TestParseDSN(t *testing.T) {
	for _, tc := range []struct{ given, driver, dialect, dsn string }{
		{"postgres://app:x@db/shop", "", "postgres", "postgres://app:x@db/shop"},
		{"postgres://app:S3cr@tPart@db/shop", "", "postgres", "postgres://app:S3cr%40tPart@db/shop"},
		{"postgres://app:S3cr%40tPart@db/shop?application_name=a@b", "", "postgres", "postgres://app:S3cr%40tPart@db/shop?application_name=a@b"},
		{"postgresql://app:x@db/shop", "pgx", "postgres", "postgresql://app:x@db/shop"},
		{"host=db dbname=shop", "", "postgres", "host=db dbname=shop"},
		{"host=db options='-c search_path=a:b'", "", "postgres", "host=db options='-c search_path=a:b'"},
		{"mysql://app:p%40ss@db/shop", "", "mysql", "app:p@ss@tcp(db:3306)/shop?multiStatements=true"},
		{"mariadb://app@db:3307/shop?loc=Europe%2FBerlin", "", "mysql", "app:@tcp(db:3307)/shop?loc=Europe%2FBerlin&multiStatements=true"},
		{"mysql://app:x@localhost/shop?socket=/run/mysqld.sock&multiStatements=false", "", "mysql", "app:x@unix(/run/mysqld.sock)/shop?multiStatements=false"},
		{"mysql://app:x@tcp(db:3306)/shop?parseTime=true", "", "mysql", "app:x@tcp(db:3306)/shop?parseTime=true&multiStatements=true"},
		{"mysql://app:p?w@tcp(db:3306)/shop", "", "mysql", "app:p?w@tcp(db:3306)/shop?multiStatements=true"},
		{"mysql://app:a/multiStatements=b?@tcp(db)/shop?parseTime=true", "", "mysql", "app:a/multiStatements=b?@tcp(db)/shop?parseTime=true&multiStatements=true"},
		{"mysql://app:p%3Fw%2Fx@db/shop", "", "mysql", "app:p?w/x@tcp(db:3306)/shop?multiStatements=true"},
		{"app:x@tcp(db:3306)/shop", "", "mysql", "app:x@tcp(db:3306)/shop"},
		{"app:x@/shop", "mysql", "mysql", "app:x@/shop"},
		{"mysql:x@tcp(db)/shop", "", "mysql", "mysql:x@tcp(db)/shop"},
		{"postgres:x@tcp(db)/shop", "", "mysql", "postgres:x@tcp(db)/shop"},
		{"sqlite:shop.db", "", "sqlite3", "shop.db?_pragma=busy_timeout(5000)"},
		{"sqlite3:///var/lib/shop.db", "", "sqlite3", "/var/lib/shop.db?_pragma=busy_timeout(5000)"},
		{"sqlite://shop.db?mode=ro", "", "sqlite3", "shop.db?mode=ro&_pragma=busy_timeout(5000)"},
		{"file:shop.db?_pragma=busy_timeout(1)", "", "sqlite3", "file:shop.db?_pragma=busy_timeout(1)"},
		{"./shop.db", "", "sqlite3", "./shop.db?_pragma=busy_timeout(5000)"},
		{"shop", "sqlite3", "sqlite3", "shop?_pragma=busy_timeout(5000)"},
		{":memory:", "", "sqlite3", ":memory:?_pragma=busy_timeout(5000)"},
	} {
		t.Run(tc.given, func(t *testing.T) {
			got, err := parseDSN(tc.given, tc.driver)
			if err != nil {
				t.Fatal(err)
			}
			if got.dialect != tc.dialect || got.dsn != tc.dsn {
				t.Errorf("got  %s %s\nwant %s %s", got.dialect, got.dsn, tc.dialect, tc.dsn)
			}
			if tc.dialect == "mysql" {
				if c, err := mysql.ParseDSN(got.dsn); err != nil || c.DBName != "shop" {
					t.Errorf("the driver takes it for %+v, %v", c, err)
				}
			}
		})
	}
	for _, given := range []string{"mysql://a%3Ab:s3cret@db/shop", "", "shop", "oracle://db/shop", "mongodb://app:s3cret@db/shop", "postgres://app:s3%cret@db/shop", "mysql://app:s3%cret@db/shop"} {
		var usage *usageError
		if _, err := parseDSN(given, ""); !errors.As(err, &usage) || strings.Contains(err.Error(), "s3") {
			t.Errorf("%q: %v", given, err)
		}
	}
}

func TestEndOfDay(t *testing.T) {
	day := time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)
	for version, want := range map[int64]int64{
		20240101: 20240229, 2024010100: 2024022999, 1700000000: 1709251199, 202401010000: 202402292359, 20240101000000: 20240229235959,
		123456789: 0, 202401010000000: 0,
	} {
		got, ok := endOf(day, layoutOf(version))
		if got != want || ok != (want != 0) {
			t.Errorf("as in %d: %d, %t", version, got, ok)
		}
	}
}

func TestClean(t *testing.T) {
	for given, want := range map[string]string{
		"tenant_é": "tenant_é", "a\x1b[2Jb": `a\x1b[2Jb`, "a\nb": `a\nb`, "\u202egpj": `\u202egpj`, "bad\xff": "bad\ufffd",
	} {
		if got := clean(given); got != want {
			t.Errorf("%q: got %s, want %s", given, got, want)
		}
	}
}

// TestShownDSN: neither a password nor a piece of one is shown, nor in what a driver says about the DSN.
func TestShownDSN(t *testing.T) {
	for _, tc := range []struct{ given, err, shown, why string }{
		{"postgres://app:S3cr@tPart@h/x", "lookup tPart@h: no such host", "postgres://app:xxxxx@h/x", "lookup xxxxx@h: no such host"},
		{"postgres://app:12345/tPart@h/x", `database "tPart@h/x" does not exist`, "postgres://app:xxxxx@h/x", `database "xxxxx@h/x" does not exist`},
		{"host=h password=a b Secret user=x", `missing "=" after "Secret"`, "host=h user=x", `missing "=" after "xxxxx"`},
		{`host=h password=hun\ ter2 user=x`, "invalid ter2", "host=h user=x", "invalid xxxxx"},
		{`password='a b' host=h`, `no "a b"`, "host=h", `no "xxxxx"`},
		{"postgres://app:app@h/x", `password authentication failed for user "app"`, "postgres://app:xxxxx@h/x", `password authentication failed for user "app"`},
		{"app:S3cr@tPart@127.0.0.1:3306/x?a=b", "default addr for network 'S3cr@tPart@127.0.0.1:3306' unknown", "app:xxxxx@127.0.0.1:3306/x", "default addr for network 'xxxxx' unknown"},
		{"app:S3cr?tPart@h", "missing the slash", "app:xxxxx@h", "missing the slash"},
		{"app:S3crtPart", "missing the slash", "app:xxxxx", "missing the slash"},
		{"tcp(app:S3crtPart@h)/x", "unknown network", "tcp(app:xxxxx@h)/x", "unknown network"},
		{"app@tcp(h:3306)/x?a=b@c", "dial", "app@tcp(h:3306)/x", "dial"},
		{"h:3306/x", "dial", "h:3306/x", "dial"},
		{"host=h options='-c a:b@c' user=x", "dial", "host=h options='-c a:b@c' user=x", "dial"},
		{"app:S3cr@tPart@tcp(h)/x?a=b", "dial tPart", "app:xxxxx@tcp(h)/x", "dial xxxxx"},
	} {
		target := dsnTarget{given: tc.given}
		if got := target.shown(); got != tc.shown {
			t.Errorf("%s is shown as %s, want %s", tc.given, got, tc.shown)
		}
		if got := target.why(errors.New(tc.err)); got != tc.why {
			t.Errorf("%s: %s, want %s", tc.given, got, tc.why)
		}
	}
}

func TestDatabaseName(t *testing.T) {
	for given, want := range map[string]string{
		"postgres://app:s3cret@db:5432/shop?sslmode=disable": "shop on db:5432",
		"postgres://db/shop":                                   "shop on db",
		"host=db dbname=shop password=s3cret":                  "shop on db",
		"dbname='shop'":                                        "shop",
		"host=db":                                              "",
		"mysql://app:s3cret@db/shop":                           "shop on db",
		"app:s3cret@tcp(db:3306)/shop?parseTime=true":          "shop on db:3306",
		"mysql://app:s3@cret@tcp(db:3306)/shop?parseTime=true": "shop on db:3306",
		"sqlite:data/shop.db":                                  "shop.db",
		"./shop.db":                                            "shop.db",
	} {
		target, err := parseDSN(given, "")
		if err != nil {
			t.Fatal(err)
		}
		if got := target.name(); got != want {
			t.Errorf("%s: %q, want %q", given, got, want)
		}
	}
}

// TestRetriesAlone: deadlocks are retried without a limit of the server too.
func TestRetriesAlone(t *testing.T) {
	options := func(retries int) int {
		list, err := runFlags{rollback: "down", foreign: "refuse", unknown: "warn", checksums: "warn", statements: gooseplus.StatementTimeouts{Retries: retries}}.options()
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	if options(3) != options(0)+1 {
		t.Error("--retries without --lock-timeout is ignored")
	}
}
