package history

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/mutex"
)

// State is a state table, which need not exist.
type State struct {
	*table
	version     dialect.Name // the version table
	Runs        Runs
	Steps       Steps
	Marks       Marks
	Connections Connections
	Versioned   Versioned
}

const suffix = "_lock"

// NewState names the state table that belongs to a version table. It is nil for dialects that gooseplus leaves to goose.
func NewState(d dialect.Dialect, versionTable string) (*State, error) {
	server := serverOf(d)
	if server == nil {
		return nil, nil
	}
	version, err := d.ParseName(versionTable)
	if err != nil {
		return nil, err
	}
	t := newTable(server, d, dialect.Name{Schema: version.Schema, Table: version.Table + suffix})
	if _, err := d.ParseName(t.quoted); err != nil { // longer than the server takes
		return nil, fmt.Errorf("the state table: %w", err)
	}
	return newState(t, version), nil
}

func newState(t table, version dialect.Name) *State {
	return &State{&t, version, Runs{&t}, Steps{&t}, Marks{&t}, Connections{&t}, Versioned{t: &t}}
}

// Name is the table's name as it stands in statements.
func (s *State) Name() string { return s.quoted }

// Tables are the names of the version table and of the state table, without a schema, as the server stores them.
func (s *State) Tables() []string { return []string{s.version.Table, s.name.Table} }

// Mutex is the lock of the table. The table need not exist. pool is the application's pool, which owns a database in memory; db has the same connections.
func (s *State) Mutex(ctx context.Context, db, pool *sql.DB, lease mutex.Lease) (mutex.Mutex, error) {
	return s.server.mutex(ctx, s, db, pool, lease)
}

// Under is the table for the holder of its lock. Its name has the schema in which the server has found the table, because a
// migration, or the application, may change the search_path.
func (s *State) Under(held mutex.Held) *State {
	t := *s.table
	if h, ok := held.(*mutex.HeldServer); ok {
		switch s.server.(type) {
		case postgres:
			if n, err := s.dialect.ParseName(h.Key()); err == nil && n.Schema != "" {
				t = newTable(s.server, s.dialect, n)
			}
		case mysql:
			t.server = mysql{s.dialect, h.Autocommits()}
		}
	}
	return newState(t, s.version)
}

// column is a column of the state table. It means the same in rows of each kind.
type column struct{ name, definition string }

// idSize is how long the key of a row can be: an index of MySQL has its limits.
const idSize = 180

// columns are the columns of the table in the order of their creation.
func (t *table) columns() []column {
	text := t.server.terms().text
	varchar := func(size int) string { return fmt.Sprintf("VARCHAR(%d)%s NOT NULL", size, text) }
	return []column{
		{"id", varchar(idSize)}, // the kind, and what the row is of
		{"kind", varchar(20) + " DEFAULT ''"},
		{"run_id", varchar(100) + " DEFAULT ''"},    // of a fence, a step, a connection and an applied version: the id of the run's row
		{"namespace", varchar(255) + " DEFAULT ''"}, // of a run, a step, a protected and an applied version
		// Of a fence: how many transactions the run has committed. Of a run: how many they were when it ended. Of a step:
		// how many they were when it began. -1 is unknown.
		{"transactions", "BIGINT NOT NULL DEFAULT -1"},
		// Of a step, a protected and an applied version.
		{"version_id", "BIGINT NOT NULL DEFAULT 0"},
		{"source", varchar(255) + " DEFAULT ''"},
		// Of a step.
		{"direction", varchar(4) + " DEFAULT ''"},
		{"failed", "INTEGER NOT NULL DEFAULT 0"},
		{"environment", varchar(255) + " DEFAULT ''"}, // of a stamp
		{"backend", varchar(100) + " DEFAULT ''"},     // of a connection: what the server calls it
		// Of a run.
		{"holder", varchar(255) + " DEFAULT ''"},
		{"started_at", varchar(40) + " DEFAULT ''"},
		{"ended_at", varchar(40) + " DEFAULT ''"},
		{"from_version", "BIGINT NOT NULL DEFAULT 0"},
		{"to_version", "BIGINT NOT NULL DEFAULT 0"},
		{"outcome", varchar(20) + " DEFAULT ''"},
		{"start_set", "TEXT" + text},
		{"planned", "TEXT" + text},
		{"error_text", "TEXT" + text},
		// Of an applied version, and application of a run too.
		{"checksum", varchar(64) + " DEFAULT ''"},
		{"checksum_key", "BIGINT NOT NULL DEFAULT 0"}, // the number that checksum begins with
		{"duration_ms", "BIGINT NOT NULL DEFAULT 0"},
		{"application", varchar(255) + " DEFAULT ''"},
		{"requires", "BIGINT NOT NULL DEFAULT 0"},
		{"down_sql", "TEXT" + text},
		{"others", "TEXT" + text},                   // of a run
		{"remembers", "INTEGER NOT NULL DEFAULT 0"}, // of a run
	}
}

