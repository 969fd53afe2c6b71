package cli

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gooseplus/gooseplus"
)

func (a *app) lookCommands() []*cobra.Command {
	var all bool
	var limit int
	var shadow, shadowOfCheck, to string
	var exitCode, sql bool
	timeout := &a.settings.run.timeout
	return []*cobra.Command{
		a.command(spec{
			group: "look", use: "status", short: "Show what is applied and what is pending",
			long: "Shows every migration that is known or applied, and the history of another tool if there is one. The state of a\n" +
				"migration is: applied, pending, late (pending, and lower than the version the database is at), dirty (it may\n" +
				"be half-applied), edited (its file was edited after it was applied), or unknown (applied, and its file isn't\n" +
				"there; \"Down stored\" says that the database can undo it). The command lock makes a migration locked.",
			example: "gooseplus status --output json",
			flags: func(cmd *cobra.Command) {
				cmd.Flags().BoolVar(&exitCode, "exit-code", false, "exit as check does, if anything is pending, dirty, edited or unknown")
			},
			run: func(c *call) error { return status(c, exitCode) },
		}),
		a.command(spec{
			group: "look", use: "version", short: "Print the highest version that is applied",
			example: "gooseplus version",
			run: func(c *call) error {
				m, err := c.one(c.ctx)
				if err != nil {
					return err
				}
				v, err := m.Version(c.ctx)
				if err == nil {
					c.data = map[string]int64{"version": v}
					c.out.line("%d", v)
				}
				return err
			},
		}),
		a.command(spec{
			group: "look", use: "plan", short: "Show what up, or goto, would do",
			long: "Shows the steps that up would take, or, with --to, those of goto, down and up. With --sql it prints their SQL:\n" +
				"statements that end in a semicolon, a comment with version, file and direction before each migration, and BEGIN and\n" +
				"COMMIT around those that run in a transaction. Tools such as squawk read that. Nothing is executed.",
			example: "gooseplus plan --sql | squawk",
			flags: func(cmd *cobra.Command) {
				cmd.Flags().StringVar(&to, "to", "", "show what goto would do, to a `VERSION`")
				cmd.Flags().BoolVar(&sql, "sql", false, "print the SQL")
			},
			run: func(c *call) error { return showPlan(c, to, sql) },
		}),
		a.command(spec{
			group: "look", use: "check", short: "Say with the exit code whether the database is as it should be",
			long: "For probes and CI. The exit code is 0 if nothing is pending, dirty, edited or unknown (as in status) and, with\n" +
				"--shadow, nothing differs from what the migrations make (as in drift). Otherwise the first of these counts:\n" +
				"dirty (4), unknown (11), edited (10), pending (9), differences (8). It changes nothing in the database.",
			example: "gooseplus check",
			flags:   func(cmd *cobra.Command) { addShadow(cmd, &shadowOfCheck) },
			run:     func(c *call) error { return check(c, shadowOfCheck) },
		}),
		a.command(spec{
			group: "look", use: "show VERSION", short: "Show one migration with its SQL",
			example:  "gooseplus show 20231103120000",
			versions: []string{},
			run:      show,
		}),
		a.command(spec{
			group: "look", use: "list", short: "List the pending migrations, or all",
			long:    "Lists the pending migrations, one a line; with --all, the applied and dirty ones too.",
			example: "gooseplus list --all",
			flags: func(cmd *cobra.Command) {
				cmd.Flags().BoolVar(&all, "all", false, "list the applied migrations too")
			},
			run: func(c *call) error { return list(c, all) },
		}),
		a.command(spec{
			group: "look", use: "env", short: "Show which environments there are, and which the database has seen",
			long: "Shows the folders of the environments, which of them the settings choose, and with which the database has ever\n" +
				"been migrated. It works without a database too.",
			example: "gooseplus env",
			run:     environments,
		}),
		a.command(spec{
			group: "look", use: "runs", short: "Show the last runs, and who has the lock now",
			long: "Shows the runs that the database remembers, newest first, how they ended, and which process has the lock now.\n" +
				"A process that is shown as running may have been killed: the next run finds that out.",
			example: "gooseplus runs --limit 5",
			flags: func(cmd *cobra.Command) {
				cmd.Flags().IntVar(&limit, "limit", 20, "how many `runs` to show; 0 is all")
			},
			run: func(c *call) error { return showRuns(c, limit) },
		}),
		a.command(spec{
			group: "look", use: "drift", short: "Compare the database with what its migrations make",
			long: "Shows tables, columns, indexes and other objects that are missing, changed, or made by somebody else.\n" + driftLong +
				"If several processes use one shadow at the same time, they disturb each other.",
			example: "gooseplus drift --shadow postgres://app@localhost/shop_shadow",
			flags:   func(cmd *cobra.Command) { addShadow(cmd, &shadow) },
			run:     func(c *call) error { return drift(c, shadow) },
		}),
		a.command(spec{
			group: "look", use: "wait", short: "Wait until the database can be reached and nothing is pending",
			long: "For replicas and jobs that must not migrate while another process does. It never migrates, and takes no lock.\n" +
				"After --timeout (5 minutes by default; 0 is no limit) it exits with code 3, and says what it waited for.",
			example: "gooseplus wait --timeout 2m",
			flags: func(cmd *cobra.Command) {
				if !a.settings.standalone {
					cmd.Flags().DurationVar(timeout, "timeout", 5*time.Minute, "how long to wait; 0 is no limit")
					settable(cmd.Flags(), "timeout")
				}
			},
			run: func(c *call) error { return wait(c, *timeout) },
		}),
	}
}

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

