package cli

import (
	"context"
	"errors"
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
			long: "Applies the migrations that are not applied yet, lowest version first. If one fails, the migrations that this\n" +
				"run applied are undone. With --then-tenants the command migrates the master database (--master-dsn) first,\n" +
				"and then, if that succeeded, the tenants.",
			example: "gooseplus up",
			flags: func(cmd *cobra.Command) {
				cmd.Flags().BoolVar(&then, "then-tenants", false, "after that, migrate the tenants, as tenants up does")
				tenants.add(cmd, true)
				tenants.addCreateSchema(cmd)
				tenants.addWayBack(cmd)
			},
			run: func(c *call) error {
				if !then {
					if name := tenants.given(c.cmd); name != "" {
						return usagef("--%s is for tenants: add --then-tenants, or run tenants up", name)
					}
					m, err := c.migrator(c.ctx)
					if err != nil {
						return err
					}
					return c.record(m, migrate)
				}
				return masterThenTenants(c, tenants)
			},
		}),
		a.command(spec{
			group: "run", use: "up-by-one", short: "Apply the next pending migration",
			long:    "Applies the pending migration with the lowest version, and no other.",
			example: "gooseplus up-by-one",
			run:     upByOne,
		}),
		a.command(spec{
			group: "run", use: "up-to VERSION|DATE", short: "Apply the pending migrations up to a version",
			long: "Applies the pending migrations up to and including a version. It never undoes any.\n" +
				"A date such as 2023-11-03 means the end of that day (UTC); it needs versions that are times.",
			example:  "gooseplus up-to 2023-11-03",
			versions: []string{},
			run: func(c *call) error {
				return c.navigateTo(true, func(ctx context.Context, m *gooseplus.Migrator, v int64) error {
					if v == 0 && dayPattern.MatchString(c.args[0]) {
						return tooOld(c.args[0])
					}
					return m.MigrateTo(ctx, v)
				})
			},
		}),
		a.command(spec{
			group: "run", use: "down", short: "Undo the migration that was applied last",
			long:    "Undoes one migration: the one that was applied last." + asksBack,
			example: "gooseplus down --yes",
			run:     func(c *call) error { return c.rollback(1) },
		}),
		a.command(spec{
			group: "run", use: "redo", short: "Undo the migration that was applied last, and apply it again",
			long: "Undoes the migration that was applied last and applies it again, as two runs. If applying it fails, it stays\n" +
				"undone." + asksBack,
			example: "gooseplus redo --yes",
			run:     redo,
		}),
		a.command(spec{
			group: "run", use: "rollback --steps N", short: "Undo the migrations that were applied last",
			long:    "Undoes as many migrations as --steps says, the last applied first." + asksBack,
			example: "gooseplus rollback --steps 3 --yes",
			flags: func(cmd *cobra.Command) {
				cmd.Flags().IntVar(&steps, "steps", 1, "how many `migrations` to undo")
			},
			run: func(c *call) error { return c.rollback(steps) },
		}),
		a.command(spec{
			group: "run", use: "down-to VERSION|DATE|locked", short: "Undo all migrations above a version",
			long: "Undoes every applied migration above a version, the last applied first. A date such as 2023-11-03 means the end\n" +
				"of that day (UTC); it needs versions that are times. locked means the highest version that the command lock\n" +
				"protects." + asksBack,
			example:  "gooseplus down-to 20231103120000",
			versions: []string{"locked"},
			run: func(c *call) error {
				if c.args[0] == "locked" {
					return c.navigate(func(ctx context.Context, m *gooseplus.Migrator) error {
						if err := c.confirmDown(ctx, m, toLocked); err != nil {
							return err
						}
						return m.RollbackToLocked(ctx)
					})
				}
				return c.navigateTo(true, func(ctx context.Context, m *gooseplus.Migrator, v int64) error {
					if err := c.confirmDown(ctx, m, above(v)); err != nil {
						return err
					}
					return m.RollbackTo(ctx, v)
				})
			},
		}),
		a.command(spec{
			group: "run", use: "reset", short: "Undo all migrations",
			long:    "Undoes every applied migration, the last applied first." + asksBack,
			example: "gooseplus reset --yes",
			run: func(c *call) error {
				return c.navigate(func(ctx context.Context, m *gooseplus.Migrator) error {
					if err := c.confirmDown(ctx, m, above(0)); err != nil {
						return err
					}
					return m.RollbackTo(ctx, 0)
				})
			},
		}),
		a.command(spec{
			group: "run", use: "goto VERSION", short: "Go to a version, up or down",
			long:     "Undoes every applied migration above the version, and applies the pending ones up to it." + asksBack,
			example:  "gooseplus goto 20231103120000",
			versions: []string{},
			run: func(c *call) error {
				return c.navigateTo(false, func(ctx context.Context, m *gooseplus.Migrator, v int64) error {
					if err := c.confirmDown(ctx, m, above(v)); err != nil {
						return err
					}
					return m.Goto(ctx, v)
				})
			},
		}),
	}
}

