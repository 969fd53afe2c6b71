package dbtest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"
)

// mysqlSettings trade durability for speed, and are understood by MariaDB and MySQL alike. Lock timeouts and isolation
// are those that an application meets.
var mysqlSettings = []string{
	"--max-connections=500",
	"--skip-log-bin",
	"--skip-name-resolve",
	"--innodb-flush-log-at-trx-commit=0",
	"--innodb-doublewrite=0",
	"--innodb-buffer-pool-size=64M",
	"--performance-schema=0",
	"--innodb-stats-persistent=0", // each CREATE and DROP would write to tables of statistics
	"--character-set-server=utf8mb4",
}

var mariadb = &engine{
	name:      "MariaDB",
	dsnEnv:    "GOOSEPLUS_TEST_MYSQL",
	imageEnv:  "GOOSEPLUS_TEST_MYSQL_IMAGE",
	image:     "mariadb:11.4",
	installed: "mariadb-server",
	local: program{
		binary: "mariadbd",
		dirs:   []string{"/usr/sbin", "/usr/libexec", "/usr/local/libexec"},
		users:  []string{"mysql", "nobody"},
		files: func(password string) map[string]string {
			return map[string]string{"init.sql": mariadbInit(password)}
		},
		install: `mariadb-install-db --no-defaults --force --datadir="$PWD/data" --tmpdir="$PWD" ` +
			`--auth-root-authentication-method=normal --skip-test-db --skip-name-resolve ` +
			`--innodb-log-file-size=16M --innodb-flush-method=nosync`,
		serve: `exec "$BIN/mariadbd" --no-defaults --datadir="$PWD/data" --tmpdir="$PWD" --socket="$PWD/socket" ` +
			`--pid-file="$PWD/mariadbd.pid" --bind-address=127.0.0.1 --port="$PORT" --init-file="$PWD/init.sql" ` +
			`--innodb-log-file-size=16M --innodb-flush-method=nosync ` + strings.Join(mysqlSettings, " "),
		// There is nothing worth an orderly shutdown, which takes seconds.
		stop: "KILL",

		own:      `:`,
		durable:  `--innodb-flush-log-at-trx-commit=2 --innodb-doublewrite=1`,
		anywhere: `--bind-address=0.0.0.0`,
		shutDown: syscall.SIGTERM,
	},
	container: container{
		port: "3306/tcp",
		env: func(password string) []string {
			return []string{"MARIADB_ROOT_PASSWORD=" + password, "MYSQL_ROOT_PASSWORD=" + password}
		},
		cmd: append([]string{"--datadir=" + containerData}, mysqlSettings...),
	},
	parse: func(dsn string) (endpoint, error) {
		cfg, err := mysql.ParseDSN(dsn)
		if err != nil {
			// The parser's own error may quote a piece of the DSN.
			return endpoint{}, errors.New("not a DSN like user:password@tcp(host:port)/")
		}
		return mysqlEndpoint(cfg), nil
	},
	address: func(hostPort, password string) endpoint {
		cfg := mysql.NewConfig()
		cfg.User, cfg.Passwd, cfg.Net, cfg.Addr = "root", password, "tcp", hostPort
		return mysqlEndpoint(cfg)
	},
	connector: func(dsn string, within time.Duration) (driver.Connector, error) {
		cfg, err := mysql.ParseDSN(dsn)
		if err != nil {
			return nil, err
		}
		// Otherwise the driver writes to stderr whenever a server that is still starting hangs up.
		cfg.Logger = &mysql.NopLogger{}
		cfg.Timeout = within
		return mysql.NewConnector(cfg)
	},
	create: func(ctx context.Context, db *sql.DB, database string) error {
		_, err := db.ExecContext(ctx, "CREATE DATABASE `"+database+"` CHARACTER SET utf8mb4")
		return err
	},
	drop: DropMySQL,
}

// mariadbInit leaves root the only account, with a password and from any address. The anonymous ones would be preferred
// to root@'%' when a client connects from this machine.
func mariadbInit(password string) string {
	return strings.Join([]string{
		"DELETE FROM mysql.global_priv WHERE User IN ('', 'root');",
		"FLUSH PRIVILEGES;",
		"CREATE USER root@'%' IDENTIFIED BY '" + password + "';",
		"GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;",
		"",
	}, "\n")
}

func mysqlEndpoint(cfg *mysql.Config) endpoint {
	cfg.ParseTime = true
	return endpoint{
		password: cfg.Passwd,
		admin:    cfg.FormatDSN(),
		dsn: func(database string) string {
			c := cfg.Clone()
			c.DBName = database
			return c.FormatDSN()
		},
	}
}

// DropMySQL drops a database, whose name is one of letters, digits and underscores. It ends the connections that use the
// database first: one with an open transaction would block DROP DATABASE.
func DropMySQL(ctx context.Context, db *sql.DB, database string) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	var ids []int64
	rows, err := conn.QueryContext(ctx, "SELECT id FROM information_schema.processlist WHERE db = ?", database)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return err
		}
		ids = append(ids, id)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for _, id := range ids {
		var unknown *mysql.MySQLError
		if _, err := conn.ExecContext(ctx, "KILL "+strconv.FormatInt(id, 10)); err != nil && !(errors.As(err, &unknown) && unknown.Number == 1094) {
			return err // 1094 is ER_NO_SUCH_THREAD: it ended by itself
		}
	}
	if _, err := conn.ExecContext(ctx, "SET SESSION lock_wait_timeout = 10"); err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, "DROP DATABASE IF EXISTS `"+database+"`")
	return err
}
