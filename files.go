package gooseplus

import (
	"context"
	"slices"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/drive"
	"github.com/gooseplus/gooseplus/internal/envfs"
	"github.com/gooseplus/gooseplus/internal/migset"
)

// files are the migrations that a part has read.
type files struct {
	target *target
	goose  []goose.ProviderOption // the application's
	reader *drive.Reader          // nil as long as there is nothing to read or to do
	read   map[int64]migset.Body  // what SQL files contain
}

// load reads the files of versions that are to go in the given direction, each once in a run, and
// reports every file that goose can't parse.
func (f *files) load(ctx context.Context, wanted []int64, direction string) error {
	unread := slices.DeleteFunc(f.target.set.WithSQL(wanted), func(v int64) bool { _, read := f.read[v]; return read })
	if len(unread) == 0 {
		return nil
	}
	if err := f.makeReader(); err != nil {
		return err
	}
	errs := f.target.set.Read(ctx, f.reader.Scripts, unread, direction, f.read)
	for _, v := range unread {
		if err := f.split(v); err != nil {
			errs = append(errs, err)
		}
	}
	return f.target.unreadable(errs)
}

// makeReader makes the reader of this part, once.
func (f *files) makeReader() (err error) {
	if f.reader == nil {
		source := drive.Source{Files: f.target.set.Files, Table: f.target.table, Options: f.goose}
		for _, m := range f.target.set.List {
			if m.Go != nil {
				source.Go = append(source.Go, m.Go)
			}
		}
		f.read = make(map[int64]migset.Body)
		f.reader, err = drive.NewReader(source)
	}
	return err
}

// split gives the reader a Down that is apart.
func (f *files) split(version int64) error {
	m, _ := f.target.set.Find(version)
	b := f.read[version]
	if !m.Apart(b) {
		return nil
	}
	_, down := f.target.set.Sections(m, b)
	if down.IsGo {
		return f.reader.SplitFunction(version, down.Tx, down.NoTx)
	}
	return f.reader.SplitText(version, envfs.Texts(envfs.Text{Version: version, Down: down.Statements, NoTransaction: !down.Transactional}))
}

// step is the step up of a version whose file is loaded.
func (f *files) step(version int64) plannedStep {
	m, _ := f.target.set.Find(version)
	return f.target.step(m, f.read[version])
}
