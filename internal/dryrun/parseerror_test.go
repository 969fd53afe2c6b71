package dryrun

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"
)

// SQL can hold data, so what goose says about a file that it can't parse must not bring any into
// the message.
func TestScriptErrorKeepsTheSQLApart(t *testing.T) {
	t.Parallel()
	const secret, up, down, begin = "hunter2", "-- +goose Up\n", "-- +goose Down\n", "-- +goose StatementBegin\n"
	for _, tc := range []struct{ name, file, text, says, sql string }{
		{"a statement without its end", "1_a.sql", "-- +goose Up\nALTER ROLE a PASSWORD 'hunter2'\n",
			"no semicolon", "ALTER ROLE a PASSWORD 'hunter2'"},
		{"a statement without its end, in Down", "1_a.sql", "-- +goose Up\nSELECT 1;\n-- +goose Down\nSELECT 'hunter2'",
			"no semicolon", "SELECT 'hunter2'"},
		{"a statement without its end before Down", "1_a.sql", "-- +goose Up\nSELECT 'hunter2'\n-- +goose Down\n",
			"no semicolon", "SELECT 'hunter2'"},
		{"several lines with quotes", "1_a.sql", "-- +goose Up\nSELECT \"a\\\"b\",\n  'hunter2'\n",
			"no semicolon", "SELECT \"a\\\"b\",\n  'hunter2'"},
		{"a file's name with quotes", `1_"a".sql`, "-- +goose Up\nSELECT 'hunter2'\n",
			"no semicolon", "SELECT 'hunter2'"},
		{"a statement before Up", "1_a.sql", "SELECT 'hunter2';\n-- +goose Up\n", "SQL before", "SELECT 'hunter2';"},
		{"a variable that can't be substituted", "1_a.sql", "-- +goose ENVSUB ON\n-- +goose Up\nSELECT 'hunter2', ${;\n",
			"variable substitution failed", "SELECT 'hunter2', ${;"},
		{"an annotation that doesn't exist", "1_a.sql", "-- +goose Upp\nSELECT 'hunter2';\n", "-- +goose Upp", ""},
		{"a block without its end", "1_a.sql", "-- +goose Up\n-- +goose StatementBegin\nSELECT 'hunter2';\n", "StatementEnd", ""},
		{"no annotation", "1_a.sql", "-- nothing\n", "Up is missing", ""},
		{"a block without its end before Down", "1_a.sql", up + begin + "SELECT 'hunter2';\n" + down, "StatementBegin has no", ""},
		{"a block without its end before another", "1_a.sql", up + begin + "SELECT 'hunter2';\n" + begin, "StatementBegin has no", ""},
		{"a block without its end in Down", "1_a.sql", up + down + begin + "SELECT 'hunter2';\n" + down, "StatementBegin has no", ""},
		{"a block before Up", "1_a.sql", begin + up, "StatementBegin comes before", ""},
		{"Down twice", "1_a.sql", up + down + "SELECT 'hunter2';\n" + down, "Down is there twice", ""},
		{"Down twice, with a block", "1_a.sql", up + down + begin + "SELECT 'hunter2';\n-- +goose StatementEnd\n" + down, "Down is there twice", ""},
		{"Down before Up", "1_a.sql", down + "SELECT 'hunter2';\n" + up, "Down comes before", ""},
		{"Up twice", "1_a.sql", up + "SELECT 'hunter2';\n" + up, "Up is there twice", ""},
		{"Up below Down", "1_a.sql", up + down + up, "below -- +goose Down", ""},
		{"lines that end with CR", "1_a.sql", "-- +goose Up\rSELECT 'hunter2';\r", "carriage return", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, errs := Scripts(t.Context(), fstest.MapFS{tc.file: file(tc.text)}, []int64{1})
			var fault *ScriptError
			if len(errs) != 1 || !errors.As(errs[0], &fault) {
				t.Fatalf("got %v, want one ScriptError", errs)
			}
			message := fault.Error()
			if strings.Contains(message, secret) || strings.Contains(message, "\n") || !strings.Contains(message, tc.says) {
				t.Errorf("got the message %q, want one line with %q and no data", message, tc.says)
			}
			if fault.SQL != tc.sql {
				t.Errorf("got the SQL %q, want %q", fault.SQL, tc.sql)
			}
			if fault.Unwrap() == nil {
				t.Error("goose's own error is lost")
			}
		})
	}
}
