package cli

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/redact"
)

// dsnTarget is a DSN and what it says.
type dsnTarget struct {
	dialect string // as WithDialect takes it
	dsn     string // as the driver takes it
	given   string
}

// drivers are the names that drivers have given themselves, the preferred one first.
var drivers = map[string][]string{
	"postgres": {"pgx", "postgres"},
	"mysql":    {"mysql"},
	"sqlite3":  {"sqlite", "sqlite3"},
}

// driverNames are the words for them, goose's among them.
var driverNames = map[string]string{
	"postgres": "postgres", "postgresql": "postgres", "pgx": "postgres",
	"mysql": "mysql", "mariadb": "mysql",
	"sqlite": "sqlite3", "sqlite3": "sqlite3", "file": "sqlite3",
}

// parseDSN finds out whose a DSN is: by the driver if one is named, else by its scheme or its looks.
func parseDSN(dsn, driver string) (dsnTarget, error) {
	scheme, rest, hasScheme := strings.Cut(dsn, ":")
	name := driverNames[strings.ToLower(scheme)]
	if driver != "" {
		named, ok := driverNames[strings.ToLower(driver)]
		if !ok || driver == "file" {
			return dsnTarget{}, usagef("--driver %q: use postgres, mysql or sqlite", driver)
		}
		if hasScheme && name != "" && name != named && strings.HasPrefix(rest, "//") {
			return dsnTarget{}, usagef("the driver is %s, and the DSN begins with %s://", driver, scheme)
		}
		if name != named {
			hasScheme = false
		}
		name = named
	} else if !hasScheme || name == "" || name == "mysql" && !strings.HasPrefix(rest, "//") || name == "postgres" && !strings.HasPrefix(rest, "//") {
		if name = guess(dsn); name == "" {
			return dsnTarget{}, usagef("the DSN doesn't say which database it is for: begin it with postgres://, mysql:// or sqlite:, or set --driver")
		}
		hasScheme = false
	}
	t := dsnTarget{dialect: name, dsn: dsn, given: dsn}
	var err error
	switch {
	case name == "postgres" && hasScheme:
		t.dsn, err = postgresDSN(dsn)
	case name == "mysql" && hasScheme && strings.HasPrefix(rest, "//"):
		t.dsn, err = mysqlDSN(strings.TrimPrefix(rest, "//"))
	case name == "sqlite3":
		t.dsn = sqliteDSN(dsn)
	}
	var usage *usageError
	if errors.As(err, &usage) {
		return dsnTarget{}, err
	}
	if err != nil { // which quotes the DSN
		return dsnTarget{}, usagef("the DSN is not a URL: %s", "encode characters such as @ / ? # % in the password: @ is %40")
	}
	return t, nil
}

// guess is for DSNs that are no URL.
func guess(dsn string) string {
	path, _, _ := strings.Cut(dsn, "?")
	switch {
	case dsn == ":memory:":
		return "sqlite3"
	case strings.Contains(dsn, "@tcp(") || strings.Contains(dsn, "@unix(") || strings.Contains(dsn, "@/") || strings.Contains(dsn, "@("):
		return "mysql"
	case strings.Contains(path, "=") && !strings.Contains(path, "://"):
		return "postgres"
	case slices.Contains([]string{".db", ".sqlite", ".sqlite3", ".db3"}, strings.ToLower(filepath.Ext(path))) && !strings.Contains(path, "://"):
		return "sqlite3"
	}
	return ""
}

// postgresDSN is the URL as it was given, unless there is an @ in its password: not every driver takes the last one for
// the end of the password.
func postgresDSN(dsn string) (string, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return "", err
	}
	_, rest, _ := strings.Cut(dsn, "://")
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	if strings.Count(rest, "@") > 1 {
		return u.String(), nil
	}
	return dsn, nil
}

// mysqlDSN makes a DSN of go-sql-driver of what follows mysql://, which is either a URL or, as golang-migrate has
// it, such a DSN.
func mysqlDSN(rest string) (string, error) {
	dsn := rest
	if guess(rest) != "mysql" {
		u, err := url.Parse("mysql://" + rest)
		if err != nil {
			return "", err
		}
		query, err := url.ParseQuery(u.RawQuery)
		if err != nil {
			return "", err
		}
		network, address := "tcp", u.Host
		if socket := query.Get("socket"); socket != "" {
			network, address = "unix", socket
			query.Del("socket")
		} else if u.Port() == "" {
			address += ":3306"
		}
		password, _ := u.User.Password()
		if strings.Contains(u.User.Username(), ":") {
			return "", usagef("the user name in the DSN has a colon (%%3A); the MySQL driver would take the rest for the password")
		}
		dsn = fmt.Sprintf("%s:%s@%s(%s)/%s", u.User.Username(), password, network, address, url.PathEscape(strings.TrimPrefix(u.Path, "/")))
		if len(query) > 0 {
			dsn += "?" + query.Encode()
		}
	}
	name := dsn[strings.LastIndex(dsn, "/")+1:]      // with the options: a password can have a ? in it
	if !strings.Contains(name, "multiStatements=") { // a golang-migrate file is executed as one piece
		dsn += separator(name) + "multiStatements=true"
	}
	return dsn, nil
}

