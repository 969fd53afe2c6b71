package session

import (
	"fmt"
	"strings"
	"time"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

// bindPostgres has each transaction say by itself where it is: nothing has to be put back, and a pooler between here and
// the server can't give the connection to somebody else in between. A statement outside a transaction needs a setting of
// the connection.
func (c *Config) bindPostgres(d dialect.Dialect, schemas []string) {
	quoted := make([]string, len(schemas))
	for i, schema := range schemas {
		quoted[i] = d.Quote(dialect.Name{Table: schema})
	}
	path := strings.Join(quoted, ", ")
	c.local(Statement{Query: "SET LOCAL search_path TO " + path})
	c.Settings = append(c.Settings, Setting{
		Read: "SELECT current_setting('search_path')",
		Write: func(value any) Statement {
			return Statement{Query: "SELECT set_config('search_path', $1, false)", Args: []any{fmt.Sprint(value)}}
		},
		Value: path,
		Alone: true,
	})
}

// As has everything that the session executes happen as a role of PostgreSQL, as Bind does.
func (c *Config) As(d dialect.Dialect, role string) {
	c.local(AsRole(d, role))
	c.Settings = append(c.Settings, Setting{
		Read: "SELECT current_setting('role')",
		Write: func(value any) Statement {
			return Statement{Query: "SELECT set_config('role', $1, false)", Args: []any{fmt.Sprint(value)}, Explain: explainRole(role)}
		},
		Value: role,
		Alone: true,
	})
}

// AsRole has a transaction work as a role, up to its end.
func AsRole(d dialect.Dialect, role string) Statement {
	return Statement{Query: "SET LOCAL ROLE " + d.Quote(dialect.Name{Table: role}), Explain: explainRole(role)}
}

// RoleError is the error of a session that can't work as its role.
type RoleError struct {
	Role string
	Err  error // the server's
}

func (e *RoleError) Error() string {
	if dialect.SQLState(e.Err) == "42501" {
		return fmt.Sprintf("the user of the connection may not work as the role %q: GRANT %q TO that user (%v)", e.Role, e.Role, e.Err)
	}
	return fmt.Sprintf("there is no role %q (%v)", e.Role, e.Err)
}

// Unwrap returns the server's error.
func (e *RoleError) Unwrap() error { return e.Err }

func explainRole(role string) func(error) error {
	return func(err error) error {
		if state := dialect.SQLState(err); state == "42501" || state == "22023" {
			return &RoleError{role, err}
		}
		return err
	}
}

// local adds a statement to what every transaction and savepoint begins with, in the same round trip.
func (c *Config) local(s Statement) {
	for _, list := range []*[]Statement{&c.OnBeginSettings, &c.OnSavepoint} {
		if len(*list) == 0 {
			*list = []Statement{s}
			continue
		}
		first := (*list)[0]
		first.Query += "; " + s.Query
		if first.Explain == nil {
			first.Explain = s.Explain
		}
		*list = []Statement{first}
	}
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
	c.local(Statement{Query: set("SET LOCAL", values)})
	limits := several("SELECT concat_ws(' ', current_setting('"+strings.Join(names, "'), current_setting('")+"'))",
		func(values []string) string { return set("SET", values) }, values...)
	limits.Alone = true
	c.Settings = append(c.Settings, limits)
}
