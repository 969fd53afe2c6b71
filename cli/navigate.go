package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gooseplus/gooseplus"
)

func (a *app) navigateCommands() []*cobra.Command {
	var steps int
	var then bool
	tenants := new(tenantsFlags)
	return []*cobra.Command{
		a.command(spec{
			group: "run", use: "up", short: "Apply all pending migrations",
			long: "Applies the migrations that are not applied yet, lowest version first. If one fails, those that this run\n" +
				"applied are undone. With --then-tenants the tenants follow, if that succeeded; --master-dsn is the\n" +
				"database that is migrated first then.",
			example: "gooseplus up",
			flags: func(cmd *cobra.Command) {
				cmd.Flags().BoolVar(&then, "then-tenants", false, "then migrate the tenants, as tenants up does")
				tenants.add(cmd, true)
			},
			run: func(c *call) error {
				if !then {
					if name := tenants.given(c.cmd); name != "" {
						return usagef("--%s is for tenants: use it with --then-tenants, or tenants up", name)
					}
					m, err := c.migrator(c.ctx)
					if err != nil {
						return err
					}
					return c.record(m, migrate)
				}
				return c.masterThenTenants(tenants)
			},
		}),
		a.command(spec{
			group: "run", use: "up-to VERSION|DATE", short: "Apply the pending migrations up to a version",
			long: "Applies the pending migrations up to and including a version. It never undoes any.\n" +
				"A date, where versions are times, means the end of that day, UTC.",
			example: "gooseplus up-to 2023-11-03",
			args:    cobra.ExactArgs(1),
			run: func(c *call) error {
				return c.navigateTo(true, func(ctx context.Context, m *gooseplus.Migrator, v int64) error {
					if v == 0 && dayPattern.MatchString(c.args[0]) {
						return usagef("%s: there is no migration that is so old", c.args[0])
					}
					return m.MigrateTo(ctx, v)
				})
			},
		}),
		a.command(spec{
			group: "run", use: "down", short: "Undo the migration that was applied last",
			example: "gooseplus down",
			run: func(c *call) error {
				return c.navigate(func(ctx context.Context, m *gooseplus.Migrator) error { return m.Rollback(ctx, 1) })
			},
		}),
		a.command(spec{
			group: "run", use: "rollback --steps N", short: "Undo the migrations that were applied last",
			long: "Undoes as many migrations as --steps says, the last applied first. More than one has to be confirmed:\n" +
				"on a terminal by an answer, elsewhere by --yes.",
			example: "gooseplus rollback --steps 3 --yes",
			flags: func(cmd *cobra.Command) {
				cmd.Flags().IntVar(&steps, "steps", 1, "how many `migrations` to undo")
			},
			run: func(c *call) error {
				if steps < 1 {
					return usagef("--steps %d: at least 1 has to be undone", steps)
				}
				return c.navigate(func(ctx context.Context, m *gooseplus.Migrator) error {
					if steps > 1 {
						if err := c.confirm(fmt.Sprintf("undo the last %d migrations", steps)); err != nil {
							return err
						}
					}
					return m.Rollback(ctx, steps)
				})
			},
		}),
		a.command(spec{
			group: "run", use: "down-to VERSION|DATE|locked", short: "Undo all migrations above a version",
			long: "Undoes every applied migration above a version, the last applied first. A date,\n" +
				"where versions are times, means the end of that day, UTC; locked is the highest version that the command\n" +
				"lock protects. What undoes all, such as 0, has to be confirmed: on a terminal by an answer, elsewhere by\n" +
				"--yes.",
			example: "gooseplus down-to 20231103120000",
			args:    cobra.ExactArgs(1),
			run: func(c *call) error {
				if c.args[0] == "locked" {
					return c.navigate(func(ctx context.Context, m *gooseplus.Migrator) error { return m.RollbackToLocked(ctx) })
				}
				return c.navigateTo(true, func(ctx context.Context, m *gooseplus.Migrator, v int64) error {
					if err := c.confirmAll(ctx, m, v); err != nil {
						return err
					}
					return m.RollbackTo(ctx, v)
				})
			},
		}),
		a.command(spec{
			group: "run", use: "goto VERSION", short: "Go to a version, up or down",
			long: "Undoes what is applied above the version, and applies what is pending up to it.\n" +
				"What undoes all, such as 0, has to be confirmed, as with down-to.",
			example: "gooseplus goto 20231103120000",
			args:    cobra.ExactArgs(1),
			run: func(c *call) error {
				return c.navigateTo(false, func(ctx context.Context, m *gooseplus.Migrator, v int64) error {
					if err := c.confirmAll(ctx, m, v); err != nil {
						return err
					}
					return m.Goto(ctx, v)
				})
			},
		}),
	}
}

