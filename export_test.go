package gooseplus

import (
	"time"

	"github.com/gooseplus/gooseplus/internal/mutex"
)

// SetLockTimes sets how long the server keeps the lock of a holder that is silent, how often the holder asks it, and
// how long it waits for the answer. No run may be going on.
func (m *Migrator) SetLockTimes(idle, beat, patience time.Duration) {
	m.options.lockTimes = lockTimes{idle, mutex.Beats{Every: beat, Patience: patience}}
}

// LogObserver is what writes events to a logger.
var LogObserver = logObserver

// Persist is what a run tells the server at its end with.
var Persist = persist