// layout is what a table looks like.
type layout struct {
	columns     map[string]bool // none if there is no table
	partitioned bool            // as it was on PostgreSQL once
	unsafe      []string        // those of the tables asked about whose storage engine has no transactions
}

// layout reads the layout from the server's catalog, and in the same statement which tables are unsafe.
func (t *table) layout(ctx context.Context, db Querier, tables ...*table) (layout, error) {
	query := t.server.columns(t.name)
	for _, other := range tables {
		if unsafe := t.server.unsafe(other); unsafe != "" {
			query += " UNION ALL " + unsafe
		}
	}
	l := layout{columns: make(map[string]bool)}
	err := each(ctx, db, query, func(rows *sql.Rows) error {
		var name string
		var what int
		err := rows.Scan(&name, &what)
		if what == isUnsafe {
			l.unsafe = append(l.unsafe, name)
			return err
		}
		l.columns[strings.ToLower(name)], l.partitioned = true, what > 0
		return err
	})
	if err == nil && !l.there() {
		err = t.unusable(ctx, db)
	}
	return l, err
}

// isUnsafe marks a row of layout's query that is no column, but an unsafe table.
const isUnsafe = 2

// options end the statement that creates a table, where the database's own choice would be a storage engine without transactions.
func (t *table) options(ctx context.Context, db Querier) (string, error) {
	query := t.server.unsafeByDefault()
	if query == "" {
		return "", nil
	}
	unsafe, err := count(ctx, db, query)
	if err != nil || unsafe == 0 {
		return "", err
	}
	return " ENGINE = InnoDB", nil
}

func (l layout) there() bool { return len(l.columns) > 0 }

// remembers says whether the table has rows for facts. The original gooseplus's table has only a lock.
func (l layout) remembers() bool { return l.columns["kind"] || l.spoilt() }

// spoilt says that somebody has taken away the column that tells what a row is.
func (l layout) spoilt() bool { return l.columns["run_id"] && !l.columns["kind"] }

// earlier says whether the table has columns of an earlier version.
func (l layout) earlier() bool { return l.columns["status"] || l.columns["name"] }

func (l layout) missing(t *table) (missing []column) {
	for _, c := range t.columns() {
		if !l.columns[c.name] {
			missing = append(missing, c)
		}
	}
	return missing
}

// Hidden is the server's refusal to read the table where the catalog has no such table. MySQL's catalog leaves out tables
// that the user may not use, and the server refuses to read a missing table with the same error. So without the privilege
// it is unknown whether the table exists.
func (s *State) Hidden(ctx context.Context, db Querier) error {
	if !s.dialect.HidesTables() {
		return nil
	}
	err := each(ctx, db, s.sql("SELECT 1 FROM {table} LIMIT 0"), func(*sql.Rows) error { return nil })
	if !s.dialect.Denied(err) { // another process may have created it since
		return nil
	}
	return err
}

// RowsHidden is ErrHidden if a look has found no rows of a table that should have some, because the server doesn't show them. What they
// say, such as a dirty version, must not be taken for nothing.
func (s *State) RowsHidden(ctx context.Context, db Querier) error { return s.hidden(ctx, db) }

// Missing says whether there is no table, or only the original gooseplus's, which remembers nothing.
func (s *State) Missing(ctx context.Context, db Querier) (bool, error) {
	l, err := s.layout(ctx, db)
	return err == nil && !l.remembers(), err
}

// InvalidIndexes are indexes of the database that a failed CREATE INDEX CONCURRENTLY has left: they slow down writes and serve
// no query. It returns none where that can't be told.
func (s *State) InvalidIndexes(ctx context.Context, db Querier) (names []string) {
	if _, ok := s.server.(postgres); !ok {
		return nil
	}
	_ = each(ctx, db, invalidIndexes, func(rows *sql.Rows) error { // it is only help
		var name string
		err := rows.Scan(&name)
		names = append(names, name)
		return err
	})
	return names
}
