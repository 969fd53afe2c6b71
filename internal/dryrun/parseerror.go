package dryrun

import (
	"regexp"
	"strconv"
	"strings"
)

// goose quotes the text that it stumbles over or, after a failed substitution, adds the line.
var (
	quotedText = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	wrapping   = regexp.MustCompile(`^(failed to prepare migration \([^)]*\): |failed to parse .*?\.sql: |failed to parse migration: )+`)
)

// describe is goose's message about a file that it can't parse, without what it puts around it and
// without the SQL, which is returned beside it as far as goose says it.
func describe(err error) (message, sql string) {
	message, line, substitution := strings.Cut(err.Error(), "\n")
	message = strings.TrimSuffix(wrapping.ReplaceAllString(message, ""), ":")
	switch {
	case substitution:
		return message, line
	case strings.HasPrefix(message, "failed to parse annotation") && strings.Contains(message, `\r`): // the line is the file, with its data
		return "its lines end with a carriage return alone: save it with line feeds", ""
	case strings.HasPrefix(message, "failed to parse annotation"): // goose's own, so no data
		return message, ""
	}
	sql, unquoteErr := strconv.Unquote(quotedText.FindString(message))
	if unquoteErr != nil {
		sql = ""
	}
	sql, message = strings.TrimSpace(sql), quotedText.ReplaceAllLiteralString(message, `"…"`)
	if before, _, _ := strings.Cut(sql, " "); strings.HasPrefix(sql, `\`) {
		return before + " is a command of psql and no SQL: remove it", sql
	}
	for _, p := range plain {
		if strings.HasPrefix(message, p.goose) {
			return p.text, sql
		}
	}
	return message, sql
}

// plain are goose's messages in the words of somebody who doesn't know its parser.
var plain = []struct{ goose, text string }{
	{`unexpected state 0 on line`, "there is SQL before the line -- +goose Up: move it below, or begin the file with that line"},
	{`must start with '-- +goose Up' annotation, stateMachine=2`, unended},
	{`must start with '-- +goose Up' annotation, stateMachine=4`, "the line -- +goose Down is there twice (a line in a comment counts)"},
	{`must start with '-- +goose Up' annotation, stateMachine=5`, unended},
	{`must start with '-- +goose Up' annotation, stateMachine=6`, "the line -- +goose Down is there twice (a line in a comment counts)"},
	{`must start with '-- +goose Up' annotation, stateMachine=0`, "the line -- +goose Down comes before the line -- +goose Up"},
	{`must start with '-- +goose Up' annotation`, "the line -- +goose Up is missing"},
	{`duplicate '-- +goose Up' annotations`, "the line -- +goose Up is there twice, or below -- +goose Down (a line in a comment counts)"},
	{`'-- +goose StatementBegin' must be defined after '-- +goose Up' or '-- +goose Down' annotation, stateMachine=0`, "-- +goose StatementBegin comes before the line -- +goose Up"},
	{`'-- +goose StatementBegin' must be defined after`, unended},
	{`state 1, direction: up: unexpected unfinished SQL query`, "the last statement of the Up has no semicolon at its end"},
	{`state 4, direction: down: unexpected unfinished SQL query`, "the last statement of the Down has no semicolon at its end"},
	{`missing '-- +goose StatementEnd' annotation`, unended},
}

const unended = "-- +goose StatementBegin has no -- +goose StatementEnd after it"
