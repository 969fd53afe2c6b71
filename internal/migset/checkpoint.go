package migset

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/gooseplus/gooseplus/internal/dryrun"
	"github.com/gooseplus/gooseplus/internal/envfs"
	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// Checkpoint is a file that stands for all versions up to one, in a database without any applied version. It is right only
// for a set whose versions up to that one are exactly those that it covers: the order of any other versions among them would
// not be the order in which they run one by one.
type Checkpoint struct {
	Version     int64 // the highest that it covers
	Source      string
	Environment string
	Covered     []Covered      // ascending by version
	Files       *envfs.Overlay // the file alone, as goose reads it

	sum string // as the file says
}

// Covered is a version that a checkpoint covers.
type Covered struct {
	Version     int64
	Sum         string // "" for a Go function
	Requires    int64  // the version that a program has to know, 0 for any
	Environment string // "" if it is in no folder
	Source      string
}

func (c Covered) line() string {
	return fmt.Sprintf("-- covers %d %s %d %q %q", c.Version, cmp.Or(c.Sum, "-"), c.Requires, c.Environment, c.Source)
}

func parseCovered(line string) (c Covered, err error) {
	if _, err = fmt.Sscanf(line, "-- covers %d %s %d %q %q", &c.Version, &c.Sum, &c.Requires, &c.Environment, &c.Source); c.Sum == "-" {
		c.Sum = ""
	}
	return c, err
}

// Versions are the versions that the checkpoint covers, lowest first.
func (c *Checkpoint) Versions() []int64 {
	list := make([]int64, len(c.Covered))
	for i, covered := range c.Covered {
		list[i] = covered.Version
	}
	return list
}

// sumOf is the sum of a checkpoint: of what it covers, and of its SQL.
func sumOf(covered []Covered, text string, q sqltext.Quoting) string {
	all := sha256.New()
	for _, c := range covered {
		fmt.Fprintln(all, c.line())
	}
	fmt.Fprintln(all, q.Sum(text))
	return hex.EncodeToString(all.Sum(nil))
}

// CheckpointText is the text of a checkpoint that covers these versions, with statements that are sent one by one.
func CheckpointText(dialect string, covered []Covered, statements []string, q sqltext.Quoting) string {
	var body strings.Builder
	body.WriteString("-- +goose Up\n")
	for _, s := range statements {
		body.WriteString("-- +goose StatementBegin\n" + strings.TrimSpace(s) + "\n-- +goose StatementEnd\n")
	}
	var text strings.Builder
	fmt.Fprintf(&text, "-- gooseplus checkpoint %s %s\n", dialect, sumOf(covered, body.String(), q))
	text.WriteString("-- Written by: gooseplus checkpoint. It stands for the versions below in databases without any applied version.\n" +
		"-- An edit is a fault: write it again instead.\n")
	for _, c := range covered {
		text.WriteString(c.line() + "\n")
	}
	return text.String() + body.String()
}

var errNoHeader = errors.New("it has not the header that gooseplus checkpoint writes: write it again, or give a migration another name than " +
	"VERSION_name.checkpoint.sql")

