package history

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

var errBroken = errors.New("the connection broke after the first row")

// broken is a server that answers with one row. Then the connection breaks if the statement has the text that breaks.
type broken struct {
	breaks string
	row    func(statement string) []driver.Value
}

func (b *broken) Connect(context.Context) (driver.Conn, error) { return b, nil }
func (b *broken) Driver() driver.Driver                        { return nil }
func (b *broken) Prepare(string) (driver.Stmt, error)          { return nil, errors.ErrUnsupported }
func (b *broken) Begin() (driver.Tx, error)                    { return nil, errors.ErrUnsupported }
func (b *broken) Close() error                                 { return nil }

func (b *broken) QueryContext(_ context.Context, statement string, _ []driver.NamedValue) (driver.Rows, error) {
	rows := &brokenRows{row: b.row(statement), end: io.EOF}
	if strings.Contains(statement, b.breaks) {
		rows.end = errBroken
	}
	return rows, nil
}

type brokenRows struct {
	row []driver.Value
	end error
}

func (r *brokenRows) Columns() []string { return make([]string, len(r.row)) }
func (r *brokenRows) Close() error      { return nil }

func (r *brokenRows) Next(dest []driver.Value) error {
	if r.row == nil {
		return r.end
	}
	copy(dest, r.row)
	r.row = nil
	return nil
}

// TestAnswerThatBreaksOff: the rows of an answer that breaks off are not taken for all that there are.
func TestAnswerThatBreaksOff(t *testing.T) {
	t.Parallel()
	t.Run("of the version table", func(t *testing.T) {
		t.Parallel()
		db := sql.OpenDB(&broken{"", func(string) []driver.Value { return []driver.Value{int64(1), int64(0), true, nil, nil} }})
		defer db.Close()
		if rows, err := newVersions(t, "mysql", "v").Owned(t.Context(), db, false); !errors.Is(err, errBroken) {
			t.Errorf("Owned: %v, %v", rows, err)
		}
	})
	d, err := dialect.Lookup("mysql")
	if err != nil {
		t.Fatal(err)
	}
	sweep := func(t *testing.T, breaks string) ([]*Swept, error) {
		db := sql.OpenDB(&broken{breaks, func(statement string) []driver.Value {
			if strings.Contains(statement, "information_schema") {
				return []driver.Value{int64(1), int64(1), int64(1), int64(1)} // the first schema is there, with its table
			}
			return []driver.Value{int64(0), int64(1), int64(5), int64(1), ""}
		}})
		defer db.Close()
		state, err := NewState(d, "v")
		if err != nil {
			t.Fatal(err)
		}
		return Sweep(t.Context(), db, state, "v", Question{}, []string{"a", "b"})
	}
	t.Run("of what there is", func(t *testing.T) {
		t.Parallel()
		if found, err := sweep(t, "information_schema"); !errors.Is(err, errBroken) {
			t.Errorf("Sweep: %v, %v", found, err)
		}
	})
	t.Run("of the tables of a sweep", func(t *testing.T) {
		t.Parallel()
		found, err := sweep(t, "version_id")
		if err != nil || len(found) != 2 || found[0] != nil || found[1] == nil {
			t.Errorf("Sweep: %v, %v; want no answer for the first", found, err)
		}
	})
	t.Run("of none", func(t *testing.T) {
		t.Parallel()
		found, err := sweep(t, "never")
		if err != nil || len(found) != 2 || found[0] == nil || len(found[0].Applied) != 1 {
			t.Errorf("Sweep: %v, %v; want version 5 of the first", found, err)
		}
	})
}
