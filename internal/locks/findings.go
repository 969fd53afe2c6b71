package locks

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// Finding is something that a running application would notice.
type Finding struct {
	Kind      string `json:"kind"`      // "held", "index", "rewrite", "constraint", "not null", "scan", "concurrently" or "lock timeout"
	Statement int    `json:"statement"` // its number
	File      string `json:"file,omitempty"`
	Line      int    `json:"line,omitempty"`
	Table     string `json:"table,omitempty"` // "" for concurrently
	Does      string `json:"does"`            // what the statement does
	Instead   string `json:"instead"`         // what to write
}

// String says where it is, what the statement does, and what to write instead.
func (f Finding) String() string {
	return fmt.Sprintf("%s: %s. Instead: %s", f.Place(), f.Does, f.Instead)
}

// Place is the file with the line, as far as they are known.
func (f Finding) Place() string { return place(f.File, f.Line, f.Statement) }

func place(file string, line, number int) string {
	switch {
	case file == "":
		return fmt.Sprintf("statement %d", number)
	case line == 0:
		return fmt.Sprintf("%s, statement %d", file, number)
	}
	return fmt.Sprintf("%s:%d", file, line)
}

// findings returns what is wrong with the statements of the migration, in their order.
func (m Migration) findings() []Finding {
	list, timeout := []Finding{}, false // told
	for i, s := range m.Statements {
		found := s.findings()
		own := func(table string) bool {
			return slices.ContainsFunc(found, func(f Finding) bool { return f.Table == table })
		}
		if works := s.works(); works != "" {
			for _, l := range s.held {
				if !own(l.Table) {
					found = append(found, Finding{Kind: "held", Table: l.Table,
						Does:    fmt.Sprintf("%s while %s on %s is held%s: every query on %s waits until the transaction ends", works, l.Mode, l.Table, m.since(i, l.Table), l.Table),
						Instead: "give the two statements a migration each, this one first if it can be"})
					break
				}
			}
		}
		for _, l := range s.Locks {
			if s.noTimeout && !timeout && stopsWriters(l.Mode) {
				timeout = true
				found = append(found, Finding{Kind: "lock timeout", Table: l.Table,
					Does:    fmt.Sprintf("waits for %s on %s without a limit: every later statement that wants to %s waits behind it", l.Mode, l.Table, blocked(l.Mode)),
					Instead: "set a lock timeout: WithStatementTimeouts, --lock-timeout 2s, or SET lock_timeout (MySQL and MariaDB: lock_wait_timeout) in the migration"})
			}
		}
		for _, f := range found {
			f.Statement, f.File, f.Line = s.Number, s.File, s.Line
			list = append(list, f)
		}
	}
	return list
}

// since says which statement before the one with that index has locked a table: the last that did not find it locked.
func (m Migration) since(i int, table string) string {
	for _, s := range slices.Backward(m.Statements[:i]) {
		if lockOf(s.held, table).Mode == "" && lockOf(s.Locks, table).Mode == accessExclusive {
			return " since " + place(s.File, s.Line, s.Number)
		}
	}
	return ""
}

func blocked(mode string) string {
	if mode == accessExclusive || mode == exclusive {
		return "use the table"
	}
	return "write to the table"
}

// works says what a statement does that takes the longer the more rows there are, "" if it does nothing of the sort.
func (s Statement) works() string {
	for _, l := range s.Locks {
		if l.Rewrite {
			return "rewrites " + l.Table
		}
	}
	for _, table := range s.tables() {
		if built := s.effects.built[table]; len(built) > 0 {
			return fmt.Sprintf("builds index %s on %s", strings.Join(built, ", "), table)
		}
	}
	if len(s.effects.scanned) > 0 {
		return "reads all of " + strings.Join(s.effects.scanned, " and ")
	}
	return ""
}