// sqliteDSN makes a DSN of what follows sqlite: or sqlite3:, unless it is one. A connection waits for others: the lock
// of a run is beside the database, and its readers are in it.
func sqliteDSN(dsn string) string {
	for _, scheme := range []string{"sqlite3:", "sqlite:"} {
		if rest, ok := strings.CutPrefix(dsn, scheme); ok {
			dsn = strings.TrimPrefix(rest, "//")
			break
		}
	}
	if strings.Contains(dsn, "busy_timeout") {
		return dsn
	}
	return dsn + separator(dsn) + "_pragma=busy_timeout(5000)"
}

func separator(dsn string) string {
	if strings.Contains(dsn, "?") {
		return "&"
	}
	return "?"
}

// memory says whether each connection would have a database of its own.
func (t dsnTarget) memory() bool {
	return t.dialect == "sqlite3" && (strings.Contains(t.dsn, ":memory:") || strings.Contains(t.dsn, "mode=memory"))
}

// shown is the DSN without its password and its options.
func (t dsnTarget) shown() string {
	hide := redact.DSN
	if t.dialect == "sqlite3" { // file:shop.db is no user with a password
		hide = redact.Text
	}
	dsn, _, _ := strings.Cut(hide(t.given), "?")
	return clean(strings.TrimSpace(passwordWord.ReplaceAllString(dsn, "")))
}

// name is the database's name with its place; "" if the DSN doesn't say so.
func (t dsnTarget) name() string {
	shown := t.shown()
	if t.dialect == "sqlite3" {
		return filepath.Base(shown[strings.LastIndex(shown, ":")+1:])
	}
	for _, parts := range []*regexp.Regexp{urlParts, driverParts} {
		if match := parts.FindStringSubmatch(shown); match != nil {
			return match[2] + " on " + match[1]
		}
	}
	host, database := hostWord.FindStringSubmatch(shown), databaseWord.FindStringSubmatch(shown)
	switch {
	case database == nil:
		return ""
	case host == nil:
		return database[1]
	}
	return database[1] + " on " + host[1]
}

var (
	urlParts     = regexp.MustCompile(`^\w+://(?:[^@/]*@)?([^/@()]+)/([^/?]+)`)
	driverParts  = regexp.MustCompile(`@\w*\(([^()]*)\)/([^/?]+)`)
	hostWord     = regexp.MustCompile(`\bhost\s*=\s*'?([^\s']+)`)
	databaseWord = regexp.MustCompile(`\bdbname\s*=\s*'?([^\s']+)`)
)

// passwordWord is a password, hidden, among the words of libpq.
var passwordWord = regexp.MustCompile(`(?i)\s*\b\w*password\s*=\s*xxxxx`)

// why is the text of an error about the DSN, without its password and without pieces of it.
func (t dsnTarget) why(err error) string { return redact.In(t.given).Hide(reason(err)) }

// absent says whether it is a file of SQLite that isn't there, and that the driver would make.
func (t dsnTarget) absent() bool {
	if t.dialect != "sqlite3" || t.dsn == "" || t.memory() {
		return false
	}
	path, _, _ := strings.Cut(t.dsn, "?")
	if uri, ok := strings.CutPrefix(path, "file:"); ok {
		path = strings.TrimPrefix(uri, "//")
		if plain, err := url.PathUnescape(path); err == nil {
			path = plain
		}
	}
	_, err := os.Stat(path)
	_, dirErr := os.Stat(filepath.Dir(path))
	return errors.Is(err, fs.ErrNotExist) && dirErr == nil
}

// open opens the database with a driver that the program has. For a look at one that isn't there yet, an empty
// one does as well, which leaves no file.
func (t dsnTarget) open(looks bool) (*sql.DB, error) {
	if looks && t.absent() {
		t.dsn = ":memory:"
	}
	have := sql.Drivers()
	for _, name := range drivers[t.dialect] {
		if !slices.Contains(have, name) {
			continue
		}
		db, err := sql.Open(name, t.dsn)
		if err != nil {
			return nil, usagef("the DSN %s can't be used: %s", t.shown(), redact.In(t.given).Hide(err.Error()))
		}
		if t.memory() {
			db.SetMaxOpenConns(1)
		}
		return db, nil
	}
	return nil, usagef("this program was built without a driver for %s", t.dialect)
}

// ping makes sure that there is a database to talk to, so that what is wrong with that is said in one sentence.
func (t dsnTarget) ping(ctx context.Context, db *sql.DB) error {
	limited, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	err := db.PingContext(limited)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case limited.Err() != nil:
		err = fmt.Errorf("there was no answer within %v", connectTimeout)
	case dialect.Refused(err):
		return &connectionError{to: t.shown(), why: "the server refuses the login: " + t.why(err), err: err}
	case t.dialect != "sqlite3" && !disconnected(err):
		return usagef("the DSN %s can't be used: %s", t.shown(), t.why(err))
	}
	return &connectionError{to: t.shown(), why: t.why(err), err: err}
}