// rollback undoes the migrations that were applied last.
func (c *call) rollback(steps int) error {
	if steps < 1 {
		return usagef("--steps %d: the lowest number is 1", steps)
	}
	return c.navigate(func(ctx context.Context, m *gooseplus.Migrator) error {
		if err := c.confirmDown(ctx, m, last(steps)); err != nil {
			return err
		}
		return m.Rollback(ctx, steps)
	})
}

// upByOne goes to a version by number, so that it applies one migration even if another process migrates meanwhile.
func upByOne(c *call) error {
	return c.navigate(func(ctx context.Context, m *gooseplus.Migrator) error {
		steps, err := m.Plan(ctx)
		if err != nil || len(steps) == 0 {
			return c.nothingToDo(ctx, m, err)
		}
		return m.MigrateTo(ctx, steps[0].Version)
	})
}

// nothingToDo reports a run that did nothing.
func (c *call) nothingToDo(ctx context.Context, m *gooseplus.Migrator, err error) error {
	if err != nil {
		return err
	}
	version, err := m.Version(ctx)
	if err == nil {
		c.activity.observe(ctx, gooseplus.RunFinished{From: version, To: version})
	}
	return err
}

// redo makes two runs, since one run can't apply a migration that it has undone. It refuses to begin if the second run would
// apply other pending migrations too.
func redo(c *call) error {
	m, err := c.one(c.ctx)
	if err != nil {
		return err
	}
	s, err := statusAnyway(c.ctx, m)
	if err != nil {
		return err
	}
	for _, migration := range s.Migrations {
		if migration.AppliedAt == nil && !migration.Failed && migration.Version < s.CurrentVersion {
			return &refusedError{fmt.Errorf("migration %d is pending, lower than version %d, and would be applied too; first apply it: %s",
				migration.Version, s.CurrentVersion, c.out.command("up"))}
		}
	}
	if countApplied(s, 0) > 0 {
		if err := c.confirm("undo the last migration, and apply it again"); err != nil {
			return err
		}
	}
	err = c.record(m, func(ctx context.Context, m *gooseplus.Migrator) error {
		return m.With(gooseplus.WithStoredDowns(false)).Rollback(ctx, 1) // nothing could apply it again
	})
	down, _ := c.data.(*runDone)
	if err != nil || down == nil || len(down.Steps) == 0 {
		return err
	}
	version := down.Steps[0].Version
	c.activity.reset()
	up, err := c.make(m, func(ctx context.Context, m *gooseplus.Migrator) error { return m.MigrateTo(ctx, version) })
	if up != nil {
		down.To, down.Applied, down.Steps = up.To, up.Applied, append(down.Steps, up.Steps...)
	}
	if err == nil {
		return nil
	}
	var migration *gooseplus.MigrationError
	if errors.Is(err, gooseplus.ErrRollForward) && errors.As(err, &migration) {
		err = migration // "back at its starting point" would mean the second run's
	}
	return &halfwayError{fmt.Sprintf("migration %d is undone, and could not be applied again", version), err}
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
	code := ExitCode(err)
	if len(a.run.finished) == 0 || a.run.finished[0].To == -1 && (code == exitUsage || code == exitRefused) { // before it began
		return nil, err
	}
	data := &runDone{Steps: append([]stepDone{}, a.run.steps...)}
	several := len(a.run.finished) > 1
	for _, f := range a.run.finished {
		done := namespaceDone{f.Namespace, &f.From, &f.To, f.Applied, f.Undone}
		if several {
			data.Namespaces = append(data.Namespaces, done)
		} else {
			data.namespaceDone = done
		}
		if err == nil { // otherwise the error says where the database is
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
		return mistaken(ctx, m, version, run(ctx, m, version))
	})
}

// mistaken makes a refusal a usage error if the version on the command line doesn't exist.
func mistaken(ctx context.Context, m *gooseplus.Migrator, version int64, err error) error {
	if ExitCode(err) != exitRefused || slices.ContainsFunc(refusals, func(r error) bool { return errors.Is(err, r) }) {
		return err
	}
	s, statusErr := statusAnyway(ctx, m)
	if _, known := s.Migration(version); known || statusErr != nil {
		return err
	}
	return &usageError{err}
}