// migrationDone is one migration. Up and Down are those of show.
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

// statusOf reads the status. What is known of it comes with the error that files can't be parsed.
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
			c.out.note("%s %s%s: %v. Is it an older release, or without one of its environments?",
				paint(c.out.errColour, yellow, "warning:"), prefix("", namespace), gooseplus.ErrUnknownVersion, d.Unknown)
		}
	})
	if dirty {
		c.out.line("\n%s a migration may be half-applied. %s", paint(c.out.colour, red, "dirty:"), strings.TrimSuffix(waysText(c.waysOut(c.out.words, c.opened)), "\n"))
	}
	if err != nil || c.data == nil {
		return err
	}
	c.showRunning()
	if exitCode {
		return all.err()
	}
	return nil
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
	switch {
	case c.data == nil:
	case len(listed) == 0:
		c.out.line("nothing is pending")
	default:
		c.out.migrations(listed)
	}
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
		return usagef("version %d doesn't exist: it is neither known nor applied", version)
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

// planned is a step of plan.
type planned struct {
	Version       int64  `json:"version"`
	Source        string `json:"source"`
	Environment   string `json:"environment,omitempty"`
	Namespace     string `json:"namespace,omitempty"`
	Direction     string `json:"direction"`
	Transactional bool   `json:"transactional"`
	Reversible    bool   `json:"reversible"`
	SQL           string `json:"sql,omitempty"` // with --sql
}

// planOf is what up would do, or goto.
func planOf(c *call, to string) (*gooseplus.Migrator, []gooseplus.Step, error) {
	if to == "" {
		m, err := c.migrator(c.ctx)
		if err != nil {
			return nil, nil, err
		}
		steps, err := m.Plan(c.ctx)
		return m, steps, err
	}
	version, err := parseNumber(to)
	if err != nil {
		return nil, nil, err
	}
	m, err := c.one(c.ctx)
	if err != nil {
		return nil, nil, err
	}
	steps, err := m.PlanTo(c.ctx, version)
	return m, steps, mistaken(c.ctx, m, version, err)
}

func showPlan(c *call, to string, sql bool) error {
	m, steps, err := planOf(c, to)
	if err != nil {
		return err
	}
	if sql {
		return printSQL(c, m, steps)
	}
	data := newPlanned(steps)
	c.data = map[string]any{"steps": data}
	if len(steps) == 0 {
		c.out.line("nothing to do")
		return nil
	}
	c.out.plan(data)
	return nil
}

func newPlanned(steps []gooseplus.Step) []planned {
	data := []planned{}
	for _, s := range steps {
		data = append(data, planned{s.Version, s.Source, s.Environment, s.Namespace, s.Direction, s.Transactional, s.Reversible, ""})
	}
	return data
}

// plan writes steps as a table.
func (p *printer) plan(steps []planned) {
	rows := [][]cell{cells("DO", "VERSION", "SOURCE", "NOTES")}
	for _, s := range steps {
		var notes []string
		if !s.Transactional {
			notes = append(notes, "can be left half-applied")
		}
		if !s.Reversible {
			notes = append(notes, "has no Down")
		}
		rows = append(rows, []cell{{s.Direction, green}, {text: strconv.FormatInt(s.Version, 10)}, {text: s.Source}, {strings.Join(notes, ", "), yellow}})
	}
	p.table(rows)
}
