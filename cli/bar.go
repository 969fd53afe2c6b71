package cli

import (
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/gooseplus/gooseplus"
)

// bar is a progress bar at the foot of a terminal. It draws itself by the clock: ten thousand events are too
// many, and what is written above it takes it away.
type bar struct {
	out  *printer
	bar  *progressbar.ProgressBar
	last gooseplus.TenantsProgress // guarded by out.mu
	stop chan struct{}
	done chan struct{}
}

const drawEvery = 100 * time.Millisecond

func newBar(p *printer) *bar {
	b := &bar{out: p, stop: make(chan struct{}), done: make(chan struct{})}
	b.bar = progressbar.NewOptions(1, // which show changes
		progressbar.OptionSetWriter(p.err), progressbar.OptionSetWidth(30), progressbar.OptionShowCount(),
		progressbar.OptionEnableColorCodes(false), progressbar.OptionSetPredictTime(false), progressbar.OptionClearOnFinish(),
	)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.foot != nil {
		p.foot.clear()
	}
	p.foot = b
	go b.run()
	return b
}

func (b *bar) run() {
	defer close(b.done)
	tick := time.NewTicker(drawEvery)
	defer tick.Stop()
	for {
		select {
		case <-b.stop:
			return
		case <-tick.C:
			b.draw()
		}
	}
}

// show is called for each event of progress.
func (b *bar) show(e gooseplus.TenantsProgress) {
	b.out.mu.Lock()
	defer b.out.mu.Unlock()
	b.last = e
}

func (b *bar) draw() {
	b.out.mu.Lock()
	defer b.out.mu.Unlock()
	e := b.last
	if e.Total == 0 || e.Counted && e.Done == e.Total { // a full one would take itself away
		return
	}
	text := "tenants"
	if e.Failed > 0 {
		text = paint(b.out.errColour, red, fmt.Sprintf("tenants, %d failed", e.Failed))
	}
	if left := e.Total - e.Done; e.Rate > 0 {
		text += fmt.Sprintf(", about %s left", time.Duration(float64(left)/e.Rate*float64(time.Second)).Round(time.Second))
	}
	total := e.Total
	if !e.Counted {
		total++ // there may be more to come
	}
	b.bar.ChangeMax(total)
	_ = b.bar.Set(e.Done) // drawing can fail, the work goes on
	b.bar.Describe(text)
}

// clear takes the bar away for something else to be written. The printer is locked.
func (b *bar) clear() { _ = b.bar.Clear() }

// end takes it away for good.
func (b *bar) end() {
	close(b.stop)
	<-b.done
	b.out.mu.Lock()
	defer b.out.mu.Unlock()
	b.clear()
	b.out.foot = nil
}
