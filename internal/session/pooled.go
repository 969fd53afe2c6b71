package session

import (
	"context"
	"errors"
	"slices"
)

// ErrPooled is the error of a statement outside a transaction behind a pooler in transaction mode, if it needs settings.
var ErrPooled = errors.New("it isn't in a transaction, and a pooler gives each statement any connection of the server, " +
	"so the role, the schema or the timeouts would not hold for it, and would stay for other clients: migrate over a direct connection, or one in session pooling")

const (
	markBackend   = "SELECT pg_catalog.set_config('gooseplus.backend', pg_catalog.pg_backend_pid()::text, false)"
	backendMarked = "SELECT coalesce(pg_catalog.current_setting('gooseplus.backend', true), '')"
)

// dedicated finds out, once in a session, whether what is set on a connection of PostgreSQL stays there and is seen nowhere else. A
// pooler with much to do may not show itself.
func (s *Session) dedicated(ctx context.Context, l *link) error {
	limit, used := s.parent.Stats().MaxOpenConnections, s.parent.Stats().InUse
	if s.direct.Load() || limit > 0 && used >= limit || !slices.ContainsFunc(s.cfg.Settings, func(x Setting) bool { return x.Alone }) {
		return nil
	}
	own, err := l.queryRow(ctx, markBackend)
	if err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, pingFor)
	defer cancel()
	other, err := connect(waiting, s.parent, true)
	if err != nil {
		return ctx.Err() // somebody else was faster
	}
	there, err := other.queryRow(ctx, backendMarked)
	if err != nil {
		other.discard()
		return err
	}
	if err := other.giveBack(); err != nil {
		return err
	}
	pooled := there[0] == own[0]
	for range 3 {
		here, err := l.queryRow(ctx, backendMarked)
		if err != nil {
			return err
		}
		pooled = pooled || here[0] != own[0]
	}
	if pooled {
		return ErrPooled
	}
	s.direct.Store(true)
	return nil
}
