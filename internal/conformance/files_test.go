package conformance

import (
	"fmt"
	"strings"
	"testing/fstest"

	"github.com/gooseplus/gooseplus"
)

// script is a goose file. Up and down are its sections; a nil-like "" leaves a section without a
// statement.
func script(up, down string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte("-- +goose Up\n" + up + "\n-- +goose Down\n" + down + "\n")}
}

// noTransaction is script with the annotation of that name.
func noTransaction(up, down string) *fstest.MapFile {
	f := script(up, down)
	f.Data = append([]byte("-- +goose NO TRANSACTION\n"), f.Data...)
	return f
}

// table creates a table and drops it again.
func table(name string) *fstest.MapFile {
	return script("CREATE TABLE "+name+" (id INTEGER);", "DROP TABLE "+name+";")
}

// files is a file system in which base/ has the given files and other folders have those whose
// name begins with the folder.
func files(named map[string]*fstest.MapFile) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, f := range named {
		if !strings.Contains(name, "/") {
			name = "base/" + name
		}
		fsys["sql/"+name] = f
	}
	return fsys
}

func from(fsys fstest.MapFS) gooseplus.Option { return gooseplus.WithFS(fsys) }

// chain is n migrations that create the tables t001, t002, ...
func chain(n int) fstest.MapFS {
	named := make(map[string]*fstest.MapFile)
	for i := 1; i <= n; i++ {
		named[fmt.Sprintf("%03d_t.sql", i)] = table(fmt.Sprintf("t%03d", i))
	}
	return files(named)
}
