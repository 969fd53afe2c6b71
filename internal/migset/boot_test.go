package migset

import (
	"fmt"
	"io/fs"
	"testing"
	"testing/fstest"
)

// listed has the directories of a file system at hand, as an embed.FS does.
type listed struct {
	fs.FS
	dirs map[string][]fs.DirEntry
}

func (l listed) ReadDir(name string) ([]fs.DirEntry, error) {
	return append([]fs.DirEntry(nil), l.dirs[name]...), nil
}

func BenchmarkResolve(b *testing.B) {
	fsys := fstest.MapFS{}
	for i := range 500 {
		fsys[fmt.Sprintf("sql/base/%05d_add_name_to_account_%04d.sql", i+1, i/4)] = &fstest.MapFile{}
	}
	l := listed{fsys, make(map[string][]fs.DirEntry)}
	for _, dir := range []string{"sql", "sql/base"} {
		entries, err := fs.ReadDir(fsys, dir)
		if err != nil {
			b.Fatal(err)
		}
		l.dirs[dir] = entries
	}
	b.ReportAllocs()
	for b.Loop() {
		sets, _, faults := Resolve(Config{FS: l, BasePath: "sql", Environments: []string{"base"}})
		if len(faults) > 0 || len(sets[0].List) != 500 {
			b.Fatal(faults, len(sets[0].List))
		}
	}
}
