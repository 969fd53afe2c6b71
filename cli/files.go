package cli

import (
	"github.com/spf13/cobra"
)

func (a *app) filesCommands() []*cobra.Command {
	create := new(createFlags)
	return []*cobra.Command{
		a.command(spec{
			group: "files", use: "validate", short: "Look for faults of the settings and the files",
			long: "Finds every fault of the settings, of the folders and of the files, without a database: two files with one\n" +
				"version, a misspelt environment, a file that can't be parsed.",
			example: "gooseplus validate --env production",
			run:     validate,
		}),
		a.command(spec{
			group: "files", use: "create NAME", short: "Make the files of a new migration",
			long: "Makes an empty migration: its version is the time (UTC), or the next number if that is what the folder has.\n" +
				"NAME is made of lower-case letters, digits and underscores. No file is ever overwritten.",
			example: "gooseplus create add_users_email",
			args:    cobra.ExactArgs(1),
			flags:   func(cmd *cobra.Command) { create.add(cmd, a.settings) },
			run:     func(c *call) error { return c.create(create) },
		}),
	}
}

func validate(c *call) error {
	m, err := c.migrator(withPurpose(c.ctx, noDatabase))
	if err != nil {
		return err
	}
	if err := m.Err(); err != nil {
		return &usageError{err}
	}
	c.out.line("no faults")
	return nil
}
