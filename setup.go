package gooseplus

import (
	"context"

	"github.com/gooseplus/gooseplus/internal/history"
)

// setUp makes the schema, the state table and the version tables of a database, or schema, that has none of them, at once. It does
// nothing, or all. It is for a run that has steps to take: the first that it commits puts everything on the disk.
func (h *holding) setUp(ctx context.Context) {
	r := h.run
	if !r.parts.haveSteps() || r.parts.any(func(p *part) bool { return !p.view.absent }) {
		return
	}
	create := ""
	if r.parts.lackSchema() {
		create = r.whole.dialect.Schema(r.whole.schema).Create()
	}
	if h.fresh = r.whole.state.SetUp(ctx, r.db.own, create, r.parts.tables()); !h.fresh {
		return
	}
	h.created = create != ""
	for _, p := range r.parts {
		p.view.absent, p.view.ready, p.view.schemaMissing = false, true, false
	}
}

// isFresh says that this run has created the state table, which has nothing but its own rows.
func (h *holding) isFresh() bool { return h != nil && h.fresh }

// tables are the version tables.
func (ps parts) tables() (tables []*history.Versions) {
	for _, p := range ps {
		tables = append(tables, p.target.table)
	}
	return tables
}