// readHeader reads what a checkpoint covers. A boot reads no more of it than that.
func readHeader(fsys fs.FS, f envfs.File) (c *Checkpoint, dialect string, err error) {
	file, err := fsys.Open(f.Path)
	if err != nil {
		return nil, "", err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	c = &Checkpoint{Version: f.Version, Source: f.Path, Environment: f.Environment}
	if !lines.Scan() {
		return nil, "", errors.Join(errNoHeader, lines.Err())
	}
	if _, err := fmt.Sscanf(strings.TrimPrefix(lines.Text(), "\ufeff"), "-- gooseplus checkpoint %s %s", &dialect, &c.sum); err != nil {
		return nil, "", errNoHeader
	}
	for lines.Scan() && strings.HasPrefix(lines.Text(), "--") && !strings.HasPrefix(lines.Text(), "-- +goose") {
		if !strings.HasPrefix(lines.Text(), "-- covers ") {
			continue
		}
		covered, err := parseCovered(lines.Text())
		if err != nil {
			return nil, "", fmt.Errorf("the line %q: %w: write it again", lines.Text(), err)
		}
		c.Covered = append(c.Covered, covered)
	}
	if err := lines.Err(); err != nil {
		return nil, "", err
	}
	sorted := slices.IsSortedFunc(c.Covered, func(a, b Covered) int { return cmp.Or(cmp.Compare(a.Version, b.Version), 1) })
	if n := len(c.Covered); n == 0 || !sorted || c.Covered[n-1].Version != c.Version {
		return nil, "", fmt.Errorf("its name says version %d, and that is not the highest of the versions that it covers: write it again", c.Version)
	}
	return c, dialect, nil
}

// addCheckpoints finds the checkpoints of a set, and adds the covered versions to it whose files are gone.
func (c *Config) addCheckpoints(s *Set) (faults []*Fault) {
	for _, stray := range slices.Concat(s.Files.Ignored, s.Files.Stray) {
		if envfs.IsCheckpoint(path.Base(stray)) {
			faults = append(faults, mergeFault("%s is no checkpoint here: a checkpoint is VERSION_name.checkpoint.sql in the folder of an environment", stray))
		}
	}
	have := s.Versions()
	gone := make(map[int64]Migration)
	for _, f := range s.Files.Checkpoints {
		one, of, err := readHeader(c.FS, f)
		if err != nil {
			faults = append(faults, mergeFault("checkpoint %s: %w", f.Path, err))
			continue
		}
		if slices.ContainsFunc(one.Covered, func(v Covered) bool { return v.Environment != "" && !s.Files.Reads(v.Environment) }) {
			continue
		}
		one.Files = s.Files.Single(f)
		var missing []int64
		for _, v := range one.Covered {
			if _, found := slices.BinarySearch(have, v.Version); !found {
				missing = append(missing, v.Version)
				gone[v.Version] = Migration{Version: v.Version, Source: v.Source, Environment: v.Environment, gone: &v}
			}
		}
		switch other := of != string(c.Dialect.Goose); {
		case other && len(missing) > 0:
			faults = append(faults, mergeFault("checkpoint %s: it stands for versions %v, whose files are gone, and is for the dialect %s", f.Path, missing, of))
		case other:
		case !c.Checkpoints && len(missing) > 0:
			faults = append(faults, mergeFault("checkpoint %s: it stands for versions %v, whose files are gone: use WithCheckpoints(true), or restore the files",
				f.Path, missing))
		default:
			s.Checkpoints.list = append(s.Checkpoints.list, one)
		}
	}
	s.Checkpoints.use = c.Checkpoints
	slices.SortStableFunc(s.Checkpoints.list, func(a, b *Checkpoint) int { return cmp.Compare(a.Version, b.Version) })
	if len(faults) > 0 || len(gone) == 0 {
		return faults
	}
	for _, m := range gone {
		s.List = append(s.List, m)
	}
	slices.SortFunc(s.List, func(a, b Migration) int { return cmp.Compare(a.Version, b.Version) })
	return nil
}

// Missing says why versions whose files are gone can't be applied. empty says that nothing is applied.
func (s *Set) Missing(gone []int64, empty bool) error {
	c := s.Checkpoints.Covering(gone[len(gone)-1])
	text := fmt.Sprintf("versions %v are not applied, and their files are gone: ", gone)
	switch late := c.uncovered(s.Versions()); {
	case !empty:
		return fmt.Errorf(text+"%s is for databases without any applied version: migrate this one with a release that has the files, or, "+
			"if it has everything of these versions, call Force(%d)", c.Source, c.Version)
	case len(late) > 0:
		return fmt.Errorf(text+"%s doesn't cover versions %v, which are lower than %d: give them higher versions (gooseplus renumber), or restore the "+
			"files and write a checkpoint for these environments (gooseplus checkpoint)", c.Source, late, c.Version)
	}
	return fmt.Errorf(text+"%s leads to version %d, and to no lower one", c.Source, c.Version)
}

// Verify checks the sums of a checkpoint and of the files that it covers, and that goose can read it.
func (s *Set) Verify(ctx context.Context, c *Checkpoint) (faults []error) {
	m := Migration{Version: c.Version, Source: c.Source, Environment: c.Environment}
	fault := func(format string, args ...any) {
		faults = append(faults, s.contentFault(m, Up, fmt.Errorf(format, args...)))
	}
	quoting, ok := s.dialect.Quoting()
	text, err := fs.ReadFile(s.sums.fsys, c.Source)
	switch {
	case err != nil:
		return []error{err}
	case !ok:
		fault("checkpoints are for PostgreSQL, MySQL (MariaDB) and SQLite")
		return faults
	case sumOf(c.Covered, string(text), quoting) != c.sum:
		fault("the checkpoint was edited since it was written: run gooseplus checkpoint again")
	}
	for _, covered := range c.Covered {
		sum, err := s.Sum(covered.Version)
		if err != nil {
			faults = append(faults, err)
		} else if sum.Sum != covered.Sum && s.has(covered.Version) {
			fault("version %d (%s) was edited since the checkpoint was written: take the edit back, or run gooseplus checkpoint again", covered.Version, covered.Source)
		}
	}
	if len(faults) > 0 {
		return faults
	}
	_, faults = s.CheckpointSQL(ctx, c)
	return faults
}

// CheckpointSQL returns the statements of a checkpoint, or what goose can't parse of it.
func (s *Set) CheckpointSQL(ctx context.Context, c *Checkpoint) (statements []string, faults []error) {
	scripts, unreadable := dryrun.Scripts(ctx, c.Files, []int64{c.Version})
	for _, err := range unreadable {
		faults = append(faults, s.contentFault(Migration{Version: c.Version, Source: c.Source, Environment: c.Environment}, Up, err))
	}
	return scripts[c.Version].Up, faults
}
