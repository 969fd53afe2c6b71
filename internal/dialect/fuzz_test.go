package dialect

import (
	"strings"
	"testing"
)

// FuzzName parses arbitrary names. An accepted name must survive being quoted, and the server must take the quoted
// text for one or two identifiers and nothing else.
func FuzzName(f *testing.F) {
	for _, s := range []string{
		"goose_db_version", "Schema.Table", `"a b"."c""d"`, "`a``b`.c", `"`, `""`, `"a".`, "a.b.c", `"a"."b"."c"`,
		"ÄÖ.版本", "a\x00", "\"\xff\"", `"x""; DROP TABLE y; --"`, strings.Repeat("x", 64), "`" + strings.Repeat("é", 64) + "`",
	} {
		f.Add(s)
	}
	db := openSQLite(f)
	f.Fuzz(func(t *testing.T, s string) {
		for _, dialect := range []string{"postgres", "mysql", "sqlite"} {
			d := lookup(t, dialect)
			name, err := d.ParseName(s)
			if err != nil {
				if name != (Name{}) {
					t.Errorf("%s: ParseName(%q) gives %q beside an error", dialect, s, name)
				}
				continue
			}
			quoted := d.Quote(name)
			if again, err := d.ParseName(quoted); err != nil || again != name {
				t.Errorf("%s: %q is parsed as %q, quoted %s, parsed again %q, %v", dialect, s, name, quoted, again, err)
			}
			want := []string{name.Schema, name.Table}
			if name.Schema == "" {
				want = want[1:]
			}
			if got, ok := identifiers(quoted, quoteMark(d.Goose)[0]); !ok || strings.Join(got, "\x00") != strings.Join(want, "\x00") {
				t.Errorf("%s: the server reads %q in %s, want %q", dialect, got, quoted, want)
			}
			if dialect == "sqlite" && name.Schema == "" && !reserved(name.Table) {
				createAndFind(t, db, s)
			}
		}
	})
}

// identifiers reads quoted identifiers with dots between them as the servers' lexers do: a quote
// ends one unless it is doubled, and nothing else has a meaning. ok says that there is no more.
func identifiers(s string, quote byte) (list []string, ok bool) {
	for {
		if s == "" || s[0] != quote {
			return list, false
		}
		var b strings.Builder
		for s = s[1:]; ; s = s[1:] {
			if s == "" || s[0] == 0 {
				return list, false
			}
			if s[0] == quote {
				if !strings.HasPrefix(s[1:], string(quote)) {
					break
				}
				s = s[1:]
			}
			b.WriteByte(s[0])
		}
		list = append(list, b.String())
		if s = s[1:]; s == "" {
			return list, true
		}
		if s[0] != '.' {
			return list, false
		}
		s = s[1:]
	}
}

// reserved are the names that SQLite keeps for itself.
func reserved(table string) bool {
	return len(table) >= 7 && strings.EqualFold(table[:7], "sqlite_")
}
