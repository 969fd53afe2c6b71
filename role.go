package gooseplus

import (
	"fmt"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

// WithRole makes the Migrator execute everything as a role of PostgreSQL, so the role owns all that the migrations create,
// whichever user migrates. Choose a role that owns the schema and can't log in. Each transaction begins with SET LOCAL
// ROLE, also the transactions of the lock, the version table, the state table, of [Migrator.Status] and other methods that only read,
// and a schema that is created ([WithCreateSchema]) is the role's. Connections outside a transaction get SET ROLE, and lose
// it before the application has them again. A migration that sets a role itself doesn't change the role of the next one, nor
// the role that writes its row in the version table.
//
// The user of the connections must be a member of the role (GRANT owner TO app; since PostgreSQL 16 WITH SET TRUE, which is
// the default). Otherwise, and if there is no such role, every method returns [ErrMigrationTable] before anything is
// touched. The run asks as its user, not as the role, which of the server's connections a dead run has left, and ends them.
// A statement of the Migrator's own is a transaction of its own, which costs two more round trips.
//
// Behind a pooler in transaction mode a statement outside a transaction is refused, as with a schema, a search_path or statement
// timeouts: SET ROLE would stay on a connection of others, and the statement might be executed without it. A pooler with
// much other work may not be recognised, so take a direct connection for such migrations.
//
// The name is taken as it is, capitals included. These are configuration faults: an empty name, "none", which PostgreSQL takes
// for no role, a name longer than 63 bytes, and any dialect but PostgreSQL. On MariaDB and MySQL give the user a default role.
//
// By default the user of the connections does everything.
func WithRole(name string) Option {
	return optionFunc(func(o *options) { o.role = &name })
}

// roleFault is the fault of WithRole.
func (o *options) roleFault(d dialect.Dialect) error {
	switch {
	case o.role == nil:
		return nil
	case !d.Roles():
		hint := ""
		if d.Schemas() {
			hint = ": give the user a default role (SET DEFAULT ROLE)"
		}
		return fmt.Errorf("WithRole: a transaction of the dialect %s can't have a role of its own%s", d.Goose, hint)
	}
	if err := dialect.RoleFault(*o.role); err != nil {
		return fmt.Errorf("WithRole: %w", err)
	}
	return nil
}

// asRole is "" without WithRole.
func (o *options) asRole() string {
	if o.role == nil {
		return ""
	}
	return *o.role
}
