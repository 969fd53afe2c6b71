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
	if err := d.Schema(o.schema).Fault(); err != nil {
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

// schemaMissing says whether the schema has to be created first. Without WithCreateSchema a missing schema is an error.
func (t *target) schemaMissing(ctx context.Context, db *sql.DB) (bool, error) {
	var one int
	err := db.QueryRowContext(ctx, t.dialect.Schema(t.schema).Find()).Scan(&one)
	if !errors.Is(err, sql.ErrNoRows) {
		return false, err
	}
	if !t.createSchema {
		return false, fmt.Errorf("%w: %q", ErrTenantMissing, t.schema)
	}
	return true, nil
}

// makeSchema creates the schema if it was missing, and says whether it is this call that has created it. It is no error if
// another process creates the schema at the same moment.
func (r *run) makeSchema(ctx context.Context) (created bool, err error) {
	if r.progress.waited && r.options.createSchema && r.options.bound { // the run that had the lock may have created it, or dropped it
		missing, err := r.whole.schemaMissing(ctx, r.db.own)
		if err != nil {
			return false, r.whole.tableError(ctx, err)
		}
		for _, p := range r.parts {
			p.view.schemaMissing = missing
			p.view.ready = p.view.ready && !missing
		}
	}
	if !r.parts.lackSchema() {
		return false, nil
	}
	_, err = r.db.own.ExecContext(ctx, r.whole.dialect.Schema(r.whole.schema).Create())
	if err != nil {
		if missing, checkErr := r.whole.schemaMissing(ctx, r.db.own); checkErr != nil || missing {
			return false, r.whole.tableError(ctx, err)
		}
	}
	for _, p := range r.parts {
		p.view.schemaMissing = false
	}
	return err == nil, nil
}
