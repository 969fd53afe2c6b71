package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/sqltext"
	"github.com/gooseplus/gooseplus/internal/sumfile"
)

// sumFlags are the flags of sum.
type sumFlags struct {
	dir   string
	check bool
}

func (f *sumFlags) add(cmd *cobra.Command, s *settings) {
	if !s.standalone {
		cmd.Flags().StringVar(&f.dir, "dir", "sql", "`folder` of the migrations")
		settable(cmd.Flags(), "dir", "GOOSE_MIGRATION_DIR")
	}
	cmd.Flags().BoolVar(&f.check, "check", false, "write nothing, and fail if the file doesn't match the migrations")
}

// sumDone is the data of sum.
type sumDone struct {
	File       string `json:"file"`
	Migrations int    `json:"migrations"`
}

// sum writes or checks the file of sums.
func sum(c *call, f *sumFlags) error {
	if c.settings.standalone {
		f.dir = c.settings.files.dir
	}
	if !isFolder(f.dir) {
		return usagef("there is no folder %s: --dir says where the migrations are", f.dir)
	}
	s, err := c.sums(f.dir)
	if err != nil {
		return err
	}
	if f.check {
		if !isFile(filepath.FromSlash(s.file)) {
			return &refusedError{fmt.Errorf("there is no file %s: run %s", s.file, c.out.command("sum"))}
		}
		if err := s.check(); err != nil {
			return &refusedError{err}
		}
	}
	unlock, err := lockFolders(c.ctx, []string{f.dir})
	if err != nil {
		return err
	}
	defer unlock()
	found, err := sumfile.Scan(s.fsys, s.base, s.quoting)
	if err != nil {
		return err
	}
	c.data = sumDone{s.file, len(found)}
	if f.check {
		c.out.line("%s matches %s", clean(s.file), counted(len(found), "file"))
		return nil
	}
	if err := s.write(found); err != nil {
		c.data = nil
		return err
	}
	c.out.line("%s lists %s", clean(s.file), counted(len(found), "file"))
	return nil
}

// sums is the file of sums of a folder of migrations, which may not exist.
type sums struct {
	fsys    fs.FS
	base    string
	file    string // as people call it
	quoting sqltext.Quoting
}

// sums needs the dialect, because quoting decides what is a comment, and comments don't count.
func (c *call) sums(dir string) (*sums, error) {
	name := ""
	if c.settings.standalone {
		t, err := c.settings.target(noDatabase)
		if err != nil {
			return nil, err
		}
		name = t.dialect
	} else {
		m, err := c.migrator(withPurpose(c.ctx, noDatabase))
		if err != nil {
			return nil, err
		}
		d, err := m.Describe()
		if d.Dialect == "" {
			return nil, err
		}
		name = string(d.Dialect)
	}
	d, err := dialect.Lookup(name)
	if err != nil {
		return nil, err
	}
	s := &sums{file: filepath.ToSlash(filepath.Join(dir, sumfile.Name))}
	s.fsys, s.base = folder(dir)
	s.quoting, _ = d.Quoting()
	return s, nil
}

func (s *sums) check() error { return sumfile.Check(s.fsys, s.base, nil, s.quoting) }

// write replaces the file as a whole, so that a command that is cut off leaves the old one.
func (s *sums) write(found sumfile.Sums) error {
	temporary, err := os.CreateTemp(filepath.Dir(s.file), ".gooseplus-*")
	if err != nil {
		return err
	}
	_, err = temporary.WriteString(found.String())
	err = errors.Join(err, temporary.Chmod(0o644), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), s.file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return nil
}

// keepSums prepares a command that adds or renames migrations. The function that it returns writes the file of sums again,
// if there is one that matched before, and returns its name: writing a file that didn't match would hide that somebody has
// changed a migration.
func (c *call) keepSums(dir string) (update func() string) {
	nothing := func() string { return "" }
	if !isFile(filepath.Join(dir, sumfile.Name)) {
		return nothing
	}
	stale := func(err error) {
		c.out.note("warning: %s is not updated: %s", clean(filepath.ToSlash(filepath.Join(dir, sumfile.Name))), c.out.sentence(err))
	}
	s, err := c.sums(dir)
	if err == nil {
		err = s.check()
	}
	if err != nil {
		return func() string { stale(err); return "" }
	}
	return func() string {
		found, err := sumfile.Scan(s.fsys, s.base, s.quoting)
		if err == nil {
			err = s.write(found)
		}
		if err != nil {
			stale(err)
			return ""
		}
		c.out.line("updated %s", clean(s.file))
		return s.file
	}
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// sumFaults takes the faults of the file of sums out of those of the configuration.
func sumFaults(err error) (sums, others error) {
	var fault *sumfile.Fault
	if !errors.As(err, &fault) {
		return nil, err
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var a, b []error
		for _, e := range joined.Unwrap() {
			one, other := sumFaults(e)
			a, b = append(a, one), append(b, other)
		}
		return errors.Join(a...), errors.Join(b...)
	}
	return err, nil
}
