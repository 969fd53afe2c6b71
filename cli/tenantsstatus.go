package cli

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/internal/page"
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
	Unknown int      `json:"unknown"`
	Error   *failure `json:"error,omitempty"`
}

// tenantColour is red for every state that isn't fine.
func tenantColour(state string) colour {
	switch gooseplus.TenantState(state) {
	case gooseplus.TenantUpToDate:
		return green
	case gooseplus.TenantPending, gooseplus.TenantSkipped:
		return yellow
	}
	return red
}

func tenantsStatus(c *call, t *tenantsFlags) error {
	f, err := newFleet(c, t)
	if err != nil {
		return err
	}
	d, err := f.look()
	if d == nil {
		return err
	}
	c.data = d
	if c.out.html {
		if pageErr := f.page(d); pageErr != nil {
			return pageErr
		}
		return err
	}
	rows := [][]cell{cells("TENANT", "STATE", "VERSION", "PENDING", "ERROR")}
	for _, tenant := range d.Tenants {
		text := ""
		if tenant.Error != nil {
			text = tenant.Error.Message
		}
		rows = append(rows, []cell{{text: tenant.Name}, {tenant.State, tenantColour(tenant.State)}, {text: known(tenant.Version)}, {text: known(int64(tenant.Pending))}, {text: text}})
	}
	if len(d.Tenants) > 0 {
		c.out.table(rows)
		c.out.line("")
	}
	unknown := 0
	for _, tenant := range d.Tenants {
		if tenant.Unknown > 0 {
			unknown++
		}
	}
	if unknown > 0 && c.settings.run.unknown != "ignore" {
		c.out.note("%s %s: %s. Is the program an older release, or is an environment missing?",
			paint(c.out.errColour, yellow, "warning:"), counted(unknown, "tenant"), gooseplus.ErrUnknownVersion)
	}
	skipped := ""
	if d.Skipped > 0 {
		skipped = paint(c.out.colour, yellow, fmt.Sprintf(", %d skipped", d.Skipped))
	}
	c.out.line("%s: %d up to date, %d pending, %d failed%s", tenants(d.Total), d.UpToDate, d.Pending, d.Failed, skipped)
	return err
}

// look reads the state of every tenant.
func (f *fleet) look() (*fleetDone, error) {
	c := f.call
	several := len(f.m.Namespaces()) > 0 // each of them has a version of its own
	d := &fleetDone{Generated: time.Now().UTC().Truncate(time.Second), Tenants: []tenantState{}}
	end := f.showProgress()
	var err error
	for status, ended := range f.m.TenantsStatus(c.ctx, f.source, f.flags.options()...) {
		if err = ended; err != nil {
			break // it was the last
		}
		s := tenantState{Name: status.Name, State: string(status.State), Version: status.Version, Pending: status.Pending, Unknown: status.Unknown, Error: f.words(status.Name).failure(status.Err)}
		switch {
		case several:
			s.Version = -1
		case status.State == gooseplus.TenantDirty: // its version can be read
			if version, err := f.migrator(status.Name).Version(c.ctx); err == nil {
				s.Version = version
			}
		}
		if s.Error != nil {
			s.Error.Message = clean(f.reason(status.Name, status.Err))
		}
		switch status.State {
		case gooseplus.TenantUpToDate:
			d.UpToDate++
		case gooseplus.TenantPending:
			d.Pending++
		case gooseplus.TenantSkipped:
			d.Skipped++
		default:
			d.Failed++
		}
		d.Tenants, d.Total = append(d.Tenants, s), d.Total+1
	}
	end()
	switch {
	case err != nil && d.Total == 0:
		return nil, sourceError(err)
	case errors.Is(err, errInterrupted):
		return d, &tenantsError{fmt.Errorf("interrupted: %d of %d tenants are not done", d.Failed+d.Skipped, d.Total)}
	case d.Failed > 0 && err != nil:
		return d, &tenantsError{fmt.Errorf("%d of %d tenants can't be migrated as they are; %w", d.Failed, d.Total, err)}
	case d.Failed > 0:
		return d, &tenantsError{fmt.Errorf("%d of %d tenants can't be migrated as they are", d.Failed, d.Total)}
	case err != nil:
		return d, &tenantsError{err}
	}
	return d, nil
}

// title names the database and the release.
func (f *fleet) title() string {
	title := "Tenants"
	if name := f.call.settings.pools.name; name != "" {
		title += " of " + name
	}
	if v := version(); strings.HasPrefix(v, "v") {
		program, _, _ := strings.Cut(f.call.out.program, " ")
		title += fmt.Sprintf(" (%s %s)", program, v)
	}
	return title
}

// page writes the page of the fleet.
func (f *fleet) page(d *fleetDone) error {
	shown := page.Fleet{Title: f.title(), Generated: d.Generated}
	for _, t := range d.Tenants {
		row := page.Tenant{Name: t.Name, State: t.State, Version: t.Version, Pending: t.Pending}
		if t.Error != nil {
			row.Error = t.Error.Message
		}
		shown.Tenants = append(shown.Tenants, row)
	}
	var b bytes.Buffer // so that a page is there as a whole, or not at all
	if err := page.Write(&b, shown); err != nil {
		return err
	}
	_, err := f.call.out.out.Write(b.Bytes())
	return err
}
