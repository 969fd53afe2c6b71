package envfs

import (
	"errors"
	"fmt"
	"path"
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

// half tells the halves of a pair by their names: "up", "down", or "". They are named as golang-migrate has it, which
// doesn't care what comes after .up or .down: plain is true for the usual end, .up.sql.
func half(name string) (suffix string, plain bool) {
	digits := len(name) - len(strings.TrimLeft(name, "0123456789"))
	if digits == 0 || digits == len(name) || name[digits] != '_' || !strings.EqualFold(path.Ext(name), ".sql") {
		return "", false
	}
	rest := name[digits:]
	up, down := strings.LastIndex(rest, ".up."), strings.LastIndex(rest, ".down.")
	switch {
	case up > down:
		return "up", rest[up+len(".up."):] == "sql"
	case down >= 0:
		return "down", rest[down+len(".down."):] == "sql"
	}
	return "", false
}

// badCase says whether the name ends like one half of a pair in other letters, which golang-migrate doesn't take for
// one. As a goose file it would be half a migration.
func badCase(name string) bool {
	if !strings.EqualFold(path.Ext(name), ".sql") {
		return false
	}
	stem := strings.TrimRight(name[:len(name)-len(".sql")], ".")
	if ext := path.Ext(stem); !strings.EqualFold(ext, ".up") && !strings.EqualFold(ext, ".down") {
		return false
	}
	suffix, _ := half(name)
	return suffix == ""
}

// pair gives the up files of a folder, which are among its files, the down files of the same version: of several the one
// with the same name.
func (o *Overlay) pair(files, downs []File) {
	stem := func(name string) string {
		return name[:max(strings.LastIndex(name, ".up."), strings.LastIndex(name, ".down."))]
	}
	for i := range files {
		up := &files[i]
		if !up.paired {
			continue
		}
		fits := func(sameName bool) int {
			return slices.IndexFunc(downs, func(f File) bool {
				return f.Version == up.Version && (!sameName || stem(f.Name) == stem(up.Name))
			})
		}
		at := fits(true)
		if at < 0 {
			if at = fits(false); at < 0 {
				continue
			}
			o.Odd = append(o.Odd, fmt.Sprintf("%s and %s are taken for a pair, since they have the same version: better give them the same name",
				up.Path, downs[at].Path))
		}
		up.Down = downs[at].Path
		downs = slices.Delete(downs, at, at+1)
	}
	sortByVersion(downs)
	o.unpaired = append(o.unpaired, downs...)
}

// whyUnpaired reports a down file that has no up file, with the file that is in the way.
func (o *Overlay) whyUnpaired(down File) error {
	for _, files := range [][]File{o.SQL, o.Go} {
		for _, f := range files {
			switch {
			case f.Version != down.Version:
			case !f.paired:
				return &DuplicateError{Version: f.Version, Paths: [2]string{f.Path, down.Path}}
			case f.Down != "" && f.Environment == down.Environment:
				return &DuplicateError{Version: f.Version, Paths: [2]string{f.Down, down.Path}}
			}
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
	t := Text{Version: f.Version, Up: []string{string(up)}}
	if t.NoTransaction, err = inspectUp(string(up)); err != nil {
		return nil, err
	}
	if f.Down != "" {
		down, err := readText(o.fsys, f.Down)
		if err != nil {
			return nil, err
		}
		if t.Replay, err = replayIn(string(down)); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Down, err)
		}
		t.Down = []string{string(down)}
	}
	// golang-migrate opens no transaction, so many of its files do that themselves. To COMMIT goose's is
	// an error for some drivers. Others could not run in a transaction.
	t.NoTransaction = t.NoTransaction || slices.ContainsFunc(slices.Concat(t.Up, t.Down), func(text string) bool {
		return sqltext.ControlsTransactions(text) || o.Alone != nil && o.Alone(sendable(text))
	})
	t.Up, t.Down = sendables(t.Up), sendables(t.Down)
	return o.file(t), nil
}

// inspectUp finds goose's annotation NO TRANSACTION in an up file, and refuses what is no such file.
func inspectUp(up string) (noTransaction bool, err error) {
	leading, gooseUp, gooseDown := true, false, false
	for line := range strings.Lines(up) {
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
	for line := range strings.Lines(down) {
		version, err := annotation(line)
		if err != nil {
			return 0, err
		}
		if version != 0 && replay != 0 {
			return 0, errBeside
		}
		replay += version
	}
	if replay != 0 && !onlyComments(down, false) {
		return 0, errBeside
	}
	return replay, nil
}
