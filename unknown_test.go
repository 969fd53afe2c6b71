package gooseplus_test

import (
	"context"
	"strings"
	"testing"

	"github.com/gooseplus/gooseplus"
)

// TestUnknownVersions: a release that was rolled back meets the database of the newer one.
func TestUnknownVersions(t *testing.T) {
	t.Parallel()
	newer, older := folder("sql/base/1_a.sql", "sql/base/2_b.sql", "sql/base/3_c.sql"), folder("sql/base/1_a.sql")
	for _, tc := range []struct {
		situation string
		opts      []gooseplus.Option
		warnings  int
		refused   bool
	}{
		{"by default", nil, 1, false},
		{"ignored", []gooseplus.Option{gooseplus.WithUnknownVersions(gooseplus.Ignore)}, 0, false},
		{"refused", []gooseplus.Option{gooseplus.WithUnknownVersions(gooseplus.Refuse)}, 0, true},
		{"with the lock", []gooseplus.Option{gooseplus.WithGlobalLock(true)}, 1, false},
		{"refused with the lock", []gooseplus.Option{gooseplus.WithGlobalLock(true), gooseplus.WithUnknownVersions(gooseplus.Refuse)}, 0, true},
	} {
		for _, pending := range []bool{false, true} {
			t.Run(tc.situation+map[bool]string{true: ", with something pending"}[pending], func(t *testing.T) {
				t.Parallel()
				db := openSQLite(t)
				mustMigrate(t, sqlite(db, newer))
				files := older
				if pending {
					files = folder("sql/base/1_a.sql", "sql/base/4_d.sql")
				}
				var warnings []string
				m := sqlite(db, files, append(tc.opts, gooseplus.WithObserver(func(_ context.Context, e gooseplus.Event) {
					if w, ok := e.(gooseplus.Warning); ok {
						warnings = append(warnings, w.Message)
					}
				}))...)
				err := m.Migrate(t.Context())
				_, planned := m.Plan(t.Context())
				if !tc.refused {
					if err != nil || planned != nil {
						t.Fatal(err, planned)
					}
				} else {
					for _, err := range []error{err, planned} {
						if wantIs(t, err, gooseplus.ErrUnknownVersion); !strings.Contains(err.Error(), "[2 3]") {
							t.Error(err)
						}
					}
				}
				if len(warnings) != tc.warnings || tc.warnings > 0 && !strings.Contains(warnings[0], "[2 3]; the program's newest is ") {
					t.Errorf("warnings %q, want %d", warnings, tc.warnings)
				}
				if pending && !tc.refused {
					applied(t, db, 1, 2, 3, 4)
				} else {
					applied(t, db, 1, 2, 3)
				}
				// Runs down are for people, who know what they want.
				newer := folder("sql/base/1_a.sql", "sql/base/2_b.sql", "sql/base/3_c.sql", "sql/base/4_d.sql")
				if err := sqlite(db, newer, tc.opts...).RollbackTo(t.Context(), 1); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
