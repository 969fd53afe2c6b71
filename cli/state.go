package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gooseplus/gooseplus"
)

func (a *app) stateCommands() []*cobra.Command {
	return []*cobra.Command{
		a.command(spec{
			group: "state", use: "force VERSION", short: "Say which version the database is at, without running anything",
			long: "Marks exactly the known migrations up to and including a version as applied, and forgets what was dirty.\n" +
				"No migration is executed. It is for a database that a person has put right, or that another tool has\n" +
				"migrated. It has to be confirmed: on a terminal by an answer, elsewhere by --yes.",
			example: "gooseplus force 20231103120000 --yes",
			args:    cobra.ExactArgs(1),
			run:     force,
		}),
		a.command(spec{
			group: "state", use: "lock VERSION", short: "Protect a version: nothing goes below it",
			long: "Protects a version that is known or applied. Nothing that would undo it, or a lower one while it is\n" +
				"applied, is done from then on, until it is unlocked.",
			example: "gooseplus lock 20231103120000",
			args:    cobra.ExactArgs(1),
			run:     func(c *call) error { return protect(c, true) },
		}),
		a.command(spec{
			group: "state", use: "unlock VERSION", short: "End the protection of a version",
			example: "gooseplus unlock 20231103120000",
			args:    cobra.ExactArgs(1),
			run:     func(c *call) error { return protect(c, false) },
		}),
	}
}

// forceDone is the data of force.
type forceDone struct {
	Version int64   `json:"version"`
	Added   []int64 `json:"added"`
	Removed []int64 `json:"removed"`
}

func force(c *call) error {
	version, err := parseNumber(c.args[0])
	if err != nil {
		return err
	}
	m, err := c.one(c.ctx)
	if err != nil {
		return err
	}
	question, reached, err := c.forceQuestion(m, version)
	if err != nil {
		return err
	}
	if err := c.confirm(question); err != nil {
		return err
	}
	if err := m.Force(c.ctx, version); err != nil {
		return err
	}
	c.activity.mu.Lock()
	defer c.activity.mu.Unlock()
	d := forceDone{Version: version, Added: []int64{}, Removed: []int64{}}
	if f := c.activity.forced; f != nil {
		d.Added, d.Removed = append(d.Added, f.Added...), append(d.Removed, f.Removed...)
	}
	c.data = d
	c.out.line("%d marked as applied, %d no more; nothing was executed; the database counts as at %s", len(d.Added), len(d.Removed), at(reached))
	return nil
}

// forceQuestion says what force would do, and at which version the database would be.
func (c *call) forceQuestion(m *gooseplus.Migrator, version int64) (question string, reached int64, err error) {
	s, err := m.Status(c.ctx)
	if err != nil && len(s.Migrations) == 0 {
		return "", 0, err
	}
	add, remove := 0, 0
	for _, migration := range s.Migrations {
		if migration.Version <= version && (migration.Source != "" || migration.AppliedAt != nil) {
			reached = max(reached, migration.Version)
		}
		switch {
		case migration.AppliedAt == nil && migration.Version <= version:
			add++
		case migration.AppliedAt != nil && migration.Version > version:
			remove++
		}
	}
	return fmt.Sprintf("mark %d migrations as applied and %d as not applied, and execute nothing", add, remove), reached, nil
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
	change, text := m.LockVersion, "version %d is locked: nothing goes below it"
	if !on {
		change, text = m.UnlockVersion, "version %d is not locked"
	}
	if err := change(c.ctx, version); err != nil {
		return err
	}
	c.data = map[string]any{"version": version, "locked": on}
	c.out.line(text, version)
	return nil
}
