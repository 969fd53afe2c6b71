package session

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// ErrPooled is the error of a statement outside a transaction behind a pooler in transaction mode, if it needs settings.
var ErrPooled = errors.New("it isn't in a transaction, and a pooler gives each statement any connection of the server, " +
	"so the role, the schema or the timeouts would not hold for it, and would stay for other clients: migrate over a direct connection, or one in session pooling")

// ErrUnsure is the error of such a statement if it is unknown whether a pooler is in between.
var ErrUnsure = errors.New("it isn't in a transaction, and needs a role, a schema or timeouts, which would not hold for it behind a pooler in transaction pooling; " +
	"whether there is such a pooler is found out with a second connection, and none was to be had: give the pool more connections (SetMaxOpenConns)")

// needsDedicated says whether there are settings that only a connection of its own keeps, of which nobody has asked yet.
func needsDedicated(s *Session) bool {
	return !s.direct.Load() && slices.ContainsFunc(s.cfg.Settings, func(x Setting) bool { return x.Alone })
}

const (
	// secondFor is how long a second connection is waited for.
	secondFor = 5 * time.Second
	// pooledRounds is how often two connections are compared: a pooler with much to do gives them different backends at times.
	pooledRounds = 5
)

// dedicated refuses a connection of PostgreSQL that may lead to other backends too.
func (l *link) dedicated(ctx context.Context, parent *sql.DB) error {
	own, err := l.backendNow(ctx)
	if err != nil {
		return err
	}
	told, err := call(ctx, l, func(dc driver.Conn) (string, error) { return toldBackend(dc), nil })
	if err != nil || told == own {
		return err // a pooler tells each client a number of its own
	}
	waiting, cancel := context.WithTimeout(ctx, secondFor)
	defer cancel()
	other, err := connect(waiting, parent, true)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("%w (%w)", ErrUnsure, err)
	}
	pooled := false
	for range pooledRounds {
		var there, here string
		if there, err = other.backendNow(ctx); err != nil {
			break
		}
		if here, err = l.backendNow(ctx); err != nil {
			break
		}
		pooled = pooled || there == own || here != own
	}
	if err != nil {
		other.discard()
		return err
	}
	if err := other.giveBack(); err != nil {
		return err
	}
	if pooled {
		return ErrPooled
	}
	return nil
}

// behindPooler says whether the client was told another number than that of a backend of PostgreSQL, whose name is number/start.
func (l *link) behindPooler(ctx context.Context, name string) bool {
	number, _, numbered := strings.Cut(name, "/")
	if !numbered {
		return false
	}
	told, err := call(ctx, l, func(dc driver.Conn) (string, error) { return toldBackend(dc), nil })
	return err != nil || told != number
}

// backendNow is the number of the backend that the connection leads to at the moment.
func (l *link) backendNow(ctx context.Context) (string, error) {
	row, err := l.queryRow(ctx, "SELECT pg_catalog.pg_backend_pid()")
	if err != nil {
		return "", err
	}
	return fmt.Sprint(row[0]), nil
}

// toldBackend is the number of the backend that lib/pq or pgx was told when it connected, "" if it can't be read. Drivers that
// wrap these have them in a field Conn.
func toldBackend(dc any) (number string) {
	defer func() {
		if recover() != nil { // in a method of a driver that nobody here knows
			number = ""
		}
	}()
	for range 5 { // as many layers as anybody has
		if c, ok := dc.(interface{ PID() uint32 }); ok {
			return fmt.Sprint(c.PID())
		}
		v := reflect.ValueOf(dc)
		if !v.IsValid() {
			return ""
		}
		next := reflect.Value{}
		for _, method := range []reflect.Value{v.MethodByName("PgConn"), v.MethodByName("Conn")} {
			if method.IsValid() && method.Type().NumIn() == 0 && method.Type().NumOut() == 1 {
				next = method.Call(nil)[0]
				break
			}
		}
		if !next.IsValid() {
			v = reflect.Indirect(v)
			if v.Kind() != reflect.Struct {
				return ""
			}
			if pid := v.FieldByName("pid"); pid.IsValid() && pid.CanInt() {
				return fmt.Sprint(pid.Int())
			}
			next = v.FieldByName("Conn")
		}
		if !next.IsValid() || !next.CanInterface() {
			return ""
		}
		dc = next.Interface()
	}
	return ""
}
