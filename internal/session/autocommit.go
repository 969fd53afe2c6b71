package session

import (
	"context"
	"fmt"
)

// autocommit makes sure, for a guard of MySQL, that what is executed outside a transaction is committed, and that what
// is read is not what was there when the connection was used last: the server, the DSN or the application may have
// switched autocommit off, and a statement that only reads would leave a transaction open in the application's pool. The
// server is asked once for each connection: what a driver knows of the login is older than the server's init_connect.
func (c *conn) autocommit(ctx context.Context) error {
	s, l := c.s, c.link
	if !s.cfg.endsBySQL || l.inner == nil {
		return nil
	}
	if _, known := s.commits.Load(l.inner); known || l.commits {
		return nil
	}
	row, err := l.queryRow(ctx, "SELECT @@autocommit")
	if err != nil {
		return err
	}
	on := len(row) == 1 && fmt.Sprint(row[0]) == "1"
	if !on {
		if err := l.run(ctx, []Statement{{Query: "SET autocommit = 1"}}); err != nil {
			return err
		}
		l.commits = true
		l.prior = append(l.prior, Statement{Query: "SET autocommit = 0"})
		return nil
	}
	s.commits.Store(l.inner, true)
	return nil
}
