package gooseplus

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/gooseplus/gooseplus/internal/dialect"
)

// inSchema is the version table's name with the schema that the options bind it to.
func (o *options) inSchema(d dialect.Dialect) (string, error) {
	if !d.Schemas() {
		return "", fmt.Errorf("schema %q: the dialect %s has no schemas that a run can be bound to", o.schema, d.Goose)
	}
	if o.schema == "" {
		return "", errors.New("the name of the schema is empty")
	}
	if err := d.SchemaFault(o.schema); err != nil {
		return "", fmt.Errorf("schema %q: %w", o.schema, err)
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
	var one int
	err := db.QueryRowContext(ctx, t.dialect.FindSchema(t.schema)).Scan(&one)
	if !errors.Is(err, sql.ErrNoRows) {
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
	_, err := r.db.own.ExecContext(ctx, r.whole.dialect.CreateSchema(r.whole.schema))
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
