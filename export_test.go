package gooseplus

import "time"

// SetObserverGrace sets how long the end of a run waits for observers. No run may be going on.
func (m *Migrator) SetObserverGrace(d time.Duration) { m.options.observerGrace = d }

// ObserversBehind says whether a run has ended before an observer had taken its events.
func (m *Migrator) ObserversBehind() bool {
	for _, o := range m.options.observers {
		if !o.behind.empty() {
			return true
		}
	}
	return !m.options.loggerBehind.empty()
}
