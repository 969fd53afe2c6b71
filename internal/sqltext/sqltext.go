// Package sqltext finds out a few things about SQL that no server has seen yet, without a parser: what it
// says holds for what is usual in migrations.
package sqltext

import (
	"regexp"
	"strings"
)

// comments are those before a statement. A /*! is code.
var comments = regexp.MustCompile(`(?s)^(\s+|--[^\n]*(\n|$)|#[^\n]*(\n|$)|/\*[^!].*?\*/)+`)

// Uncommented is a statement without the comments before it.
func Uncommented(statement string) string { return comments.ReplaceAllString(statement, "") }

// control matches a statement that ends the transaction that goose has opened for a migration, or
// that means to open one of its own.
var control = regexp.MustCompile(`(?i)^(begin|start\s+transaction|commit|end|abort|rollback|prepare\s+transaction)\b`)

// ControlsTransactions says whether a text has transactions of its own. A statement that goes back to a
// savepoint is no such one. A text of several statements is looked at piece by piece; but an END in it is
// rather that of a trigger.
func ControlsTransactions(text string) bool {
	for i, piece := range pieces(text) {
		piece = Uncommented(piece)
		if control.MatchString(piece) && !toSavepoint.MatchString(piece) && (i == 0 || !end.MatchString(piece)) {
			return true
		}
	}
	return false
}

// Meddles says whether a text has any of the words, wherever, with which a migration ends its transaction or changes its
// session. If not, it does neither, unless it calls a function that does.
func Meddles(text string) bool { return meddling.MatchString(text) }

var meddling = regexp.MustCompile(`(?i)\b(commit|end|abort|rollback|prepare|set|set_config|reset|discard|do|call|use|lock)\b`)

// Plain says whether a text leaves its session as it was: it only defines things or changes rows, and has no SELECT, no word
// of Meddles and nothing temporary. A trigger, or a function that it calls elsewhere, can still change the session.
func Plain(text string) bool {
	if Meddles(text) || unplain.MatchString(text) {
		return false
	}
	for i, piece := range pieces(text) {
		piece = Uncommented(piece)
		if !plain.MatchString(piece) && (i == 0 || strings.TrimSpace(piece) != "") {
			return false
		}
	}
	return true
}

var (
	plain   = regexp.MustCompile(`(?i)^\s*(create|alter|drop|comment|grant|revoke|insert|update|delete|truncate)\b`)
	unplain = regexp.MustCompile(`(?i)temp|\bselect\b`)
)

var end = regexp.MustCompile(`(?i)^end\b`)

// pieces takes a text apart at the semicolons that are not in quotes, in comments or in dollar quotes.
func pieces(text string) (list []string) {
	anybody := Quoting{Dollars: true}
	begin, at := 0, 0
	for at < len(text) {
		next := strings.IndexAny(text[at:], ";'\"`-/$")
		if next < 0 {
			break
		}
		at += next
		if text[at] == ';' {
			list, begin, at = append(list, text[begin:at]), at+1, at+1
			continue
		}
		length, closed := anybody.span(text, at)
		if text[at] == '`' {
			length, closed = quotedBy(text[at:], '`', false)
		}
		switch {
		case closed:
			at += length
		case text[at] == '$':
			return append(list, text[begin:]) // no server executes what is in it
		default:
			at++
		}
	}
	return append(list, text[begin:])
}

var toSavepoint = regexp.MustCompile(`(?i)^rollback\s+(work\s+|transaction\s+)?to\b`)
