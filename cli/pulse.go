package cli

import (
	"fmt"
	"io"
	"os"
	"time"
)

const (
	pulseEvery  = time.Second
	pulseAfter  = 2 * time.Second  // a terminal shows steps that take longer
	reportEvery = 30 * time.Second // elsewhere, a line is printed this often
	pulseWidth  = 79               // a wrapped line can't be cleared
)

// pulse shows that a long migration is alive: in the last line of a terminal, and elsewhere by a line every half minute.
type pulse struct {
	activity *activity
	drawn    bool // guarded by the mutex of the printer
	reported time.Duration
}

// watch shows what is going on until it is stopped.
func (a *activity) watch() (stop func()) {
	if a.out.quiet {
		return func() {}
	}
	p := &pulse{activity: a}
	stopped, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(pulseEvery)
		defer tick.Stop()
		for {
			select {
			case <-stopped:
				return
			case <-tick.C:
				p.beat()
			}
		}
	}()
	return func() {
		close(stopped)
		<-done
		a.out.mu.Lock()
		defer a.out.mu.Unlock()
		p.clear()
	}
}

func (p *pulse) beat() {
	out := p.activity.out
	what, elapsed := p.activity.longest()
	if !out.errTerminal || os.Getenv("TERM") == "dumb" {
		if elapsed < p.reported {
			p.reported = 0
		}
		if elapsed >= p.reported+reportEvery {
			p.reported = elapsed.Truncate(reportEvery)
			out.note("still running: %s", p.activity.describe())
		}
		return
	}
	out.mu.Lock()
	defer out.mu.Unlock()
	if out.foot != nil && out.foot != foot(p) {
		return // the bar shows it
	}
	p.clear()
	if elapsed < pulseAfter {
		return
	}
	out.foot, p.drawn = p, true
	line := []rune(fmt.Sprintf("%s, for %s", what, elapsed.Truncate(time.Second)))
	_, _ = io.WriteString(out.err, string(line[:min(len(line), pulseWidth)])) // drawing can fail, the work goes on
}

// clear takes the line away for something else to be written. The printer is locked.
func (p *pulse) clear() {
	if p.drawn {
		_, _ = io.WriteString(p.activity.out.err, "\r\x1b[K")
		p.drawn = false
	}
}

// longest is the step that has been running for the longest time.
func (a *activity) longest() (what string, elapsed time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for tenant, d := range a.doing {
		if e := time.Since(d.since); e > elapsed {
			what, elapsed = prefix(tenant, "")+d.what, e
		}
	}
	return what, elapsed
}