// confirmAll is confirm for a version below all that are applied, be it 0 or not.
func (c *call) confirmAll(ctx context.Context, m *gooseplus.Migrator, version int64) error {
	if version > 0 {
		s, err := m.Status(ctx)
		applied := func(s gooseplus.MigrationStatus) bool { return s.AppliedAt != nil }
		first := slices.IndexFunc(s.Migrations, applied)
		if err != nil && len(s.Migrations) == 0 {
			return err
		}
		if first < 0 || s.Migrations[first].Version <= version {
			return nil
		}
	}
	return c.confirm("undo ALL migrations")
}

// runDone is the data of a run.
type runDone struct {
	namespaceDone
	Namespaces []namespaceDone `json:"namespaces,omitempty"` // of several, instead of from and to
	Steps      []stepDone      `json:"steps"`
}

type namespaceDone struct {
	Namespace string `json:"namespace,omitempty"`
	From      *int64 `json:"from,omitempty"`
	To        *int64 `json:"to,omitempty"`
	Applied   int    `json:"applied"`
	Undone    int    `json:"undone"`
}

// navigate makes a run and says what it did.
func (c *call) navigate(run func(context.Context, *gooseplus.Migrator) error) error {
	m, err := c.one(c.ctx)
	if err != nil {
		return err
	}
	return c.record(m, run)
}

// record makes a run and keeps what it did for the document.
func (c *call) record(m *gooseplus.Migrator, run func(context.Context, *gooseplus.Migrator) error) error {
	data, err := c.make(m, run)
	if data != nil {
		c.data = data
	}
	return err
}

func migrate(ctx context.Context, m *gooseplus.Migrator) error { return m.Migrate(ctx) }

func (c *call) make(m *gooseplus.Migrator, run func(context.Context, *gooseplus.Migrator) error) (*runDone, error) {
	err := run(c.ctx, m)
	a := c.activity
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.finished) == 0 || a.finished[0].To == -1 && ExitCode(err) == exitUsage { // refused before it began
		return nil, err
	}
	data := &runDone{Steps: append([]stepDone{}, a.steps...)}
	several := len(a.finished) > 1
	for _, f := range a.finished {
		done := namespaceDone{f.Namespace, &f.From, &f.To, f.Applied, f.Undone}
		if several {
			data.Namespaces = append(data.Namespaces, done)
		} else {
			data.namespaceDone = done
		}
		if err == nil { // else the error says where the database is
			c.out.line("%s", ended(f, several))
		}
	}
	if several {
		for _, n := range data.Namespaces {
			data.Applied, data.Undone = data.Applied+n.Applied, data.Undone+n.Undone
		}
	}
	return data, err
}

// ended says what a run did, in one of several namespaces.
func ended(f gooseplus.RunFinished, several bool) string {
	var did []string
	if f.Applied > 0 {
		did = append(did, fmt.Sprintf("%d applied", f.Applied))
	}
	if f.Undone > 0 {
		did = append(did, fmt.Sprintf("%d undone", f.Undone))
	}
	where, name := "the database", ""
	if several {
		where, name = "it", clean(f.Namespace)+": "
	}
	if len(did) == 0 {
		return fmt.Sprintf("%snothing to do; %s is at %s", name, where, at(f.To))
	}
	return fmt.Sprintf("%s%s in %s; %s is at %s", name, strings.Join(did, ", "), rounded(f.Duration), where, at(f.To))
}

// at is a version as people call it.
func at(version int64) string {
	switch version {
	case -1:
		return "a version that can't be read"
	case 0:
		return "version 0, before the first migration"
	}
	return "version " + strconv.FormatInt(version, 10)
}

// navigateTo is navigate to the version that is the command's argument.
func (c *call) navigateTo(dates bool, run func(context.Context, *gooseplus.Migrator, int64) error) error {
	target, err := parseVersion(c.args[0], dates)
	if err != nil {
		return err
	}
	return c.navigate(func(ctx context.Context, m *gooseplus.Migrator) error {
		version, err := target.resolve(ctx, m)
		if err != nil {
			return err
		}
		return run(ctx, m, version)
	})
}
