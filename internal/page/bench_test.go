package page

import (
	"fmt"
	"io"
	"testing"

	"github.com/chromedp/chromedp"
)

var benchSizes = []int{10_000, 100_000}

func BenchmarkWrite(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(fmt.Sprint(n, " tenants"), func(b *testing.B) {
			f := largeFleet(n)
			b.ReportAllocs()
			for b.Loop() {
				if err := Write(io.Discard, f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOpen measures what a person waits for in Chromium: from opening the file to the end of its load event and to
// the first frame after that, then from a key in the filter box to the next frame, at the first key and at the second.
func BenchmarkOpen(b *testing.B) {
	ctx := openBrowser(b)
	for _, n := range benchSizes {
		b.Run(fmt.Sprint(n, " tenants"), func(b *testing.B) {
			text := write(b, largeFleet(n))
			var sum [4]float64
			for b.Loop() {
				t := openText(b, ctx, text)
				ms := get(t, chromedp.Evaluate[[]float64](`(async () => {
					const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(performance.now()))));
					const opened = await frame();
					const box = document.getElementById("text");
					const filter = async (text) => {
						const start = performance.now();
						box.value = text;
						box.dispatchEvent(new Event("input"));
						return await frame() - start;
					};
					return [performance.getEntriesByType("navigation")[0].loadEventEnd, opened, await filter("7"), await filter("77")];
				})()`, chromedp.EvalAwaitPromise))
				t.run(chromedp.Navigate("about:blank"))
				for i := range sum {
					sum[i] += ms[i]
				}
			}
			for i, unit := range []string{"ms-load", "ms-open", "ms-first-key", "ms-second-key"} {
				b.ReportMetric(sum[i]/float64(b.N), unit)
			}
		})
	}
}
