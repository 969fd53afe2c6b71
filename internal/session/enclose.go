package session

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
)

// enclose begins a transaction for a statement that is in none, if the configuration asks for that: what the session sets
// is LOCAL, so nothing of it stays on a connection, not even behind a pooler.
func (c *conn) enclose(ctx context.Context, query string) error {
	if !c.s.cfg.Enclosed || c.inTx || c.begun || begins(query) {
		return nil
	}
	settings := slices.Clone(c.s.cfg.OnBeginSettings)
	settings[0].Query = "BEGIN; " + settings[0].Query
	c.enclosed = true
	if err := c.link.run(ctx, settings); err != nil {
		return c.leave(ctx, err)
	}
	return nil
}

// began makes the settings after a statement that has begun a transaction by itself.
func (c *conn) began(ctx context.Context, query string) error {
	if !c.s.cfg.Enclosed || c.inTx || c.begun || !begins(query) {
		return nil
	}
	c.begun = true
	return c.link.run(ctx, c.s.cfg.OnBeginSettings)
}

func begins(query string) bool { return strings.HasPrefix(query, "BEGIN") }

// leave ends the transaction of one statement: err is what that statement had.
func (c *conn) leave(ctx context.Context, err error) error {
	if !c.enclosed {
		return err
	}
	c.enclosed = false
	if err == nil {
		if err = c.link.exec(ctx, "COMMIT"); err == nil {
			return nil
		}
		c.link.spent = true
		if errors.Is(err, driver.ErrBadConn) { // database/sql would execute the statement again
			err = fmt.Errorf("%w: the connection was lost at the COMMIT", net.ErrClosed)
		}
		return err
	}
	after, cancel := c.link.after(ctx)
	defer cancel()
	c.link.spent = c.link.spent || c.link.exec(after, "ROLLBACK") != nil
	return err
}

// whole is statement for what is complete when it returns.
func whole[T any](ctx context.Context, c *conn, query string, f func(driver.Conn) (T, error)) (T, error) {
	value, err := statement(ctx, c, query, f)
	return value, c.leave(ctx, err)
}
