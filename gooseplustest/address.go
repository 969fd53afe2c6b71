package gooseplustest

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/lib/pq"

	"github.com/gooseplus/gooseplus/internal/redact"
)

// postgresDriver is pgx if the test binary has it, since that is what the application uses then, else lib/pq.
func postgresDriver() string {
	if slices.Contains(sql.Drivers(), "pgx") {
		return "pgx"
	}
	return "postgres"
}

// postgresConnector opens connections with that driver.
func postgresConnector(dsn string) (driver.Connector, error) {
	name := postgresDriver()
	if name == "postgres" {
		return pq.NewConnector(dsn)
	}
	db, err := sql.Open(name, dsn)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	d, ok := db.Driver().(driver.DriverContext)
	if !ok {
		return nil, fmt.Errorf("the driver %q has no connectors", name)
	}
	return d.OpenConnector(dsn)
}

// keyword is how a DSN of keywords with values begins.
var keyword = regexp.MustCompile(`^\w+\s*=`)

// postgresDSN is the same DSN, a URL or keywords with values, for another database. All else of it stays as it is: a driver
// may take what another one doesn't.
func postgresDSN(dsn, database string) (string, error) {
	dsn = strings.TrimSpace(dsn)
	scheme, rest, isURL := strings.Cut(dsn, "://")
	if !isURL || keyword.MatchString(dsn) {
		if !keyword.MatchString(dsn) {
			return "", errors.New("the DSN is neither a URL like postgres://user:password@host:port/database nor keywords with values, like host=… user=…")
		}
		return dsn + " dbname='" + database + "'", nil // the last one counts
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, _, _ := strings.Cut(rest, "/")
	parameters := slices.DeleteFunc(strings.Split(query, "&"), func(p string) bool {
		name, _, _ := strings.Cut(p, "=")
		return p == "" || name == "dbname" || name == "database"
	})
	user := authority[:strings.LastIndexByte(authority, '@')+1]
	// The parser's own error quotes what it could not read, which may be the password.
	if _, err := url.Parse(scheme + "://" + user + "host/?" + query); err != nil || scheme != "postgres" && scheme != "postgresql" {
		return "", errors.New("the DSN is not a URL like postgres://user:password@host:port/database")
	}
	dsn = scheme + "://" + authority + "/" + database
	if len(parameters) > 0 {
		dsn += "?" + strings.Join(parameters, "&")
	}
	return dsn, nil
}

// address is the host and the port of a URL or of a MySQL DSN, and any other DSN as it is.
func address(dsn string) string {
	if u, err := url.Parse(dsn); err == nil && u.Host != "" {
		return u.Host
	}
	if config, err := mysql.ParseDSN(dsn); err == nil {
		return config.Addr
	}
	return dsn
}

// shown is a DSN for the log of a test. A password that somebody wrote into the test is shown, so that the DSN can be
// copied; one that came from the environment, as a secret of a CI does, is not.
func shown(dsn string) string {
	if password, ok := passwordOf(dsn); ok && (password == "" || !fromEnvironment(password)) {
		return strings.TrimSpace(dsn)
	}
	if config, err := mysql.ParseDSN(dsn); err == nil {
		config.Passwd = "xxxxx"
		return config.FormatDSN()
	}
	return redact.Text(dsn)
}

// passwordOf returns the password in a DSN, "" if there is none; it is not ok if nobody knows.
func passwordOf(dsn string) (password string, ok bool) {
	if strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://") || keyword.MatchString(dsn) {
		config, err := pq.NewConfig(dsn)
		return config.Password, err == nil
	}
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		return "", false
	}
	return config.Passwd, true
}

// fromEnvironment says whether the password is in a variable of the environment: as the whole of it, in a DSN, or between
// what ends a value in other notations, escaped or not.
func fromEnvironment(password string) bool {
	return slices.ContainsFunc(os.Environ(), func(variable string) bool {
		_, value, _ := strings.Cut(variable, "=")
		if other, ok := passwordOf(value); ok && other == password {
			return true
		}
		for _, unescape := range []func(string) (string, error){url.PathUnescape, url.QueryUnescape} {
			if plain, err := unescape(value); err == nil && isValueIn(plain, password) {
				return true
			}
		}
		return isValueIn(value, password)
	})
}

// isValueIn says whether a text has a value that is not a part of a longer one: one like postgres is a part of many paths.
func isValueIn(text, value string) bool {
	for at := 0; ; at++ {
		i := strings.Index(text[at:], value)
		if i < 0 {
			return false
		}
		at += i
		before, after := text[:at], text[at+len(value):]
		if (before == "" || strings.ContainsAny(before[len(before)-1:], "\"':= \t\n")) && (after == "" || strings.ContainsAny(after[:1], "\"'@&;, \t\n")) {
			return true
		}
	}
}
