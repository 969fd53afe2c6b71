package gooseplus

import (
	"fmt"
	"strings"
	"time"
)

// TenantState says how it went with a tenant.
type TenantState string

// The states of a tenant.
const (
	TenantMigrated        TenantState = "migrated"          // it is at the target now; or the function of EachTenant returned nil
	TenantUpToDate        TenantState = "up to date"        // there was nothing to do
	TenantPending         TenantState = "pending"           // there is something to do; of TenantsStatus only
	TenantFailedAndUndone TenantState = "failed and undone" // it is where it was
	TenantFailed          TenantState = "failed"            // the error says where it is
	TenantDirty           TenantState = "dirty"             // a migration may be half-applied, now or from before
	TenantMissing         TenantState = "missing"           // its schema or database is not there
	TenantLocked          TenantState = "locked"            // another process had its lock to the end
	TenantSkipped         TenantState = "skipped"           // a stop rule, or the end of the context, came first
	TenantUndone          TenantState = "undone"            // it was migrated, and the way back undid that, see WithWayBack
	TenantNotUndone       TenantState = "not undone"        // it was migrated, and the way back didn't undo that; the error says why
)

// failed says whether the state is among those that TenantsReport counts as Failed.
func (s TenantState) failed() bool {
	switch s {
	case TenantMigrated, TenantUpToDate, TenantPending, TenantSkipped, TenantUndone:
		return false
	}
	return true
}

// TenantsReport says how it went with all tenants.
type TenantsReport struct {
	Total    int
	Migrated int
	UpToDate int
	Undone   int // migrated, and undone again, see WithWayBack
	Failed   int // in any of the other states but TenantSkipped
	Skipped  int
	Tenants  []TenantResult // in the order of the source
	Duration time.Duration
}

// TenantResult says how it went with one tenant.
type TenantResult struct {
	Name  string
	State TenantState
	// From and To are the highest versions applied before and after: 0 for none, -1 if it can't be read or was not
	// read. With namespaces they are the highest of all namespaces.
	From, To int64
	// Applied are the versions that the run of MigrateTenants applied and that stay applied, oldest first. With namespaces,
	// the versions of one namespace follow those of another.
	Applied  []int64
	Err      error
	Duration time.Duration // of its runs, 0 if there was none
	undo     *undoing      // how to undo it, as long as that may be needed
}

func (r *TenantsReport) count() {
	r.Total = len(r.Tenants)
	r.Migrated, r.UpToDate, r.Undone, r.Failed, r.Skipped = 0, 0, 0, 0, 0
	for _, t := range r.Tenants {
		switch {
		case t.State == TenantMigrated:
			r.Migrated++
		case t.State == TenantUpToDate:
			r.UpToDate++
		case t.State == TenantUndone:
			r.Undone++
		case t.State == TenantSkipped:
			r.Skipped++
		default:
			r.Failed++
		}
	}
}

// err is the error of a report that has failures.
func (r *TenantsReport) err() error {
	if r.Failed == 0 {
		return nil
	}
	e := &TenantsError{total: r.Total, undone: r.Undone}
	for _, t := range r.Tenants {
		if t.State.failed() {
			e.Failed = append(e.Failed, t)
		}
	}
	return e
}

// TenantsError has the tenants that failed. errors.Is and errors.As search all their errors.
type TenantsError struct {
	Failed []TenantResult // in the order of the source
	total  int
	undone int
}

// namedFailures is how many tenants the text of a TenantsError names.
const namedFailures = 3

// Error is one line, however many tenants failed.
func (e *TenantsError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d tenants failed", len(e.Failed), max(e.total, len(e.Failed)))
	for i, t := range e.Failed {
		if i == namedFailures {
			fmt.Fprintf(&b, "; and %d more", len(e.Failed)-namedFailures)
			break
		}
		fmt.Fprintf(&b, "%s %q (%s): %s", map[bool]string{true: ":", false: ";"}[i == 0], t.Name, t.State, reason(t.Err))
	}
	if e.undone > 0 {
		fmt.Fprintf(&b, "; %d that had succeeded are undone", e.undone)
	}
	return b.String()
}

// Unwrap returns the errors of all tenants that failed.
func (e *TenantsError) Unwrap() []error {
	errs := make([]error, 0, len(e.Failed))
	for _, t := range e.Failed {
		if t.Err != nil {
			errs = append(errs, t.Err)
		}
	}
	return errs
}
