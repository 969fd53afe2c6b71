package gooseplus

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/sqltext"
)

// WithSearchPath has migrations find the types and functions of other schemas without a schema's name, for example
// the types of the extensions citext, vector or postgis in "public" or "extensions". Each transaction begins with a search_path of the
// Migrator's own schema ([WithSchema], [Migrator.Tenant]) and, behind it, the given ones in their order. The own schema comes
// first, and objects without a schema's name are created there. Without an own schema, the schemas of the connection's
// search_path stay in front. The version table and the state table are never looked for in the given schemas.
//
// All given schemas must exist, and the user must have USAGE on them: PostgreSQL would skip them without a word. Otherwise a
// run that has something to do is refused before anything is touched. Only a schema may be missing that a pending SQL
// migration of the run creates (CREATE SCHEMA extensions). [Migrator.MigrateTenants] asks the server once for all tenants of
// the database.
//
// A name is taken as it is, capitals included. A name that is given twice counts once, and so does the Migrator's own schema.
// These are configuration faults: an empty name, a name longer than 63 bytes, "$user", which PostgreSQL takes for another
// schema even with quotes, names that begin with "pg_", which PostgreSQL searches by itself, and any dialect but PostgreSQL.
//
// By default, and with no names, a Migrator with a schema finds nothing but that schema, and any other Migrator what its
// connections find. The last use of this option counts.
func WithSearchPath(schemas ...string) Option {
	return optionFunc(func(o *options) { o.searchPath = slices.Clone(schemas) })
}

// pathFaults are the faults of WithSearchPath.
func (o *options) pathFaults(d dialect.Dialect) (faults []error) {
	if len(o.searchPath) > 0 && !d.SearchPaths() {
		return []error{fmt.Errorf("WithSearchPath: the dialect %s has no search_path", d.Goose)}
	}
	for _, name := range o.searchPath {
		if err := dialect.BehindFault(name); err != nil {
			faults = append(faults, fmt.Errorf("WithSearchPath: %w", err))
		}
	}
	return faults
}

// foundPath is what the server has said of the schemas of WithSearchPath, for all runs on one database.
type foundPath struct {
	turn  chan struct{} // one of many runs asks, the others wait for its answer
	asked bool          // guarded by turn, as the answer is
	pathAnswer
}

func newFoundPath() *foundPath { return &foundPath{turn: make(chan struct{}, 1)} }

// pathAnswer is what a connection finds of the schemas.
type pathAnswer struct {
	own               []string // the schemas of its search_path
	missing, unusable []string // of the given ones
}

func (f *foundPath) find(ctx context.Context, db *sql.DB, query string) (pathAnswer, error) {
	var answer pathAnswer
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		return answer, ctx.Err()
	}
	if f.asked {
		return f.pathAnswer, nil
	}
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return answer, err
	}
	defer rows.Close()
	for rows.Next() {
		var kind, place int
		var name string
		if err := rows.Scan(&kind, &name, &place); err != nil {
			return answer, err
		}
		switch {
		case kind == 0 && strings.HasPrefix(name, "pg_temp_"): // this connection's alone
			answer.own = append(answer.own, "pg_temp")
		case kind == 0:
			answer.own = append(answer.own, name)
		case kind == 2:
			answer.missing = append(answer.missing, name)
		case kind == 3:
			answer.unusable = append(answer.unusable, name)
		}
	}
	if err := rows.Err(); err != nil {
		return answer, err
	}
	f.asked, f.pathAnswer = true, answer
	return answer, nil
}

// forget has the next run ask again.
func (f *foundPath) forget() {
	f.turn <- struct{}{}
	f.asked = false
	<-f.turn
}

// findPath decides, once and before anything is touched, with which search_path the run's sessions work. It refuses schemas
// that aren't there, unless one of the planned steps creates them.
func (s *sessions) findPath(ctx context.Context) error {
	r, o := s.run, s.run.options
	if s.path != nil {
		return nil
	}
	var path []string
	if o.bound {
		path = []string{o.schema}
	}
	if len(o.searchPath) == 0 {
		s.path = path
		return nil
	}
	answer, err := s.found.find(ctx, r.db.own, dialect.FindPath(o.searchPath))
	if err != nil {
		return r.whole.tableError(ctx, fmt.Errorf("WithSearchPath: the schemas can't be looked for: %w", err))
	}
	elsewhere := func(names []string) []string { // without the own schema, which has errors of its own
		return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return o.bound && name == o.schema })
	}
	if unusable := elsewhere(answer.unusable); len(unusable) > 0 {
		return fmt.Errorf("WithSearchPath: this user may not use the schemas %q: GRANT USAGE ON SCHEMA to it. Nothing was touched", unusable)
	}
	missing := elsewhere(answer.missing)
	if created := r.parts.createdSchemas(missing); len(created) > 0 {
		s.found.forget()
		missing = slices.DeleteFunc(missing, func(name string) bool { return slices.Contains(created, name) })
	}
	if len(missing) > 0 {
		return fmt.Errorf("WithSearchPath: the schemas %q don't exist, and no pending SQL migration creates them: create them, or correct the option. Nothing was touched",
			missing)
	}
	if !o.bound {
		path = answer.own
	}
	if len(path) == 0 {
		return fmt.Errorf("WithSearchPath: no schema of the connection's own search_path exists (SHOW search_path), so objects would be created in %q. Nothing was touched",
			o.searchPath[0])
	}
	for _, name := range o.searchPath {
		if !slices.Contains(path, name) {
			path = append(path[:len(path):len(path)], name)
		}
	}
	s.path = path
	return nil
}

// creatingSchema finds the name in CREATE SCHEMA.
var creatingSchema = regexp.MustCompile(`(?i)\bcreate\s+schema\s+(?:if\s+not\s+exists\s+)?("(?:[^"]|"")+"|[\pL_][\pL\d_$]*)`)

// createdSchemas are the schemas that the SQL of the planned steps creates, of those that are missing.
func (ps parts) createdSchemas(missing []string) (names []string) {
	if len(missing) == 0 {
		return nil
	}
	for _, p := range ps {
		for _, step := range p.steps {
			if step.Direction != directionUp {
				continue
			}
			for _, statement := range p.statements(step) {
				for _, found := range creatingSchema.FindAllStringSubmatch(sqltext.WithoutComments(statement), -1) {
					if name, err := p.target.dialect.ParseName(found[1]); err == nil && slices.Contains(missing, name.Table) {
						names = append(names, name.Table)
					}
				}
			}
		}
	}
	return names
}
