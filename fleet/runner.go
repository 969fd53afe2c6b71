package fleet

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/fleet/internal/ledger"
)

// A runner looks at tenants and works on them. Tests put a stub in its place.
type runner interface {
	// survey returns the versions of the tenants that have nothing to do.
	survey(ctx context.Context, server string, db *sql.DB, claims []ledger.Claim) map[string]int64
	// each calls do for one tenant after the other.
	each(ctx context.Context, server string, db *sql.DB, claims []ledger.Claim, do func(context.Context, ledger.Claim, tenant)) error
}

// A tenant can be worked on. begin is called with the versions that are about to be applied, before any of them is; if it
// returns false, none is. more says that versions of another namespace were applied before, in the same run.
type tenant interface {
	up(ctx context.Context, begin begin) attempt
	// down undoes exactly these versions.
	down(ctx context.Context, versions []string, begin begin) attempt
	// applied are the versions that are applied now.
	applied(ctx context.Context) (map[string]bool, error)
}

type begin func(ctx context.Context, versions []string, more bool) bool

// An attempt is what came of one run.
type attempt struct {
	version        int64    // the highest one applied, -1 if it isn't known
	added, removed []string // versions
	refused        bool     // begin returned false
	unlike         bool     // what down would have undone is not what it should undo
	err            error
	took           time.Duration
}

// tenants is the runner that migrates.
type tenants struct {
	migrator *gooseplus.Migrator
	servers  map[string]Server
}

func (r *tenants) source(server string, claims []ledger.Claim) iter.Seq2[gooseplus.Tenant, error] {
	return func(yield func(gooseplus.Tenant, error) bool) {
		for _, c := range claims {
			t := gooseplus.Tenant{Name: c.Tenant, Schema: c.Schema}
			if c.Database != "" {
				t.Open = func(ctx context.Context) (*sql.DB, error) { return r.servers[server].Open(ctx, c.Database) }
			}
			if !yield(t, nil) {
				return
			}
		}
	}
}

func (r *tenants) survey(ctx context.Context, server string, db *sql.DB, claims []ledger.Claim) map[string]int64 {
	versions := make(map[string]int64)
	i := 0
	for status, err := range r.migrator.On(db).TenantsStatus(ctx, r.source(server, claims), gooseplus.WithConcurrency(1)) {
		if err != nil {
			break // each run says what is wrong by itself
		}
		if status.State == gooseplus.TenantUpToDate && status.Err == nil {
			versions[claims[i].Tenant] = status.Version
		}
		i++
	}
	return versions
}

func (r *tenants) each(ctx context.Context, server string, db *sql.DB, claims []ledger.Claim, do func(context.Context, ledger.Claim, tenant)) error {
	w := new(watch)
	m := r.migrator.On(db).With(gooseplus.WithObserver(w.see))
	byName := make(map[string]ledger.Claim, len(claims))
	for _, c := range claims {
		byName[c.Tenant] = c
	}
	_, err := m.EachTenant(ctx, r.source(server, claims), func(ctx context.Context, tm *gooseplus.Migrator) error {
		c, ok := byName[tm.TenantName()]
		if !ok {
			return fmt.Errorf("tenant %q was not asked for", tm.TenantName())
		}
		do(ctx, c, &realTenant{tm, w})
		return nil
	}, gooseplus.WithConcurrency(1))
	return err
}

// realTenant is a tenant in its database.
type realTenant struct {
	m     *gooseplus.Migrator
	watch *watch
}

func (t *realTenant) up(ctx context.Context, begin begin) attempt {
	return t.watch.during(ctx, begin, nil, t.m.Migrate)
}

func (t *realTenant) down(ctx context.Context, versions []string, begin begin) (sum attempt) {
	sum.version = -1
	namespaces := t.m.Namespaces()
	if len(namespaces) == 0 {
		namespaces = []string{""}
	}
	for _, namespace := range slices.Backward(namespaces) {
		var own []string
		for _, v := range versions {
			if of, _ := unkey(v); of == namespace {
				own = append(own, v)
			}
		}
		if len(own) == 0 {
			continue
		}
		m := t.m
		if namespace != "" {
			m = m.Namespace(namespace)
		}
		one := t.watch.during(ctx, begin, own, func(ctx context.Context) error { return m.Rollback(ctx, len(own)) })
		sum.added, sum.removed = append(sum.added, one.added...), append(sum.removed, one.removed...)
		sum.version, sum.took = max(sum.version, one.version), sum.took+one.took
		sum.refused, sum.unlike, sum.err = one.refused, one.unlike, one.err
		if sum.err != nil || sum.refused || sum.unlike {
			break
		}
	}
	return sum
}

func (t *realTenant) applied(ctx context.Context) (map[string]bool, error) {
	statuses := map[string]gooseplus.Status{}
	var err error
	if len(t.m.Namespaces()) > 0 {
		statuses, err = t.m.NamespaceStatus(ctx)
	} else {
		statuses[""], err = t.m.Status(ctx)
	}
	if err != nil {
		return nil, err
	}
	applied := make(map[string]bool)
	for namespace, status := range statuses {
		for _, m := range status.Migrations {
			if m.AppliedAt != nil {
				applied[key(namespace, m.Version)] = true
			}
		}
	}
	return applied, nil
}
