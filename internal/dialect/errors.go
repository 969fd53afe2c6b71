package dialect

import (
	"reflect"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"
)

// Contention says whether err has, anywhere in its tree, a database's refusal because somebody else
// was in the way: a lock that was not to be had in time, a deadlock, or transactions that can't be
// put into an order. The same may succeed a moment later. It knows the errors of lib/pq, pgx,
// go-sql-driver/mysql, modernc.org/sqlite and mattn/go-sqlite3 by their shape and their code, never by
// their text; a statement that took too long is none of them.
func (d Dialect) Contention(err error) bool {
	code := d.contentionCode()
	return code != nil && within(err, code)
}

// Deadlock says whether err has MySQL's ER_LOCK_DEADLOCK: InnoDB has rolled back the transaction because it and
// another one waited for each other.
func (d Dialect) Deadlock(err error) bool {
	return d.Goose == goose.DialectMySQL && within(err, func(err error) bool {
		number := field(err, "Number", reflect.Uint16)
		return number.IsValid() && number.Uint() == 1213
	})
}

// Unparsed says whether err is the answer of a database that could not parse a statement: PostgreSQL's syntax_error, MySQL's
// ER_PARSE_ERROR and ER_SYNTAX_ERROR, and SQLITE_ERROR, which SQLite gives for other errors too, and takes the
// statement back then. A statement that executes others can fail so after it has done a part of them.
func (d Dialect) Unparsed(err error) bool {
	return within(err, func(err error) bool {
		switch d.Goose {
		case goose.DialectPostgres:
			e, ok := err.(interface{ SQLState() string })
			return ok && !nilPointer(err) && e.SQLState() == "42601"
		case goose.DialectMySQL:
			number := field(err, "Number", reflect.Uint16)
			return number.IsValid() && (number.Uint() == 1064 || number.Uint() == 1149)
		case goose.DialectSQLite3:
			return sqliteCode(err)&0xff == 1
		}
		return false
	})
}

func (d Dialect) contentionCode() func(error) bool {
	switch d.Goose {
	case goose.DialectPostgres:
		return postgresContention
	case goose.DialectMySQL:
		return mysqlContention
	case goose.DialectSQLite3:
		return sqliteContention
	}
	return nil
}

// NoDatabase says whether err has the server's answer that there is no database of the name that was to
// be connected to.
func (d Dialect) NoDatabase(err error) bool {
	return within(err, func(err error) bool {
		switch d.Goose {
		case goose.DialectPostgres:
			e, ok := err.(interface{ SQLState() string })
			return ok && !nilPointer(err) && e.SQLState() == "3D000"
		case goose.DialectMySQL:
			number := field(err, "Number", reflect.Uint16)
			return number.IsValid() && number.Uint() == 1049
		}
		return false
	})
}

// Refused says whether err has a server's answer that this user, or a database of that name, is not let
// in: of PostgreSQL the errors of class 28 and 3D, of MySQL ER_ACCESS_DENIED_ERROR, ER_DBACCESS_DENIED_ERROR,
// ER_BAD_DB_ERROR and ER_ACCESS_DENIED_NO_PASSWORD_ERROR.
func Refused(err error) bool {
	return within(err, func(err error) bool {
		if e, ok := err.(interface{ SQLState() string }); ok && !nilPointer(err) {
			return strings.HasPrefix(e.SQLState(), "28") || strings.HasPrefix(e.SQLState(), "3D")
		}
		number := field(err, "Number", reflect.Uint16)
		return number.IsValid() && slices.Contains([]uint64{1044, 1045, 1049, 1698}, number.Uint())
	})
}

// Denied says whether err has the server's answer that this user may not do that with what is there, of PostgreSQL
// insufficient_privilege, of MySQL ER_DBACCESS_DENIED_ERROR, ER_TABLEACCESS_DENIED_ERROR, ER_COLUMNACCESS_DENIED_ERROR
// and ER_SPECIFIC_ACCESS_DENIED_ERROR. MySQL gives it of a table that isn't there, too, and hides from its catalog what
// the user may not use.
func (d Dialect) Denied(err error) bool {
	return within(err, func(err error) bool {
		switch d.Goose {
		case goose.DialectPostgres:
			e, ok := err.(interface{ SQLState() string })
			return ok && !nilPointer(err) && e.SQLState() == "42501"
		case goose.DialectMySQL:
			number := field(err, "Number", reflect.Uint16)
			return number.IsValid() && slices.Contains([]uint64{1044, 1142, 1143, 1227}, number.Uint())
		}
		return false
	})
}

// within looks at every error of a tree: the one that counts may stand beside others.
func within(err error, is func(error) bool) bool {
	if err == nil {
		return false
	}
	if is(err) {
		return true
	}
	switch x := err.(type) {
	case interface{ Unwrap() error }:
		return within(x.Unwrap(), is)
	case interface{ Unwrap() []error }:
		for _, e := range x.Unwrap() {
			if within(e, is) {
				return true
			}
		}
	}
	return false
}

// postgresContention knows lock_not_available, deadlock_detected and serialization_failure
// (PostgreSQL manual, appendix A).
func postgresContention(err error) bool {
	e, ok := err.(interface{ SQLState() string })
	if !ok || nilPointer(err) {
		return false
	}
	switch e.SQLState() {
	case "55P03", "40P01", "40001":
		return true
	}
	return false
}

// mysqlContention knows ER_LOCK_WAIT_TIMEOUT, also of metadata locks, and ER_LOCK_DEADLOCK.
func mysqlContention(err error) bool {
	number := field(err, "Number", reflect.Uint16)
	return number.IsValid() && (number.Uint() == 1205 || number.Uint() == 1213)
}

// sqliteContention knows SQLITE_BUSY and SQLITE_LOCKED, whatever extends them in the higher bits.
func sqliteContention(err error) bool {
	const busy, locked = 5, 6
	code := sqliteCode(err)
	return code&0xff == busy || code&0xff == locked
}

// sqliteCode is the result code in an error of one of the drivers, 0 if it is none.
func sqliteCode(err error) int {
	if e, ok := err.(interface{ Code() int }); ok && !nilPointer(err) {
		return e.Code()
	}
	if f := field(err, "Code", reflect.Int); f.IsValid() {
		return int(f.Int())
	}
	return 0
}

// field is the exported field of a driver's error, which is a struct or a pointer to one: to name
// its type takes the driver's package. The zero Value means that there is no such field.
func field(err error, name string, kind reflect.Kind) reflect.Value {
	v := reflect.ValueOf(err)
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return reflect.Value{}
	}
	if t, ok := v.Type().FieldByName(name); !ok || !t.IsExported() || len(t.Index) > 1 || t.Type.Kind() != kind {
		return reflect.Value{}
	}
	return v.FieldByName(name)
}

func nilPointer(err error) bool {
	v := reflect.ValueOf(err)
	return v.Kind() == reflect.Pointer && v.IsNil()
}
