package envfs

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
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
	f.Add("1_a.up..sql\n1_b.down.sql\n2_c.up.x.sql", "3_a.up.SQL\n3_a.down.SQL", "+4_a.up.sql\n0_a.down.sql\n5_.up.sql\n5_a.down.up.sql")
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
		wrong := wrongVersions(fsys)
		for _, fault := range faults(err) {
			var d *DuplicateError
			var p *PairError
			var v *VersionError
			switch {
			case errors.As(fault, &d) && wrong[d.Version] && d.Paths[0] != d.Paths[1]:
			case errors.As(fault, &p) && wrong[p.Version]:
			case errors.As(fault, &v) && wrong[0] && fsys[v.Path] != nil:
			default:
				t.Errorf("unexpected fault: %v", fault)
			}
		}
		if len(wrong) > 0 != (err != nil) {
			t.Errorf("wrong are %v, the error is %v", wrong, err)
		}
		sorted(t, o.SQL, err == nil)
		sorted(t, o.Go, err == nil)
		if err != nil {
			return
		}
		for _, file := range o.SQL {
			if content, err := fs.ReadFile(fsys, file.Path); err == nil && file.kind == gooseFile && !bytes.Contains(content, []byte("+gooseplus")) {
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

// wrongVersions finds the versions with faults again: those claimed twice, those with a down file too many, and 0 for
// numbers that are no version.
func wrongVersions(fsys fstest.MapFS) map[int64]bool {
	wrong, claims, spare := make(map[int64]bool), make(map[int64]int), make(map[string]int)
	for file := range fsys {
		folder, name := path.Split(file)
		number, rest, cut := strings.Cut(name, "_")
		lower := strings.ToLower(name)
		sql := strings.HasSuffix(lower, ".sql")
		if !cut || strings.HasSuffix(name, "_test.go") || !sql && !strings.HasSuffix(name, ".go") {
			continue
		}
		digits := strings.TrimLeft(number, "0123456789") == ""
		version, err := strconv.ParseInt(number, 10, 64)
		signed := len(number) > 1 && strings.Trim(number[1:], "0123456789") == "" && strings.ContainsAny(number[:1], "+-")
		if number != "" && (digits || signed) && (err != nil || version < 1) {
			wrong[0] = true
			continue
		}
		if err != nil {
			continue
		}
		up, down := strings.LastIndex(rest, ".up."), strings.LastIndex(rest, ".down.")
		key := fmt.Sprint(folder, version)
		switch {
		case sql && digits && up > down:
			claims[version]++
			spare[key]++
		case sql && digits && down > up:
			spare[key]--
		case sql && (strings.HasSuffix(strings.TrimRight(lower[:len(lower)-4], "."), ".up") || strings.HasSuffix(strings.TrimRight(lower[:len(lower)-4], "."), ".down")):
		case strings.HasSuffix(name, ".sql") || !sql:
			claims[version]++
		}
	}
	for version, n := range claims {
		if n > 1 {
			wrong[version] = true
		}
	}
	for key, n := range spare {
		if n < 0 {
			_, version := path.Split(key)
			v, _ := strconv.ParseInt(version, 10, 64)
			wrong[v] = true
		}
	}
	return wrong
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
