package envfs

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"
)

// FuzzOverlay overlays three folders with arbitrary files. Each line of a folder is a file's name
// and, after a tab, its content.
func FuzzOverlay(f *testing.F) {
	f.Add("1_a.sql\t-- +goose Up\n3_c.sql", "2_b.sql", "")
	f.Add("1_a.sql", "1_a.sql", "")
	f.Add("1_a.sql\t1", "0001_b.sql\t2", "+1_c.go\t3")
	f.Add("1_a.go\n1_a_test.go\nhelper.go", "2_b.go", "2_b.sql")
	f.Add("9223372036854775807_x.sql\n9223372036854775808_y.sql", "99999999999999999999_x.sql", "-1_x.sql\n0_x.sql")
	f.Add("_.sql\n1_.sql\n.sql\n1.sql", "1_[a].sql\n2_*.sql\n3_?.sql", "4_\\.sql\n5_é.sql\n..")
	f.Add("1_a.SQL\n1_a.sql~\n1_a.sql.go", "1_x.go.sql", "\x00_1.sql\n1_\x00.sql")
	f.Add("1_a.up.sql\tx\n1_a.down.sql\ty\n2_b.down.sql", "3_c.UP.sql\n4_d.up.sql\n04_d.down.sql", "1_a.down.sql\n2_b.sql")
	f.Fuzz(func(t *testing.T, base, test, production string) {
		fsys := make(fstest.MapFS)
		addFiles(fsys, "sql/base", base)
		addFiles(fsys, "sql/test", test)
		addFiles(fsys, "sql/production", production)
		if len(fsys) == 0 {
			return
		}
		o, err := New(fsys, "sql", []string{"base", "test", "production"})
		if o == nil {
			t.Fatal("no overlay")
		}
		twice, alone := claimedTwice(fsys), withoutUp(fsys)
		for _, fault := range faults(err) {
			var d *DuplicateError
			var p *PairError
			switch {
			case errors.As(fault, &p):
				if !alone[p.Down] || p.Up == p.Down {
					t.Errorf("unexpected fault: %v", fault)
				}
			case !errors.As(fault, &d) || !twice[d.Version] && !alone[d.Paths[1]] || d.Paths[0] == d.Paths[1]:
				t.Errorf("unexpected fault: %v", fault)
			}
		}
		if len(twice)+len(alone) > 0 != (err != nil) {
			t.Errorf("versions %v are claimed twice, %v are alone, the error is %v", twice, alone, err)
		}
		sorted(t, o.SQL, err == nil)
		sorted(t, o.Go, err == nil)
		if err != nil {
			return
		}
		for _, file := range o.SQL {
			if content, err := fs.ReadFile(fsys, file.Path); err == nil && !file.paired && !bytes.Contains(content, []byte("+gooseplus")) {
				sameContent(t, o, fsys, file)
			}
		}
		sameSources(t, o)
	})
}

func addFiles(fsys fstest.MapFS, folder, files string) {
	for line := range strings.SplitSeq(files, "\n") {
		name, content, _ := strings.Cut(line, "\t")
		if name := folder + "/" + name; fs.ValidPath(name) && strings.Count(name, "/") == 2 {
			fsys[name] = &fstest.MapFile{Data: []byte(content)}
		}
	}
}

// claimedTwice finds the duplicates again, with nothing but goose's reading of names.
func claimedTwice(fsys fstest.MapFS) map[int64]bool {
	seen, twice := make(map[int64]bool), make(map[int64]bool)
	for name := range fsys {
		version, err := goose.NumericComponent(name)
		lower := strings.ToLower(name)
		if err != nil || strings.HasSuffix(name, "_test.go") || strings.HasSuffix(lower, ".down.sql") ||
			strings.HasSuffix(lower, ".up.sql") && !strings.HasSuffix(name, ".up.sql") {
			continue
		}
		if seen[version] {
			twice[version] = true
		}
		seen[version] = true
	}
	return twice
}

// withoutUp finds the down files that have no up file.
func withoutUp(fsys fstest.MapFS) map[string]bool {
	alone := make(map[string]bool)
	for name := range fsys {
		if stem, down := strings.CutSuffix(name, ".down.sql"); down && fsys[stem+".up.sql"] == nil {
			if _, err := goose.NumericComponent(name); err == nil {
				alone[name] = true
			}
		}
	}
	return alone
}

func sorted(t *testing.T, files []File, unique bool) {
	for i := 1; i < len(files); i++ {
		a, b := files[i-1].Version, files[i].Version
		if a > b || unique && a == b {
			t.Errorf("version %d comes before %d", a, b)
		}
	}
}

func sameSources(t *testing.T, o *Overlay) {
	found, err := sources(t, o)
	if err != nil {
		t.Fatalf("goose refuses the overlay: %v", err)
	}
	// Without Go migrations goose lists them by name.
	slices.SortFunc(found, func(a, b *goose.Source) int { return cmp.Compare(a.Version, b.Version) })
	if !slices.EqualFunc(found, o.SQL, func(s *goose.Source, f File) bool {
		return s.Version == f.Version && s.Path == f.Name && s.Type == goose.TypeSQL
	}) {
		t.Errorf("goose finds %v, the overlay has %v", found, o.SQL)
	}
}
