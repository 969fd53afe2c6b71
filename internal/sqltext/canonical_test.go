package sqltext

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var (
	postgres = Quoting{Dollars: true}
	mysql    = Quoting{Backslashes: true}
	sqlite   = Quoting{Brackets: true}
)

func TestCanonical(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		situation string
		q         Quoting
		a, b      string
		same      bool
	}{
		{"line ends", postgres, "SELECT 1;\r\nSELECT 2;\r\n", "SELECT 1;\nSELECT 2;\n", true},
		{"a byte order mark", postgres, "\ufeffSELECT 1;", "SELECT 1;", true},
		{"no line end at the end", postgres, "SELECT 1;", "SELECT 1;\n\n", true},
		{"trailing spaces", postgres, "SELECT 1; \t\nSELECT 2;  ", "SELECT 1;\nSELECT 2;", true},
		{"empty lines", postgres, "SELECT 1;\n\n\nSELECT 2;", "SELECT 1;\nSELECT 2;", true},
		{"a comment at the end of a line", postgres, "CREATE TABLE a ( -- why\n id int);", "CREATE TABLE a (\n id int);", true},
		{"a comment on a line of its own", postgres, "SELECT 1;\n  -- why\nSELECT 2;", "SELECT 1;\nSELECT 2;", true},
		{"a comment between words", postgres, "SELECT /* why */ 1", "SELECT 1", true},
		{"a comment instead of a space", postgres, "SELECT/* why */1", "SELECT 1", true},
		{"a comment in a comment", postgres, "SELECT /* a /* b */ c */ 1", "SELECT 1", true},
		{"a comment of several lines", postgres, "SELECT 1;\n/* a\n b */\nSELECT 2;", "SELECT 1;\nSELECT 2;", true},
		{"a # of MySQL", mysql, "SELECT 1; # why\nSELECT 2;", "SELECT 1;\nSELECT 2;", true},
		{"a # that is an operator", postgres, "SELECT 1 # 2;", "SELECT 1;", false},
		{"code in a comment", mysql, "SELECT 1 /*! , 2 */;", "SELECT 1;", false},
		{"code of MariaDB in a comment", mysql, "SELECT 1 /*M! , 2 */;", "SELECT 1 /*M! , 3 */;", false},
		{"two minus signs", mysql, "SELECT 5--1;", "SELECT 5--2;", false},
		{"a comment after a statement", mysql, "SELECT 1; -- why", "SELECT 1; --\twhy not", true},
		{"a comment without a space on a line of its own", mysql, "--why\nSELECT 1;", "SELECT 1;", true},
		{"a hint", mysql, "SELECT /*+ NO_INDEX(a) */ 1;", "SELECT 1;", false},
		{"case", postgres, "select 1;", "SELECT 1;", false},
		{"space between words", postgres, "SELECT  1;", "SELECT 1;", false},
		{"indentation", postgres, "SELECT\n 1;", "SELECT\n  1;", false},
		{"trailing space in a string", postgres, "SELECT 'a \nb';", "SELECT 'a\nb';", false},
		{"an empty line in a string", postgres, "SELECT 'a\n\nb';", "SELECT 'a\nb';", false},
		{"what looks like a comment in a string", postgres, "SELECT '-- a';", "SELECT '-- b';", false},
		{"line ends in a string", postgres, "SELECT 'a\r\nb';", "SELECT 'a\nb';", true},
		{"a comment in a body", postgres, "DO $$ BEGIN -- a\nEND $$;", "DO $$ BEGIN -- b\nEND $$;", false},
		{"trailing space in a body", postgres, "DO $x$ BEGIN \nEND $x$;", "DO $x$ BEGIN\nEND $x$;", false},
		{"an escaped quote", mysql, `SELECT 'a\' -- b';`, `SELECT 'a\' -- c';`, false},
		{"a name in brackets", sqlite, "SELECT [a -- b];", "SELECT [a -- c];", false},
		{"an annotation", postgres, "-- +goose NO TRANSACTION\nSELECT 1;", "SELECT 1;", false},
		{"the space in an annotation", postgres, "--  +goose  Up \nSELECT 1;", "-- +goose Up\nSELECT 1;", true},
		{"a replay", postgres, "-- +gooseplus Replay 3", "-- +gooseplus Replay 4", false},
		{"allowed locks of lower versions", postgres, "-- +gooseplus allow-lock-up-to-here they are old\n-- +goose Up\nSELECT 1;", "-- +goose Up\nSELECT 1;", true},
		{"an allowed lock", postgres, "-- +gooseplus allow-lock it is small\n-- +goose Up\nSELECT 1;", "-- +goose Up\nSELECT 1;", true},
		{"a body that doesn't end", postgres, "SELECT $x$", "SELECT $y$", false},
		{"nothing", postgres, "", "-- why", true},
		{"a tab after a comment", postgres, "a/* c */\tb", "a b", true},
		{"a tab before a comment", postgres, "a\t/* c */b", "a\tb", true},
		{"a comment before everything", postgres, "/* c */a", "a", true},
		{"a comment at the beginning of a line", postgres, "a\n/* c */ b", "a\nb", true},
		{"indentation after a comment", postgres, "a /* c */\n b", "a\n b", true},
		{"a space after a string after a comment", postgres, "a /* c */'b' c", "a 'b' c", true},
		{"a space after a word after a comment", postgres, "a /* c */b c", "a b c", true},
		{"an operator", postgres, "SELECT 5 - 3", "SELECT 5  3", false},
		{"the operator # of PostgreSQL", postgres, "SELECT 5 # 3", "SELECT 5  3", false},
		{"empty lines at the beginning", postgres, "\n\na", "a", true},
		{"a tab in an annotation", postgres, "-- +goose Up\t", "-- +goose Up", true},
		{"spaces in an annotation", postgres, "-- +goose NO  TRANSACTION ", "-- +goose NO TRANSACTION", true},
		{"a string without an end", postgres, "SELECT 'a\n\n", "SELECT 'a\n", false},
		{"the line after a string", postgres, "SELECT 'a'\n, 1", "SELECT 'a', 1", false},
	} {
		t.Run(tc.situation, func(t *testing.T) {
			t.Parallel()
			if got := tc.q.Sum(tc.a) == tc.q.Sum(tc.b); got != tc.same {
				t.Errorf("same is %t:\n%q\n%q", got, tc.q.canonical(tc.a), tc.q.canonical(tc.b))
			}
		})
	}
}

