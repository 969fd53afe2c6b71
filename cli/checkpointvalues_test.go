package cli_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/gooseplus/gooseplus"
)

// TestCheckpointKeepsValues: a checkpoint makes what comparing the catalogs doesn't show.
func TestCheckpointKeepsValues(t *testing.T) {
	t.Parallel()
	sets := map[string]struct {
		up      string
		queries map[string]string // and their answers
	}{
		// A child gets its columns in another order.
		"postgres": {`CREATE TABLE parent (k int, t text);
CREATE TABLE child (extra int) INHERITS (parent);
ALTER TABLE parent ADD COLUMN "T, 2" text;
INSERT INTO child (k, t, extra, "T, 2") VALUES (5, 'it''s (a), "b";', 6, '7'), (1, NULL, 2, '3');
CREATE TABLE generated (a int, twice int GENERATED ALWAYS AS (a * 2) STORED, n int GENERATED ALWAYS AS IDENTITY);
INSERT INTO generated (a) VALUES (1);
CREATE TABLE whole (a int, b int) PARTITION BY LIST (a);
CREATE TABLE part (b int, a int);
INSERT INTO part (a, b) VALUES (1, 2);
ALTER TABLE whole ATTACH PARTITION part FOR VALUES IN (1);`, map[string]string{
			`SELECT string_agg(concat_ws('/', k, t, extra, "T, 2"), ' ' ORDER BY k DESC) FROM child`: `5/it's (a), "b";/6/7 1/2/3`,
			"SELECT concat_ws('/', a, twice, n) FROM generated":                                      "1/2/1",
			"SELECT concat_ws('/', a, b) FROM part":                                                  "1/2",
		}},
		"sqlite": {`CREATE TABLE a (t TEXT, b BLOB);
INSERT INTO a VALUES (char(97, 0, 98, 39), x'610062');
PRAGMA user_version = 7;
PRAGMA application_id = -99;`, map[string]string{
			"SELECT hex(t) || typeof(t) || hex(b) || typeof(b) FROM a": "61006227text610062blob",
			"PRAGMA user_version":   "7",
			"PRAGMA application_id": "-99",
		}},
		"mysql": {`CREATE TABLE a (id INT);
SET time_zone = '+05:30';
CREATE EVENT ev ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 12:00:00' DO DELETE FROM a;
SET time_zone = DEFAULT;`, map[string]string{
			"SELECT CONCAT(time_zone, ' ', starts) FROM information_schema.events WHERE event_schema = DATABASE()": "+05:30 2030-01-01 12:00:00",
		}},
	}
	for _, h := range homes() {
		set, ok := sets[h.dialect]
		if !ok {
			continue
		}
		t.Run(h.dialect, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "sql")
			if err := os.MkdirAll(filepath.Join(dir, "base"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "base", "1_a.sql"), []byte("-- +goose Up\n"+set.up+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, output, err := writeCheckpoint(t, dir, h.shadow(t)); err != nil {
				t.Fatal(output)
			}
			for _, use := range []bool{false, true} {
				db, _ := h.open(t)
				if err := gooseplus.New(db, gooseplus.WithDialect(h.dialect), gooseplus.WithFS(os.DirFS(filepath.Dir(dir))), gooseplus.WithCheckpoints(use)).Migrate(t.Context()); err != nil {
					t.Fatal(err)
				}
				for query, want := range set.queries {
					var have sql.RawBytes
					rows, err := db.Query(query)
					if err != nil {
						t.Fatal(err)
					}
					if !rows.Next() || rows.Scan(&have) != nil || string(have) != want {
						t.Errorf("with the checkpoint: %t: %s: %q, want %q", use, query, fmt.Sprint(string(have)), want)
					}
					_ = rows.Close()
				}
			}
		})
	}
}
