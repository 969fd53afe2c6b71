package sqltext

import (
	"strings"
	"unicode/utf8"
)

// Line finds the line of a file at which a statement begins, or, if position isn't 0, the line of the statement's character
// with that number, counted from 1. It is 0 if the statement isn't there as it stands, or is there several times and the
// occurrence doesn't tell which one is meant. In a file of goose's, the section of the given direction counts.
func Line(file, statement string, down bool, position int, which Occurrence) int {
	lines := split(file)
	first, last := section(lines, down)
	return find(lines, first, last, statement, position, which)
}

// Occurrence tells which of equal statements is meant: the Nth of Of. The zero Occurrence doesn't know.
type Occurrence struct{ Nth, Of int }

// OccurrenceOf says which of the statements that are equal to it the one with a number is, counted from 1.
func OccurrenceOf(statements []string, number int) (o Occurrence) {
	if number < 1 || number > len(statements) {
		return o
	}
	for i, s := range statements {
		if strings.TrimSpace(s) == strings.TrimSpace(statements[number-1]) {
			if o.Of++; i < number {
				o.Nth++
			}
		}
	}
	return o
}

// LineAnywhere is Line for a text that may stand in no section of the file.
func LineAnywhere(file, statement string) int {
	lines := split(file)
	return find(lines, 0, len(lines), statement, 0, Occurrence{})
}

func split(file string) []string { return strings.Split(strings.ReplaceAll(file, "\r\n", "\n"), "\n") }

func find(lines []string, first, last int, statement string, position int, which Occurrence) int {
	want := strings.Split(strings.TrimSpace(strings.ReplaceAll(statement, "\r\n", "\n")), "\n")
	if want[0] == "" {
		return 0
	}
	var found []int
	for i := first; i+len(want) <= last; i++ {
		if at, ok := matches(lines[i:last], want, lineOf(statement, position)); ok {
			found = append(found, i+at+1)
		}
	}
	switch {
	case len(found) == 1:
		return found[0]
	case len(found) > 0 && len(found) == which.Of:
		return found[which.Nth-1]
	}
	return 0
}

// section is the range of lines that goose executes in a direction: all of a file that isn't goose's.
func section(lines []string, down bool) (first, last int) {
	last = len(lines)
	for i, line := range lines {
		switch strings.Join(strings.Fields(strings.ToLower(line)), " ") {
		case "-- +goose down":
			if !down {
				return first, i
			}
			first = i + 1
		case "-- +goose up":
			if !down {
				first = i + 1
			}
		}
	}
	return first, last
}

// matches says whether the statement begins with the first line, and how many lines further its line number n is. goose leaves
// out the comments that stand between the lines of a statement, and empty lines.
func matches(lines, want []string, n int) (at int, ok bool) {
	i := 0
	for w, line := range want {
		for i < len(lines) && w > 0 && strings.TrimSpace(lines[i]) != strings.TrimSpace(line) && skipped(lines[i]) {
			i++
		}
		if i == len(lines) || strings.TrimSpace(lines[i]) != strings.TrimSpace(line) {
			return 0, false
		}
		if w == n {
			at = i
		}
		i++
	}
	return at, true
}

func skipped(line string) bool {
	line = strings.TrimSpace(line)
	return line == "" || strings.HasPrefix(line, "--")
}

// lineOf is how many line breaks are before a character of the statement without the space around it.
func lineOf(statement string, position int) int {
	led := utf8.RuneCountInString(statement) - utf8.RuneCountInString(strings.TrimLeft(statement, " \t\r\n"))
	n := 0
	for _, r := range strings.TrimSpace(statement) {
		if position--; position <= led {
			break
		}
		if r == '\n' {
			n++
		}
	}
	return n
}
