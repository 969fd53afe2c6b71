package fleet

import "time"

// WithLease shortens all leases, so that a test of dead workers is a short one.
func WithLease(d time.Duration) Option {
	return optionFunc(func(o *options) {
		if d > 0 {
			o.times = times{lease: d, coordinator: d / 3, beat: d / 15}
		}
	})
}
