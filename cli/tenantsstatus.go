package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/cli/internal/page"
	"github.com/gooseplus/gooseplus/internal/watch"
)

// fleetDone is the data of tenants status.
type fleetDone struct {
	Generated time.Time     `json:"generated"`
	Total     int           `json:"total"`
	UpToDate  int           `json:"up_to_date"`
	Pending   int           `json:"pending"`
	Failed    int           `json:"failed"`
	Skipped   int           `json:"skipped"`
	Tenants   []tenantState `json:"tenants"`
}

type tenantState struct {
	Name    string   `json:"name"`
	State   string   `json:"state"`
	Version int64    `json:"version"`
	Pending int      `json:"pending"`
	Error   *failure `json:"error,omitempty"`
}

// The states of a tenant that is looked at; the other ones are those of a TenantResult.
const (
	stateUpToDate = "up to date"
	statePending  = "pending"
)

var tenantColours = map[string]colour{stateUpToDate: green, statePending: yellow, string(gooseplus.TenantSkipped): yellow}

func (c *call) tenantsStatus(t *tenantsFlags) error {
	f, err := c.fleet(t)
	if err != nil {
		return err
	}
	d, err := c.look(f, t)
	if d == nil {
		return err
	}
	c.data = d
	if c.out.html {
		if pageErr := c.page(d); pageErr != nil {
			return pageErr
		}
		return err
	}
	rows := [][]cell{cells("TENANT", "STATE", "VERSION", "PENDING", "ERROR")}
	for _, tenant := range d.Tenants {
		paint, ok := tenantColours[tenant.State]
		if !ok {
			paint = red
		}
		text := ""
		if tenant.Error != nil {
			text = tenant.Error.Message
		}
		rows = append(rows, []cell{{text: tenant.Name}, {tenant.State, paint}, {text: known(tenant.Version)}, {text: known(int64(tenant.Pending))}, {text: text}})
	}
	if len(d.Tenants) > 0 {
		c.out.table(rows)
		c.out.line("")
	}
	skipped := ""
	if d.Skipped > 0 {
		skipped = paint(c.out.colour, yellow, fmt.Sprintf(", %d skipped", d.Skipped))
	}
	c.out.line("%s: %d up to date, %d pending, %d failed%s", tenants(d.Total), d.UpToDate, d.Pending, d.Failed, skipped)
	return err
}

// look reads the state of every tenant.
func (c *call) look(f fleet, t *tenantsFlags) (*fleetDone, error) {
	var mu sync.Mutex
	found := make(map[string][]tenantState) // several for databases to which a query gives the same name
	several := len(f.m.Namespaces()) > 0    // each of which has a version of its own
	tell := func(name string, version int64, pending int) {
		s := tenantState{Name: name, State: stateUpToDate, Version: version, Pending: pending}
		if several {
			s.Version = -1
		}
		if pending > 0 {
			s.State = statePending
		}
		mu.Lock()
		defer mu.Unlock()
		found[name] = append(found[name], s)
	}
	ctx := watch.WithSurvey(c.ctx, func(f watch.Found) { tell(f.Tenant, f.Version, f.Pending) })
	end := c.showProgress()
	r, err := f.m.EachTenant(ctx, f.source, func(ctx context.Context, m *gooseplus.Migrator) error {
		steps, err := m.Plan(ctx)
		if err != nil {
			return err
		}
		version := int64(0)
		if !several {
			if version, err = m.Version(ctx); err != nil {
				return err
			}
		}
		tell(m.TenantName(), version, len(steps))
		return nil
	}, t.options()...)
	end()
	var failed *gooseplus.TenantsError
	if err != nil && r.Total == 0 {
		return nil, sourceError(err)
	}
	d := &fleetDone{Generated: time.Now().UTC().Truncate(time.Second), Total: r.Total, Tenants: []tenantState{}}
	for _, result := range r.Tenants {
		var s tenantState
		if told := found[result.Name]; result.Err == nil && result.State != gooseplus.TenantSkipped && len(told) > 0 {
			s, found[result.Name] = told[0], told[1:]
		} else {
			if result.State == gooseplus.TenantFailedAndUndone { // a fault of the files: nothing was done
				result.State = gooseplus.TenantFailed
			}
			s = tenantState{Name: result.Name, State: string(result.State), Version: -1, Pending: -1, Error: newFailure(result.Err)}
			if s.Error != nil {
				s.Error.Message = clean(tenantReason(result.Name, result.Err))
			}
		}
		switch s.State {
		case stateUpToDate:
			d.UpToDate++
		case statePending:
			d.Pending++
		case string(gooseplus.TenantSkipped):
			d.Skipped++
		default:
			d.Failed++
		}
		d.Tenants = append(d.Tenants, s)
	}
	if errors.As(err, &failed) && !errors.Is(err, errInterrupted) {
		return d, &tenantsError{fmt.Errorf("%d of %d tenants can't be migrated as they are", d.Failed, d.Total)}
	}
	return d, fleetError(r, err)
}

// page writes the page of the fleet.
func (c *call) page(d *fleetDone) error {
	f := page.Fleet{Generated: d.Generated}
	for _, t := range d.Tenants {
		row := page.Tenant{Name: t.Name, State: t.State, Version: t.Version, Pending: t.Pending}
		if t.Error != nil {
			row.Error = t.Error.Message
		}
		f.Tenants = append(f.Tenants, row)
	}
	var b bytes.Buffer // so that a page is there as a whole, or not at all
	if err := page.Write(&b, f); err != nil {
		return err
	}
	_, err := c.out.out.Write(b.Bytes())
	return err
}
