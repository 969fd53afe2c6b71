package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) filesCommands() []*cobra.Command {
	flags := new(createFlags)
	numbers := new(renumberFlags)
	sumFlags := new(sumFlags)
	checkpointFlags := new(checkpointFlags)
	strict := false
	kind, checkpoints, shadow := "", "", ""
	if a.settings.standalone {
		checkpoints = " --env says which environments.\nFor SQLite without a DSN, give --driver sqlite. This command line uses checkpoints with --checkpoints."
		kind = " Commands that migrate only warn.\nGive the same --dsn or --driver each time, because the kind of database decides what is a comment. Without them it is\nPostgreSQL."
	}
	return []*cobra.Command{
		a.command(spec{
			group: "files", use: "validate", short: "Check the settings and the files",
			long: "Finds every fault of the settings, of the folders and of the files, without a database: two files with one\n" +
				"version, a misspelt environment, a file that can't be parsed, a file that doesn't match gooseplus.sum. It prints\n" +
				"warnings too, such as a file that is ignored. With --strict a warning is a fault.",
			example: "gooseplus validate --strict",
			flags:   func(cmd *cobra.Command) { cmd.Flags().BoolVar(&strict, "strict", false, "fail if there are warnings") },
			run:     func(c *call) error { return validate(c, strict) },
		}),
		a.command(spec{
			group: "files", use: "create NAME", short: "Make the files of a new migration",
			long: "Makes an empty migration like the others in the folder. Its version is the next number if they are numbered,\n" +
				"otherwise the time (UTC). It gets one file for each direction if the others are such pairs. In a project\n" +
				"with namespaces, --namespace chooses one. The version of a migration in Go is unique among all Go\n" +
				"migrations of the module. NAME is made of lower-case letters, digits and underscores. No migration is ever\n" +
				"overwritten. The file gooseplus.sum is updated, if there is one.",
			example: "gooseplus create add_users_email",
			args:    cobra.ExactArgs(1),
			flags:   func(cmd *cobra.Command) { flags.add(cmd, a.settings) },
			run:     func(c *call) error { return create(c, flags) },
		}),
		a.command(spec{
			group: "files", use: "renumber", short: "Give new numbers to migrations that collide or come late",
			long: "Use it after a merge. If several migrations have the same version, one of them keeps it (the file that --keep\n" +
				"names, or the first one), and the others get new numbers, above all existing ones. With a database, pending\n" +
				"migrations below its version get new numbers too. It never renames a migration that the database has applied.\n" +
				"The file gooseplus.sum is updated, if there is one. The command asks first: on a terminal it waits for an\n" +
				"answer, elsewhere it needs --yes.",
			example: "gooseplus renumber",
			flags:   func(cmd *cobra.Command) { numbers.add(cmd, a.settings) },
			run:     func(c *call) error { return renumber(c, numbers) },
		}),
		a.command(spec{
			group: "files", use: "sum", short: "Write gooseplus.sum, which lists the migrations with their sums",
			long: "Writes the file gooseplus.sum into --dir. It lists every SQL migration with a sum of its statements; comments\n" +
				"don't count. Commit it. validate then finds migrations that somebody has changed, removed or added, and git\n" +
				"reports a conflict if two branches both add a migration. With --check the command writes\n" +
				"nothing, and exits with code 7 if the file doesn't match." + kind,
			example: "gooseplus sum",
			flags:   func(cmd *cobra.Command) { sumFlags.add(cmd, a.settings) },
			run:     func(c *call) error { return sum(c, sumFlags) },
		}),
		a.command(spec{
			group: "files", use: "checkpoint", short: "Write one file that stands for all versions up to one",
			long: checkpointLong + checkpoints, example: "gooseplus checkpoint --shadow postgres://app@localhost/shop_shadow",
			flags: func(cmd *cobra.Command) { checkpointFlags.add(cmd, a.settings) },
			run:   func(c *call) error { return checkpoint(c, checkpointFlags) },
		}),
		a.command(spec{
			group: "files", use: "trace", looks: true, short: "Show what each migration locks, and for what an application would have to wait",
			long: traceLong, example: "gooseplus trace --shadow postgres://app@localhost/shop_shadow",
			flags: func(cmd *cobra.Command) { addShadow(cmd, &shadow) },
			run:   func(c *call) error { return trace(c, shadow) },
		}),
	}
}

// validated is the data of validate.
type validated struct {
	Warnings []string `json:"warnings"`
}

func validate(c *call, strict bool) error {
	m, err := c.migrator(withPurpose(c.ctx, noDatabase))
	if err != nil {
		return err
	}
	if err := m.Err(); err != nil {
		if inSettings(err) {
			return &usageError{err}
		}
		return &refusedError{err}
	}
	data := validated{Warnings: []string{}}
	for _, warning := range m.Warnings() {
		warning = c.out.sentence(errors.New(warning))
		data.Warnings = append(data.Warnings, warning)
		c.out.line("%s %s", paint(c.out.colour, yellow, "warning:"), warning)
	}
	c.data = data
	n := counted(len(data.Warnings), "warning")
	switch {
	case len(data.Warnings) == 0:
		c.out.line("no faults")
	case strict:
		return &refusedError{fmt.Errorf("%s, and --strict is given", n)}
	default:
		c.out.line("%s (with --strict, the command fails)", n)
	}
	return nil
}
