package dialect

import (
	"database/sql/driver"
	"errors"
	"net"
	"reflect"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
)

// Answer is what a PostgreSQL server says of an error beside its message (PostgreSQL manual, "Error and Notice Message
// Fields"). The drivers' messages leave it out.
type Answer struct {
	Detail, Hint string
	Position     int // of the character in the statement, counted from 1; 0 if there is none
}

// AnswerOf finds the answer in the errors of lib/pq and pgx. It is empty for every other error.
func AnswerOf(err error) (a Answer) {
	within(err, func(err error) bool {
		if codeOf(err, goose.DialectPostgres) == "" {
			return false
		}
		v := reflect.Indirect(reflect.ValueOf(err))
		detail, hint, at := field(v, "Detail"), field(v, "Hint"), field(v, "Position")
		if detail.Kind() != reflect.String || hint.Kind() != reflect.String {
			return false
		}
		a.Detail, a.Hint = detail.String(), hint.String()
		switch at.Kind() {
		case reflect.Int32:
			a.Position = int(at.Int())
		case reflect.String:
			a.Position, _ = strconv.Atoi(at.String())
		}
		return true
	})
	return a
}

// Unreachable says whether err means that no connection was made, or that it broke.
func Unreachable(err error) bool {
	var dial *net.OpError
	var name *net.DNSError
	return errors.As(err, &dial) || errors.As(err, &name) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, net.ErrClosed)
}

// DriverOf is the dialect that a driver is for, by the name of its type; "" if that doesn't tell.
func DriverOf(driver any) string {
	name := strings.ToLower(reflect.TypeOf(driver).String())
	for _, d := range []struct{ part, dialect string }{
		{"sqlite", "sqlite"}, {"mysql", "mysql"}, {"pq.", "postgres"}, {"stdlib.", "postgres"},
	} {
		if strings.Contains(name, d.part) {
			return d.dialect
		}
	}
	return ""
}
