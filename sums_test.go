package gooseplus_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/sqltext"
	"github.com/gooseplus/gooseplus/internal/sumfile"
)

// TestSumFile: Err compares the files of the Migrator's own folders with gooseplus.sum.
func TestSumFile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		situation string
		paths     []string
		opts      []gooseplus.Option
		change    string
		want      string
	}{
		{"in base", []string{"sql/base/1_a.sql", "sql/test/2_t.sql"}, nil, "sql/base/1_a.sql", "sql/base/1_a.sql was changed since sql/gooseplus.sum was written"},
		{"in an environment", []string{"sql/base/1_a.sql", "sql/test/2_t.sql"}, []gooseplus.Option{gooseplus.WithEnvironments("test")}, "sql/test/2_t.sql", "sql/test/2_t.sql was changed"},
		{"in an environment that isn't chosen", []string{"sql/base/1_a.sql", "sql/test/2_t.sql"}, nil, "sql/test/2_t.sql", ""},
		{"directly in the base path", []string{"sql/1_a.sql"}, []gooseplus.Option{gooseplus.SetEnvironments(nil)}, "sql/1_a.sql", "sql/1_a.sql was changed"},
		{"in a namespace", []string{"sql/core/1_a.sql"}, []gooseplus.Option{gooseplus.WithNamespaces("core")}, "sql/core/1_a.sql", "sql/core/1_a.sql was changed"},
		{"in an environment of a namespace", []string{"sql/core/base/1_a.sql"}, []gooseplus.Option{gooseplus.WithNamespaces("core")}, "sql/core/base/1_a.sql", "sql/core/base/1_a.sql was changed"},
	} {
		t.Run(tc.situation, func(t *testing.T) {
			t.Parallel()
			fsys := folder(tc.paths...)
			sums, err := sumfile.Scan(fsys, "sql", sqltext.Quoting{})
			if err != nil {
				t.Fatal(err)
			}
			fsys["sql/gooseplus.sum"] = &fstest.MapFile{Data: []byte(sums.String())}
			if err := sqlite(nil, fsys, tc.opts...).Err(); err != nil {
				t.Errorf("before the change: %v", err)
			}
			fsys[tc.change] = migrationFile("SELECT 'changed';", "SELECT 1;")
			err = sqlite(nil, fsys, tc.opts...).Err()
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}