// tables are those of which the effects know, in order.
func (s Statement) tables() (list []string) {
	for _, of := range []map[string][]string{s.effects.built, s.effects.constraints, s.effects.notNull} {
		for table := range of {
			list = append(list, table)
		}
	}
	for table := range s.effects.copied {
		list = append(list, table)
	}
	list = append(list, s.effects.scanned...)
	for _, l := range s.Locks {
		list = append(list, l.Table)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// findings are those that one statement has on its own.
func (s Statement) findings() (list []Finding) {
	if alone, among := sqltext.Alone(s.Text); s.inTransaction && (alone || among) && !s.ran {
		return []Finding{{Kind: "concurrently", Does: "runs in a transaction, where the database refuses it: " + firstWords(s.Text, 4),
			Instead: "write -- +goose NO TRANSACTION at the top of the file (a Go migration: a function without a transaction), and nothing else into the migration"}}
	}
	for _, table := range s.tables() {
		l := s.lockOn(table)
		if f := s.finding(table, l); f.Kind != "" {
			f.Table = table
			list = append(list, f)
		}
	}
	return list
}

// lockOn is the lock that the transaction has on a table after the statement.
func (s Statement) lockOn(table string) Lock {
	if l := lockOf(s.Locks, table); l.Mode != "" {
		return l
	}
	return lockOf(s.held, table)
}

func (s Statement) finding(table string, l Lock) (f Finding) {
	waits := fmt.Sprintf("under %s: until it is done, nobody else can %s", l.Mode, blocked(l.Mode))
	scanned := slices.Contains(s.effects.scanned, table)
	built, checked, columns := s.effects.built[table], s.effects.constraints[table], s.effects.notNull[table]
	switch {
	case s.effects.copied[table] != "":
		f = Finding{Kind: "rewrite", Does: s.effects.copied[table], Instead: "write ALGORITHM=INPLACE, LOCK=NONE or ALGORITHM=INSTANT, so that the server refuses what it can't do beside writers; otherwise use pt-online-schema-change or gh-ost"}
	case l.Rewrite:
		f = Finding{Kind: "rewrite", Does: fmt.Sprintf("rewrites %s %s", table, waits),
			Instead: "add a new column, copy the values in batches, and switch to it in a later release"}
		if word := strings.ToLower(firstWords(s.Text, 1)); word == "cluster" || word == "vacuum" {
			f.Instead = "leave it out of the migrations, and run pg_repack"
		}
	case !stopsWriters(l.Mode):
	case len(checked) > 0:
		name := strings.Join(checked, ", ")
		f = Finding{Kind: "constraint", Does: fmt.Sprintf("checks all rows of %s for constraint %s %s", table, name, waits),
			Instead: fmt.Sprintf("write NOT VALID after the constraint, and ALTER TABLE %s VALIDATE CONSTRAINT %s in a later migration", table, checked[0])}
	case len(columns) > 0 && scanned:
		f = Finding{Kind: "not null", Does: fmt.Sprintf("reads all of %s for SET NOT NULL of %s %s", table, strings.Join(columns, ", "), waits),
			Instead: fmt.Sprintf("in one migration, ADD CONSTRAINT … CHECK (%s IS NOT NULL) NOT VALID, and VALIDATE CONSTRAINT in the next: a later SET NOT NULL reads nothing then", columns[0])}
	case len(built) > 0:
		f = Finding{Kind: "index", Does: fmt.Sprintf("builds index %s on %s %s", strings.Join(built, ", "), table, waits),
			Instead: "CREATE INDEX CONCURRENTLY in a file with -- +goose NO TRANSACTION"}
		switch strings.ToLower(firstWords(s.Text, 1)) {
		case "alter":
			f.Instead = "CREATE UNIQUE INDEX CONCURRENTLY in a file with -- +goose NO TRANSACTION, and then ADD CONSTRAINT … USING INDEX"
		case "reindex":
			f.Instead = "REINDEX … CONCURRENTLY in a file with -- +goose NO TRANSACTION"
		}
	case scanned && lockOf(s.Locks, table).Mode != "":
		f = Finding{Kind: "scan", Does: fmt.Sprintf("reads all of %s %s", table, waits),
			Instead: "prove what the server looks for before, with a CHECK constraint that is added NOT VALID and validated in a migration of its own"}
	}
	return f
}
