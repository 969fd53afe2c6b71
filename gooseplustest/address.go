package gooseplustest

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
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

// shown is a DSN for the log of a test, without its password: the log of a CI is often public.
func shown(dsn string) string {
	if config, err := mysql.ParseDSN(dsn); err == nil && !keyword.MatchString(dsn) && !strings.Contains(dsn, "://") {
		if config.Passwd != "" {
			config.Passwd = "xxxxx"
		}
		return config.FormatDSN()
	}
	return redact.Text(strings.TrimSpace(dsn))
}
