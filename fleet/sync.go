package fleet

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/gooseplus/gooseplus/fleet/internal/ledger"
)

// A Tenant is a row of the ledger: one schema, or one database, on a server.
type Tenant struct {
	// ID identifies the tenant for ever, wherever it lives. It is written to the ledger, so it must not hold a DSN.
	ID string
	// Server is the name of a [Server].
	Server string
	// Schema is the tenant's schema, as in [gooseplus.Tenant]. Database is its database, with which [Server].Open is called; ""
	// is the server's own. At least one of them is needed.
	Schema, Database string
}

// Synced is what [Fleet.Sync] changed.
type Synced struct {
	Total    int // tenants that the source gave
	Added    int
	Moved    int // to another server, schema or database
	Returned int // they had been removed
	Removed  int // the source no longer gives them; the ledger keeps their results
}

// Sync makes the tenants of the ledger those of a source, in one transaction: a fault of the source, a tenant on a server that
// New wasn't given, or a source without tenants changes nothing. Memory doesn't grow with the number of tenants. New tenants get
// their turn with the next rollout. A tenant that has moved keeps its state and its history; during a
// rollout it is looked at again in its new place.
func (f *Fleet) Sync(ctx context.Context, source iter.Seq2[Tenant, error]) (Synced, error) {
	if source == nil {
		return Synced{}, errors.New("fleet: the source of tenants is nil")
	}
	s, err := f.ledger.Sync(ctx, func(yield func(ledger.Place, error) bool) {
		for t, err := range source {
			if err == nil {
				err = checkTenant(t, f.servers)
			}
			if !yield(ledger.Place(t), err) || err != nil {
				return
			}
		}
	})
	if err != nil {
		return Synced{}, wrap(err)
	}
	return Synced(s), nil
}

func checkTenant(t Tenant, servers map[string]Server) error {
	switch _, known := servers[t.Server]; {
	case t.ID == "":
		return errors.New("a tenant has no id")
	case secret(t.ID), secret(t.Schema), secret(t.Database):
		return errors.New("an id, a schema or a database of a tenant holds a DSN: it would be written to the ledger")
	case !known:
		return fmt.Errorf("tenant %q is on server %q, which New wasn't given", t.ID, clean(t.Server))
	case t.Schema == "" && t.Database == "":
		return fmt.Errorf("tenant %q has neither a schema nor a database", t.ID)
	}
	return nil
}
