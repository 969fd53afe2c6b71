package migset

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/dryrun"
	"github.com/gooseplus/gooseplus/internal/envfs"
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

// Reader has goose read SQL migrations, see [dryrun.Reader.Scripts].
type Reader func(ctx context.Context, versions []int64) (map[int64]dryrun.Script, []error)

// Offline is a [Reader] that needs no Provider.
func (s *Set) Offline(ctx context.Context, versions []int64) (map[int64]dryrun.Script, []error) {
	return dryrun.Scripts(ctx, s.Files, versions)
}

// WithSQL returns the versions that have SQL to read, in either direction.
func (s *Set) WithSQL(versions []int64) []int64 {
	return slices.DeleteFunc(slices.Clone(versions), func(v int64) bool {
		m, ok := s.Find(v)
		return !ok || m.Gone() || m.Go != nil && m.down == nil
	})
}

// ReadAll reads all files.
func (s *Set) ReadAll(ctx context.Context) (map[int64]Body, []error) {
	bodies := make(map[int64]Body)
	return bodies, s.Read(ctx, s.Offline, s.WithSQL(s.Versions()), Up, bodies)
}

// Read adds to bodies the SQL of versions that are to go in the given direction. A wrong migration is among the errors as a
// [*Fault].
func (s *Set) Read(ctx context.Context, have Reader, versions []int64, direction string, bodies map[int64]Body) []error {
	sumAgain(s, versions)
	errs := s.readFiles(ctx, have, versions, direction, bodies)
	replays := make(map[int64]int64)
	var replayed []int64 // not read before
	for _, v := range versions {
		m, _ := s.Find(v)
		b, found := bodies[v]
		if m.Go == nil && !found {
			continue // it could not be read
		}
		of, err := s.replayOf(m, b)
		if m.down != nil && m.down.Kind == Command {
			b.Down, b.DownTransactional = envfs.Sendable(s.Files.Quoting, m.down.SQL), !alone(s.dialect)(m.down.SQL)
		}
		if err != nil {
			errs = append(errs, s.contentFault(m, Down, err))
			b.Down = nil
		}
		bodies[v], replays[v] = b, of
		if _, read := bodies[of]; of != 0 && !read && !slices.Contains(versions, of) && !slices.Contains(replayed, of) {
			replayed = append(replayed, of)
		}
	}
	others := make(map[int64]Body) // their own Downs don't matter here
	errs = append(errs, s.readFiles(ctx, have, replayed, direction, others)...)
	maps.Copy(others, bodies)
	for v, of := range replays {
		if b := bodies[v]; of != 0 {
			b.Replay, b.Down, b.DownTransactional = of, others[of].Up, others[of].Transactional
			bodies[v] = b
		}
	}
	return errs
}

// readFiles adds to bodies the contents of the files among the versions.
func (s *Set) readFiles(ctx context.Context, have Reader, versions []int64, direction string, bodies map[int64]Body) []error {
	scripts, errs := have(ctx, slices.DeleteFunc(slices.Clone(versions), func(v int64) bool {
		m, ok := s.Find(v)
		return !ok || m.Gone() || m.Go != nil
	}))
	for i, err := range errs {
		if script, ok := errors.AsType[*dryrun.ScriptError](err); ok {
			m, _ := s.Find(script.Version)
			errs[i] = s.contentFault(m, direction, err)
		}
	}
	for _, v := range versions {
		if script, ok := scripts[v]; ok {
			m, _ := s.Find(v)
			cut := s.wholeness(m, script)
			if errs = append(errs, cut...); len(cut) == 0 {
				bodies[v] = Body{Script: script}
			}
		}
	}
	return errs
}
