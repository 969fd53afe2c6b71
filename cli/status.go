package cli

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gooseplus/gooseplus"
)

// statusDone is the data of status and list.
type statusDone struct {
	CurrentVersion int64           `json:"current_version"`
	Pending        int             `json:"pending"`
	Dirty          bool            `json:"dirty"`
	ForeignHistory string          `json:"foreign_history,omitempty"`
	Unknown        []int64         `json:"unknown"`
	Environments   []string        `json:"environments"`
	Migrations     []migrationDone `json:"migrations"`
	Running        *runRecorded    `json:"running,omitempty"` // not in the parts of several namespaces
}

// migrationDone is one migration. Only show fills Up and Down.
type migrationDone struct {
	Version     int64      `json:"version"`
	State       string     `json:"state"`
	Locked      bool       `json:"locked"`
	AppliedAt   *time.Time `json:"applied_at"`
	Environment string     `json:"environment,omitempty"`
	Source      string     `json:"source"`
	StoredDown  bool       `json:"stored_down,omitempty"`
	Up          *string    `json:"up,omitempty"`
	Down        *string    `json:"down,omitempty"`
}

func newMigrationDone(s gooseplus.Status, m gooseplus.MigrationStatus) migrationDone {
	d := migrationDone{Version: m.Version, Locked: m.Locked, Environment: m.Environment, Source: m.Source}
	if m.AppliedAt != nil && !m.AppliedAt.IsZero() {
		at := m.AppliedAt.UTC().Truncate(time.Second)
		d.AppliedAt = &at
	}
	switch {
	case m.Failed:
		d.State = "dirty"
	case m.AppliedAt != nil && m.Unknown:
		d.State, d.StoredDown = "unknown", m.Down != ""
	case m.Edited:
		d.State = "edited"
	case m.AppliedAt != nil:
		d.State = "applied"
	case m.Version < s.CurrentVersion:
		d.State = "late"
	default:
		d.State = "pending"
	}
	return d
}

var stateColours = map[string]colour{"applied": green, "pending": yellow, "late": yellow, "dirty": red, "edited": red, "unknown": red}

func (d migrationDone) row() []cell {
	at, locked := "", ""
	if d.AppliedAt != nil {
		at = d.AppliedAt.Format(time.DateTime)
	}
	if d.Locked {
		locked = ", locked"
	}
	if d.StoredDown {
		locked += ", Down stored"
	}
	return []cell{{text: strconv.FormatInt(d.Version, 10)}, {d.State + locked, stateColours[d.State]}, {text: at}, {text: d.Source}}
}

// statusOf reads the status. If files can't be parsed, it returns the error and as much of the status as is known.
func statusOf(c *call) (gooseplus.Status, *statusDone, error) {
	m, err := c.one(c.ctx)
	if err != nil {
		return gooseplus.Status{}, nil, err
	}
	s, err := m.Status(c.ctx)
	if err != nil && len(s.Migrations) == 0 {
		return s, nil, err
	}
	return s, newStatusDone(s), err
}

func newStatusDone(s gooseplus.Status) *statusDone {
	d := &statusDone{
		CurrentVersion: s.CurrentVersion, Pending: s.PendingCount, Dirty: s.Dirty, ForeignHistory: s.ForeignHistory,
		Unknown: []int64{}, Environments: append([]string{}, s.Environments...), Migrations: []migrationDone{},
	}
	for _, m := range s.Migrations {
		done := newMigrationDone(s, m)
		if done.State == "unknown" {
			d.Unknown = append(d.Unknown, done.Version)
		}
		d.Migrations = append(d.Migrations, done)
	}
	return d
}

// namespacesDone is the data of status and list with several namespaces.
type namespacesDone struct {
	Running    *runRecorded           `json:"running,omitempty"`
	Namespaces map[string]*statusDone `json:"namespaces"`
}

// statuses calls show with the status of what the Migrator is for: of each namespace, in their order, if there are
// several.
func statuses(c *call, show func(namespace string, d *statusDone)) error {
	m, err := c.migrator(c.ctx)
	if err != nil {
		return err
	}
	names := m.Namespaces()
	if len(names) == 0 {
		s, err := m.Status(c.ctx)
		if err != nil && len(s.Migrations) == 0 {
			return err
		}
		d := newStatusDone(s)
		d.ForeignHistory = c.out.of(d.ForeignHistory)
		show("", d)
		c.data = d
		return err
	}
	all, err := m.NamespaceStatus(c.ctx)
	if all == nil {
		return err
	}
	data := &namespacesDone{Namespaces: make(map[string]*statusDone)}
	for _, name := range names {
		data.Namespaces[name] = newStatusDone(all[name])
		show(name, data.Namespaces[name])
	}
	c.data = data
	return err
}

