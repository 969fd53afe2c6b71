package conformance

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gooseplus/gooseplus"
)

// record is what the state table of a place says.
type record struct{ *place }

// stale inserts the row of a run that was cut off.
func (p record) stale(t *testing.T, planned string) {
	t.Helper()
	p.exec(t, `INSERT INTO goose_db_version_lock (id, kind, holder, started_at, outcome, start_set, planned, others, remembers)
		VALUES ('run:dead', 'run', 'host/1/dead', '2020-01-01T00:00:00.000000Z', 'running', '[]', '`+planned+`', '[""]', 1)`,
		"UPDATE goose_db_version_lock SET run_id = 'run:dead' WHERE kind = 'applied'")
}

func (p record) outcomeOfStale(t *testing.T) string {
	t.Helper()
	return fmt.Sprint(column[string](t, p.db, "SELECT outcome FROM goose_db_version_lock WHERE id = 'run:dead'"))
}

// marks lists what the state table remembers beside the mutex, the runs and the applied versions.
func (p record) marks(t *testing.T) string {
	t.Helper()
	return strings.Join(column[string](t, p.db, `SELECT CONCAT(kind, ' ', CASE kind WHEN 'environment' THEN '' ELSE CONCAT(version_id, ' ') END, source, environment) FROM goose_db_version_lock
		WHERE kind NOT IN ('fence', 'run', 'backend', 'applied') ORDER BY 1`), ", ")
}

// forgetful has nothing remembered of applied migrations.
func forgetful(o []gooseplus.Option) []gooseplus.Option {
	return append(o, gooseplus.WithChecksums(gooseplus.Ignore), gooseplus.WithUnknownVersions(gooseplus.Ignore))
}

// wantNoState asserts that there is no state table, which goose's users need not have.
func (p record) wantNoState(t *testing.T) {
	t.Helper()
	if _, err := p.db.Exec("SELECT 1 FROM goose_db_version_lock"); err == nil {
		t.Error("there is a state table")
	}
}

// outcomes are those of the runs, with their namespaces, the oldest first: the namespaces in their order.
func (p record) outcomes(t *testing.T) []string {
	t.Helper()
	concat := "namespace || ' ' || outcome"
	if p.dialect == "mysql" {
		concat = "CONCAT(namespace, ' ', outcome)"
	}
	return column[string](t, p.db, "SELECT "+concat+" FROM goose_db_version_lock WHERE kind = 'run' ORDER BY started_at")
}

// dirty lists the steps that are marked, if there is a state table.
func (p record) dirty(t *testing.T) []string {
	t.Helper()
	if len(p.ids(t)) == 0 {
		return nil
	}
	return column[string](t, p.db, "SELECT source FROM goose_db_version_lock WHERE kind = 'dirty'")
}

func (p record) ids(t *testing.T) []string {
	if _, err := p.db.Exec("SELECT 1 FROM goose_db_version_lock"); err != nil {
		return nil
	}
	return column[string](t, p.db, "SELECT id FROM goose_db_version_lock")
}

func (p record) exists() bool {
	_, err := p.db.Exec("SELECT 1 FROM goose_db_version_lock")
	return err == nil
}

// earlier makes the state table as the version before this one had it.
func (p record) earlier(t *testing.T) {
	t.Helper()
	columns := `(status INTEGER NOT NULL DEFAULT 0, id VARCHAR(180) NOT NULL DEFAULT 'mutex', kind VARCHAR(20) NOT NULL DEFAULT 'mutex',
		namespace VARCHAR(255) NOT NULL DEFAULT '', version_id BIGINT NOT NULL DEFAULT 0, name VARCHAR(255) NOT NULL DEFAULT '',
		holder VARCHAR(255) NOT NULL DEFAULT '', started_at VARCHAR(40) NOT NULL DEFAULT '', ended_at VARCHAR(40) NOT NULL DEFAULT '',
		from_version BIGINT NOT NULL DEFAULT 0, to_version BIGINT NOT NULL DEFAULT 0, outcome VARCHAR(20) NOT NULL DEFAULT '',
		backend VARCHAR(100) NOT NULL DEFAULT '', start_set TEXT, planned TEXT, error_text TEXT, PRIMARY KEY (id))`
	if p.dialect == "postgres" {
		p.exec(t, "CREATE TABLE goose_db_version_lock "+columns+" PARTITION BY LIST (id)",
			"CREATE TABLE goose_db_version_lock_mutex PARTITION OF goose_db_version_lock FOR VALUES IN ('mutex')",
			"CREATE TABLE goose_db_version_lock_rows PARTITION OF goose_db_version_lock DEFAULT")
	} else {
		p.exec(t, "CREATE TABLE goose_db_version_lock "+columns)
	}
	p.exec(t, "INSERT INTO goose_db_version_lock (status) VALUES (0)",
		"INSERT INTO goose_db_version_lock (id, kind, version_id) VALUES ('of:protected:1:', 'protected', 1)",
		"INSERT INTO goose_db_version_lock (id, kind, name) VALUES ('of:environment:production', 'environment', 'production')",
		"INSERT INTO goose_db_version_lock (id, kind, holder, started_at, outcome, start_set, planned) VALUES ('run:old', 'run', 'h/1/old', '2020-01-01T00:00:00.000000Z', 'migrated', '[]', '[1]')")
}
