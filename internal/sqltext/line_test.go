package sqltext

import "testing"

func TestMeta(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"\\restrict abc\nSELECT 1;":     "\\restrict",
		"SELECT 1;\n\\connect other\n":  "\\connect",
		"SELECT '\n\\connect';":         "",
		"SELECT $$\n\\connect $$;":      "",
		"-- \\restrict\nSELECT E'\\n';": "",
		"SELECT 1;":                     "",
		"SELECT 1 \\gset":               "",
	} {
		if got, _ := (Quoting{Dollars: true}).Meta(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestLine(t *testing.T) {
	t.Parallel()
	const file = `-- +goose Up
CREATE TABLE a (
  -- the key
  id int,

  name text
);
INSERT INTO a VALUES (1);
-- +goose StatementBegin
CREATE FUNCTION f() RETURNS int AS $$
  SELECT 1;
$$ LANGUAGE sql;
-- +goose StatementEnd
SELECT 'twice';
SELECT 'twice';
-- +goose Down
INSERT INTO a VALUES (1);
DROP TABLE a;
`
	const table = "CREATE TABLE a (\n  id int,\n  name text\n);"
	for _, tc := range []struct {
		situation, file, statement string
		down                       bool
		position, want             int
	}{
		{"at its beginning", file, table, false, 0, 2},
		{"a position on the first line", file, table, false, 1, 2},
		{"a position behind a comment that goose leaves out", file, table, false, 20, 4},
		{"a position behind an empty line", file, table, false, 29, 6},
		{"behind leading space", file, "\n\n" + table, false, 22, 4},
		{"in the Up", file, "INSERT INTO a VALUES (1);", false, 0, 8},
		{"the same in the Down", file, "INSERT INTO a VALUES (1);", true, 0, 17},
		{"a function", file, "CREATE FUNCTION f() RETURNS int AS $$\n  SELECT 1;\n$$ LANGUAGE sql;", false, 42, 11},
		{"twice", file, "SELECT 'twice';", false, 0, 0},
		{"not there", file, "SELECT 3;", false, 0, 0},
		{"only in the other direction", file, "DROP TABLE a;", false, 0, 0},
		{"a pair's file", "-- a comment\r\nSELECT 1;\r\nSELECT x;\r\n", "SELECT 1;\nSELECT x;", false, 18, 3},
		{"nothing", file, "", false, 0, 0},
		{"also before the Up", "SELECT 1;\n-- +goose Up\nSELECT 1;\n", "SELECT 1;", false, 0, 3},
		{"the beginning at the end of the file", "SELECT 1,\n-- x", "SELECT 1,\n2;", false, 0, 0},
		{"with a comment that is part of it", "SELECT $$\n-- x\n$$;", "SELECT $$\n-- x\n$$;", false, 12, 2},
		{"another line between", "SELECT 1,\n2,\n3;", "SELECT 1,\n3;", false, 0, 0},
		{"a position behind the end", file, "DROP TABLE a;", true, 99, 18},
	} {
		t.Run(tc.situation, func(t *testing.T) {
			t.Parallel()
			if got := Line(tc.file, tc.statement, tc.down, tc.position, Occurrence{}); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

func TestLineOfTheSame(t *testing.T) {
	t.Parallel()
	const file = "-- +goose Up\nSELECT 1;\nSELECT 2;\n-- again\nSELECT 1;\n\nSELECT 1;\n-- +goose Down\nSELECT 1;\n"
	all := []string{"SELECT 1;", "SELECT 2;", "SELECT 1;", "SELECT 1;"}
	for number, want := range []int{0, 2, 3, 5, 7, 0} {
		statement := "SELECT 1;"
		if number == 2 {
			statement = "SELECT 2;"
		}
		if got := Line(file, statement, false, 0, OccurrenceOf(all, number)); got != want {
			t.Errorf("number %d: line %d, want %d", number, got, want)
		}
	}
	if got := Line(file, "SELECT 1;", false, 0, OccurrenceOf(all[1:], 2)); got != 0 {
		t.Errorf("line %d of a statement that is there once more", got)
	}
}