func status(c *call, exitCode bool) error {
	first, dirty := true, false
	var all findings
	err := statuses(c, func(namespace string, d *statusDone) {
		all.add(namespace, d)
		environments := ""
		if len(d.Environments) > 0 {
			environments = ", environments " + strings.Join(d.Environments, ", ")
		}
		if !first {
			c.out.line("")
		}
		first, dirty = false, dirty || d.Dirty
		c.out.line("%sthe database is at %s, %d pending%s", prefix("", namespace), at(d.CurrentVersion), d.Pending, clean(environments))
		if d.ForeignHistory != "" {
			c.out.line("%s %s", paint(c.out.colour, yellow, "another tool's history:"), clean(d.ForeignHistory))
		}
		if len(d.Migrations) > 0 {
			c.out.line("")
			c.out.migrations(d.Migrations)
		}
		if len(d.Unknown) > 0 && c.settings.run.unknown != "ignore" {
			c.out.note("%s %s%s: %v. Is the program an older release, or is an environment missing?",
				paint(c.out.errColour, yellow, "warning:"), prefix("", namespace), gooseplus.ErrUnknownVersion, d.Unknown)
		}
	})
	if dirty {
		c.out.line("\n%s a migration may be half-applied. %s", paint(c.out.colour, red, "dirty:"), strings.TrimSuffix(waysText(c.waysOut(c.out.words, c.opened)), "\n"))
	}
	if c.data == nil {
		return err
	}
	c.warn(c.opened)
	if err != nil {
		return err
	}
	c.showRunning()
	if exitCode {
		return all.err()
	}
	return nil
}

// warn prints what a run would warn of before it looks at the database, such as an environment without a folder.
func (c *call) warn(m *gooseplus.Migrator) {
	d, _ := m.Describe() // the command reports the error
	for _, w := range d.Warnings {
		c.activity.observe(c.ctx, gooseplus.Warning{Scope: gooseplus.Scope{Namespace: w.Namespace}, Message: w.Text})
	}
}

// showRunning shows a run that is in progress, if there is one. The status is worth as much without it.
func (c *call) showRunning() {
	recorded, err := c.opened.Runs(c.ctx)
	if err != nil || len(recorded) == 0 || recorded[0].InProgress == nil {
		return
	}
	d := newRunRecorded(c.out.words, recorded[0])
	switch data := c.data.(type) {
	case *statusDone:
		data.Running = &d
	case *namespacesDone:
		data.Running = &d
	}
	c.out.line("\nin progress: %s", d.progress())
}

func (p *printer) migrations(list []migrationDone) {
	rows := [][]cell{cells("VERSION", "STATE", "APPLIED AT (UTC)", "SOURCE")}
	for _, m := range list {
		rows = append(rows, m.row())
	}
	p.table(rows)
}

func list(c *call, all bool) error {
	var listed []migrationDone
	err := statuses(c, func(_ string, d *statusDone) {
		if !all {
			d.Migrations = slices.DeleteFunc(d.Migrations, func(m migrationDone) bool { return m.State != "pending" && m.State != "late" })
		}
		listed = append(listed, d.Migrations...)
	})
	if c.data == nil {
		return err
	}
	if len(listed) == 0 {
		c.out.line("nothing is pending")
	} else {
		c.out.migrations(listed)
	}
	c.warn(c.opened)
	return err
}

func show(c *call) error {
	version, err := parseNumber(c.args[0])
	if err != nil {
		return err
	}
	s, d, err := statusOf(c)
	if d == nil {
		return err
	}
	i := slices.IndexFunc(d.Migrations, func(m migrationDone) bool { return m.Version == version })
	if i < 0 {
		if err != nil {
			return err
		}
		return usagef("version %d doesn't exist: it is neither known nor applied; all versions: %s", version, c.out.command("list --all"))
	}
	shown := d.Migrations[i]
	up, down := s.Migrations[i].Up, s.Migrations[i].Down
	shown.Up, shown.Down = &up, &down
	c.data = shown
	c.out.line("version      %d", version)
	if shown.Source != "" {
		c.out.line("source       %s", clean(shown.Source))
	}
	if shown.Environment != "" {
		c.out.line("environment  %s", clean(shown.Environment))
	}
	c.out.line("state        %s", paint(c.out.colour, stateColours[shown.State], shown.row()[1].text))
	if shown.AppliedAt != nil {
		c.out.line("applied at   %s UTC", shown.AppliedAt.Format(time.DateTime))
	}
	for _, section := range []struct{ name, text string }{{"up", up}, {"down", down}} {
		c.out.line("\n%s:", section.name)
		if section.text == "" {
			section.text = "(nothing)"
		}
		for line := range strings.SplitSeq(section.text, "\n") {
			c.out.line("    %s", clean(strings.TrimSuffix(line, "\r")))
		}
	}
	return err
}
