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

func atomicDDL(statement string) bool { return ddl.MatchString(uncommented(statement)) }
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

// reads matches statements that change nothing.
var reads = regexp.MustCompile(`(?i)^(select|do)\b`)

// endsInDDL says whether the last of the statements is atomic DDL, and those before it only read.
func endsInDDL(statements []string) bool {
	if len(statements) == 0 {
		return false
	}
	last := len(statements) - 1
	for _, s := range statements[:last] {
		if !single(s) || !reads.MatchString(uncommented(s)) {
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
