// Package sqltext finds out a few things about SQL that no server has seen yet, without a parser: what it
// says holds for what is usual in migrations.
package sqltext

import (
	"slices"
	"strings"

	"github.com/gooseplus/gooseplus/internal/lazy"
)

// Uncommented is a statement without the comments before it, for databases that end a comment at a line feed alone. A /*! is code.
func Uncommented(statement string) string { return Quoting{}.Uncommented(statement) }

// Uncommented is a statement without the comments before it. A /*! is code, and a /*M! of MariaDB.
func (q Quoting) Uncommented(statement string) string {
	for {
		statement = strings.TrimLeft(statement, " \t\n\f\r")
		switch {
		case strings.HasPrefix(statement, "--"), strings.HasPrefix(statement, "#"):
			statement = statement[q.line(statement):]
		case strings.HasPrefix(statement, "/*") && !Executable(statement[:min(len(statement), 4)]):
			_, rest, closed := strings.Cut(statement[len("/*"):], "*/")
			if !closed {
				return statement
			}
			statement = rest
		default:
			return statement
		}
	}
}

// readings are what a statement without the comments before it can be: where those end depends on the database.
func readings(statement string) []string {
	return []string{Uncommented(statement), Quoting{Dollars: true}.Uncommented(statement)}
}

// Executable says whether a text has a comment whose inside MySQL or MariaDB executes.
func Executable(text string) bool {
	return strings.Contains(text, "/*!") || strings.Contains(text, "/*M!")
}

// control matches a statement that ends the transaction that goose has opened for a migration, or
// that means to open one of its own.
var control = lazy.Regexp(`(?i)^(begin|start\s+transaction|commit|end|abort|rollback)\b`)

// ControlsTransactions says whether a text has transactions of its own. A statement that goes back to a
// savepoint is no such one. A text of several statements is looked at piece by piece; but an END in it is
// rather that of a trigger.
func ControlsTransactions(text string) bool {
	for i, piece := range pieces(text) {
		if slices.ContainsFunc(readings(piece), func(piece string) bool {
			return control().MatchString(piece) && !toSavepoint().MatchString(piece) && (i == 0 || !end().MatchString(piece)) || prepares(piece)
		}) {
			return true
		}
	}
	return false
}

// PreparesTransaction says whether a text has a PREPARE TRANSACTION, which has a string behind it, or an XA PREPARE. Otherwise TRANSACTION
// is the name of a prepared statement.
func PreparesTransaction(text string) bool {
	if !preparing.in(text) {
		return false
	}
	return slices.ContainsFunc(pieces(text), func(piece string) bool { return slices.ContainsFunc(readings(piece), prepares) })
}

// prepares says whether a statement without the comments before it is a PREPARE TRANSACTION or an XA PREPARE.
func prepares(statement string) bool {
	first := firstWord(statement)
	return (preparing.has(first) || isXA.has(first)) && twoPhase().MatchString(strings.TrimSpace(WithoutComments(statement)))
}

var (
	preparing = wordsOf("prepare")
	isXA      = wordsOf("xa")
	twoPhase  = lazy.Regexp(`(?i)^(?:xa\s+prepare\b|prepare\s+transaction\s*(?:'|\s(?:e|u&)'|\$))`)
)

// Meddles says whether a text has any of the words, anywhere, with which a migration ends its transaction or changes its
// session. A text without them does neither, unless it calls a function that does. The ROLLBACK of a conflict clause of SQLite
// is none of them: the statement fails then, and so nothing comes after it.
func Meddles(text string) bool {
	for at := 0; at < len(text); {
		n := wordLength(text[at:])
		if word := text[at : at+n]; meddling.has(word) && !(strings.EqualFold(word, "rollback") && clause().MatchString(text[max(0, at-40):at])) {
			return true
		}
		at += n + 1
	}
	return false
}

// clause matches what comes before the word ROLLBACK of a conflict clause, on the same line: a comment may end with it.
var clause = lazy.Regexp(`(?i)\b(?:or|on[ \t]+conflict)[ \t]+$`)

// PragmasSet are the names of the PRAGMAs in a text that are given a value, in lower case.
func PragmasSet(text string) (names []string) {
	for at := 0; at < len(text); {
		n := wordLength(text[at:])
		if n == len("pragma") && strings.EqualFold(text[at:at+n], "pragma") {
			if name := pragma().FindStringSubmatch(" " + WithoutComments(text[at+n:min(len(text), at+n+200)])); name != nil {
				names = append(names, strings.ToLower(name[1]))
			}
		}
		at += n + 1
	}
	return names
}

var pragma = lazy.Regexp(`^[^\w;]+(?:\w+\W?\.\W?)?(\w+)\W?\s*[=(]`)

