package dialect

import (
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
)

// codes are error codes of each database: SQLSTATEs (PostgreSQL manual, appendix A), MySQL's error numbers, and SQLite's
// result codes without the higher bits that extend them.
type codes map[goose.Dialect][]string

var (
	// lock_not_available, deadlock_detected, serialization_failure; ER_LOCK_WAIT_TIMEOUT, also of metadata locks, and
	// ER_LOCK_DEADLOCK; SQLITE_BUSY, SQLITE_LOCKED.
	contention = codes{goose.DialectPostgres: {"55P03", "40P01", "40001"}, goose.DialectMySQL: {"1205", "1213"}, goose.DialectSQLite3: {"5", "6"}}
	// query_canceled; ER_STATEMENT_TIMEOUT of MariaDB, ER_QUERY_TIMEOUT of MySQL.
	statementTimeout = codes{goose.DialectPostgres: {"57014"}, goose.DialectMySQL: {"1969", "3024"}}
	// ER_LOCK_DEADLOCK, ER_LOCK_TABLE_FULL.
	undone = codes{goose.DialectMySQL: {"1213", "1206"}}
	// ER_LOCK_WAIT_TIMEOUT.
	lockTimeout = codes{goose.DialectMySQL: {"1205"}}
	// ER_LOCK_DEADLOCK.
	deadlock = codes{goose.DialectMySQL: {"1213"}}
	// syntax_error; ER_PARSE_ERROR; SQLITE_ERROR.
	unparsed = codes{goose.DialectPostgres: {"42601"}, goose.DialectMySQL: {"1064"}, goose.DialectSQLite3: {"1"}}
	// duplicate_schema, duplicate_table, duplicate_column, duplicate_object; ER_TABLE_EXISTS_ERROR, ER_DUP_FIELDNAME, ER_DUP_KEYNAME.
	exists = codes{goose.DialectPostgres: {"42P06", "42P07", "42701", "42710"}, goose.DialectMySQL: {"1050", "1060", "1061"}}
	// Of tables ER_TABLE_EXISTS_ERROR, ER_BAD_TABLE_ERROR, ER_NO_SUCH_TABLE; of columns ER_BAD_FIELD_ERROR, ER_DUP_FIELDNAME; of keys
	// ER_DUP_KEYNAME, ER_MULTIPLE_PRI_KEY, ER_CANT_DROP_FIELD_OR_KEY, ER_KEY_DOES_NOT_EXITS; of constraints ER_FK_DUP_NAME,
	// ER_CHECK_CONSTRAINT_NOT_FOUND, ER_CHECK_CONSTRAINT_DUP_NAME, ER_CONSTRAINT_NOT_FOUND; of partitions
	// ER_PARTITION_MGMT_ON_NONPARTITIONED, ER_DROP_PARTITION_NON_EXISTENT, ER_SAME_NAME_PARTITION, ER_UNKNOWN_PARTITION; of databases
	// ER_DB_CREATE_EXISTS, ER_DB_DROP_EXISTS; of routines ER_SP_ALREADY_EXISTS (a missing one may also be one that the statement calls); of
	// triggers ER_TRG_ALREADY_EXISTS, ER_TRG_DOES_NOT_EXIST; of events ER_EVENT_ALREADY_EXISTS, ER_EVENT_DOES_NOT_EXIST; of
	// MariaDB ER_UNKNOWN_SEQUENCES, ER_UNKNOWN_VIEW, ER_VERS_NOT_VERSIONED, ER_VERS_ALREADY_VERSIONED.
	unneeded = codes{goose.DialectMySQL: {"1050", "1051", "1146", "1054", "1060", "1061", "1068", "1091", "1176", "1826", "3821", "3822", "3940",
		"1505", "1507", "1517", "1735", "1007", "1008", "1304", "1359", "1360", "1537", "1539", "4091", "4092", "4124", "4135"}}
	// invalid_catalog_name; ER_BAD_DB_ERROR.
	noDatabase = codes{goose.DialectPostgres: {"3D000"}, goose.DialectMySQL: {"1049"}}
	// insufficient_privilege; ER_DBACCESS_DENIED_ERROR, ER_TABLEACCESS_DENIED_ERROR, ER_COLUMNACCESS_DENIED_ERROR,
	// ER_SPECIFIC_ACCESS_DENIED_ERROR.
	denied = codes{goose.DialectPostgres: {"42501"}, goose.DialectMySQL: {"1044", "1142", "1143", "1227"}}
	// ER_DBACCESS_DENIED_ERROR, ER_ACCESS_DENIED_ERROR, ER_BAD_DB_ERROR, ER_ACCESS_DENIED_NO_PASSWORD_ERROR.
	refused = []string{"1044", "1045", "1049", "1698"}
)

// Contention says whether err has, anywhere in its tree, a database's refusal because another transaction was in the way:
// a lock timeout, a deadlock, or a serialization failure. The same statement may succeed a moment later. A statement
// timeout is no contention.
func (d Dialect) Contention(err error) bool { return contention.in(err, d.Goose) }

