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
	case strings.HasPrefix(message, "failed to parse annotation"): // goose's own, so no data
		return message, ""
	}
	sql, unquoteErr := strconv.Unquote(quotedText.FindString(message))
	if unquoteErr != nil {
		sql = ""
	}
	return quotedText.ReplaceAllLiteralString(message, `"…"`), strings.TrimSpace(sql)
}
