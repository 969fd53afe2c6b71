package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// report prints one line for each peer.
func report(out io.Writer, peers []peer, results map[string][]time.Duration) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "peer\tmin\tp10\tmedian\tp90\tratio\tpaired\tof min\tagainst\t")
	for _, p := range peers {
		times := results[p.name]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t", p.name, milliseconds(percentile(times, 0)), milliseconds(percentile(times, 10)),
			milliseconds(percentile(times, 50)), milliseconds(percentile(times, 90)))
		if base := results[p.against]; base != nil {
			fmt.Fprintf(w, "%.2f\t%.2f\t%.2f\t%s\t\n", ratio(percentile(times, 50), percentile(base, 50)), paired(times, base),
				ratio(percentile(times, 0), percentile(base, 0)), p.against)
		} else {
			fmt.Fprint(w, "-\t-\t-\t-\t\n")
		}
	}
	return w.Flush()
}

// percentile is the p-th percentile of the times, which must not be empty, by the nearest rank.
func percentile(times []time.Duration, p int) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	rank := (p*len(sorted) + 99) / 100
	return sorted[max(rank, 1)-1]
}

// paired is the median of the ratios of times that were measured next to each other. A machine that is slow for a while
// is slow for both, so this is steadier than the ratio of the medians.
func paired(times, base []time.Duration) float64 {
	ratios := make([]float64, len(times))
	for i := range times {
		ratios[i] = ratio(times[i], base[i])
	}
	slices.Sort(ratios)
	middle := len(ratios) / 2
	if len(ratios)%2 == 1 {
		return ratios[middle]
	}
	return (ratios[middle-1] + ratios[middle]) / 2
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}
