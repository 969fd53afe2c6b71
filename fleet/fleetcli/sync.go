package fleetcli

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/spf13/cobra"

	"github.com/gooseplus/gooseplus/fleet"
)

func (c Config) sync() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "sync", Short: "Make the tenants of the ledger those of the application, or of a file", Args: cobra.NoArgs,
		Long: `Sync makes the tenants of the ledger those of the application. With --file they are the lines of a CSV file
without a header: id, server, schema, database. Tenants that are not among them are removed from rollouts.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd, func(ctx context.Context, f *fleet.Fleet) error {
				source, done, err := c.tenants(ctx, file, cmd.InOrStdin())
				if err != nil {
					return err
				}
				defer done()
				s, err := f.Sync(ctx, source)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d tenants: %d added, %d moved, %d returned, %d removed\n", s.Total, s.Added, s.Moved, s.Returned, s.Removed)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "CSV file with the tenants; - is standard input")
	return cmd
}

func (c Config) tenants(ctx context.Context, file string, stdin io.Reader) (iter.Seq2[fleet.Tenant, error], func(), error) {
	switch {
	case file == "" && c.Source == nil:
		return nil, nil, errors.New("this application has no source of tenants: add --file")
	case file == "":
		return c.Source(ctx), func() {}, nil
	case file == "-":
		return readTenants(stdin), func() {}, nil
	}
	opened, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	return readTenants(opened), func() { opened.Close() }, nil
}

func readTenants(r io.Reader) iter.Seq2[fleet.Tenant, error] {
	return func(yield func(fleet.Tenant, error) bool) {
		lines := csv.NewReader(r)
		lines.FieldsPerRecord, lines.ReuseRecord = 4, true
		for {
			line, err := lines.Read()
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(fleet.Tenant{}, err)
				return
			}
			if !yield(fleet.Tenant{ID: line[0], Server: line[1], Schema: line[2], Database: line[3]}, nil) {
				return
			}
		}
	}
}
