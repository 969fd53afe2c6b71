package dump

import (
	"context"
	"database/sql"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/gooseplus/gooseplus/internal/catalog"
	"github.com/gooseplus/gooseplus/internal/dialect"
)

// object is a row of sqlite_master.
type object struct{ kind, name, sql string }

var (
	fts      = regexp.MustCompile(`(?is)^create\s+virtual\s+table\s.*?\busing\s+fts\d`)
	external = regexp.MustCompile(`(?is)\bcontent\s*=`)
	virtual  = regexp.MustCompile(`(?is)^create\s+virtual\s`)
)

func (s Source) readSQLite(ctx context.Context) (list []string, err error) {
	tx, err := s.DB.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		if tx, err = s.DB.BeginTx(ctx, nil); err != nil {
			return nil, err
		}
	}
	defer tx.Rollback()
	objects, err := s.sqliteObjects(ctx, tx)
	if err != nil {
		return nil, err
	}
	of := func(kind string) (some []object) {
		return slices.DeleteFunc(slices.Clone(objects), func(o object) bool { return o.kind != kind })
	}
	tables := of("table")
	for _, o := range tables {
		list = append(list, o.sql+";")
	}
	for _, o := range tables {
		rows, err := sqliteRows(ctx, tx, o)
		if err != nil {
			return nil, err
		}
		list = append(list, rows...)
	}
	positions, err := s.sqlitePositions(ctx, tx)
	if err != nil {
		return nil, err
	}
	list = append(list, positions...)
	for _, name := range []string{"application_id", "user_version"} {
		value, err := column(ctx, tx, "SELECT "+name+" FROM pragma_"+name)
		if err != nil {
			return nil, err
		}
		if value[0] != "0" {
			list = append(list, "PRAGMA "+name+" = "+value[0]+";")
		}
	}
	for _, kind := range []string{"index", "view", "trigger"} {
		for _, o := range of(kind) {
			list = append(list, o.sql+";")
		}
	}
	return list, nil
}

// sqliteObjects are those that have SQL, in the order in which they were made, without the tables in which virtual tables
// keep what they have.
func (s Source) sqliteObjects(ctx context.Context, tx catalog.Querier) (list []object, err error) {
	hidden, err := column(ctx, tx, "SELECT name FROM pragma_table_list WHERE type = 'shadow'")
	if err != nil {
		return nil, err
	}
	query := "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid"
	err = catalog.Each(ctx, tx, query, func(rows *sql.Rows) error {
		var o object
		var table string
		err := rows.Scan(&o.kind, &o.name, &table, &o.sql)
		if !slices.Contains(s.Ignore, table) && !slices.Contains(hidden, table) {
			list = append(list, o)
		}
		return err
	})
	return list, err
}

// sqliteLiteral is a value as a literal. For quote a text ends before its first NUL.
const sqliteLiteral = "CASE WHEN typeof({column}) = 'text' AND instr({column}, char(0)) > 0 THEN 'CAST(' || quote(CAST({column} AS BLOB)) || ' AS TEXT)' ELSE quote({column}) END"

func sqliteRows(ctx context.Context, tx catalog.Querier, o object) ([]string, error) {
	table := dialect.Quoted(o.name)
	if fts.MatchString(o.sql) && external.MatchString(o.sql) {
		return []string{"INSERT INTO " + table + " (" + table + ") VALUES ('rebuild');"}, nil
	}
	hidden := "0"
	if !virtual.MatchString(o.sql) {
		hidden = "0, 1" // not the columns that are generated
	}
	columns, err := column(ctx, tx, "SELECT name FROM pragma_table_xinfo(?) WHERE hidden IN ("+hidden+") ORDER BY cid", o.name)
	if err != nil {
		return nil, err
	}
	for i, name := range columns {
		columns[i] = dialect.Quoted(name)
	}
	if fts.MatchString(o.sql) {
		columns = append([]string{"rowid"}, columns...)
	}
	if len(columns) == 0 {
		return nil, nil
	}
	order, err := sqliteOrder(ctx, tx, o)
	if err != nil {
		return nil, err
	}
	literals := make([]string, len(columns))
	for i, name := range columns {
		literals[i] = strings.ReplaceAll(sqliteLiteral, "{column}", name)
	}
	rows, err := column(ctx, tx, "SELECT "+strings.Join(literals, " || ', ' || ")+" FROM "+table+order)
	return inserts(table+" ("+strings.Join(columns, ", ")+")", rows), err
}

// sqliteOrder is the order in which the rows are kept. Otherwise an index might decide.
func sqliteOrder(ctx context.Context, tx catalog.Querier, o object) (string, error) {
	if virtual.MatchString(o.sql) {
		return "", nil
	}
	keys, err := column(ctx, tx, "SELECT name FROM pragma_table_xinfo(?) WHERE pk > 0 ORDER BY pk", o.name)
	rowid, rowidErr := column(ctx, tx, "SELECT 1 FROM pragma_table_list WHERE schema = 'main' AND name = ? AND wr = 0", o.name)
	if err = errors.Join(err, rowidErr); err != nil {
		return "", err
	}
	if len(rowid) > 0 {
		return " ORDER BY rowid", nil
	}
	for i, name := range keys {
		keys[i] = dialect.Quoted(name)
	}
	return " ORDER BY " + strings.Join(keys, ", "), nil
}

// sqlitePositions are those of AUTOINCREMENT.
func (s Source) sqlitePositions(ctx context.Context, tx catalog.Querier) (list []string, err error) {
	there, err := column(ctx, tx, "SELECT name FROM sqlite_master WHERE name = 'sqlite_sequence'")
	if err != nil || len(there) == 0 {
		return nil, err
	}
	err = catalog.Each(ctx, tx, "SELECT name, quote(name), seq FROM sqlite_sequence ORDER BY name", func(rows *sql.Rows) error {
		var name, literal, position string
		err := rows.Scan(&name, &literal, &position)
		if !slices.Contains(s.Ignore, name) {
			list = append(list, "DELETE FROM sqlite_sequence WHERE name = "+literal+";", "INSERT INTO sqlite_sequence (name, seq) VALUES ("+literal+", "+position+");")
		}
		return err
	})
	return list, err
}
