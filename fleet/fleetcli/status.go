package fleetcli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/gooseplus/gooseplus/fleet"
	"github.com/gooseplus/gooseplus/internal/page"
)

func (c Config) status() *cobra.Command {
	var follow, asJSON, asHTML bool
	cmd := &cobra.Command{
		Use: "status [ROLLOUT]", Short: "Show where a rollout is", Long: "Show where a rollout is. Without a name it is the latest.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if follow {
				return c.follow(cmd, args)
			}
			return c.with(cmd, func(ctx context.Context, f *fleet.Fleet) error {
				name, err := named(ctx, f, args)
				if err != nil {
					return err
				}
				if !asJSON && !asHTML {
					return show(ctx, cmd.OutOrStdout(), f, name)
				}
				p, err := f.Progress(ctx, name)
				if err != nil {
					return err
				}
				if asHTML {
					return writePage(ctx, cmd.OutOrStdout(), f, p)
				}
				encoder := json.NewEncoder(cmd.OutOrStdout())
				encoder.SetIndent("", "  ")
				return encoder.Encode(p)
			})
		},
	}
	cmd.Flags().BoolVar(&follow, "follow", false, "show a progress bar until the rollout ends, stops or waits for approval")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	cmd.Flags().BoolVar(&asHTML, "html", false, "write a page with all tenants of the rollout, for a browser")
	cmd.MarkFlagsMutuallyExclusive("follow", "json", "html")
	return cmd
}

// show prints where a rollout is.
func show(ctx context.Context, w io.Writer, f *fleet.Fleet, name string) error {
	p, err := f.Progress(ctx, name)
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, Text(p))
	return err
}

// writePage writes a page with all tenants of a rollout: as a whole, or not at all.
func writePage(ctx context.Context, w io.Writer, f *fleet.Fleet, p fleet.Progress) error {
	shown := page.Fleet{Title: "Rollout " + headline(p), Generated: time.Now(), Servers: true}
	for t, err := range f.Tenants(ctx, p.Name) {
		if err != nil {
			return err
		}
		shown.Tenants = append(shown.Tenants, page.Tenant{Name: t.Tenant, State: t.State, Version: t.Version, Server: t.Server, Error: t.Error})
	}
	var b bytes.Buffer
	if err := page.Write(&b, shown); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

// headline says where a rollout is, without its tenants.
func headline(p fleet.Progress) string {
	text := fmt.Sprintf("%s: %s", p.Name, p.State)
	if p.Reason != "" {
		text += " (" + p.Reason + ")"
	}
	if p.Wave > 0 {
		text += fmt.Sprintf(", wave %d of %d", p.Wave, p.Waves)
	}
	return text
}

// Text is the progress of a rollout for people, of several lines.
func Text(p fleet.Progress) string {
	var b strings.Builder
	fmt.Fprintf(&b, "rollout %s\n", headline(p))
	if p.Workers == 0 && (p.State == fleet.Running || p.State == fleet.Undoing) {
		b.WriteString("no worker with these migrations is alive: start one (command work)\n")
	}
	fmt.Fprintf(&b, "  all\t%s\n", counts(p.Tenants))
	for _, name := range slices.Sorted(maps.Keys(p.Servers)) {
		fmt.Fprintf(&b, "  %s\t%s\n", name, counts(p.Servers[name]))
	}
	return b.String()
}

// counts leaves out what there is none of.
func counts(c fleet.Counts) string {
	parts := []string{fmt.Sprintf("%d tenants", c.Total())}
	for _, one := range []struct {
		name string
		n    int
	}{
		{"done", c.Done}, {"undone", c.Undone}, {"claimed", c.Claimed}, {"pending", c.Pending}, {"failed", c.Failed}, {"stale", c.Stale},
		{"missing", c.Missing}, {"held", c.Held},
	} {
		if one.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", one.n, one.name))
		}
	}
	return strings.Join(parts, ", ")
}

// follow shows a progress bar until the rollout doesn't go on alone.
func (c Config) follow(cmd *cobra.Command, args []string) error {
	return c.with(cmd, func(ctx context.Context, f *fleet.Fleet) error {
		name, err := named(ctx, f, args)
		if err != nil {
			return err
		}
		following, stop := context.WithCancel(ctx)
		defer stop()
		ended := make(chan error, 1)
		go func() {
			_, err := f.Wait(following, name)
			ended <- err
		}()
		bar := progressbar.NewOptions(1, progressbar.OptionSetWriter(cmd.ErrOrStderr()), progressbar.OptionSetWidth(30),
			progressbar.OptionShowCount(), progressbar.OptionEnableColorCodes(false), progressbar.OptionClearOnFinish())
		for {
			if p, err := f.Progress(ctx, name); err == nil {
				t := p.Tenants
				atEnd := t.Done + t.Stale + t.Missing
				if p.State == fleet.Undoing {
					atEnd = t.Undone + t.Stale
				}
				bar.ChangeMax(max(1, t.Total()))
				bar.Describe(fmt.Sprintf("%s: %s, wave %d of %d, %d failed", p.Name, p.State, p.Wave, p.Waves, t.Failed+t.Stale+t.Missing))
				_ = bar.Set(min(atEnd, max(0, t.Total()-1)))
			}
			select {
			case err := <-ended:
				_ = bar.Clear()
				if err != nil {
					return err
				}
				return show(ctx, cmd.OutOrStdout(), f, name)
			case <-time.After(500 * time.Millisecond):
			}
		}
	})
}
