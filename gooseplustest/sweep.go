package gooseplustest

import (
	"context"
	"errors"
	"strconv"
	"time"
)

// sweepLimit is when a process stops removing what others have left. The next one goes on.
const sweepLimit = 30 * time.Second

// pgDatabase is a database of the server that has one of our names.
type pgDatabase struct{ name, note string }

// list returns our databases, and the advisory locks that are held. Databases that a living process had created before
// the look are locked in the look: a process has its lock before it creates anything, and the locks are read after the
// databases.
func (c *pgConn) list(ctx context.Context) (databases []pgDatabase, locks map[int64]bool, err error) {
	rows, err := c.query(ctx, `SELECT datname::text, shobj_description(oid, 'pg_database') FROM pg_database WHERE datname LIKE 'gpt\_%'`)
	if err != nil {
		return nil, nil, err
	}
	for _, row := range rows {
		databases = append(databases, pgDatabase{row[0], row[1]})
	}
	// The locks of all databases: the DSN of another process may name another one.
	rows, err = c.query(ctx, `SELECT DISTINCT (classid::bigint << 32 | objid::bigint)::text FROM pg_locks
		WHERE locktype = 'advisory' AND objsubid = 1 AND granted`)
	if err != nil {
		return nil, nil, err // without the locks, every process would look dead
	}
	locks = make(map[int64]bool)
	for _, row := range rows {
		if key, err := strconv.ParseInt(row[0], 10, 64); err == nil {
			locks[key] = true
		}
	}
	return databases, locks, nil
}

// sweep removes what processes have left that were killed, half-made templates among it, what was kept long enough,
// and the project's templates that nobody has used for long. That something can't be removed is nobody's problem
// now; the next process tries again.
func (s *pgServer) sweep(ctx context.Context, project string) {
	until := time.Now().Add(sweepLimit)
	_ = s.admin(ctx, func(ctx context.Context, c *pgConn) error {
		const key = "sweep"
		if free, err := c.try(ctx, false, lockKey(key, "")); err != nil || !free {
			return err
		}
		databases, locks, err := c.list(ctx)
		for _, d := range databases {
			if err != nil && cut(err) || time.Now().After(until) {
				break
			}
			switch process := owner(d.name); {
			case process != "" && !locks[lockKey("process", process)]:
				if until, ok := noted(d.note, kept); !ok || time.Now().After(until) {
					// A test's not by force: who is connected to it may be a living process that lost its lock. Nor does the
					// sweep wait for that one, as DROP DATABASE does for five seconds.
					if force := splitName(d.name)[2] == kindBuilding; force || c.awaitNobody(ctx, d.name) {
						err = c.drop(ctx, d.name, force)
					}
				}
			case isTemplate(d.name, project, "") && unused(d.note):
				err = c.dropTemplate(ctx, d.name, locks)
			}
		}
		return errors.Join(err, limited(context.WithoutCancel(ctx), func(ctx context.Context) error { return c.unlock(ctx, lockKey(key, "")) }))
	})
}

// removeOld removes the templates that this one replaces.
func (s *pgServer) removeOld(ctx context.Context, set *set, current string) {
	until, lineage := time.Now().Add(sweepLimit), splitName(current)[3]
	_ = s.admin(ctx, func(ctx context.Context, c *pgConn) error {
		databases, locks, err := c.list(ctx)
		for _, d := range databases {
			if err != nil && cut(err) || time.Now().After(until) {
				break
			}
			if isTemplate(d.name, set.project, lineage) && set.follows(notedMigrations(d.note)) { // the current one is in use
				err = c.dropTemplate(ctx, d.name, locks)
			}
		}
		return err
	})
}

// isTemplate says whether it is a template of the project, and of the lineage unless that is "".
func isTemplate(name, project, lineage string) bool {
	parts := splitName(name)
	return len(parts) == 5 && parts[1] == project && parts[2] == kindTemplate && (lineage == "" || parts[3] == lineage)
}

func unused(text string) bool {
	at, ok := noted(text, used)
	return ok && time.Since(at) > forget
}

// dropTemplate removes a template that no process guards.
func (c *pgConn) dropTemplate(ctx context.Context, name string, locks map[int64]bool) error {
	key := lockKey("template", name)
	if locks[key] { // perhaps this connection's own, which try would not notice
		return nil
	}
	if free, err := c.try(ctx, false, key); err != nil || !free {
		return err
	}
	err := c.drop(ctx, name, false)
	return errors.Join(err, limited(context.WithoutCancel(ctx), func(ctx context.Context) error { return c.unlock(ctx, key) }))
}
