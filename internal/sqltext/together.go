package sqltext

import (
	"github.com/gooseplus/gooseplus/internal/lazy"
)

// Company says with which migrations the statements of one can be in a transaction.
type Company int

const (
	// Any: the statements do the same in a transaction with others.
	Any Company = iota
	// None: the statements need a transaction of their own.
	None
	// NoneAfter is None for this migration and all later ones: what it leaves behind acts at the COMMIT, or on the session.
	NoneAfter
)

// Company says with which others the statements of a migration can be in a transaction, of which each is whole or absent on
// its own. Only statements that are known to be harmless are Any. So whatever is new, rare or has to do with the session needs
// its own transaction: SET, PRAGMA, temporary tables, cursors, prepared statements, LOCK, LISTEN.
//
//   - A new enum value can't be used before the COMMIT.
//   - A deferred constraint is checked at the COMMIT, and a table can't be altered before its check.
//   - set_config acts on what comes after it, also when a function or a trigger calls it later. So do SET and RESET in a
//     function, and an UPDATE of pg_settings.
//   - On SQLite a conflict clause ROLLBACK ends the transaction, also when it belongs to a table or a trigger.
//   - Functions that tell transactions apart have another answer for each migration.
//   - The body of DO can execute anything.
//   - SQLite takes a comment without an end, and its drivers a text with a NUL, as the end of everything.
func (q Quoting) Company(statements []string) Company {
	company := Any
	for _, text := range statements {
		if lingering.in(text) || q.Brackets && rollback.in(text) || functions.in(text) && sets(WithoutComments(text)) {
			return NoneAfter
		}
		if company == Any && !q.sociable(text) {
			company = None
		}
	}
	return company
}

// sets says whether a text creates a function that has SET or RESET where a statement begins, or in a text that it executes. The SET of an
// UPDATE comes after a name.
func sets(text string) bool { return creating().MatchString(text) && setting().MatchString(text) }

func (q Quoting) sociable(text string) bool {
	if open, _ := q.Open(text); open != "" || q.openComment(text) || temporary(text) || singular.in(text) {
		return false
	}
	list := pieces(text)
	for i, piece := range list {
		piece = q.Uncommented(piece)
		first := firstWord(piece)
		switch {
		case piece == "" && i == len(list)-1 && i > 0:
		case !sociable.has(first):
			return false
		case isAlter.has(first) && addValue().MatchString(WithoutComments(piece)):
			return false
		}
	}
	return true
}

var (
	sociable  = wordsOf("create alter drop comment grant revoke insert update delete truncate merge with select values refresh analyze replace")
	isAlter   = wordsOf("alter")
	lingering = wordsOf("deferred set_config pg_settings")
	rollback  = wordsOf("rollback")
	addValue  = lazy.Regexp(`(?is)^alter\s+type\b.*\badd\s+value\b`)
	functions = wordsOf("function procedure")
	creating  = lazy.Regexp(`(?i)\bcreate\s+(?:or\s+replace\s+)?(?:function|procedure)\b`)
	setting   = lazy.Regexp(`(?i)(?:[;$']|\b(?:begin|then|else|loop))\s*(?:re)?set\s`)
	singular  = wordsOf("txid_current txid_current_if_assigned txid_current_snapshot pg_current_xact_id pg_current_snapshot xmin xmax cmin cmax" +
		" dblink_exec dblink concurrently")
)
