package cli

import (
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/gooseplus/gooseplus"
)

// bar is a progress bar at the foot of a terminal.
type bar struct {
	out *printer
	bar *progressbar.ProgressBar
}

func newBar(p *printer) *bar {
	b := &bar{out: p}
	b.bar = progressbar.NewOptions(-1,
		progressbar.OptionSetWriter(p.err), progressbar.OptionEnableColorCodes(false), progressbar.OptionSetWidth(30),
		progressbar.OptionShowCount(), progressbar.OptionSetDescription("tenants"), progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetPredictTime(false), progressbar.OptionClearOnFinish(),
	)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bar = b
	return b
}

// show is called for each event of progress.
func (b *bar) show(e gooseplus.TenantsProgress) {
	b.out.mu.Lock()
	defer b.out.mu.Unlock()
	text := fmt.Sprintf("tenants %d/%d", e.Done, e.Total)
	if !e.Counted {
		text += "+"
	}
	if e.Failed > 0 {
		text += ", " + paint(b.out.errColour, red, fmt.Sprintf("%d failed", e.Failed))
	}
	if left := e.Total - e.Done; left > 0 && e.Rate > 0 {
		text += ", " + rounded(time.Duration(float64(left)/e.Rate*float64(time.Second))) + " left"
	}
	b.bar.Describe(text)
	b.bar.ChangeMax(max(e.Total, 1))
	_ = b.bar.Set(e.Done) // drawing can fail, the work goes on
}

// clear takes the bar away for something else to be written; the next event draws it again. The printer is locked.
func (b *bar) clear() { _ = b.bar.Clear() }

// end takes it away for good.
func (b *bar) end() {
	b.out.mu.Lock()
	defer b.out.mu.Unlock()
	_ = b.bar.Clear()
	b.out.bar = nil
}
