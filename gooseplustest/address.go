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

// postgresDSN is the same DSN, a URL or keywords with values, for another database.
func postgresDSN(dsn, database string) (string, error) {
	if !strings.HasPrefix(dsn, "postgres://") && !strings.HasPrefix(dsn, "postgresql://") {
		if !strings.Contains(dsn, "=") {
			return "", errors.New("the DSN is neither a URL like postgres://user:password@host:port/database nor keywords with values, like host=… user=…")
		}
		return dsn + " dbname='" + database + "'", nil // the last one counts
	}
	u, err := url.Parse(dsn)
	if err != nil {
		// The parser's own error quotes what it could not read, which may be the password.
		return "", errors.New("the DSN is not a URL like postgres://user:password@host:port/database")
	}
	u.Path, u.RawPath = "/"+database, ""
	if q := u.Query(); q.Has("dbname") || q.Has("database") {
		q.Del("dbname")
		q.Del("database")
		u.RawQuery = q.Encode()
	}
	return u.String(), nil
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

var (
	queryPassword = regexp.MustCompile(`[?&]password=([^&#\s]+)`)
	urlPassword   = regexp.MustCompile(`://[^:/@\s]*:([^@\s]+)@`)
	mysqlPassword = regexp.MustCompile(`^[^:@/\s]*:([^\s]+)@`)
	keyPassword   = regexp.MustCompile(`\bpassword\s*=\s*('(?:[^'\\]|\\.)*'|\S+)`)
)

// shown is a DSN for the log of a test. A password that somebody wrote into the test is shown, so that the DSN can be
// copied; one that came from the environment, as a secret of a CI does, is not.
func shown(dsn string) string {
	for _, p := range []*regexp.Regexp{queryPassword, urlPassword, keyPassword, mysqlPassword} {
		m := p.FindStringSubmatch(dsn)
		if m == nil {
			continue
		}
		if fromEnvironment(strings.Trim(m[1], "'")) {
			return redact.Text(dsn)
		}
		return dsn
	}
	return redact.Text(dsn)
}

// fromEnvironment says whether a variable of the environment is the password, or a DSN with it, as it is or escaped.
func fromEnvironment(password string) bool {
	forms := []string{password}
	if plain, err := url.PathUnescape(password); err == nil {
		forms = append(forms, plain)
	}
	return slices.ContainsFunc(os.Environ(), func(variable string) bool {
		_, value, _ := strings.Cut(variable, "=")
		return slices.ContainsFunc(forms, func(form string) bool {
			if value == form || strings.Contains(value, ":"+form+"@") {
				return true
			}
			return slices.ContainsFunc([]*regexp.Regexp{queryPassword, keyPassword}, func(p *regexp.Regexp) bool {
				m := p.FindStringSubmatch(value)
				return m != nil && strings.Trim(m[1], "'") == form
			})
		})
	})
}
