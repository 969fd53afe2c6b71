package gooseplus

import (
	"slices"
)

// parts are those of a run, in the order of the namespaces.
type parts []*part

func (ps parts) any(is func(*part) bool) bool { return slices.ContainsFunc(ps, is) }

// haveSteps says whether there is a step to take.
func (ps parts) haveSteps() bool { return ps.any(func(p *part) bool { return len(p.steps) > 0 }) }

// busy says whether there is a step to take, or one to clear away.
func (ps parts) busy() bool {
	return ps.any(func(p *part) bool { return len(p.steps)+len(p.admission.unfinished) > 0 })
}

// flagged says whether the state table may have something to say.
func (ps parts) flagged() bool { return ps.any(func(p *part) bool { return p.view.flagged }) }

// empty says whether nothing is applied. A part that has nothing applied beside one that has is only new.
func (ps parts) empty() bool { return !ps.any(func(p *part) bool { return len(p.view.applied) > 0 }) }

// lackSchema says whether the schema that the run is bound to is to be created.
func (ps parts) lackSchema() bool { return ps.any(func(p *part) bool { return p.view.schemaMissing }) }

// touched says whether anything was changed that a way back could be about.
func (ps parts) touched() bool { return ps.any(func(p *part) bool { return p.ledger.Touched() }) }
