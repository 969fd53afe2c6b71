package gooseplus

import (
	"errors"
	"fmt"
	"runtime"
	"time"
)

// A TenantsOption configures [Migrator.MigrateTenants] and [Migrator.EachTenant].
type TenantsOption interface {
	applyTenants(*tenantsOptions)
}

type tenantsOptionFunc func(*tenantsOptions)

func (f tenantsOptionFunc) applyTenants(o *tenantsOptions) { f(o) }

type tenantsOptions struct {
	concurrency    int
	canary         int
	maxFailures    int
	maxFailureRate float64
	timeout        time.Duration
	createSchema   bool
	wayBack        bool
}

func newTenantsOptions(opts []TenantsOption) (tenantsOptions, error) {
	o := tenantsOptions{concurrency: 2 * runtime.GOMAXPROCS(0)}
	for _, opt := range opts {
		if opt != nil {
			opt.applyTenants(&o)
		}
	}
	var faults []error
	if o.concurrency < 1 {
		faults = append(faults, fmt.Errorf("WithConcurrency: %d is below 1", o.concurrency))
	}
	if o.canary < 0 {
		faults = append(faults, fmt.Errorf("WithCanary: %d is negative", o.canary))
	}
	if o.maxFailures < 0 {
		faults = append(faults, fmt.Errorf("WithMaxFailures: %d is negative", o.maxFailures))
	}
	if !(o.maxFailureRate >= 0 && o.maxFailureRate <= 1) { // a NaN too
		faults = append(faults, fmt.Errorf("WithMaxFailureRate: %v is not between 0 and 1", o.maxFailureRate))
	}
	if o.timeout < 0 {
		faults = append(faults, fmt.Errorf("WithTenantTimeout: %v is negative", o.timeout))
	}
	if o.wayBack && o.canary == 0 && o.maxFailures == 0 && o.maxFailureRate == 0 {
		faults = append(faults, errors.New("WithWayBack: nothing stops the call: use WithCanary, WithMaxFailures or WithMaxFailureRate too"))
	}
	return o, errors.Join(faults...)
}

// WithConcurrency sets how many tenants are worked on at once. For tenants that are schemas, the Migrator's pool
// limits the number too. Below 1 it is an error.
//
// The default is twice the number of CPUs.
func WithConcurrency(n int) TenantsOption {
	return tenantsOptionFunc(func(o *tenantsOptions) { o.concurrency = n })
}

// WithCanary migrates the first n tenants that have anything to do one by one, before all other tenants. If a canary
// fails, all remaining tenants are skipped. A negative number is an error.
//
// The default is 0.
func WithCanary(n int) TenantsOption {
	return tenantsOptionFunc(func(o *tenantsOptions) { o.canary = n })
}

// WithMaxFailures stops after n failed tenants: no further tenant is begun, tenants in progress are
// finished, and the rest is skipped. 0 never stops; a negative number is an error.
//
// The default is 0.
func WithMaxFailures(n int) TenantsOption {
	return tenantsOptionFunc(func(o *tenantsOptions) { o.maxFailures = n })
}

// WithMaxFailureRate stops as [WithMaxFailures] does once more than this share of the processed tenants has failed. The
// share is between 0 and 1, anything else is an error. It is ignored until 20 tenants have been processed. 0 never stops.
//
// The default is 0.
func WithMaxFailureRate(share float64) TenantsOption {
	return tenantsOptionFunc(func(o *tenantsOptions) { o.maxFailureRate = share })
}

// WithTenantTimeout limits the run of each tenant, in place of [WithTimeout]. The way back has its own limit
// ([WithRollbackTimeout]). A negative duration is an error.
//
// The default, 0, leaves the limit to WithTimeout.
func WithTenantTimeout(d time.Duration) TenantsOption {
	return tenantsOptionFunc(func(o *tenantsOptions) { o.timeout = d })
}

// WithCreateSchema creates the schema of a tenant if it doesn't exist, instead of reporting the tenant as missing. The
// schema stays if the run fails.
//
// The default is false.
func WithCreateSchema(create bool) TenantsOption {
	return tenantsOptionFunc(func(o *tenantsOptions) { o.createSchema = create })
}

// WithWayBack has [Migrator.MigrateTenants], once failures have stopped it, undo what it did to the tenants that had
// succeeded: exactly the versions that this call applied, newest first. The tenant that was migrated last comes first, and as
// many tenants are worked on at once as before, each under its own lock. These tenants are then reported as [TenantUndone] or
// [TenantNotUndone]. The option is an error without [WithCanary], [WithMaxFailures] or [WithMaxFailureRate], and with
// [Migrator.EachTenant] and [Migrator.TenantsStatus]. If the context ends, no tenant is undone; a way back that has begun
// goes on.
//
// A tenant on which another process has worked since is not touched. Neither is a tenant with a migration that has no Down or
// that is protected ([Migrator.LockVersion]). Without [WithGlobalLock] the version table alone tells whether another process
// has worked on a tenant. [WithRollbackTimeout] limits the way back of each tenant. A schema that [WithCreateSchema] created stays.
//
// The default is false: tenants that have succeeded stay migrated.
func WithWayBack(undo bool) TenantsOption {
	return tenantsOptionFunc(func(o *tenantsOptions) { o.wayBack = undo })
}
