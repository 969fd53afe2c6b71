package gooseplus

import (
	"regexp"
	"strings"
)

// ddl matches the DDL of which a single statement is all or nothing on MySQL 8 and MariaDB 10.6
// (MySQL manual 15.1.1, MariaDB's "Atomic DDL"). It is a list of what is known, because much else is
// not: DROP TABLE and DROP VIEW of several names drop the first ones, CREATE OR REPLACE drops before
// it creates, and CALL can do anything.
var ddl = regexp.MustCompile(`(?is)^(` +
	`alter\s+table\s|` +
	`create\s+table\s|` +
	`create\s+(unique\s+|fulltext\s+|spatial\s+)?index\s|` +
	`drop\s+index\s|` +
	`(drop|truncate)\s+table\s+(if\s+exists\s+)?[^\s,]+\s*;?\s*$` +
	`)`)

// dml matches statements that are all or nothing as long as no table is without transactions.
var dml = regexp.MustCompile(`(?i)^(insert|update|delete|replace)\s`)

func atomicDDL(statement string) bool { return ddl.MatchString(uncommented(statement)) }
func atomicDML(statement string) bool { return dml.MatchString(uncommented(statement)) }

// comments are those before a statement. A /*! is code.
var comments = regexp.MustCompile(`(?s)^(\s+|--[^\n]*(\n|$)|#[^\n]*(\n|$)|/\*[^!].*?\*/)+`)

func uncommented(statement string) string { return comments.ReplaceAllString(statement, "") }

// single says whether the text is one statement. With a driver that takes several in one string, a
// semicolon inside may be the end of one that was executed.
func single(text string) bool {
	return !strings.Contains(strings.TrimRight(uncommented(text), "; \t\r\n"), ";")
}

// control matches a statement that ends the transaction that goose has opened for a migration, or
// that means to open one of its own.
var control = regexp.MustCompile(`(?i)^(begin|start\s+transaction|commit|end|abort|rollback)\b`)

// controlsTransactions says whether a migration has transactions of its own, so that the one around
// it doesn't make it whole or absent. A statement that goes back to a savepoint is no such one. A text
// of several statements is looked at piece by piece; but an END in it is rather that of a trigger.
func controlsTransactions(statements []string) bool {
	for _, s := range statements {
		for i, piece := range pieces(s) {
			piece = uncommented(piece)
			if control.MatchString(piece) && !toSavepoint.MatchString(piece) && (i == 0 || !end.MatchString(piece)) {
				return true
			}
		}
	}
	return false
}

var end = regexp.MustCompile(`(?i)^end\b`)

// quoted matches what can hold a semicolon that ends no statement.
var quoted = regexp.MustCompile(`(?s)^(?:'[^']*'|"[^"]*"|` + "`[^`]*`" + `|--[^\n]*|/\*.*?\*/|\$(?:[\pL_][\pL\d_]*)?\$)`)

// pieces takes a text apart at the semicolons that are not in quotes, in comments or in dollar quotes.
func pieces(text string) (list []string) {
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
		span := quoted.FindStringIndex(text[at:])
		switch {
		case span == nil:
			at++
		case text[at] != '$':
			at += span[1]
		default:
			tag := text[at : at+span[1]]
			at += len(tag)
			if closing := strings.Index(text[at:], tag); closing >= 0 {
				at += closing + len(tag)
			}
		}
	}
	return append(list, text[begin:])
}

var toSavepoint = regexp.MustCompile(`(?i)^rollback\s+(work\s+|transaction\s+)?to\b`)
