package gooseplus

import (
	"testing"
	"time"
)

func TestRetries(t *testing.T) {
	t.Parallel()
	for situation, tc := range map[string]struct {
		timeouts *StatementTimeouts
		strategy Strategy
		want     int
	}{
		"no timeouts":     {nil, RollbackDown, 0},
		"any number":      {&StatementTimeouts{}, RollbackDown, -1},
		"three":           {&StatementTimeouts{Retries: 3}, RollbackDown, 3},
		"none":            {&StatementTimeouts{Retries: -1}, RollbackDown, 0},
		"one transaction": {&StatementTimeouts{Retries: 3}, RollbackTransaction, 0},
	} {
		o := options{statementTimeouts: tc.timeouts, rollback: tc.strategy}
		if got, _ := o.retries(); got != tc.want {
			t.Errorf("%s: %d retries, want %d", situation, got, tc.want)
		}
	}
	o := options{statementTimeouts: &StatementTimeouts{Lock: 1500 * time.Millisecond}}
	if _, wait := o.retries(); wait != 2*time.Second {
		t.Errorf("a statement waits %v for a lock", wait)
	}
}