// StatementTimeout says whether the database has ended a statement because its time was over.
func (d Dialect) StatementTimeout(err error) bool { return statementTimeout.in(err, d.Goose) }

// Deadlock says whether err has MySQL's deadlock error: InnoDB has rolled back the transaction.
func (d Dialect) Deadlock(err error) bool { return deadlock.in(err, d.Goose) }

// Undone says of an error of whatever database whether the server has rolled back the whole transaction because of it, and goes
// on without one: MySQL's deadlock, and its table of locks that is full.
func Undone(err error) bool { return undone.in(err, goose.DialectMySQL) }

// MaybeUndone is Undone for the error of which that depends on the server: MySQL's lock timeout, with innodb_rollback_on_timeout.
func MaybeUndone(err error) bool { return lockTimeout.in(err, goose.DialectMySQL) }

// Unparsed says whether the database could not parse a statement. PostgreSQL and MySQL give the same code while they execute
// one, for a value that they parse then: a tsquery, a jsonpath, a search in an index, a statement that a procedure puts
// together. A statement that was not parsed is told with the place in it. SQLite gives this error for other reasons too,
// and undoes the statement. A statement that executes others can fail so after it has done a part of them.
func (d Dialect) Unparsed(err error, statement string) bool {
	return within(err, func(err error) bool {
		if !slices.Contains(unparsed[d.Goose], codeOf(err, d.Goose)) {
			return false
		}
		switch d.Goose {
		case goose.DialectPostgres:
			return AnswerOf(err).Position > 0
		case goose.DialectMySQL:
			rest := nearby.FindStringSubmatch(err.Error())
			return rest != nil && strings.Contains(statement, strings.TrimSuffix(rest[1], "..."))
		}
		return true
	})
}

// nearby matches the message of MySQL's parser, in whatever language: the rest of the statement in quotes, which MariaDB
// cuts off with dots, and a line.
var nearby = regexp.MustCompile(`(?s)'(.*)'\D*\d+\D*$`)

// Exists says whether the database has refused DDL because what it makes is there already. Databases look for that first.
func (d Dialect) Exists(err error) bool { return exists.in(err, d.Goose) }

// Unneeded says whether the database has refused DDL because everything is already as it would be afterwards: what it removes
// isn't there, or what it makes is.
func (d Dialect) Unneeded(err error) bool { return unneeded.in(err, d.Goose) }

// NoDatabase says whether the server has no database of the name in the DSN.
func (d Dialect) NoDatabase(err error) bool { return noDatabase.in(err, d.Goose) }

// Denied says whether this user lacks the privilege for a statement. MySQL gives the same error for a table that doesn't
// exist, and hides tables that the user may not use from its catalog.
func (d Dialect) Denied(err error) bool { return denied.in(err, d.Goose) }

// Refused says whether a server, PostgreSQL or MySQL, has refused the connection: the user, the password, or the database
// is wrong.
func Refused(err error) bool {
	return within(err, func(err error) bool {
		state := codeOf(err, goose.DialectPostgres)
		return strings.HasPrefix(state, "28") || strings.HasPrefix(state, "3D") || slices.Contains(refused, codeOf(err, goose.DialectMySQL))
	})
}

func (c codes) in(err error, of goose.Dialect) bool {
	return within(err, func(err error) bool { return slices.Contains(c[of], codeOf(err, of)) })
}

// within asks every error of a tree: the one that counts may stand beside others.
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
		return slices.ContainsFunc(x.Unwrap(), func(e error) bool { return within(e, is) })
	}
	return false
}

// codeOf is the code in a driver's error, "" if there is none. It knows the errors of lib/pq, pgx, go-sql-driver/mysql,
// modernc.org/sqlite and mattn/go-sqlite3 by their shape, because naming their types takes the drivers' packages.
func codeOf(err error, of goose.Dialect) string {
	v := reflect.ValueOf(err)
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		v = v.Elem()
	}
	switch of {
	case goose.DialectPostgres:
		if e, ok := err.(interface{ SQLState() string }); ok {
			return e.SQLState()
		}
	case goose.DialectMySQL:
		if n := field(v, "Number"); n.Kind() == reflect.Uint16 {
			return strconv.FormatUint(n.Uint(), 10)
		}
	case goose.DialectSQLite3:
		if e, ok := err.(interface{ Code() int }); ok {
			return strconv.Itoa(e.Code() & 0xff)
		}
		if n := field(v, "Code"); n.Kind() == reflect.Int {
			return strconv.FormatInt(n.Int()&0xff, 10)
		}
	}
	return ""
}

// SQLState is the SQLSTATE of an error, "" if there is none.
func SQLState(err error) (state string) {
	within(err, func(err error) bool { state = codeOf(err, goose.DialectPostgres); return state != "" })
	return state
}

// field is a struct's own exported field, or the zero Value.
func field(v reflect.Value, name string) reflect.Value {
	if v.Kind() == reflect.Struct {
		if f, ok := v.Type().FieldByName(name); ok && len(f.Index) == 1 {
			return v.FieldByIndex(f.Index)
		}
	}
	return reflect.Value{}
}
