package envfs

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Replay annotation in a Down section says that the Down is the Up of another version. goose would
// refuse the line, which is an annotation that it doesn't know. So it gets a statement instead that no
// database can mistake for one, since it begins with a NUL; who has goose read the file finds it with
// [Replayed] and never executes it.
const replayMark = "\x00gooseplus replay "

var replayLine = regexp.MustCompile(`(?i)^--[ \t]*\+gooseplus[ \t]+replay[ \t]+([0-9]+)[ \t]*$`)

var (
	errAnnotation = errors.New("a line has +gooseplus and is not: -- +gooseplus Replay VERSION")
	errReplayInUp = errors.New("-- +gooseplus Replay is in an Up: only a Down can be a Replay")
	errBeside     = errors.New("a Down has something else beside -- +gooseplus Replay")
)

func mark(version int64) string { return fmt.Sprintf("%s%d;\n", replayMark, version) }

// annotation is the version that a line tells to replay, 0 for a line that is no annotation.
func annotation(line string) (int64, error) {
	line = strings.TrimRight(line, "\r\n")
	if !annotates(line, "+gooseplus") {
		return 0, nil
	}
	m := replayLine.FindStringSubmatch(line)
	if m == nil {
		return 0, errAnnotation
	}
	version, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || version < 1 {
		return 0, errAnnotation
	}
	return version, nil
}

// marked is a goose file with the mark in place of each Replay annotation.
func marked(file []byte) ([]byte, error) {
	if !bytes.Contains(file, []byte("+gooseplus")) {
		return file, nil
	}
	var b bytes.Buffer
	for line := range bytes.Lines(file) {
		version, err := annotation(string(line))
		if err != nil {
			return nil, err
		}
		if version != 0 {
			line = []byte(mark(version))
		}
		b.Write(line)
	}
	return b.Bytes(), nil
}

// Replayed returns the version whose Up is the Down of a migration with these statements, 0 if it has a
// Down of its own.
func Replayed(up, down []string) (int64, error) {
	has := func(s string) bool { return strings.Contains(s, replayMark) }
	if slices.ContainsFunc(up, has) {
		return 0, errReplayInUp
	}
	if !slices.ContainsFunc(down, has) {
		return 0, nil
	}
	if len(down) == 1 {
		number, whole := strings.CutPrefix(down[0], replayMark)
		if version, err := strconv.ParseInt(strings.TrimSuffix(number, ";"), 10, 64); whole && err == nil {
			return version, nil
		}
	}
	return 0, errBeside
}
