package envfs

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// PairError says that a down file has no up file in its folder.
type PairError struct {
	Version int64
	Down    string // its path
}

func (e *PairError) Error() string {
	return fmt.Sprintf("version %d has %s without the .up.sql file that belongs to it", e.Version, e.Down)
}

// pair gives each up file of a folder the down file of the same version; of several the one with the same name. It
// returns the down files that are left over, by version.
func (o *Overlay) pair(files, downs []File) []File {
	for i := range files {
		up := &files[i]
		if len(downs) == 0 || up.kind != upHalf {
			continue
		}
		at := slices.IndexFunc(downs, func(f File) bool { return f.Version == up.Version && stem(f.Name) == stem(up.Name) })
		if at < 0 {
			if at = slices.IndexFunc(downs, func(f File) bool { return f.Version == up.Version }); at < 0 {
				continue
			}
			o.Odd = append(o.Odd, fmt.Sprintf("%s and %s are taken for a pair because they have the same version: give them the same name",
				up.Path, downs[at].Path))
		}
		up.Down = downs[at].Path
		downs = slices.Delete(downs, at, at+1)
	}
	sortByVersion(downs)
	return downs
}

// whyUnpaired is the fault of a down file that has no up file. It names the file that has its place, if there is one.
func (o *Overlay) whyUnpaired(down File) error {
	for _, f := range slices.Concat(o.SQL, o.Go) {
		switch {
		case f.Version != down.Version:
		case f.kind != upHalf:
			return &DuplicateError{Version: f.Version, Paths: [2]string{f.Path, down.Path}}
		case f.Down != "" && f.Environment == down.Environment:
			return &DuplicateError{Version: f.Version, Paths: [2]string{f.Down, down.Path}}
		}
	}
	return &PairError{Version: down.Version, Down: down.Path}
}

// readPair joins the two files.
func (o *Overlay) readPair(f File) ([]byte, error) {
	up, err := readText(o.fsys, f.Path)
	if err != nil {
		return nil, err
	}
	if up, err = marked(up); err != nil {
		return nil, err
	}
	t := Text{Up: Sendable(o.Quoting, up)}
	if t.NoTransaction, err = inspectUp(up); err != nil {
		return nil, err
	}
	if f.Down != "" {
		down, err := readText(o.fsys, f.Down)
		if err != nil {
			return nil, err
		}
		if down, err = marked(down); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Down, err)
		}
		t.Down = Sendable(o.Quoting, down)
	}
	// golang-migrate opens no transaction, so many of its files begin and commit one themselves. Some drivers refuse the
	// COMMIT of a transaction that goose has opened. Other files can't run in a transaction.
	t.NoTransaction = t.NoTransaction || slices.ContainsFunc(slices.Concat(t.Up, t.Down), func(text string) bool {
		return sqltext.ControlsTransactions(text) || o.Alone != nil && o.Alone(text)
	})
	return o.file(t), nil
}

// inspectUp finds goose's annotation NO TRANSACTION in an up file, and refuses a goose file: its Down would be executed
// together with its Up.
func inspectUp(up string) (noTransaction bool, err error) {
	leading, gooseUp, gooseDown := true, false, false
	for line := range strings.Lines(up) {
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
	if gooseUp && gooseDown {
		return false, errors.New("it is a goose file, with the name of one half of a pair: rename it to end in .sql alone")
	}
	return noTransaction, nil
}

// gooseAnnotation returns the text of one of goose's annotations, "" for any other line.
func gooseAnnotation(line string) string {
	if !strings.HasPrefix(line, "--") || !strings.Contains(line, "+goose") {
		return ""
	}
	return strings.TrimSpace(strings.Replace(strings.ReplaceAll(line, "--", ""), "+goose", "", 1))
}