// Lasts says of a text for PostgreSQL whether it may leave something on its connection that no reset takes away: a prepared
// statement, or none where the driver had one, a setting of an extension or of the application's own (SET app.tenant), which
// is empty afterwards and not unknown, what random() gives next, a library, a connection of dblink, a temporary replication slot,
// a replication origin, and a backup.
func Lasts(text string) bool { return lasting.in(text) || setsLasting(text) }

var lasting = wordsOf("prepare deallocate discard set_config setseed load dblink_connect dblink_connect_u" +
	" pg_create_physical_replication_slot pg_create_logical_replication_slot pg_copy_physical_replication_slot" +
	" pg_copy_logical_replication_slot pg_replication_origin_session_setup pg_backup_start pg_start_backup")

// setsLasting says whether a text has a SET of a name with a dot in it, or of the seed of random().
func setsLasting(text string) bool {
	for at := 0; at < len(text); {
		n := wordLength(text[at:])
		if n == len("set") && strings.EqualFold(text[at:at+n], "set") && unresettable().MatchString(text[at+n:min(len(text), at+n+200)]) {
			return true
		}
		at += n + 1
	}
	return false
}

var unresettable = lazy.Regexp(`(?i)^\s+(?:session\s+|local\s+)?(?:[\w"]+\s*\.|"?seed\b)`)

// Plain says whether a text leaves its session as it was: it only defines things or changes rows, and has no SELECT, no word
// of Meddles, nothing temporary, none of the server's functions that act on the session, and no function or extension that it
// makes itself and may take away again. A trigger, or a function that it calls elsewhere, can still change the session.
func Plain(text string) bool {
	if unplain.in(text) || temporary(text) || administers(text) || functions.in(text) && creating().MatchString(WithoutComments(text)) {
		return false
	}
	for i, piece := range pieces(text) {
		if slices.ContainsFunc(readings(piece), func(piece string) bool {
			return !plain.has(firstWord(piece)) && (i == 0 || strings.TrimSpace(piece) != "")
		}) {
			return false
		}
	}
	return true
}

var (
	meddling = wordsOf("commit end abort rollback prepare set set_config reset discard do call use lock")
	unplain  = wordsOf("commit end abort rollback prepare set set_config reset discard do call use lock select setseed extension")
	plain    = wordsOf("create alter drop comment grant revoke insert update delete truncate")
)

// ContentWith returns the first of the names that stands in a text which may succeed although what it is to make is there
// already; "" if there is none.
func ContentWith(text string, names []string) string {
	if !content.in(text) {
		return ""
	}
	found := make(map[string]bool)
	for at := 0; at < len(text); {
		n := wordLength(text[at:])
		found[strings.ToLower(text[at:at+n])] = true
		at += n + 1
	}
	lower := strings.ToLower(text)
	for _, name := range names {
		folded := strings.ToLower(name)
		if found[folded] || wordLength(folded) < len(folded) && strings.Contains(lower, folded) {
			return name
		}
	}
	return ""
}

// content are words of texts that are content with something; a function, or a WHERE, may have them as well. asking are those
// of them that ask the catalog first, or go on after an error, and those that call what may do so.
var (
	content = wordsOf("exists replace conflict ignore duplicate " + asked)
	asking  = wordsOf(asked + " call execute do select perform")
)

const asked = "exception handler to_regclass to_regtype to_regnamespace pg_class pg_tables pg_type pg_namespace pg_attribute pg_stat_user_tables" +
	" pg_stat_all_tables information_schema sqlite_master sqlite_schema pragma_table_info pragma_table_list"

// Acts says whether a text may do more than define things: what it reads or changes may call functions.
func Acts(text string) bool { return acts.in(text) }

var acts = wordsOf("select insert update delete merge truncate values with refresh do analyze replace execute")

// administers says whether a text names something that begins with pg_, other than the schema of all of the server's functions:
// those of them that act on the session all do, such as the advisory locks and the temporary replication slots. So does one whose name
// is written in escapes.
func administers(text string) bool {
	for rest := text; ; {
		at := strings.Index(rest, "_")
		if at < 0 {
			return hasLetters(text, `u&"`)
		}
		if at >= 2 && strings.EqualFold(rest[at-2:at], "pg") && !(len(rest) > at+8 && strings.EqualFold(rest[at:at+8], "_catalog")) {
			return true
		}
		rest = rest[at+1:]
	}
}

// temporary says whether a text has the letters temp anywhere.
func temporary(text string) bool { return hasLetters(text, "temp") }

// hasLetters says whether a text has these letters, which are lower-case, anywhere, in upper or lower case.
func hasLetters(text, letters string) bool {
	for i := 0; i+len(letters) <= len(text); i++ {
		if text[i]|' ' == letters[0] && strings.EqualFold(text[i:i+len(letters)], letters) {
			return true
		}
	}
	return false
}

var end = lazy.Regexp(`(?i)^end\b`)

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

var toSavepoint = lazy.Regexp(`(?i)^rollback\s+(work\s+|transaction\s+)?to\b`)
