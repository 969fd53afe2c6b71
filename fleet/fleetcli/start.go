package fleetcli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/gooseplus/gooseplus/fleet"
)

func (c Config) start() *cobra.Command {
	var file string
	var follow bool
	var p fleet.Plan
	cmd := &cobra.Command{
		Use: "start [ROLLOUT]", Short: "Start a rollout by a plan in JSON, or a rollout of all tenants at once",
		Long: `Start begins a rollout. To start the same plan again under the same name does nothing. A plan is a JSON file:

  {
    "name": "2026-12-orders",
    "waves": [
      {"canaries": ["acme", "umbrella"]},
      {"share": 0.1, "soak": "30m"},
      {"share": 1, "approve": true}
    ],
    "budget": {"failures": 50, "rate": 0.02}
  }`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if file != "" {
				var err error
				if p, err = readPlan(file, cmd.InOrStdin()); err != nil {
					return err
				}
			}
			if len(args) > 0 {
				p.Name = args[0]
			}
			err := c.with(cmd, func(ctx context.Context, f *fleet.Fleet) error {
				if err := f.Start(ctx, p); err != nil {
					return err
				}
				return show(ctx, cmd.OutOrStdout(), f, p.Name)
			})
			if err != nil || !follow {
				return err
			}
			return c.follow(cmd, []string{p.Name})
		},
	}
	cmd.Flags().StringVar(&file, "plan", "", "file with the plan in JSON; - is standard input")
	cmd.Flags().IntVar(&p.Budget.Failures, "max-failures", 0, "without --plan: failed tenants with which the rollout stops; 0 is any number")
	cmd.Flags().BoolVar(&follow, "follow", false, "show the progress until the rollout ends, stops or waits for approval")
	return cmd
}

func readPlan(file string, stdin io.Reader) (p fleet.Plan, err error) {
	var text []byte
	if file == "-" {
		text, err = io.ReadAll(stdin)
	} else {
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return p, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err = d.Decode(&p); err != nil {
		err = fmt.Errorf("the plan in %s: %w", file, err)
	}
	return p, err
}
