package dbtest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/lib/pq"
)

// postgresSettings trade durability for speed. Lock limits, timeouts and isolation are those that an application meets; and it
// may prepare transactions.
var postgresSettings = []string{
	"-c", "fsync=off",
	"-c", "synchronous_commit=off",
	"-c", "full_page_writes=off",
	"-c", "max_connections=500",
	"-c", "max_prepared_transactions=50",
	"-c", "max_wal_size=128MB", // the files may lie in memory
}

var postgres = &engine{
	name:      "PostgreSQL",
	dsnEnv:    "GOOSEPLUS_TEST_POSTGRES",
	imageEnv:  "GOOSEPLUS_TEST_POSTGRES_IMAGE",
	image:     "postgres:17",
	installed: "postgresql",
	local: program{
		binary: "postgres",
		// The versioned directories come first: what PATH names may be a wrapper that chooses a cluster by itself.
		dirs: []string{
			"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin",
			"/usr/local/opt/postgresql@*/bin",
		},
		needs: []string{"initdb"},
		users: []string{"postgres", "nobody"},
		files: func(password string) map[string]string {
			return map[string]string{"password": password + "\n"}
		},
		// Tests connect thousands of times, and SCRAM is made to take time.
		install: `exec "$BIN/initdb" -D data -U gooseplus --auth=md5 --pwfile=password ` +
			`--no-sync --no-locale --encoding=UTF8`,
		// Shared memory by mmap lies in the data directory, and so goes with it if even the watchdog is killed.
		serve: `exec "$BIN/postgres" -D data -k "$PWD" -p "$PORT" -c listen_addresses=127.0.0.1 ` +
			`-c dynamic_shared_memory_type=mmap ` +
			strings.Join(postgresSettings, " "),
		// Immediate shutdown. SIGKILL would leave shared memory and busy backends behind.
		stop: "QUIT",

		own:      `echo "host all all 0.0.0.0/0 md5" >>data/pg_hba.conf`,
		durable:  `-c synchronous_commit=on -c full_page_writes=on`,
		anywhere: `-c listen_addresses=0.0.0.0`,
		shutDown: os.Interrupt, // fast: it ends the connections
	},
	container: container{
		port: "5432/tcp",
		env: func(password string) []string {
			return []string{"POSTGRES_USER=gooseplus", "POSTGRES_PASSWORD=" + password, "PGDATA=" + containerData}
		},
		cmd: append([]string{"postgres"}, postgresSettings...),
	},
	parse: func(dsn string) (endpoint, error) {
		u, err := url.Parse(dsn)
		if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Host == "" && !u.Query().Has("host") {
			// The parser's own error quotes what it could not read, which may be the password.
			return endpoint{}, errors.New("not a URL like postgres://user:password@host:port/database?sslmode=disable")
		}
		ep := postgresEndpoint(u)
		if _, err := pq.NewConfig(dsn); err != nil {
			return endpoint{}, hide(err, ep.password)
		}
		return ep, nil
	},
	address: func(hostPort, password string) endpoint {
		return postgresEndpoint(&url.URL{
			Scheme: "postgres", User: url.UserPassword("gooseplus", password), Host: hostPort, Path: "/postgres",
			RawQuery: "sslmode=disable",
		})
	},
	connector: func(dsn string, within time.Duration) (driver.Connector, error) {
		cfg, err := pq.NewConfig(dsn)
		if err != nil {
			return nil, err
		}
		// The driver minds no context before the server has answered, and whatever else listens on the port of a server
		// that is being started may never do so.
		cfg.ConnectTimeout = within
		return pq.NewConnectorConfig(cfg)
	},
	costly: true,
	create: func(ctx context.Context, db *sql.DB, database string) error {
		// Copying the files takes a third of the processor time of copying the pages by way of the log (measured: 6 ms and
		// 21 ms), where the checkpoints for it write nothing to a disk. PostgreSQL 14 knows no other way.
		var copies bool
		const asked = "SELECT current_setting('fsync') = 'off' AND current_setting('server_version_num')::integer >= 150000"
		if err := db.QueryRowContext(ctx, asked).Scan(&copies); err != nil {
			return err
		}
		// template1 can't be copied while anybody is connected to it; nobody can connect to template0.
		statement := "CREATE DATABASE " + pq.QuoteIdentifier(database) + " TEMPLATE template0"
		if copies {
			statement += " STRATEGY file_copy"
		}
		_, err := db.ExecContext(ctx, statement)
		return err
	},
	drop: func(ctx context.Context, db *sql.DB, database string) error {
		_, err := db.ExecContext(ctx, "DROP DATABASE IF EXISTS "+pq.QuoteIdentifier(database)+" WITH (FORCE)")
		return err
	},
}

func postgresEndpoint(admin *url.URL) endpoint {
	password, _ := admin.User.Password()
	return endpoint{
		password: password,
		admin:    admin.String(),
		dsn: func(database string) string {
			u := *admin
			u.Path, u.RawPath = "/"+database, ""
			return u.String()
		},
	}
}
