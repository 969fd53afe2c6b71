// Package fleetcli has the commands of a fleet, to be embedded in an application's own command line:
//
//	root.AddCommand(fleetcli.Command(fleetcli.Config{Open: openFleet, Source: tenants}))
//
// An application makes them, since it alone knows its migrations and how to open its servers.
package fleetcli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/gooseplus/gooseplus/fleet"
)

// Config is what the commands need of the application.
type Config struct {
	// Open returns the fleet and a function that closes what it opened; the function may be nil. It is called by each command.
	Open func(context.Context) (*fleet.Fleet, func(), error)
	// Source are the tenants for the command sync; nil has the command read them from a file.
	Source func(context.Context) iter.Seq2[fleet.Tenant, error]
}

// Command returns the command fleet with its subcommands.
func Command(c Config) *cobra.Command {
	cmd := &cobra.Command{
		Use: "fleet", Short: "Bring the tenants of many servers to a new version",
		Long: `The commands of a fleet work on its control database. A rollout goes on in the processes
of the command work, whether or not another command runs.`,
		Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.migrate(), c.sync(), c.start(), c.status(), c.undo(), c.reset(), c.failed(), c.work())
	cmd.AddCommand(
		c.onRollout("pause [ROLLOUT]", "Let no tenant begin any more; tenants in progress are finished", (*fleet.Fleet).Pause),
		c.onRollout("resume [ROLLOUT]", "Go on with a rollout that is paused or stopped, or approve its next wave", (*fleet.Fleet).Resume),
		c.onRollout("cancel [ROLLOUT]", "End a rollout; tenants in progress are finished, the others stay as they are", (*fleet.Fleet).Cancel),
		c.withReason("pin TENANT", "Keep a tenant as it is: rollouts leave it out", (*fleet.Fleet).Pin),
		c.plain("unpin TENANT", "Let rollouts have a tenant again", (*fleet.Fleet).Unpin),
		c.withReason("freeze SERVER", "Let no tenant of a server begin any more", (*fleet.Fleet).FreezeServer),
		c.plain("thaw SERVER", "Let rollouts have a frozen server again", (*fleet.Fleet).Thaw),
	)
	return cmd
}

// with calls do with the fleet.
func (c Config) with(cmd *cobra.Command, do func(context.Context, *fleet.Fleet) error) error {
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	f, done, err := c.Open(ctx)
	if err != nil {
		return err
	}
	if done != nil {
		defer done()
	}
	return do(ctx, f)
}

// named is the rollout that an argument names, or the latest one.
func named(ctx context.Context, f *fleet.Fleet, args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	names, err := f.Rollouts(ctx)
	if err == nil && len(names) == 0 {
		err = errors.New("there is no rollout yet: see the command start")
	}
	if err != nil {
		return "", err
	}
	return names[0], nil
}

func (c Config) onRollout(use, short string, do func(*fleet.Fleet, context.Context, string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: short + ". Without a name it is the latest rollout.", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, func(ctx context.Context, f *fleet.Fleet) error {
				name, err := named(ctx, f, args)
				if err == nil {
					err = do(f, ctx, name)
				}
				if err != nil {
					return err
				}
				return show(ctx, cmd.OutOrStdout(), f, name)
			})
		},
	}
}

func (c Config) plain(use, short string, do func(*fleet.Fleet, context.Context, string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, func(ctx context.Context, f *fleet.Fleet) error { return do(f, ctx, args[0]) })
		},
	}
}

func (c Config) withReason(use, short string, do func(*fleet.Fleet, context.Context, string, string) error) *cobra.Command {
	var reason string
	cmd := c.plain(use, short, func(f *fleet.Fleet, ctx context.Context, name string) error { return do(f, ctx, name, reason) })
	cmd.Flags().StringVar(&reason, "reason", "", "why, for other people")
	return cmd
}

func (c Config) migrate() *cobra.Command {
	return &cobra.Command{
		Use: "migrate-control", Short: "Create or upgrade the tables of the control database", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd, func(ctx context.Context, f *fleet.Fleet) error { return f.MigrateControl(ctx) })
		},
	}
}

func (c Config) undo() *cobra.Command {
	var yes, follow bool
	cmd := c.onRollout("undo [ROLLOUT]", "Undo exactly the versions that a rollout applied, in exactly its tenants", func(f *fleet.Fleet, ctx context.Context, name string) error {
		if !yes {
			return fmt.Errorf("undo runs the Downs of rollout %q in all its tenants: add --yes", name)
		}
		return f.Undo(ctx, name)
	})
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := run(cmd, args); err != nil || !follow {
			return err
		}
		return c.follow(cmd, args)
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	cmd.Flags().BoolVar(&follow, "follow", false, "show the progress until the rollout is undone")
	return cmd
}

func (c Config) reset() *cobra.Command {
	return &cobra.Command{
		Use: "reset ROLLOUT [TENANT...]", Short: "Try failed, stale and missing tenants again, all of them if none are named",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, func(ctx context.Context, f *fleet.Fleet) error {
				n, err := f.Reset(ctx, args[0], args[1:]...)
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "%d tenants are tried again\n", n)
				}
				return err
			})
		},
	}
}

func (c Config) failed() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "failed [ROLLOUT]", Short: "List the tenants of a rollout that are failed, stale or missing", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, func(ctx context.Context, f *fleet.Fleet) error {
				name, err := named(ctx, f, args)
				if err != nil {
					return err
				}
				return list(cmd.OutOrStdout(), f.Failed(ctx, name), asJSON)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	return cmd
}

func list(w io.Writer, failures iter.Seq2[fleet.TenantProgress, error], asJSON bool) error {
	encoder := json.NewEncoder(w)
	for f, err := range failures {
		if err != nil {
			return err
		}
		if asJSON {
			err = encoder.Encode(f)
		} else {
			_, err = fmt.Fprintf(w, "%s\t%s\t%s\tattempts %d\t%s\n", f.Tenant, f.Server, f.State, f.Attempts, f.Error)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c Config) work() *cobra.Command {
	return &cobra.Command{
		Use: "work", Short: "Be a worker until SIGTERM or SIGINT, then finish the tenants in progress", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd, func(ctx context.Context, f *fleet.Fleet) error {
				ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
				defer stop()
				return f.Work(ctx)
			})
		},
	}
}
