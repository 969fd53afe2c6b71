package rules

import "fmt"

// A Budget is how many tenants may fail.
type Budget struct {
	Failures int     // 0: any number
	Rate     float64 // of the tenants with a result; 0: any
}

// rateFrom is how many tenants must have a result before their rate counts: one failure among the first two says little.
const rateFrom = 20

// Exceeded says why a rollout has to stop, "" if it may go on.
func (b Budget) Exceeded(failed, processed int) string {
	if b.Failures > 0 && failed >= b.Failures {
		return fmt.Sprintf("%d tenants failed, and the budget is %d", failed, b.Failures)
	}
	if b.Rate > 0 && processed >= rateFrom && float64(failed) > b.Rate*float64(processed) {
		return fmt.Sprintf("%d of %d tenants failed, and the budget is %g %%", failed, processed, b.Rate*100)
	}
	return ""
}
