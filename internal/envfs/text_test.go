package envfs

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gooseplus/gooseplus/internal/dryrun"
	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// scripts reads the migrations of fsys as goose does.
func scripts(t testing.TB, o *Overlay, versions ...int64) (map[int64]dryrun.Script, error) {
	t.Helper()
	found, errs := dryrun.Scripts(context.Background(), o, versions)
	if len(errs) > 0 {
		return found, errs[0]
	}
	return found, nil
}

func pairOf(t testing.TB, up, down string) *Overlay {
	t.Helper()
	o, err := New(fstest.MapFS{
		"1_a.up.sql":   {Data: []byte(up)},
		"1_a.down.sql": {Data: []byte(down)},
	}, ".", []string{""})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestEachHalfIsOneStatement(t *testing.T) {
	t.Parallel()
	const function = "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$\nBEGIN\n  PERFORM 1;\n  RETURN 2;\nEND;\n$$;\nSELECT f();"
	for _, tc := range []struct{ situation, content, want string }{
		{"several statements", "CREATE TABLE a (id int);\nCREATE TABLE b (id int);\n", "CREATE TABLE a (id int);\nCREATE TABLE b (id int);"},
		{"a function", function, function},
		{"no line break at the end", "SELECT 1", "SELECT 1"},
		{"a byte order mark", "\ufeffSELECT 1;", "SELECT 1;"},
		{"lines of Windows", "SELECT 1,\r\n  2;\r\n", "SELECT 1,\n  2;"},
		{"a carriage return before a line break of Windows", "SELECT '\r\r\n';\r\r\n", "SELECT '\r\n';"},
		{"comments before it", "-- why\n\n  -- and how\nSELECT 1; -- so\n-- end", "SELECT 1; -- so\n-- end"},
		{"goose's annotations in a function", "DO $$\n-- +goose Down\n  -- +goose StatementEnd\n$$;", "DO $$\n-- +goose Down\n  -- +goose StatementEnd\n$$;"},
		{"a comment of several lines", "/* why\n*/ SELECT 1;", "/* why\n*/ SELECT 1;"},
		{"code in a comment", "/*!40101 SET NAMES utf8 */;", "/*!40101 SET NAMES utf8 */;"},
		{"a comment without an end", "/* SELECT 1;", "/* SELECT 1;"},
		{"what looks like goose's annotations", "SELECT '\n-- +goose Down\n-- +goose StatementEnd\n  -- +goose Up\n-- +gooses $1 ${x} $$\n';",
			"SELECT '\n-- +goose Down\n-- +goose StatementEnd\n  -- +goose Up\n-- +gooses $1 ${x} $$\n';"},
		{"such a line at the end", "SELECT 1;\n-- +goose StatementEnd", "SELECT 1;\n-- +goose StatementEnd"},
		{"such a line that goose's substitution would change", "SELECT '\n-- +goose \\$x\n';", "SELECT '\n-- +goose \\$x\n';"},
		{"such a line that is no UTF-8", "SELECT '\n-- +goose \xff\n';", "SELECT '\n-- +goose \xff\n';"},
		{"variables elsewhere", "SELECT '${HOME}';\n-- +goose\nSELECT '${HOME}';", "SELECT '${HOME}';\n-- +goose\nSELECT '${HOME}';"},
		{"nothing", "", ""},
		{"blank", " \r\n\t\n", ""},
		{"comments only", "-- a\n/* c */ /* d\n*/\n-- e", ""},
	} {
		t.Run(tc.situation, func(t *testing.T) {
			t.Parallel()
			found, err := scripts(t, pairOf(t, tc.content, tc.content), 1)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			if tc.want != "" {
				want = []string{tc.want}
			}
			equal(t, "Up", found[1].Up, want)
			equal(t, "Down", found[1].Down, want)
			equal(t, "Transactional", found[1].Transactional, true)
		})
	}
}

func TestNoTransactionInAPair(t *testing.T) {
	t.Parallel()
	for _, up := range []string{
		"-- +goose NO TRANSACTION\nCREATE INDEX CONCURRENTLY i ON t (a);",
		"\ufeff-- a comment\r\n-- +goose no transaction\r\nCREATE INDEX CONCURRENTLY i ON t (a);",
		"CREATE INDEX CONCURRENTLY i ON t (a);\n--+goose NO TRANSACTION",
		"-- in its own\nBEGIN;\nCREATE INDEX i ON t (a);\nCOMMIT;",
	} {
		found, err := scripts(t, pairOf(t, up, "DROP INDEX CONCURRENTLY IF EXISTS i;"), 1)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "Transactional", found[1].Transactional, false)
		equal(t, "Down", found[1].Down, []string{"DROP INDEX CONCURRENTLY IF EXISTS i;"})
	}
}

