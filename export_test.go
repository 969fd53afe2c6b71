package gooseplus

import (
	"time"

	"github.com/gooseplus/gooseplus/internal/mutex"
)

// SetObserverGrace sets how long the end of a run waits for observers. No run may be going on.
func (m *Migrator) SetObserverGrace(d time.Duration) { m.options.observerGrace = d }

// SetLockTimes sets how long the server keeps the lock of a holder that is silent, how often the holder asks it, and
// how long it waits for the answer. No run may be going on.
func (m *Migrator) SetLockTimes(idle, beat, patience time.Duration) {
	m.options.lockTimes = lockTimes{idle, mutex.Beats{Every: beat, Patience: patience}}
}

// ObserversBehind says whether a run has ended before an observer had taken its events.
func (m *Migrator) ObserversBehind() bool {
	for _, o := range m.options.observers {
		if !o.behind.empty() {
			return true
		}
	}
	return !m.options.loggerBehind.empty()
}

// LogObserver is what writes events to a logger.
var LogObserver = logObserver
