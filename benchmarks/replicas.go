package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

const (
	// replicaCount is how many replicas boot at once. They are goroutines of this process, each with a pool or a
	// connection of its own: fifty processes would measure how the machine starts processes.
	replicaCount = 50
	// leader is the peer that the others are compared with.
	leader = "tern"
	// crowdLimit ends replicas that wait for each other for ever.
	crowdLimit = time.Minute
)

func pending() []migration { return makeMigrations(20) }

// crowds is what was measured of one peer.
type crowds struct {
	last     []time.Duration // until the last replica was done, however it ended
	failed   int             // replicas
	complete int             // rounds after which all migrations were applied
	errs     map[string]int
}

// replicas measures the peers that have a lock, in turns, and prints a table.
func (b *bench) replicas(ctx context.Context, s scenario, out, log io.Writer) error {
	var peers []peer
	results := make(map[string]*crowds)
	for _, p := range b.config.peers {
		if p.together != nil {
			peers = append(peers, p)
			results[p.name] = &crowds{errs: make(map[string]int)}
		}
	}
	for round := range b.config.rounds {
		for _, i := range rand.Perm(len(peers)) {
			if err := b.crowd(ctx, s, peers[i], results[peers[i].name]); err != nil {
				return fmt.Errorf("%s: %w", peers[i], err)
			}
		}
		fmt.Fprintf(log, "  round %d done\n", round+1)
	}
	fmt.Fprintf(out, "\n%s: %s\n", s.name, s.title(b.config))
	return reportCrowds(out, peers, results, b.config.rounds)
}

// crowd boots the replicas of one peer on a new database.
func (b *bench) crowd(ctx context.Context, s scenario, p peer, result *crowds) error {
	f := p.format(s.migrations())
	db, err := b.srv.create(ctx, nil)
	if err != nil {
		return err
	}
	defer db.drop()
	all := make([]connection, 0, replicaCount)
	defer func() {
		for _, c := range all {
			c.close()
		}
	}()
	for range replicaCount {
		c, err := p.together(ctx, db.dsn)
		if err != nil {
			return err
		}
		all = append(all, c)
	}
	b.srv.checkpoint(ctx)
	runtime.GC()
	var last time.Duration
	var errs []error
	pprof.Do(ctx, pprof.Labels("peer", p.name, "scenario", s.name), func(ctx context.Context) { last, errs = boot(ctx, all, f) })
	result.last = append(result.last, last)
	for _, err := range errs {
		result.failed++
		text, _, _ := strings.Cut(err.Error(), "\n")
		result.errs[text]++
	}
	n, err := db.tables(ctx)
	if err == nil && n == f.tables && len(errs) < replicaCount {
		result.complete++
	}
	return err
}

// boot lets all replicas go at the same moment, and returns how long after it the last was done.
func boot(ctx context.Context, all []connection, f *files) (last time.Duration, errs []error) {
	ctx, cancel := context.WithTimeout(ctx, crowdLimit)
	defer cancel()
	ended := make([]error, len(all))
	gate := make(chan struct{})
	var replicas sync.WaitGroup
	for i, c := range all {
		replicas.Go(func() {
			<-gate
			ended[i] = c.migrate(ctx, f)
		})
	}
	started := time.Now()
	close(gate)
	replicas.Wait()
	last = time.Since(started)
	for _, err := range ended {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return last, errs
}

// reportCrowds prints one line for each peer, and then what the replicas that failed said.
func reportCrowds(out io.Writer, peers []peer, results map[string]*crowds, rounds int) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "peer\tmin\tp10\tmedian\tp90\tratio\tpaired\tof min\tagainst\tfailed replicas\tcomplete rounds\t")
	for _, p := range peers {
		r := results[p.name]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t", p.name, milliseconds(percentile(r.last, 0)), milliseconds(percentile(r.last, 10)),
			milliseconds(percentile(r.last, 50)), milliseconds(percentile(r.last, 90)))
		if base := results[leader]; base != nil {
			fmt.Fprintf(w, "%.2f\t%.2f\t%.2f\t%s\t", ratio(percentile(r.last, 50), percentile(base.last, 50)),
				paired(r.last, base.last), ratio(percentile(r.last, 0), percentile(base.last, 0)), leader)
		} else {
			fmt.Fprint(w, "-\t-\t-\t-\t")
		}
		fmt.Fprintf(w, "%d of %d\t%d of %d\t\n", r.failed, rounds*replicaCount, r.complete, rounds)
	}
	err := w.Flush()
	for _, p := range peers {
		for text, n := range results[p.name].errs {
			_, printErr := fmt.Fprintf(out, "%s: %d replicas: %s\n", p, n, text)
			err = errors.Join(err, printErr)
		}
	}
	return err
}
