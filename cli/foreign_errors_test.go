package cli_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/gooseplus/gooseplus"
	"github.com/gooseplus/gooseplus/cli"
)

// TestForeignUsage: cobra's errors about the command line of the surrounding program are wrong usage too.
func TestForeignUsage(t *testing.T) {
	t.Parallel()
	const refused, usage = 7, 2
	for line, code := range map[string]int{
		"nothing":                               usage,
		"--nothing":                             usage,
		"-x":                                    usage,
		"serve --nothing":                       usage,
		"serve --port":                          usage,
		"serve --port many":                     usage,
		"serve --":                              usage, // it needs a port
		"serve --port 1 a b":                    usage,
		"serve --port 1 --tls --plain":          usage,
		"some":                                  usage,
		"between a":                             usage,
		"valid c":                               usage,
		"serve --port 1 fails":                  refused,
		"migrate nothing":                       usage,
		"migrate up --nothing":                  usage,
		"migrate goto":                          usage,
		"migrate tenants up --concurrency many": usage,
		"migrate completion nothing":            usage,
	} {
		t.Run(line, func(t *testing.T) {
			root := &cobra.Command{Use: "shop", SilenceErrors: true, SilenceUsage: true}
			nothing := func(*cobra.Command, []string) error { return nil }
			serve := &cobra.Command{Use: "serve", Args: cobra.MaximumNArgs(1), RunE: func(_ *cobra.Command, args []string) error {
				return errors.New("it accepts no connection: " + strings.Join(args, " "))
			}}
			serve.Flags().Int("port", 0, "")
			serve.Flags().Bool("tls", false, "")
			serve.Flags().Bool("plain", false, "")
			if err := serve.MarkFlagRequired("port"); err != nil {
				t.Fatal(err)
			}
			serve.MarkFlagsMutuallyExclusive("tls", "plain")
			migrate := cli.Command(func(context.Context) (*gooseplus.Migrator, error) {
				return gooseplus.New(nil, gooseplus.WithDialect("sqlite3")), nil
			})
			migrate.Use = "migrate"
			root.AddCommand(serve, migrate, &cobra.Command{Use: "some", Args: cobra.MinimumNArgs(1), RunE: nothing}, &cobra.Command{Use: "between", Args: cobra.RangeArgs(2, 3), RunE: nothing},
				&cobra.Command{Use: "valid", ValidArgs: []string{"a"}, Args: cobra.OnlyValidArgs, RunE: nothing})
			root.SetArgs(strings.Fields(line))
			root.SetOut(io.Discard)
			root.SetErr(io.Discard)
			err := root.Execute()
			if got := cli.ExitCode(err); got != code {
				t.Errorf("exit code %d, want %d: %v", got, code, err)
			}
		})
	}
}
