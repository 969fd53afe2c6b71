package session

import (
	"fmt"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

// Name has the server call the session's connections so (application_name of PostgreSQL), except those to which the
// application has given a name. [Config.OnBegin] must be complete: the name costs no round trip if there is any.
func (c *Config) Name(d dialect.Dialect, name string) {
	if KindOf(d) != PostgreSQL {
		return
	}
	c.Application = name
	set := func(local string) string {
		return "SELECT pg_catalog.set_config('application_name', " + d.Literal(name) + ", " + local + ") WHERE pg_catalog.current_setting('application_name') = ''"
	}
	if len(c.OnBegin) > 0 {
		c.OnBegin[0].Query = set("true") + "; " + c.OnBegin[0].Query
	} else {
		// Not a SELECT: that takes a snapshot, and a migration's own first statement may have to come before it.
		c.OnBeginSettings = append(c.OnBeginSettings, Statement{Query: "SET LOCAL application_name = " + d.Literal(name), unnamed: true})
	}
	c.Settings = append(c.Settings, Setting{
		Read: "SELECT pg_catalog.current_setting('application_name')",
		Write: func(value any) Statement {
			if value == any(name) {
				return Statement{Query: set("false")}
			}
			return Statement{Query: "SELECT pg_catalog.set_config('application_name', $1, false)", Args: []any{fmt.Sprint(value)}}
		},
		Value: name,
	})
}

// Named is what the server calls a connection: its number, and the name of its application.
type Named struct{ ID, Application string }

// Names are the connections that the session uses now, as far as the server has numbers for them.
func (s *Session) Names() (list []Named) {
	if s == nil {
		return nil
	}
	s.books.mu.Lock()
	defer s.books.mu.Unlock()
	for _, l := range s.books.inUse {
		if l == nil || l.name.ID == "" {
			continue
		}
		name := l.name
		if name.Application == "" {
			name.Application = s.cfg.Application
		}
		list = append(list, name)
	}
	return list
}
