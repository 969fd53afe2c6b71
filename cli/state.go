package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gooseplus/gooseplus"
)

func (a *app) stateCommands() []*cobra.Command {
	return []*cobra.Command{
		a.command(spec{
			group: "state", use: "baseline VERSION", short: "Say which version a database that exists already is at",
			long: "For a database that has tables and no applied versions, because another tool or a person has made them: marks\n" +
				"the migrations up to and including a version as applied. No migration is executed; up applies the migrations\n" +
				"above that version. It asks first: on a terminal it waits for an answer, elsewhere it needs --yes.",
			example:  "gooseplus baseline 20231103120000",
			versions: []string{},
			run:      func(c *call) error { return force(c, true) },
		}),
		a.command(spec{
			group: "state", use: "force VERSION", short: "Say which version the database is at, without running anything",
			long: "Marks the known migrations up to and including a version as applied, and all others as not applied. The\n" +
				"database is no longer dirty then. No migration is executed. Use it after you have repaired the database.\n" +
				"It asks first: on a terminal it waits for an answer, elsewhere it needs --yes.",
			example:  "gooseplus force 20231103120000 --yes",
			versions: []string{},
			run:      func(c *call) error { return force(c, false) },
		}),
		a.command(spec{
			group: "state", use: "accept VERSION", short: "Say that the edited file of an applied migration is right",
			long: "Remembers the file as it is now. No migration is executed, and the database stays as it is: so the edit must\n" +
				"make no difference for databases that have the migration already.",
			example:  "gooseplus accept 20231103120000",
			versions: []string{},
			run:      accept,
		}),
		a.command(spec{
			group: "state", use: "lock VERSION", short: "Protect a version: no command goes below it",
			long: "Protects a version that is known or applied. Until the version is unlocked, no run undoes it, nor any lower\n" +
				"version while the protected one is applied.",
			example:  "gooseplus lock 20231103120000",
			versions: []string{},
			run:      func(c *call) error { return protect(c, true) },
		}),
		a.command(spec{
			group: "state", use: "unlock VERSION", short: "End the protection of a version",
			example:  "gooseplus unlock 20231103120000",
			versions: []string{},
			run:      func(c *call) error { return protect(c, false) },
		}),
	}
}

// forceDone is the data of force and baseline.
type forceDone struct {
	Version int64   `json:"version"`
	Added   []int64 `json:"added"`
	Removed []int64 `json:"removed"`
	Cleared []int64 `json:"cleared"`
}

// force runs force and baseline. baseline refuses a database that has applied versions.
func force(c *call, baseline bool) error {
	version, err := parseNumber(c.args[0])
	if err != nil {
		return err
	}
	if t, err := c.settings.target(mainDatabase); baseline && c.settings.standalone && err == nil && t.absent() {
		return &refusedError{fmt.Errorf("there is no database %s, and baseline is for one that exists already", t.shown())}
	}
	m, err := c.one(c.ctx)
	if err != nil {
		return err
	}
	s, err := statusAnyway(c.ctx, m)
	if err != nil {
		return err
	}
	claim := newForceClaim(s, version)
	if n := countApplied(s, 0); baseline && (n > 0 || s.Dirty) {
		return &refusedError{fmt.Errorf("this database has %s already, and baseline is for one without any; to say which are applied, run %s", counted(n, "applied version"), c.out.command("force VERSION"))}
	}
	if _, known := s.Migration(version); known || version == 0 { // otherwise Force names the nearest versions
		if err := c.confirm(claim.question(baseline)); err != nil {
			return err
		}
	}
	if err := m.Force(c.ctx, version); err != nil {
		return mistaken(c.ctx, m, version, err)
	}
	d := forceDone{Version: version, Added: []int64{}, Removed: []int64{}, Cleared: append([]int64{}, claim.failed...)}
	if f := c.activity.lastForced(); f != nil {
		d.Added, d.Removed = append(d.Added, f.Added...), append(d.Removed, f.Removed...)
	}
	c.data = d
	cleared := ""
	if len(d.Cleared) > 0 {
		cleared = "; the database is no longer dirty"
	}
	c.out.line("%d marked as applied, %d marked as not applied; nothing was executed; the database is marked as at %s%s", len(d.Added), len(d.Removed), at(claim.reached), cleared)
	return nil
}

// forceClaim is what force says of a database.
type forceClaim struct {
	version     int64
	add, remove int
	reached     int64 // the version that the database will be at
	failed      []int64
}

func newForceClaim(s gooseplus.Status, version int64) forceClaim {
	claim := forceClaim{version: version}
	for _, m := range s.Migrations {
		if m.Version <= version && (m.Source != "" || m.AppliedAt != nil || m.Failed) {
			claim.reached = max(claim.reached, m.Version)
		}
		if m.Failed {
			claim.failed = append(claim.failed, m.Version)
		}
		switch {
		case m.AppliedAt == nil && m.Version <= version:
			claim.add++
		case m.AppliedAt != nil && m.Version > version:
			claim.remove++
		}
	}
	return claim
}

func (f forceClaim) question(baseline bool) string {
	if baseline {
		return fmt.Sprintf("mark %s as applied, and execute nothing", counted(f.add, "migration"))
	}
	text := fmt.Sprintf("mark %s as applied and %d as not applied, and execute nothing", counted(f.add, "migration"), f.remove)
	for _, failed := range f.failed {
		if failed <= f.version {
			text += fmt.Sprintf("; migration %d failed, and would count as complete", failed)
		} else {
			text += fmt.Sprintf("; migration %d failed, and would count as not begun", failed)
		}
	}
	return text
}

func accept(c *call) error {
	version, err := parseNumber(c.args[0])
	if err != nil {
		return err
	}
	m, err := c.one(c.ctx)
	if err != nil {
		return err
	}
	if err := m.Accept(c.ctx, version); err != nil {
		return mistaken(c.ctx, m, version, err)
	}
	c.data = map[string]any{"version": version}
	c.out.line("accepted %d", version)
	return nil
}

func protect(c *call, on bool) error {
	version, err := parseNumber(c.args[0])
	if err != nil {
		return err
	}
	m, err := c.one(c.ctx)
	if err != nil {
		return err
	}
	change, text := m.LockVersion, "version %d is locked: no command goes below it"
	if !on {
		change, text = m.UnlockVersion, "version %d is not locked"
	}
	if err := change(c.ctx, version); err != nil {
		if err = mistaken(c.ctx, m, version, err); ExitCode(err) == exitUsage {
			err = fmt.Errorf("%w; all versions: %s", err, c.out.command("list --all"))
		}
		return err
	}
	c.data = map[string]any{"version": version, "locked": on}
	c.out.line(text, version)
	return nil
}
