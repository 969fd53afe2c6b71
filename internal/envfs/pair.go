package envfs

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// PairError says that a down file has no up file.
type PairError struct {
	Version int64
	Down    string // its path
	// Up is the path of an up file of the same version, in the same folder, with another name; "" if
	// there is none.
	Up string
}

func (e *PairError) Error() string {
	if e.Up != "" {
		return fmt.Sprintf("version %d has %s and %s, which have to differ in .up and .down only", e.Version, e.Up, e.Down)
	}
	return fmt.Sprintf("version %d has %s without the .up.sql file that belongs to it", e.Version, e.Down)
}

// half tells the halves of a pair by their names: NUMBER_name.up.sql and NUMBER_name.down.sql. near is
// true for a name in other letters, which golang-migrate wouldn't take for one.
func half(name string) (stem, suffix string, near bool) {
	name = strings.TrimSuffix(name, ".sql")
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return "", "", false
	}
	switch suffix := name[i:]; {
	case suffix == ".up", suffix == ".down":
		return name[:i], suffix, false
	default:
		return "", "", strings.EqualFold(suffix, ".up") || strings.EqualFold(suffix, ".down")
	}
}

// pair gives the up files of a folder, which are among its files, the down files with their names. What
// is left has no up file.
func pair(files []File, downs map[string]File) (left []File) {
	for i := range files {
		if stem, _, _ := half(files[i].Name); files[i].paired {
			files[i].Down = downs[stem].Path
			delete(downs, stem)
		}
	}
	for _, f := range downs {
		left = append(left, f)
	}
	sortByVersion(left)
	return left
}

// whyUnpaired reports a down file that has no up file, with the file that is in the way.
func (o *Overlay) whyUnpaired(down File) error {
	for _, files := range [][]File{o.SQL, o.Go} {
		for _, f := range files {
			if f.Version == down.Version && !f.paired {
				return &DuplicateError{Version: f.Version, Paths: [2]string{f.Path, down.Path}}
			}
		}
	}
	fault := &PairError{Version: down.Version, Down: down.Path}
	for _, f := range o.SQL {
		if f.Version == down.Version && f.Environment == down.Environment && f.Down == "" {
			fault.Up = f.Path
		}
	}
	return fault
}

// readPair joins the two files.
func (o *Overlay) readPair(f File) ([]byte, error) {
	up, err := fs.ReadFile(o.fsys, f.Path)
	if err != nil {
		return nil, err
	}
	t := Text{Version: f.Version, Up: []string{string(up)}}
	if t.NoTransaction, err = inspectUp(string(up)); err != nil {
		return nil, err
	}
	if f.Down != "" {
		down, err := fs.ReadFile(o.fsys, f.Down)
		if err != nil {
			return nil, err
		}
		if t.Replay, err = replayIn(string(down)); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Down, err)
		}
		t.Down = []string{string(down)}
	}
	// golang-migrate opens no transaction, so many of its files do that themselves. To COMMIT goose's is
	// an error for some drivers.
	t.NoTransaction = t.NoTransaction || slices.ContainsFunc(slices.Concat(t.Up, t.Down), sqltext.ControlsTransactions)
	return t.file(), nil
}

// inspectUp finds goose's annotation NO TRANSACTION in an up file, and refuses what is no such file.
func inspectUp(up string) (noTransaction bool, err error) {
	leading, gooseUp, gooseDown := true, false, false
	for line := range strings.Lines(strings.TrimPrefix(up, "\ufeff")) {
		switch version, err := annotation(line); {
		case err != nil:
			return false, err
		case version != 0:
			return false, errReplayInUp
		}
		trimmed := strings.TrimSpace(line)
		leading = leading && (trimmed == "" || strings.HasPrefix(trimmed, "--"))
		switch strings.ToUpper(gooseAnnotation(line)) {
		case "NO TRANSACTION":
			noTransaction = true
		case "UP":
			gooseUp = gooseUp || leading
		case "DOWN":
			gooseDown = true
		}
	}
	if gooseUp && gooseDown { // whose Down would be executed together with its Up
		return false, errors.New("it is a goose file, with the name of one half of a pair: rename it to end in .sql alone")
	}
	return noTransaction, nil
}

// gooseAnnotation is what a line says that goose takes for an annotation, "" for another one.
func gooseAnnotation(line string) string {
	if !strings.HasPrefix(line, "--") || !strings.Contains(line, "+goose") {
		return ""
	}
	return strings.TrimSpace(strings.Replace(strings.ReplaceAll(line, "--", ""), "+goose", "", 1))
}

// replayIn returns the version that a down file tells to replay, 0 if it doesn't.
func replayIn(down string) (replay int64, err error) {
	for line := range strings.Lines(strings.TrimPrefix(down, "\ufeff")) {
		version, err := annotation(line)
		if err != nil {
			return 0, err
		}
		if version != 0 && replay != 0 {
			return 0, errBeside
		}
		replay += version
	}
	if replay != 0 && !onlyComments(strings.TrimPrefix(down, "\ufeff"), false) {
		return 0, errBeside
	}
	return replay, nil
}
