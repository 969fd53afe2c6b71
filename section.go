package gooseplus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/dryrun"
	"github.com/gooseplus/gooseplus/internal/envfs"
	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// body is what the SQL of a migration is, as goose has read it.
type body struct {
	dryrun.Script
	replay int64 // the version whose Up is the Down, 0 if the Down is its own
}

// section is one direction of a migration.
type section struct {
	isGo          bool
	tx            goose.GoMigrationContext
	noTx          goose.GoMigrationNoTxContext
	statements    []string
	transactional bool // of SQL: it isn't annotated with NO TRANSACTION
}

func (s section) inTransaction() bool {
	if s.isGo {
		return s.noTx == nil
	}
	return s.transactional && !slices.ContainsFunc(s.statements, sqltext.ControlsTransactions)
}

// gooseTransaction says whether goose opens a transaction for it, whatever its statements do with that.
func (s section) gooseTransaction() bool {
	return s.isGo && s.noTx == nil || !s.isGo && s.transactional
}

// watched says whether it might end that transaction, or change its session.
func (s section) watched() bool {
	return s.isGo || slices.ContainsFunc(s.statements, sqltext.Meddles)
}

func (s section) empty() bool { return s.tx == nil && s.noTx == nil && len(s.statements) == 0 }

func (s section) text() string {
	if s.tx != nil || s.noTx != nil {
		return goSection
	}
	return strings.Join(s.statements, "\n")
}

// sections are both directions of a migration whose SQL is b.
func (ms *migrations) sections(m migration, b body) (up, down section) {
	up, down = ms.up(m, b), section{statements: b.Down, transactional: b.DownTransactional}
	switch replayed, _ := ms.find(b.replay); {
	case b.replay != 0 && replayed.goFuncs != nil:
		down = ms.up(replayed, body{})
	case b.replay != 0: // b has its statements
	case m.down != nil && m.down.kind == function:
		down = section{isGo: true, tx: m.down.tx, noTx: m.down.db}
	case m.down == nil && m.goFuncs != nil:
		down = section{isGo: true, tx: m.goFuncs.DownFnContext, noTx: m.goFuncs.DownFnNoTxContext}
	}
	return up, down
}

func (ms *migrations) up(m migration, b body) section {
	if m.goFuncs != nil {
		return section{isGo: true, tx: m.goFuncs.UpFnContext, noTx: m.goFuncs.UpFnNoTxContext}
	}
	return section{statements: b.Up, transactional: b.Transactional}
}

// apart says whether goose can't have the Down of a migration together with its Up.
func (m migration) apart(b body) bool { return m.down != nil || b.replay != 0 }

// withSQL returns those of the versions that have SQL to read, of whatever sort.
func (ms *migrations) withSQL(versions []int64) []int64 {
	return slices.DeleteFunc(slices.Clone(versions), func(v int64) bool {
		m, ok := ms.find(v)
		return !ok || m.goFuncs != nil && m.down == nil
	})
}

// reader has goose read SQL migrations of the overlay, see [dryrun.Reader.Scripts].
type reader func(ctx context.Context, versions []int64) (map[int64]dryrun.Script, []error)

// offline is a reader that needs nothing.
func (ms *migrations) offline(ctx context.Context, versions []int64) (map[int64]dryrun.Script, []error) {
	return dryrun.Scripts(ctx, ms.files, versions)
}

// read adds the SQL of the given versions to bodies.
func (ms *migrations) read(ctx context.Context, have reader, versions []int64, bodies map[int64]body) []error {
	errs := ms.readFiles(ctx, have, versions, bodies)
	replays := make(map[int64]int64)
	var replayed []int64 // that were not read before
	for _, v := range versions {
		m, _ := ms.find(v)
		b, found := bodies[v]
		if m.goFuncs == nil && !found {
			continue // it could not be read
		}
		of, err := ms.replayOf(m, b)
		if err == nil && m.down != nil && m.down.kind == command {
			b, err = withDown(ctx, v, b, m.down.sql, !ms.alone(m.down.sql))
		}
		if err != nil {
			errs = append(errs, &MigrationError{Tenant: ms.tenant, Namespace: ms.namespace, Version: v, Source: m.source, Environment: m.environment, Direction: directionDown, Err: err})
			b.Down = nil
		}
		bodies[v], replays[v] = b, of
		if _, read := bodies[of]; of != 0 && !read && !slices.Contains(versions, of) && !slices.Contains(replayed, of) {
			replayed = append(replayed, of)
		}
	}
	others := make(map[int64]body) // whose own Downs are nobody's business here
	errs = append(errs, ms.readFiles(ctx, have, replayed, others)...)
	maps.Copy(others, bodies)
	for v, of := range replays {
		if b := bodies[v]; of != 0 {
			b.replay, b.Down, b.DownTransactional = of, others[of].Up, others[of].Transactional
			bodies[v] = b
		}
	}
	return errs
}