func TestGooseFileWithTheNameOfAPair(t *testing.T) {
	t.Parallel()
	_, err := scripts(t, pairOf(t, "-- +goose Up\nCREATE TABLE a (id int);\n-- +goose Down\nDROP TABLE a;", ""), 1)
	if err == nil || !strings.Contains(err.Error(), "it is a goose file, with the name of one half of a pair") {
		t.Errorf("its Down would be executed with its Up: %v", err)
	}
}

func TestReplayAnnotation(t *testing.T) {
	t.Parallel()
	goose := func(up, down string) *Overlay {
		o, err := New(fstest.MapFS{"4_a.sql": {Data: []byte("-- +goose Up\n" + up + "\n-- +goose Down\n" + down)}}, ".", []string{""})
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	for _, tc := range []struct {
		situation string
		o         *Overlay
		version   int64
		replay    int64
		fault     string
	}{
		{"in a Down", goose("SELECT 1;", "-- +gooseplus Replay 3"), 4, 3, ""},
		{"with comments around", goose("SELECT 1;", "-- back to\n\n--+gooseplus  REPLAY\t3 \r\n-- that is all\n"), 4, 3, ""},
		{"in a down file", pairOf(t, "SELECT 1;", "-- back to\r\n-- +gooseplus Replay 3\r\n/* that is all */"), 1, 3, ""},
		{"none", goose("SELECT 1;", "SELECT '+gooseplus Replay 3';"), 4, 0, ""},
		{"beside a statement", goose("SELECT 1;", "SELECT 2;\n-- +gooseplus Replay 3"), 4, 0, "must have nothing else in it"},
		{"before a statement", goose("SELECT 1;", "-- +gooseplus Replay 3\nSELECT 2;"), 4, 0, "must have nothing else in it"},
		{"inside a statement", goose("SELECT 1;", "SELECT\n-- +gooseplus Replay 3\n2;"), 4, 0, "must have nothing else in it"},
		{"twice", goose("SELECT 1;", "-- +gooseplus Replay 3\n-- +gooseplus Replay 3"), 4, 0, "must have nothing else in it"},
		{"beside a statement in a down file", pairOf(t, "SELECT 1;", "SELECT 2;\n-- +gooseplus Replay 3"), 1, 0, "must have nothing else in it"},
		{"in a comment of a down file", pairOf(t, "SELECT 1;", "/*\n-- +gooseplus Replay 3\n*/"), 1, 0, "must have nothing else in it"},
		{"twice in a down file", pairOf(t, "SELECT 1;", "-- +gooseplus Replay 3\n-- +gooseplus Replay 3"), 1, 0, "must have nothing else in it"},
		{"in an Up", goose("-- +gooseplus Replay 3", "SELECT 1;"), 4, 0, "only a Down"},
		{"in an up file", pairOf(t, "-- +gooseplus Replay 3", "SELECT 1;"), 1, 0, "only a Down"},
		{"beside an allowed lock", goose("SELECT 1;", "-- +gooseplus Replay 3\n-- +gooseplus allow-lock it is small"), 4, 3, ""},
		{"an allowed lock inside a statement", goose("SELECT\n-- +gooseplus Allow-Lock it is small\r\n1;", "SELECT 2;"), 4, 0, ""},
		{"an allowed lock in a down file", pairOf(t, "SELECT 1;", "-- +gooseplus allow-lock it is small\nSELECT 2;"), 1, 0, ""},
		{"an allowed lock without a reason", goose("SELECT 1;\n-- +gooseplus allow-lock \r", "SELECT 2;"), 4, 0, "allow-lock has no reason"},
		{"allowed locks of lower versions", goose("-- +gooseplus allow-lock-up-to-here old\nSELECT 1;", "SELECT 2;"), 4, 0, ""},
		{"allowed locks of lower versions without a reason", goose("-- +gooseplus allow-lock-up-to-here\nSELECT 1;", "SELECT 2;"), 4, 0, "allow-lock has no reason"},
		{"another word like an allowed lock", goose("SELECT 1;\n-- +gooseplus allow-locks x", "SELECT 2;"), 4, 0, "is none of -- +gooseplus Replay VERSION"},
		{"no version", goose("SELECT 1;", "-- +gooseplus Replay"), 4, 0, "is none of -- +gooseplus Replay VERSION"},
		{"version 0", goose("SELECT 1;", "-- +gooseplus Replay 0"), 4, 0, "is none of -- +gooseplus Replay VERSION"},
		{"a version beyond all", goose("SELECT 1;", "-- +gooseplus Replay 9223372036854775808"), 4, 0, "is none of -- +gooseplus Replay VERSION"},
		{"another word in a pair", pairOf(t, "SELECT 1;", "-- +gooseplus Reply 3"), 1, 0, "is none of -- +gooseplus Replay VERSION"},
		{"another word in an up file", pairOf(t, "-- +gooseplus Reply 3", ""), 1, 0, "is none of -- +gooseplus Replay VERSION"},
	} {
		t.Run(tc.situation, func(t *testing.T) {
			t.Parallel()
			found, err := scripts(t, tc.o, tc.version)
			var replay int64
			if err == nil {
				replay, err = Replayed(sqltext.Quoting{}, found[tc.version].Up, found[tc.version].Down)
			}
			equal(t, "the version", replay, tc.replay)
			if fmt.Sprint(err) == "<nil>" != (tc.fault == "") || err != nil && !strings.Contains(err.Error(), tc.fault) {
				t.Errorf("the fault is %v, want %q", err, tc.fault)
			}
		})
	}
}

// TestAllowLock: the first line with a reason counts, in SQL and in Go.
func TestAllowLock(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Allowance{
		"-- +gooseplus allow-lock it is small\r\n-- +gooseplus allow-lock two": {Reason: "it is small"},
		"SELECT 1;\n  --\t+gooseplus  Allow-Lock\tit is small  ":               {Reason: "it is small"},
		"package a\n// +gooseplus allow-lock it is small\n":                    {Reason: "it is small"},
		"-- +gooseplus allow-lock-up-to-here all are applied\nSELECT 1;":       {Reason: "all are applied", Lower: true},
		"-- +gooseplus allow-lock-up-to-here\nSELECT 1;":                       {},
		"-- +gooseplus allow-lock\nSELECT 1;":                                  {},
		"SELECT '-- +gooseplus allow-lock no';":                                {},
		"SELECT 1;":                                                            {},
	} {
		equal(t, text, AllowLock(text), want)
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	o := Texts(map[int64]Text{
		1: {Up: []string{"SELECT 1"}},
		2: {Down: []string{"SELECT 1;", "SELECT 2"}, NoTransaction: true},
	})
	if err := fstest.TestFS(o, "1_defined.sql", "2_defined.sql"); err != nil {
		t.Error(err)
	}
	found, err := scripts(t, o, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "Up of 1", found[1].Up, []string{"SELECT 1"})
	equal(t, "2", fmt.Sprint(found[2]), fmt.Sprint(dryrun.Script{Down: []string{"SELECT 1;", "SELECT 2"}}))
}

func TestTextThatWasReadArrivesAsItWas(t *testing.T) {
	t.Parallel()
	up := []string{"SELECT '\r\n';", "/* nothing */", "-- nothing", "-- why\nSELECT 1"}
	o := Texts(map[int64]Text{2: {Up: up}})
	found, err := scripts(t, o, 2)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "Up", found[2].Up, up)
}

// TestPlaceholdersOfTexts: a connection is made to replace placeholders only if there is one when it is opened.
func TestPlaceholdersOfTexts(t *testing.T) {
	t.Parallel()
	if o := Texts(map[int64]Text{1: {Down: []string{"SELECT '\r\n'"}}}); !o.Spells() {
		t.Error("the placeholder is not known before the text is read")
	}
	if o := Texts(map[int64]Text{1: {Down: []string{"SELECT 1"}}}); o.Spells() {
		t.Error("there is a placeholder for a plain text")
	}
}

// FuzzPair joins arbitrary files: whatever is in them, each is one statement, in its own direction, and
// arrives as it is.
func FuzzPair(f *testing.F) {
	f.Add("CREATE TABLE a (id int);\r\nSELECT 1", "DROP TABLE a;")
	f.Add("-- +goose Up\nx\n-- +goose StatementBegin\ny\n-- +goose StatementEnd", "-- +goose Down\nx;\n-- +goose ENVSUB ON\n${HOME}")
	f.Add("\ufeffx\n-- +goose $$ \\$ ${x:0} $(y)\n", "x\n--+goose\x00\n  -- +goose \xff")
	f.Add("\xfe\xff", "0")
	f.Add("", "0\r\r\n0")
	f.Add("x\r\r\n-- +goose\r\r\r\ny", "\r\r\n--\r\r\n0\n\r\r\n0\r\r")
	f.Add("/* /* */ x", "/*! x */\n# y\n-- z")
	f.Fuzz(func(t *testing.T, up, down string) {
		if strings.Contains(up+down, "+gooseplus") || len(up)+len(down) > 1<<20 {
			return
		}
		found, err := scripts(t, pairOf(t, up, down), 1)
		if err != nil {
			if strings.Contains(err.Error(), "it is a goose file") || strings.Contains(err.Error(), "UTF-16") && (utf16(up) || utf16(down)) {
				return
			}
			t.Fatal(err)
		}
		equal(t, "Up", found[1].Up, arrives(up))
		equal(t, "Down", found[1].Down, arrives(down))
	})
}

func utf16(content string) bool {
	return strings.HasPrefix(content, "\xfe\xff") || strings.HasPrefix(content, "\xff\xfe")
}

// TestSendableOfADatabase: what is a comment, and where it ends, depends on the database. What is none there is sent.
func TestSendableOfADatabase(t *testing.T) {
	t.Parallel()
	postgres, mysql, sqlite := sqltext.Quoting{Dollars: true}, sqltext.Quoting{Backslashes: true}, sqltext.Quoting{Brackets: true}
	const table = "CREATE TABLE a (id int);"
	for _, tc := range []struct {
		text, postgres, mysql, sqlite string
	}{
		{"-- a\r" + table, "-- a\r" + table, "", ""},
		{"-- a\r" + table + "\nSELECT 1;", "-- a\r" + table + "\nSELECT 1;", "SELECT 1;", "SELECT 1;"},
		{"-- a\n  -- b\r" + table + "\n" + table, "-- b\r" + table + "\n" + table, table, table},
		{"-- a\r-- b\r\r\n" + table, table, table, table},
		{"-- a\r\n-- b\r\n", "", "", ""},
		{"# a\n-- b", "# a\n-- b", "", "# a\n-- b"},
		{"/* a /* b */ */", "", "/* a /* b */ */", "/* a /* b */ */"},
	} {
		for quoting, want := range map[sqltext.Quoting]string{postgres: tc.postgres, mysql: tc.mysql, sqlite: tc.sqlite} {
			if got := strings.Join(Sendable(quoting, tc.text), ""); got != want {
				t.Errorf("%+v: %q\n got %q\nwant %q", quoting, tc.text, got, want)
			}
		}
	}
}

// arrives is what the database is to see of a file.
func arrives(content string) []string {
	content = strings.TrimPrefix(content, "\ufeff")
	if (sqltext.Quoting{}).OnlyComments(content) {
		return nil
	}
	var lines []string
	for line := range strings.SplitSeq(content, "\n") {
		line = strings.TrimSuffix(line, "\r")
		if trimmed := strings.TrimSpace(line); len(lines) == 0 && (trimmed == "" || strings.HasPrefix(trimmed, "--")) {
			continue
		}
		lines = append(lines, line)
	}
	return []string{strings.TrimSpace(strings.Join(lines, "\n"))}
}
