package envfs

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// A Replay annotation in a Down section says that the Down is the Up of another version. goose doesn't know the annotation
// and would refuse the file. It gets a statement in its place, which begins with a NUL, so that no database can mistake
// it for one. [Replayed] finds that statement, and nobody executes it.
const replayMark = "\x00gooseplus replay "

var replayLine = regexp.MustCompile(`(?i)^--[ \t]*\+gooseplus[ \t]+replay[ \t]+([0-9]+)[ \t]*$`)

var (
	errAnnotation = errors.New("a line has +gooseplus and is none of -- +gooseplus Replay VERSION, -- +gooseplus requires VERSION, -- +gooseplus allow-lock REASON and -- +gooseplus allow-lock-up-to-here REASON")
	errNoReason   = errors.New("-- +gooseplus allow-lock has no reason: write why nobody is hurt by the lock, in the same line")
	errReplayInUp = errors.New("-- +gooseplus Replay is in an Up: only a Down can be a Replay")
	errBeside     = errors.New("a Down with -- +gooseplus Replay must have nothing else in it")
)

// requiresLine is an annotation that has no effect on how a file runs.
var requiresLine = regexp.MustCompile(`(?im)^[ \t]*--[ \t]*\+gooseplus[ \t]+requires[ \t]+([0-9]+)[ \t]*\r?$`)

// allowLine is another one, also in Go. Its reason may be missing.
var allowLine = regexp.MustCompile(`(?im)^[ \t]*(?:--|//)[ \t]*\+gooseplus[ \t]+allow-lock(-up-to-here)?\b[ \t]*(.*?)[ \t]*\r?$`)

// Allowance says of a file whose locks are allowed, and why.
type Allowance struct {
	Reason string // "" if none are
	Lower  bool   // also those of all lower versions
}

// AllowLock is what a file allows. Of several lines the first one counts.
func AllowLock(text string) (a Allowance) {
	if !strings.Contains(text, "+gooseplus") { // each boot asks of each file
		return a
	}
	if m := allowLine.FindStringSubmatch(text); m != nil && m[2] != "" {
		a = Allowance{m[2], m[1] != ""}
	}
	return a
}

// Requires is the highest version that a file requires of programs, 0 if it requires none.
func Requires(text string) (version int64) {
	if !strings.Contains(text, "+gooseplus") {
		return 0
	}
	for _, m := range requiresLine.FindAllStringSubmatch(text, -1) {
		if v, err := strconv.ParseInt(m[1], 10, 64); err == nil {
			version = max(version, v)
		}
	}
	return version
}

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

// marked is a file with the mark in place of each Replay annotation.
func marked(text string) (string, error) {
	if !strings.Contains(text, "+gooseplus") {
		return text, nil
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		if requiresLine.MatchString(line) {
			b.WriteString("--\n") // goose takes no annotation that it doesn't know
			continue
		}
		if m := allowLine.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil && m[2] == "" {
			return "", errNoReason
		} else if m != nil {
			b.WriteString("--\n")
			continue
		}
		version, err := annotation(line)
		switch {
		case err != nil:
			return "", err
		case version != 0:
			fmt.Fprintf(&b, "%s%d;\n", replayMark, version)
		default:
			b.WriteString(line)
		}
	}
	return b.String(), nil
}

// Replayed returns the version whose Up is the Down of a migration with these statements, 0 if it has a
// Down of its own.
func Replayed(quoting sqltext.Quoting, up, down []string) (int64, error) {
	has := func(s string) bool { return strings.Contains(s, replayMark) }
	if slices.ContainsFunc(up, has) {
		return 0, errReplayInUp
	}
	if !slices.ContainsFunc(down, has) {
		return 0, nil
	}
	if len(down) == 1 {
		line, rest, _ := strings.Cut(down[0], "\n")
		number, whole := strings.CutPrefix(line, replayMark)
		if version, err := strconv.ParseInt(strings.TrimSuffix(number, ";"), 10, 64); whole && err == nil && quoting.OnlyComments(rest) {
			return version, nil
		}
	}
	return 0, errBeside
}