// readFiles adds to bodies what the files among the versions contain, and returns what is wrong with them
// as [*MigrationError].
func (ms *migrations) readFiles(ctx context.Context, have reader, versions []int64, bodies map[int64]body) []error {
	scripts, errs := have(ctx, slices.DeleteFunc(slices.Clone(versions), func(v int64) bool {
		m, ok := ms.find(v)
		return !ok || m.goFuncs != nil
	}))
	for v, script := range scripts {
		b := body{Script: script}
		if err := ms.wholeness(v, b); err != nil {
			errs = append(errs, each(err)...)
			continue
		}
		bodies[v] = b
	}
	return errs
}

// replayOf returns the version whose Up is the Down of m, 0 if there is none.
func (ms *migrations) replayOf(m migration, b body) (int64, error) {
	if m.down != nil {
		return m.down.replay, nil // checked when the definitions were
	}
	of, err := envfs.Replayed(b.Up, b.Down)
	if err != nil || of == 0 {
		return 0, err
	}
	if err := misplacedReplay("Down", m.version, of); err != nil {
		return 0, err
	}
	if _, ok := ms.find(of); !ok {
		return 0, unknownReplay("Down", of)
	}
	return of, nil
}

func misplacedReplay(side string, version, of int64) error {
	switch {
	case of == version:
		return fmt.Errorf("its %s is a Replay of itself", side)
	case of > version:
		return fmt.Errorf("its %s is a Replay of version %d, which is later", side, of)
	}
	return nil
}

func unknownReplay(side string, of int64) error {
	return fmt.Errorf("its %s is a Replay of version %d, which is not known", side, of)
}

// unknownReplays reports the definitions that replay what is not in the sequence.
func (ms *migrations) unknownReplays() error {
	var faults []error
	for _, m := range ms.list {
		if m.down == nil || m.down.kind != replay {
			continue
		}
		if _, ok := ms.find(m.down.replay); !ok {
			faults = append(faults, ms.definitionFault(m, unknownReplay("Down", m.down.replay)))
		}
	}
	return errors.Join(faults...)
}

func (ms *migrations) definitionFault(m migration, err error) error {
	return fmt.Errorf("%w: %w", ErrMergeMigrations, &DefinitionError{Version: m.version, Source: m.source, Err: err})
}

// replayUps gives the definitions whose Up is a Replay the Up of the other version, which may be one of them itself: they
// are taken in their order.
func (ms *migrations) replayUps() (faults []error) {
	for i := range ms.list {
		m := &ms.list[i]
		if m.upReplay == 0 {
			continue
		}
		of, ok := ms.find(m.upReplay)
		switch {
		case !ok:
			faults = append(faults, ms.definitionFault(*m, unknownReplay("Up", m.upReplay)))
		case of.goFuncs != nil:
			m.goFuncs = goose.NewGoMigration(m.version, &goose.GoFunc{RunTx: of.goFuncs.UpFnContext, RunDB: of.goFuncs.UpFnNoTxContext}, nil)
		default:
			ms.files.AddReplay(m.version, func() (up []string, noTransaction bool, err error) {
				scripts, errs := dryrun.Scripts(context.Background(), ms.files, []int64{of.version})
				script := scripts[of.version]
				return script.Up, !script.Transactional, errors.Join(errs...)
			})
		}
	}
	return faults
}

// withDown gives a body the Down that is a Command beside a Go function.
func withDown(ctx context.Context, version int64, b body, sql string, transactional bool) (body, error) {
	text := envfs.Text{Version: version, Down: []string{sql}}
	scripts, errs := dryrun.Scripts(ctx, envfs.Texts(text), []int64{version})
	b.Down, b.DownTransactional = scripts[version].Down, transactional
	return b, errors.Join(errs...)
}

// split gives the Provider of a run the Downs that are apart.
func (r *run) split(version int64) error {
	m, _ := r.known.find(version)
	b := r.scripts[version]
	if !m.apart(b) {
		return nil
	}
	_, down := r.known.sections(m, b)
	if down.isGo {
		return r.reader.SplitFunction(version, down.tx, down.noTx)
	}
	text := envfs.Text{Version: version, Down: down.statements, NoTransaction: !down.transactional}
	return r.reader.SplitText(version, envfs.Texts(text))
}
