package sqltext

import (
	"slices"
	"strings"
	"testing"
)

func TestPieces(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		text string
		want []string
	}{
		{"", []string{""}},
		{"a", []string{"a"}},
		{"a;b; c;", []string{"a", "b", " c", ""}},
		{`';' ";" ` + "`;`" + ` 'it''s;' x;y`, []string{`';' ";" ` + "`;`" + ` 'it''s;' x`, "y"}},
		{"-- ;\na/* ;\n; */;b--;", []string{"-- ;\na/* ;\n; */", "b--;"}},
		{"$$;$$ $tag$ ; $$;$$ ; $tag$;$1;a-b;c/d", []string{"$$;$$ $tag$ ; $$;$$ ; $tag$", "$1", "a-b", "c/d"}},
		{"'no end;x", []string{"'no end", "x"}},
		{"$$no end;x", []string{"$$no end", "x"}},
	} {
		if got := pieces(tc.text); !slices.Equal(got, tc.want) {
			t.Errorf("pieces(%q) = %q, want %q", tc.text, got, tc.want)
		}
	}
}

// FuzzPieces takes arbitrary texts apart: nothing may be lost.
func FuzzPieces(f *testing.F) {
	f.Add("a;b'c;d'e$x$;$x$;-- ;\n/* ; */`;`")
	f.Fuzz(func(t *testing.T, text string) {
		if got := strings.Join(pieces(text), ";"); got != text {
			t.Errorf("%q became %q", text, got)
		}
		ControlsTransactions(text)
	})
}
