package page

import (
	"fmt"
	"time"

	"github.com/gooseplus/gooseplus"
)

const hostileName = "<script>alert(1)</script>"

// smallFleet has a tenant of each kind, in no order.
func smallFleet() Fleet {
	return Fleet{
		Title:     "shop",
		Generated: time.Date(2026, 3, 14, 16, 9, 26, 0, time.FixedZone("", 3600)),
		Tenants: []Tenant{
			{Name: "acme", State: string(gooseplus.TenantUpToDate), Version: 20260301120000},
			{Name: "Globex", State: string(gooseplus.TenantFailed), Version: 20260201120000, Pending: 2,
				Error: "version 20260301120000: ERROR: could not create unique index\n  Key (number)=(A-1) is duplicated."},
			{Name: "initech", State: "pending", Version: 20260201120000, Pending: 1},
			{Name: "umbrella", State: "quarantined", Version: -1, Pending: -1},
			{Name: "hooli", State: string(gooseplus.TenantMissing), Pending: 3, Error: `schema "hooli" is not there`},
			{Name: "acme-test", State: string(gooseplus.TenantUpToDate), Version: 20260301120000},
			{Name: "stark", State: string(gooseplus.TenantFailed), Version: 20260201120000, Pending: 2, Error: "lock timeout"},
		},
	}
}

// largeFleet has n tenants: every hundredth has failed, each with an error of its own, every tenth is pending.
func largeFleet(n int) Fleet {
	f := Fleet{Title: "large", Generated: time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)}
	for i := range n {
		t := Tenant{Name: fmt.Sprintf("tenant_%06d", i), State: string(gooseplus.TenantUpToDate), Version: 20260301120000}
		switch {
		case i%100 == 0:
			t.State, t.Version, t.Pending = string(gooseplus.TenantFailed), 20260201120000, 2
			t.Error = fmt.Sprintf("version 20260301120000 (sql/base/20260301120000_orders.sql): ERROR: could not create unique index "+
				"\"orders_number\" (SQLSTATE 23505)\n  Key (number)=(A-%d) is duplicated.", i)
		case i%10 == 0:
			t.State, t.Version, t.Pending = "pending", 20260201120000, 2
		}
		f.Tenants = append(f.Tenants, t)
	}
	return f
}
