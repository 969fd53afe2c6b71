package dbtest

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
)

// PgBouncer starts a PgBouncer in transaction pooling, with at most pool connections to the server of the PostgreSQL
// database d, and returns the same database as it is reached through it. It ends with the test. Where the program is not
// installed, the test is skipped or fails, as without a server.
func PgBouncer(t testing.TB, d Database, pool int) Database {
	t.Helper()
	e, err := pgbouncer.before(d, pool)
	if err != nil {
		t.Fatalf("dbtest: %v", err)
	}
	s, err := startLocal(t.Context(), e, freePort)
	if errors.Is(err, errAbsent) {
		process.missing(t, pgbouncer, err)
	}
	if err != nil {
		t.Fatalf("dbtest: %v", err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("stop %v: %v", s, err)
		}
	})
	return Database{Name: d.Name, DSN: s.endpoint.dsn(d.Name), Password: d.Password}
}

var pgbouncer = &engine{
	name:      "PgBouncer",
	installed: "pgbouncer",
	local: program{
		binary:  "pgbouncer",
		dirs:    []string{"/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"},
		users:   []string{"postgres", "nobody"},
		install: `sed "s/PORT/$PORT/" settings >pgbouncer.ini`,
		serve:   `exec "$BIN/pgbouncer" pgbouncer.ini`,
		stop:    "TERM", // immediate shutdown
	},
	connector: postgres.connector,
}

// before returns the engine of a bouncer in front of one server, whose user and password it has.
func (e *engine) before(d Database, pool int) (*engine, error) {
	server, err := url.Parse(d.DSN)
	if err != nil || server.Hostname() == "" {
		return nil, errors.New("PgBouncer needs a PostgreSQL database")
	}
	own := *e
	user := server.User.Username()
	own.local.files = func(string) map[string]string {
		return map[string]string{
			"users": fmt.Sprintf("%s %s\n", doubleQuoted(user), doubleQuoted(d.Password)),
			"settings": fmt.Sprintf("[databases]\n* = host=%s port=%s\n", server.Hostname(), cmp.Or(server.Port(), "5432")) +
				pgbouncerSettings(pool),
		}
	}
	own.address = func(hostPort, _ string) endpoint {
		return postgresEndpoint(&url.URL{
			Scheme: "postgres", User: url.UserPassword(user, d.Password), Host: hostPort, Path: server.Path,
			RawQuery: "sslmode=disable",
		})
	}
	return &own, nil
}

// pgbouncerSettings are those that an application meets, which are PgBouncer's defaults where none is named here. A
// server connection is never reset between two clients in transaction pooling, so that what one leaves another finds.
func pgbouncerSettings(pool int) string {
	return strings.Join([]string{
		`[pgbouncer]`,
		`listen_port = PORT`,
		`listen_addr = 127.0.0.1`,
		`unix_socket_dir =`,
		`auth_type = scram-sha-256`,
		`auth_file = users`,
		`pool_mode = transaction`,
		`max_client_conn = 500`,
		fmt.Sprintf(`default_pool_size = %d`, pool),
		// lib/pq sends it with every connection, and PgBouncer refuses what it does not know. Its manual recommends
		// this.
		`ignore_startup_parameters = extra_float_digits`,
	}, "\n") + "\n"
}

// doubleQuoted is a field of PgBouncer's list of users.
func doubleQuoted(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// missing skips or fails the test for want of a program that is started for each test, and counts it.
func (r *registry) missing(t testing.TB, kind *engine, err error) {
	t.Helper()
	missing := &missingError{engine: kind, tried: []error{err}}
	if mustFail(missing, os.Getenv(requireEnv)) {
		t.Fatalf("dbtest: %v", missing)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.servers[kind] == nil {
		r.servers[kind] = &outcome{err: missing}
	}
	r.servers[kind].skipped++
	t.Skipf("dbtest: %v", missing)
}
