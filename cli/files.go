package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) filesCommands() []*cobra.Command {
	flags := new(createFlags)
	strict := false
	return []*cobra.Command{
		a.command(spec{
			group: "files", use: "validate", short: "Look for faults of the settings and the files",
			long: "Finds every fault of the settings, of the folders and of the files, without a database: two files with one\n" +
				"version, a misspelt environment, a file that can't be parsed. It prints warnings too: what is no fault, but\n" +
				"rarely meant, such as a file that is ignored. With --strict a warning is a fault.",
			example: "gooseplus validate --strict",
			flags:   func(cmd *cobra.Command) { cmd.Flags().BoolVar(&strict, "strict", false, "warnings are faults") },
			run:     func(c *call) error { return validate(c, strict) },
		}),
		a.command(spec{
			group: "files", use: "create NAME", short: "Make the files of a new migration",
			long: "Makes an empty migration, of the kind that the folder has: the next number if the others are numbered, else\n" +
				"the time (UTC); a file for each direction if the others are such pairs. In a project with namespaces\n" +
				"--namespace chooses one. A migration in Go gets a version that no other one of the module has. NAME is\n" +
				"made of lower-case letters, digits and underscores. No file is ever overwritten.",
			example: "gooseplus create add_users_email",
			args:    cobra.ExactArgs(1),
			flags:   func(cmd *cobra.Command) { flags.add(cmd, a.settings) },
			run:     func(c *call) error { return create(c, flags) },
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
	n := fmt.Sprintf("%d warnings", len(data.Warnings))
	if len(data.Warnings) == 1 {
		n = "1 warning"
	}
	switch {
	case len(data.Warnings) == 0:
		c.out.line("no faults")
	case strict:
		return &refusedError{fmt.Errorf("%s, and with --strict a warning is a fault", n)}
	default:
		c.out.line("%s (with --strict a fault)", n)
	}
	return nil
}
