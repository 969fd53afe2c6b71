package session

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

// bindMySQL binds the connection, since a transaction has no settings of its own there. There is no way back to no
// database: such a connection is closed.
func (c *Config) bindMySQL(d dialect.Dialect, schema string) {
	c.SettingsFirst = true
	c.Settings = append(c.Settings, Setting{
		Read: "SELECT COALESCE(DATABASE(), '')",
		Write: func(value any) Statement {
			return Statement{Query: "USE " + d.Quote(dialect.Name{Table: fmt.Sprint(value)})}
		},
		Value: schema,
	})
}

// limitMySQL limits the connection, as bindMySQL.
func (c *Config) limitMySQL(l Limits) {
	var names, values []string
	if l.Lock > 0 {
		seconds := units(l.Lock, time.Second)
		names, values = append(names, "lock_wait_timeout", "innodb_lock_wait_timeout"), append(values, seconds, seconds)
	}
	switch {
	case l.Statement > 0 && l.MariaDB:
		seconds := fmt.Sprintf("%.3f", RoundUp(l.Statement, time.Millisecond).Seconds())
		names, values = append(names, "max_statement_time"), append(values, seconds)
	case l.Statement > 0:
		names, values = append(names, "max_execution_time"), append(values, units(l.Statement, time.Millisecond))
	}
	if len(names) == 0 {
		return
	}
	c.Settings = append(c.Settings, several("SELECT CONCAT_WS(' ', @@SESSION."+strings.Join(names, ", @@SESSION.")+")",
		func(values []string) string {
			var list []string
			for i, name := range names {
				list = append(list, "SESSION "+name+" = "+values[i])
			}
			return "SET " + strings.Join(list, ", ")
		}, values...))
	c.SettingsFirst = true
}

// IsMariaDB asks the server which one it is, if that makes a difference for the limits.
func (l Limits) IsMariaDB(ctx context.Context, db *sql.DB, d dialect.Dialect) (is bool, err error) {
	if l.Statement == 0 || KindOf(d) != MySQL {
		return false, nil
	}
	err = db.QueryRowContext(ctx, "SELECT LOWER(VERSION()) LIKE '%mariadb%'").Scan(&is)
	return is, err
}
