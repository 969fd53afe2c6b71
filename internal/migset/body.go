package migset

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/gooseplus/gooseplus/internal/dryrun"
	"github.com/gooseplus/gooseplus/internal/envfs"
)

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
		return !ok || m.Go != nil && m.down == nil
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
			b.Down, b.DownTransactional = envfs.Sendable(m.down.SQL), !s.alone(m.down.SQL)
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
		return !ok || m.Go != nil
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
