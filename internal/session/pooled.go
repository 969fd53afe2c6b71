package session

import (
	"context"
	"database/sql"
	"errors"
	"slices"
)

// ErrPooled is the error of a statement outside a transaction behind a pooler in transaction mode, if it needs settings.
var ErrPooled = errors.New("it isn't in a transaction, and a pooler gives each statement any connection of the server, " +
	"so the role, the schema or the timeouts would not hold for it, and would stay for other clients: migrate over a direct connection, or one in session pooling")

// needsDedicated says whether there are settings that only a connection of its own keeps, of which nobody has asked yet.
func needsDedicated(s *Session) bool {
	limit, used := s.parent.Stats().MaxOpenConnections, s.parent.Stats().InUse
	return !s.direct.Load() && (limit == 0 || used < limit) && slices.ContainsFunc(s.cfg.Settings, func(x Setting) bool { return x.Alone })
}

// dedicated refuses a connection of PostgreSQL that leads to a backend which another one leads to as well, or to several
// backends. A pooler with much to do may not show itself.
func (l *link) dedicated(ctx context.Context, parent *sql.DB) error {
	const backend = "SELECT pg_catalog.pg_backend_pid()"
	own, err := l.queryRow(ctx, backend)
	if err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, pingFor)
	defer cancel()
	other, err := connect(waiting, parent, true)
	if err != nil {
		return ctx.Err() // somebody else was faster
	}
	there, err := other.queryRow(ctx, backend)
	if err != nil {
		other.discard()
		return err
	}
	if err := other.giveBack(); err != nil {
		return err
	}
	pooled := there[0] == own[0]
	for range 3 {
		here, err := l.queryRow(ctx, backend)
		if err != nil {
			return err
		}
		pooled = pooled || here[0] != own[0]
	}
	if pooled {
		return ErrPooled
	}
	return nil
}
