package cli

import (
	"time"

	"github.com/spf13/cobra"
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
			long: "Shows the folders of the environments: which of them the settings choose, and which of them have ever migrated\n" +
				"the database. It works without a database too.",
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
