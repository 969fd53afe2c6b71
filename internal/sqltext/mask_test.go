package sqltext

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestMasked(t *testing.T) {
	t.Parallel()
	postgres, mysql := Quoting{Dollars: true}, Quoting{Backslashes: true}
	for _, tc := range []struct {
		quoting    Quoting
		text, want string
	}{
		{postgres, "UPDATE users SET name = 'Eve''s', age=41.5e3 WHERE id1 = 7 AND \"Id 2\" = -8", `UPDATE users SET name = ??, age=? WHERE id1 = ? AND "Id 2" = -?`},
		{postgres, "SELECT  /* 'x' */ 1 -- secret\n, $$a 'b'$$, $1, E'it\\'s'", "SELECT ? , ?, $1, E?"},
		{postgres, "INSERT INTO a VALUES ('cut of", "INSERT INTO a VALUES (?"},
		{postgres, "SELECT $body$ cut of", "SELECT ?"},
		{postgres, "SELECT 0xFF, 1_000, 12abc", "SELECT ?, ?, ?"},
		{mysql, "SELECT \"it\\\"s\", `a``1` # secret", "SELECT ?, `a``1`"},
		{mysql, "SELECT \"cut of", "SELECT ?"},
		{postgres, "SELECT \"cut of", "SELECT ?"},
		{postgres, "SELECT/* x */5 # 3", "SELECT ? # ?"},
		{postgres, "LOCK TABLE ééééééééééééééééééééé", "LOCK TABLE ééééééééé …"},
	} {
		if got := tc.quoting.Masked(tc.text, 30); got != tc.want && tc.quoting.Masked(tc.text, 100) != tc.want {
			t.Errorf("%s: %q, want %q", tc.text, got, tc.want)
		}
	}
}

// quotedNames are the names in quotes in a masked text, of which the last may be cut off. A name may have any character.
var quotedNames = map[Quoting]*regexp.Regexp{{Dollars: true}: regexp.MustCompile(`"[^"]*("|$)`), {Backslashes: true}: regexp.MustCompile("`[^`]*(`|$)")}

func FuzzMasked(f *testing.F) {
	f.Add("UPDATE users SET name = 'secret' WHERE id = 4711", 20)
	f.Add("SELECT \"4711", 3)
	f.Add("SELECT \"it's\", `it's`", 100)
	f.Fuzz(func(t *testing.T, text string, size int) {
		size = 1 + size&0xff
		for q, names := range quotedNames {
			got := q.Masked(text, size)
			if !utf8.ValidString(got) || len(got) > size+len(" …") || strings.Contains(names.ReplaceAllString(got, ""), "'") {
				t.Errorf("%q", got)
			}
		}
	})
}

func TestEndsInComment(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"":                 false,
		"SELECT 1":         false,
		"SELECT 1 -- x":    true,
		"--":               true,
		"SELECT 1 -- x\n":  false,
		"-- x\nSELECT 1":   false,
		"-- x\n-- y":       true,
		"SELECT '-- x'":    false,
		"SELECT 1 /* x */": false,
		"SELECT $$ -- x":   false,
	} {
		if got := EndsInComment(text); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}
