package session

import (
	"fmt"
	"strings"
	"time"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

// bindPostgres has each transaction say by itself where it is: nothing has to be put back, and a pooler between here and
// the server can't give the connection to somebody else in between. What is outside a transaction takes a setting of the
// connection.
func (c *Config) bindPostgres(d dialect.Dialect, schema string) {
	path := d.Quote(dialect.Name{Table: schema})
	local := Statement{Query: "SET LOCAL search_path TO " + path}
	c.OnBeginSettings, c.OnSavepoint = append(c.OnBeginSettings, local), append(c.OnSavepoint, local)
	c.Settings = append(c.Settings, Setting{
		Read: "SELECT current_setting('search_path')",
		Write: func(value any) Statement {
			return Statement{Query: "SELECT set_config('search_path', $1, false)", Args: []any{fmt.Sprint(value)}}
		},
		Value: path,
	})
}

// limitPostgres limits each transaction for itself: a setting that is LOCAL ends with it, whatever happens. SET takes no
// snapshot, so that a migration can still choose its isolation level.
func (c *Config) limitPostgres(l Limits) {
	var names, values []string
	if l.Lock > 0 {
		names, values = append(names, "lock_timeout"), append(values, units(l.Lock, time.Millisecond))
	}
	if l.Statement > 0 {
		names, values = append(names, "statement_timeout"), append(values, units(l.Statement, time.Millisecond))
	}
	if len(names) == 0 {
		return
	}
	set := func(set string, values []string) string {
		var list []string
		for i, name := range names {
			list = append(list, fmt.Sprintf("%s %s = '%s'", set, name, values[i]))
		}
		return strings.Join(list, "; ")
	}
	local := Statement{Query: set("SET LOCAL", values)}
	c.OnBeginSettings, c.OnSavepoint = append(c.OnBeginSettings, local), append(c.OnSavepoint, local)
	c.Settings = append(c.Settings, several("SELECT concat_ws(' ', current_setting('"+strings.Join(names, "'), current_setting('")+"'))",
		func(values []string) string { return set("SET", values) }, values...))
}