// TestCanonicalEdits edits the files of the examples at random places: what a database sees of an edit decides.
func TestCanonicalEdits(t *testing.T) {
	t.Parallel()
	var texts []string
	for _, pattern := range []string{"../../sql/*/*.sql", "../../sql/*/*/*.sql", "../../examples/*/*/*.sql", "../../examples/*/*/*/*.sql"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, string(text))
		}
	}
	if len(texts) < 20 {
		t.Fatalf("%d files", len(texts))
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		text := texts[rng.IntN(len(texts))]
		// place finds a character at random, and whether it is outside of quotes and comments.
		i := 0
		outside, inComment := false, false
		for target := rng.IntN(len(text)); i < len(text); {
			n, _ := postgres.span(text, i)
			if i+max(n, 1) > target {
				outside = n <= 1
				if inComment = strings.HasPrefix(text[i:], "--"); !outside {
					i = target
				}
				break
			}
			i += max(n, 1)
		}
		if i >= len(text) {
			continue
		}
		insert := func(s string) string { return text[:i] + s + text[i:] }
		atLineEnd := text[i] == '\n'
		switch {
		case outside && atLineEnd:
			for _, same := range []string{" ", "\t", " -- x", "\n", "\r", "\n-- x", " /* x\n y */"} {
				if got := insert(same); postgres.Sum(got) != postgres.Sum(text) {
					t.Fatalf("%q at %d of %q changes the sum", same, i, text)
				}
			}
		case outside && text[i] == ' ':
			if got := insert(" /* x */"); postgres.Sum(got) != postgres.Sum(text) {
				t.Fatalf("a comment at %d of %q changes the sum", i, text)
			}
		case !inComment:
			if got := insert("x"); postgres.Sum(got) == postgres.Sum(text) {
				t.Fatalf("x at %d of %q doesn't change the sum", i, text)
			}
		}
	}
}
