package session

import (
	"database/sql"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

// Limits are what the database itself limits: how long a statement waits for a lock, and how long it takes. 0 leaves a
// setting as it is.
type Limits struct {
	Lock, Statement time.Duration
	MariaDB         bool // the server is MariaDB and not MySQL: see IsMariaDB
}

// Limit has the limits hold in every transaction of the session, and for statements outside. SQLite limits no statement.
func (c *Config) Limit(d dialect.Dialect, l Limits) {
	switch KindOf(d) {
	case PostgreSQL:
		c.limitPostgres(l)
	case MySQL:
		c.limitMySQL(l)
	case SQLite:
		if l.Lock > 0 {
			c.wait(busyTimeout(l.Lock))
		} else {
			c.wait(patience())
		}
	}
}

func (c *Config) wait(s Setting) { c.Settings, c.SettingsFirst = append(c.Settings, s), true }

func busyTimeout(d time.Duration) Setting {
	return several("PRAGMA busy_timeout", func(v []string) string { return "PRAGMA busy_timeout = " + v[0] }, units(d, time.Millisecond))
}

// patience is for a connection of SQLite without any busy_timeout: a statement on it fails at once if anybody else reads or
// writes the file for a moment.
func patience() Setting {
	s := busyTimeout(5 * time.Second)
	s.Keep = func(v any) bool { return fmt.Sprint(v) != "0" }
	return s
}

// Patient makes a session over connections of SQLite whose statements wait for others that use the file, as those of a
// session with [Config.Limit] do.
func Patient(parent *sql.DB) *Session {
	var c Config
	c.wait(patience())
	return Open(parent, c)
}

// Bind has everything that the session executes happen in a schema, or, on MySQL and MariaDB, in a database. Names that
// aren't there are looked for in the schemas behind it, which PostgreSQL alone has.
func (c *Config) Bind(d dialect.Dialect, schema string, behind ...string) {
	if KindOf(d) == MySQL {
		c.bindMySQL(d, schema)
	} else {
		c.bindPostgres(d, append([]string{schema}, behind...))
	}
}

// several is several variables in one setting, with spaces between their values: to tell them one by one costs a step a
// round trip each.
func several(read string, write func(values []string) string, values ...string) Setting {
	return Setting{
		Read:  read,
		Write: func(v any) Statement { return Statement{Query: write(strings.Fields(fmt.Sprint(v)))} },
		Value: strings.Join(values, " "),
	}
}

// longest is what all servers take: PostgreSQL counts milliseconds in 32 bits.
const longest = math.MaxInt32 * time.Millisecond

// RoundUp rounds up to a unit that the server counts in, since 0 means no limit to most servers.
func RoundUp(d, unit time.Duration) time.Duration {
	d = min(d, longest)
	if rest := d % unit; rest > 0 {
		d += unit - rest
	}
	return d
}

func units(d, unit time.Duration) string { return fmt.Sprint(int64(RoundUp(d, unit) / unit)) }
