package drive

import (
	"regexp"
	"strings"

	"github.com/gooseplus/gooseplus/internal/sqltext"
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

func atomicDDL(statement string) bool {
	return ddl.MatchString(uncommented(statement)) && !fills(statement)
}
func atomicDML(statement string) bool { return dml.MatchString(uncommented(statement)) }

// others matches statements that execute others, one of which can fail after the one before was committed. One in an executable
// comment may be any.
var others = regexp.MustCompile(`(?i)^((call|do|execute|begin|if|case|loop|repeat|while|for|declare|set\s+statement)\b|/\*)`)

func executesOthers(statement string) bool { return others.MatchString(uncommented(statement)) }

func uncommented(statement string) string { return sqltext.Uncommented(statement) }

// single says whether the text is one statement. With a driver that takes several in one string, a
// semicolon inside may be the end of one that was executed.
func single(text string) bool {
	return !strings.Contains(strings.TrimRight(uncommented(text), "; \t\r\n"), ";")
}

var (
	created   = regexp.MustCompile(`(?i)^create\s+table\s`)
	partition = regexp.MustCompile(`(?i)\bvalues\s+(less\s+than|in)\b`)
	query     = regexp.MustCompile(`(?i)\b(select|values|table)\b`)
)

// fills says whether a statement creates a table with the rows of a query that may write: what it has written stays if the
// statement fails.
func fills(statement string) bool {
	create := created.FindString(uncommented(statement))
	if create == "" {
		return false
	}
	rest := partition.ReplaceAllString(bare(uncommented(statement)[len(create):]), "")
	at := query.FindStringIndex(rest)
	return at != nil && !harmless(rest[at[0]:])
}

var (
	// known matches the beginning of a call of a function of the server that changes nothing.
	known = regexp.MustCompile(`(?i)(^|[\s(,])(sleep|now|version|database|user|current_user|connection_id|count|sum|min|max|concat|coalesce|if|ifnull)\s*\(`)
	// writing matches what may call other functions: a call, a view, a name in quotes, or code in a comment.
	writing = regexp.MustCompile(`(?i)[(` + "`" + `]|/\*|\b(from|into|table)\b`)
)

// harmless says whether a query changes nothing, because it calls no function that isn't the server's.
func harmless(query string) bool {
	return !writing.MatchString(known.ReplaceAllString(bare(query), "$1"))
}

// bare is a text without what is in quotes and in comments, where the server's settings make no difference to what that is.
func bare(text string) string {
	if strings.Contains(text, `\`) || sqltext.Executable(text) {
		return text
	}
	return sqltext.Quoting{Backslashes: true}.Bare(text)
}

// reads matches the beginning of statements that only read unless they call what writes.
var reads = regexp.MustCompile(`(?i)^(select|do)\b`)

// onlyReads says whether a statement changes nothing.
func onlyReads(statement string) bool {
	return reads.MatchString(uncommented(statement)) && harmless(statement)
}

// endsInDDL says whether the last of the statements is atomic DDL, and those before it only read.
func endsInDDL(statements []string) bool {
	if len(statements) == 0 {
		return false
	}
	last := len(statements) - 1
	for _, s := range statements[:last] {
		if !single(s) || !onlyReads(s) {
			return false
		}
	}
	return single(statements[last]) && atomicDDL(statements[last])
}

// Retractable says of the statements of both directions, where DDL commits by itself, that a step up that was cut off is
// absent after the Down, whether that succeeds or is refused: the Up ends in its one DDL statement, and a single statement
// takes it back.
func Retractable(up, down []string) bool {
	return endsInDDL(up) && len(down) == 1 && single(down[0]) && atomicDDL(down[0])
}
