package mutex

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// MySQL is a user-level lock, of MySQL and MariaDB.
type MySQL struct {
	DB *sql.DB
	// Name is an SQL expression for the lock's name, of 64 characters at most.
	Name string
	// Idle is how long the server keeps the lock of a holder that says nothing.
	Idle time.Duration
}

var _ Mutex = (*MySQL)(nil)

var errNotHeld = errors.New("another connection has the lock, or nobody")

// TryLock implements Mutex.
func (m *MySQL) TryLock(ctx context.Context) (Held, error) {
	return again(func() (Held, error) { return m.try(ctx) })
}

func (m *MySQL) try(ctx context.Context) (Held, error) {
	c, err := connect(ctx, m.DB)
	if err != nil {
		return nil, err
	}
	h := &heldMySQL{connection: c}
	var got, mine sql.NullBool
	err = c.use(ctx, func(conn *sql.Conn) error {
		if _, err := conn.ExecContext(ctx, fmt.Sprintf("SET @gooseplus_wait_timeout = @@SESSION.wait_timeout, SESSION wait_timeout = %d",
			max(1, int(m.Idle.Seconds())))); err != nil {
			return err
		}
		err := conn.QueryRowContext(ctx, "SELECT "+m.Name+", GET_LOCK("+m.Name+", 0), IS_USED_LOCK("+m.Name+") = CONNECTION_ID(), @@SESSION.autocommit").
			Scan(&h.name, &got, &mine, &h.autocommits)
		if err != nil {
			return fmt.Errorf("the server refused the lock (GET_LOCK): %w", err)
		}
		if got.Valid && !got.Bool {
			return h.restore(ctx, conn)
		}
		return nil
	})
	switch {
	case err != nil:
		c.Abandon()
		return nil, err
	case !got.Valid:
		c.Abandon()
		return nil, errors.New("the server refused the lock (GET_LOCK gave NULL)")
	case !got.Bool:
		return nil, c.giveBack()
	case !mine.Bool:
		c.Abandon()
		return nil, errors.New("the server says that it has taken the lock (GET_LOCK), and IS_USED_LOCK doesn't show it: " +
			"it has no such lock, so WithGlobalLock can't be used on it")
	}
	return h, nil
}

// Holder implements Mutex.
func (m *MySQL) Holder(ctx context.Context) (string, error) {
	var id sql.NullInt64
	if err := m.DB.QueryRowContext(ctx, "SELECT IS_USED_LOCK("+m.Name+")").Scan(&id); err != nil || !id.Valid {
		return "", err
	}
	return fmt.Sprintf("connection id %d", id.Int64), nil
}

type heldMySQL struct {
	*connection
	name        string
	autocommits bool
}

// Autocommits says that the connections of the pool commit each statement by itself.
func (h *heldMySQL) Autocommits() bool { return h.autocommits }

func (h *heldMySQL) restore(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "SET SESSION wait_timeout = @gooseplus_wait_timeout")
	return err
}

// Check implements Held.
func (h *heldMySQL) Check(ctx context.Context) error {
	return h.use(ctx, func(conn *sql.Conn) error {
		var mine sql.NullBool
		err := conn.QueryRowContext(ctx, "SELECT IS_USED_LOCK('"+h.name+"') = CONNECTION_ID()").Scan(&mine)
		if err == nil && !mine.Bool {
			err = errNotHeld
		}
		return err
	})
}

// Release implements Held.
func (h *heldMySQL) Release(ctx context.Context) error {
	err := h.use(ctx, func(conn *sql.Conn) error {
		var released sql.NullBool
		err := conn.QueryRowContext(ctx, "SELECT RELEASE_LOCK('"+h.name+"')").Scan(&released)
		if err == nil && !released.Bool {
			err = errNotHeld
		}
		return errors.Join(err, h.restore(ctx, conn))
	})
	if err != nil {
		h.Abandon()
		return err
	}
	return h.giveBack()
}
