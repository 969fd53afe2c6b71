package sqltext

import (
	"slices"
	"strings"

	"github.com/gooseplus/gooseplus/internal/lazy"
)

// alone matches what PostgreSQL refuses in a transaction (PreventInTransactionBlock in its sources), and VACUUM, which
// SQLite refuses too. DROP SUBSCRIPTION and CREATE SUBSCRIPTION are refused unless an option says otherwise.
var alone = lazy.Regexp(`(?is)^(?:` + strings.Join([]string{
	`create\s+(?:unique\s+)?index\s+concurrently\b`,
	`drop\s+index\s+concurrently\b`,
	`reindex\s*(?:\([^)]*\)\s*)?(?:index|table|schema|database|system)\s+concurrently\b`,
	`reindex\s*\([^)]*\bconcurrently\b[^)]*\)`,
	`reindex\s*(?:\([^)]*\)\s*)?(?:schema|database|system)\b`,
	`alter\s+table\b.*\bdetach\s+partition\b.*\bconcurrently\b`,
	`vacuum\b`,
	`cluster\s*(?:\([^)]*\)\s*)?(?:verbose\s*)?;*\s*$`,
	`(?:create|drop)\s+database\b`,
	`alter\s+database\b.*\bset\s+tablespace\b`,
	`(?:create|drop)\s+tablespace\b`,
	`alter\s+system\b`,
	`create\s+subscription\b`,
	`drop\s+subscription\b`,
	`alter\s+subscription\b.*\b(?:refresh|set|add|drop)\s+publication\b`,
	`discard\s+all\b`,
}, "|") + `)`)

// Alone says whether a text is one statement that can't run in a transaction, and must be sent by itself; among says
// whether such a statement is one of several in it.
func Alone(text string) (alone, among bool) {
	statements, found := 0, false
	lower := strings.ToLower(text)
	if !slices.ContainsFunc(rare, func(word string) bool { return strings.Contains(lower, word) }) {
		return false, false // the usual case, also of megabytes
	}
	for _, piece := range pieces(text) {
		piece = strings.TrimSpace(WithoutComments(piece))
		if piece == "" {
			continue
		}
		statements++
		found = found || outside(piece)
	}
	return found && statements == 1, found && statements > 1
}

// rare are the words of which one is in each such statement.
var rare = []string{"concurrently", "reindex", "vacuum", "cluster", "database", "tablespace", "system", "subscription", "discard"}

var unconnected = lazy.Regexp(`\b(?:connect|create_slot)\s*=\s*'?(?:false|off|0)\b`)

func outside(statement string) bool {
	m := alone().FindString(statement)
	if m == "" {
		return false
	}
	m = strings.ToLower(m)
	return !strings.HasPrefix(m, "create") || !strings.HasSuffix(m, "subscription") || !unconnected().MatchString(strings.ToLower(statement))
}

// innerComments are comments anywhere; a /*! is code.
var innerComments = lazy.Regexp(`(?s)'[^']*'|"[^"]*"|--[^\n\r]*|/\*(?:[^!].*?)?\*/`)

// WithoutComments has a space for each comment of PostgreSQL, so that what is around one can be matched.
func WithoutComments(statement string) string {
	return innerComments().ReplaceAllStringFunc(Quoting{Dollars: true}.Uncommented(statement), func(s string) string {
		if strings.HasPrefix(s, "--") || strings.HasPrefix(s, "/*") {
			return " "
		}
		return s
	})
}
