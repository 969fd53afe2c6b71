package migset

import (
	"context"
	"testing"
	"testing/fstest"
)

// TestNoWayBackOutsideATransaction: such a file is found before it leaves a database dirty.
func TestNoWayBackOutsideATransaction(t *testing.T) {
	t.Parallel()
	const outside = "-- +goose NO TRANSACTION\n"
	for situation, s := range map[string]struct {
		text string
		want string
	}{
		"no Down":          {outside + "-- +goose Up\nSELECT 1;\n", "1 (sql/base/1_a.sql): runs outside a transaction and has no Down: if it fails, the database is dirty; write a Down that works in any state"},
		"an empty Down":    {outside + "-- +goose Up\nSELECT 1;\n-- +goose Down\n-- nothing\n", "1 (sql/base/1_a.sql): runs outside a transaction and has no Down: if it fails, the database is dirty; write a Down that works in any state"},
		"a Down":           {outside + "-- +goose Up\nSELECT 1;\n-- +goose Down\nSELECT 1;\n", ""},
		"not readable":     {outside + "-- +goose Up\n-- +goose StatementBegin\nSELECT 1;\n", ""},
		"in a transaction": {"-- +goose Up\nSELECT 1;\n", ""},
	} {
		t.Run(situation, func(t *testing.T) {
			fsys := fstest.MapFS{"sql/base/1_a.sql": &fstest.MapFile{Data: []byte(s.text)}}
			_, got := resolved(t, Config{FS: fsys})[0].Examine(context.Background())
			if s.want == "" && len(got) > 0 || s.want != "" && (len(got) != 1 || got[0] != s.want) {
				t.Errorf("warnings %q, want %q", got, s.want)
			}
		})
	}
}
