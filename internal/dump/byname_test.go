package dump

import (
	"slices"
	"testing"

	"github.com/pressly/goose/v3"
)

// TestByName: the same rows with their columns in another order are equal, and swapped values are not.
func TestByName(t *testing.T) {
	t.Parallel()
	as := "INSERT INTO s.t (a, \"b, \"\"1\"\" (\", c) VALUES\n\t(1, 'it''s, (x); \"', NULL),\n\t(2, '', B'1');\n\nINSERT INTO s.t (a, \"b, \"\"1\"\" (\", c) OVERRIDING SYSTEM VALUE VALUES\n\t(3, 'y', true);"
	otherwise := "INSERT INTO s.t (c, a, \"b, \"\"1\"\" (\") VALUES\n\t(NULL, 1, 'it''s, (x); \"'),\n\t(B'1', 2, '');\n\nINSERT INTO s.t (\"b, \"\"1\"\" (\", c, a) OVERRIDING SYSTEM VALUE VALUES\n\t('y', true, 3);"
	swapped := "INSERT INTO s.t (c, a, \"b, \"\"1\"\" (\") VALUES\n\t(1, NULL, 'it''s, (x); \"'),\n\t(B'1', 2, '');\n\nINSERT INTO s.t (\"b, \"\"1\"\" (\", c, a) OVERRIDING SYSTEM VALUE VALUES\n\t('y', true, 3);"
	named := func(s string) []string {
		return ByName(goose.DialectPostgres, []string{s, "CREATE TABLE t (b int, a int);"})
	}
	if !slices.Equal(named(as), named(otherwise)) {
		t.Errorf("they differ:\n%q\n%q", named(as), named(otherwise))
	}
	if slices.Equal(named(as), named(swapped)) {
		t.Errorf("no difference: %q", named(swapped))
	}
	if kept := named(as)[1]; kept != "CREATE TABLE t (b int, a int);" {
		t.Error(kept)
	}
}
