package migset

import (
	"slices"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/dryrun"
	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// Body is the SQL of a migration as goose has read it.
type Body struct {
	dryrun.Script
	Replay int64 // the version whose Up is the Down, 0 if the Down is its own
}

// Section is one direction of a migration.
type Section struct {
	IsGo          bool
	Tx            goose.GoMigrationContext
	NoTx          goose.GoMigrationNoTxContext
	Statements    []string
	Transactional bool // SQL that isn't annotated with NO TRANSACTION
}

// Sections returns both directions of a migration whose SQL is b.
func (s *Set) Sections(m Migration, b Body) (up, down Section) {
	up, down = m.up(b), Section{Statements: b.Down, Transactional: b.DownTransactional}
	switch replayed, _ := s.Find(b.Replay); {
	case b.Replay != 0 && replayed.Go != nil:
		down = replayed.up(Body{})
	case b.Replay != 0: // b has its statements
	case m.down != nil && m.down.Kind == Function:
		down = Section{IsGo: true, Tx: m.down.Tx, NoTx: m.down.DB}
	case m.down == nil && m.Go != nil:
		down = Section{IsGo: true, Tx: m.Go.DownFnContext, NoTx: m.Go.DownFnNoTxContext}
	}
	return up, down
}

func (m Migration) up(b Body) Section {
	if m.Go != nil {
		return Section{IsGo: true, Tx: m.Go.UpFnContext, NoTx: m.Go.UpFnNoTxContext}
	}
	return Section{Statements: b.Up, Transactional: b.Transactional}
}

// Apart says whether the Down of a migration is in another goose migration than its Up.
func (m Migration) Apart(b Body) bool { return m.down != nil || b.Replay != 0 }

// InTransaction says whether the whole section runs in the transaction that goose opens.
func (s Section) InTransaction() bool {
	if s.IsGo {
		return s.NoTx == nil
	}
	return s.Transactional && !slices.ContainsFunc(s.Statements, sqltext.ControlsTransactions)
}

// GooseTransaction says whether goose opens a transaction for the section, even if its statements end that transaction.
func (s Section) GooseTransaction() bool {
	return s.IsGo && s.NoTx == nil || !s.IsGo && s.Transactional
}

// Watched says whether the section might end its transaction, or change its session.
func (s Section) Watched() bool { return s.IsGo || slices.ContainsFunc(s.Statements, sqltext.Meddles) }

// Plain says whether the section leaves its session as it was: SQL in goose's transaction that only defines things or
// changes rows.
func (s Section) Plain() bool {
	return s.InTransaction() && !s.IsGo && !slices.ContainsFunc(s.Statements, func(text string) bool { return !sqltext.Plain(text) })
}

// Empty says whether goose would execute nothing.
func (s Section) Empty() bool { return s.Tx == nil && s.NoTx == nil && len(s.Statements) == 0 }

// Text is the SQL with a line break between two statements, "<go>" for a Go function, "" for an empty section.
func (s Section) Text() string {
	if s.Tx != nil || s.NoTx != nil {
		return "<go>"
	}
	return strings.Join(s.Statements, "\n")
}
