package migset

import (
	"context"
	"errors"
	"fmt"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/envfs"
)

// replayOf returns the version whose Up is the Down of m, 0 if m has its own.
func (s *Set) replayOf(m Migration, b Body) (int64, error) {
	if m.down != nil {
		return m.down.Replay, nil // checked with the definitions
	}
	of, err := envfs.Replayed(s.Files.Quoting, b.Up, b.Down)
	if err == nil && of != 0 {
		err = replayFault("Down", m.Version, of, s.has)
	}
	if err != nil {
		return 0, err
	}
	return of, nil
}

// replayFault says why one side of a version can't be a Replay of another one, nil if it can.
func replayFault(side string, version, of int64, known func(version int64) bool) error {
	switch {
	case of == version:
		return fmt.Errorf("its %s is a Replay of itself", side)
	case of > version:
		return fmt.Errorf("its %s is a Replay of version %d, which is later", side, of)
	case !known(of):
		return fmt.Errorf("its %s is a Replay of version %d, which is not known", side, of)
	}
	return nil
}

// unknownReplays reports the definitions whose Down replays a version that is not in the set.
func (s *Set) unknownReplays() (faults []*Fault) {
	for _, m := range s.List {
		if m.down == nil || m.down.Kind != Replay {
			continue
		}
		if err := replayFault("Down", m.Version, m.down.Replay, s.has); err != nil {
			faults = append(faults, definitionFault(m, err))
		}
	}
	return faults
}

// replayUps gives each definition whose Up is a Replay the Up of the other version. If that is a Replay too, it has its Up by
// then, because its version is lower.
func (s *Set) replayUps() (faults []*Fault) {
	for i := range s.List {
		m := &s.List[i]
		if m.upReplay == 0 {
			continue
		}
		of, ok := s.Find(m.upReplay)
		switch {
		case !ok:
			faults = append(faults, definitionFault(*m, replayFault("Up", m.Version, m.upReplay, s.has)))
		case of.Go != nil:
			m.Go = goose.NewGoMigration(m.Version, &goose.GoFunc{RunTx: of.Go.UpFnContext, RunDB: of.Go.UpFnNoTxContext}, nil)
		default:
			s.Files.Add(m.Version, func() (envfs.Text, error) {
				scripts, errs := s.Offline(context.Background(), []int64{of.Version})
				script := scripts[of.Version]
				return envfs.Text{Up: script.Up, NoTransaction: !script.Transactional}, errors.Join(errs...)
			})
		}
	}
	return faults
}
