// Command benchmarks measures gooseplus beside the migration libraries that a Go service on PostgreSQL would otherwise
// use: goose's Provider, golang-migrate, tern and sql-migrate. The README says what is measured and how to read it.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"strings"
	"syscall"
)

// dsnEnv names the server to measure on, as it does for the tests of gooseplus.
const dsnEnv = "GOOSEPLUS_TEST_POSTGRES"

// config is what the flags say.
type config struct {
	rounds      int
	n           int
	tenants     int
	kit         bool
	provision   bool
	checkpoints bool
	scenarios   []scenario
	peers       []peer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "benchmarks:", err)
		stop()
		os.Exit(1)
	}
}

// run is main without the process: results go to out, progress and usage to log.
func run(ctx context.Context, args []string, out, log io.Writer) (err error) {
	flags := flag.NewFlagSet("benchmarks", flag.ContinueOnError)
	flags.SetOutput(log)
	rounds := flags.Int("rounds", 5, "how often each scenario is measured, all peers in each round")
	n := flags.Int("n", 500, "how many migrations there are")
	only := flags.String("only", "", "scenarios, separated by commas: "+strings.Join(names(scenarios), ", ")+" (default all)")
	who := flags.String("peers", "", "peers, separated by commas: "+strings.Join(names(peers), ", ")+" (default all)")
	tenants := flags.Int("tenants", 0, "measure fleets of this many schemas, and nothing else")
	kit := flags.Bool("kit", false, "measure how long a test waits for its database, and nothing else")
	checkpoints := flags.Bool("checkpoints", false, "measure a new database that begins with a checkpoint, and nothing else")
	provision := flags.Bool("provision", false, "measure how long a new tenant takes, and nothing else")
	profile := flags.String("cpuprofile", "", "write a CPU profile of the measurements, with the peer as a label, to this file")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *rounds < 1 || *n < 1 || flags.NArg() > 0 {
		return fmt.Errorf("-rounds and -n begin at 1, and there are no arguments besides the flags")
	}
	c := config{rounds: *rounds, n: *n, tenants: *tenants, kit: *kit, provision: *provision, checkpoints: *checkpoints}
	if c.scenarios, err = choose("-only", scenarios, *only); err != nil {
		return err
	}
	if c.peers, err = choose("-peers", peers, *who); err != nil {
		return err
	}
	srv, err := openServer(ctx, os.Getenv(dsnEnv))
	if err != nil {
		return err
	}
	defer srv.close()
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	return measure(ctx, c, srv, out, log)
}

// measure runs the scenarios one after the other and prints a table for each.
func measure(ctx context.Context, c config, srv *server, out, log io.Writer) error {
	settings, err := srv.settings(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s\n%s, %s/%s, %d CPUs\n", settings, runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	versions(out)
	b := newBench(srv, c)
	defer b.close()
	if c.kit {
		return measureKit(ctx, c, srv, out, log)
	}
	if c.checkpoints {
		return b.checkpoints(ctx, out, log)
	}
	if c.provision {
		return b.provision(ctx, out, log)
	}
	if c.tenants > 0 {
		return b.tenants(ctx, c.tenants, out, log)
	}
	for _, s := range c.scenarios {
		fmt.Fprintf(log, "measuring %s: %d rounds of %d peers\n", s.name, c.rounds, len(c.peers))
		if s.migrations != nil {
			if err := b.replicas(ctx, s, out, log); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			continue
		}
		results, err := b.measure(ctx, s, log)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Fprintf(out, "\n%s: %s\n", s.name, s.title(c))
		if err := report(out, c.peers, results); err != nil {
			return err
		}
	}
	return nil
}

// choose returns the members of all that list names, in the order of all; an empty list names every one.
func choose[T fmt.Stringer](option string, all []T, list string) ([]T, error) {
	if list == "" {
		return all, nil
	}
	wanted := make(map[string]bool)
	for _, name := range strings.Split(list, ",") {
		wanted[strings.TrimSpace(name)] = true
	}
	var chosen []T
	for _, one := range all {
		if wanted[one.String()] {
			chosen = append(chosen, one)
			delete(wanted, one.String())
		}
	}
	for name := range wanted {
		return nil, fmt.Errorf("%s: %q is not one of %s", option, name, strings.Join(names(all), ", "))
	}
	return chosen, nil
}

func names[T fmt.Stringer](all []T) []string {
	var list []string
	for _, one := range all {
		list = append(list, one.String())
	}
	return list
}
