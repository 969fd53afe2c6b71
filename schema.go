package gooseplus

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/pressly/goose/v3"

	"github.com/gooseplus/gooseplus/internal/dialect"
	"github.com/gooseplus/gooseplus/internal/session"
)

// inSchema is the version table's name with the schema that the options bind it to.
func (o *options) inSchema(d dialect.Dialect) (string, error) {
	if !d.Schemas() {
		return "", fmt.Errorf("schema %q: the dialect %s has no schemas that a run can be bound to", o.schema, d.Goose)
	}
	if o.schema == "" {
		return "", errors.New("the name of the schema is empty")
	}
	if d.Goose == goose.DialectPostgres && (o.schema == "$user" || o.schema == "pg_temp") {
		return "", fmt.Errorf("schema %q: in a search_path PostgreSQL takes this name for another schema, quoted or not (SHOW search_path): "+
			"rename the schema", o.schema)
	}
	name, err := d.ParseName(o.versionTable)
	if err != nil {
		return "", fmt.Errorf("WithVersionTable: %w", err)
	}
	if name.Schema != "" {
		return "", fmt.Errorf("WithVersionTable: %q has a schema, and the run is bound to %q", o.versionTable, o.schema)
	}
	name.Schema = o.schema
	quoted := d.Quote(name)
	if _, err := d.ParseName(quoted); err != nil {
		return "", fmt.Errorf("schema %q: %w", o.schema, err)
	}
	return quoted, nil
}

// schemaMissing says whether the schema has to be created first. If that is not to be, its absence is
// an error.
func (t *target) schemaMissing(ctx context.Context, db *sql.DB) (bool, error) {
	query := `SELECT count(*) FROM pg_namespace WHERE nspname = $1`
	if t.dialect.Goose == goose.DialectMySQL {
		query = `SELECT count(*) FROM information_schema.schemata WHERE schema_name = ?`
	}
	var n int
	if err := db.QueryRowContext(ctx, query, t.schema).Scan(&n); err != nil || n > 0 {
		return false, err
	}
	if !t.createSchema {
		return false, fmt.Errorf("%w: %q", ErrTenantMissing, t.schema)
	}
	return true, nil
}

// makeSchema creates the schema if it was missing. That somebody else does so at the same moment is no
// error.
func (r *run) makeSchema(ctx context.Context) error {
	if !r.parts.lackSchema() {
		return nil
	}
	what := "SCHEMA"
	if r.whole.dialect.Goose == goose.DialectMySQL {
		what = "DATABASE"
	}
	_, err := r.db.own.ExecContext(ctx, "CREATE "+what+" IF NOT EXISTS "+r.whole.quotedSchema())
	if err != nil {
		if missing, checkErr := r.whole.schemaMissing(ctx, r.db.own); checkErr != nil || missing {
			return r.whole.tableError(ctx, err)
		}
	}
	for _, p := range r.parts {
		p.view.schemaMissing = false
	}
	return nil
}

func (t *target) quotedSchema() string { return t.dialect.Quote(dialect.Name{Table: t.schema}) }

// bind has everything that goose executes happen in the schema. On PostgreSQL each transaction says
// so itself: nothing has to be put back, and a pooler between here and the server can't give the
// connection to somebody else in between. What is outside a transaction, and all of it on MySQL, takes
// a setting of the connection, which is put back before the connection is.
func (t *target) bind(cfg *session.Config) {
	if t.dialect.Goose == goose.DialectMySQL {
		cfg.SettingsFirst = true
		cfg.Settings = append(cfg.Settings, session.Setting{
			Read: "SELECT COALESCE(DATABASE(), '')",
			Write: func(value any) session.Statement {
				// There is no way back to no database: that connection is closed then.
				return session.Statement{Query: "USE " + t.dialect.Quote(dialect.Name{Table: fmt.Sprint(value)})}
			},
			Value: t.schema,
		})
		return
	}
	local := session.Statement{Query: "SET LOCAL search_path TO " + t.quotedSchema()}
	cfg.OnBeginSettings = append(cfg.OnBeginSettings, local)
	cfg.OnSavepoint = append(cfg.OnSavepoint, local)
	cfg.Settings = append(cfg.Settings, session.Setting{
		Read: "SELECT current_setting('search_path')",
		Write: func(value any) session.Statement {
			return session.Statement{Query: "SELECT set_config('search_path', $1, false)", Args: []any{fmt.Sprint(value)}}
		},
		Value: t.quotedSchema(),
	})
}
