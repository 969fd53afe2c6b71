package gooseplus

import (
	"context"
	"errors"
	"testing"
)

// TestFoundPathEndsWithItsContext: a run whose time is over doesn't wait for the answer that another run has asked for.
func TestFoundPathEndsWithItsContext(t *testing.T) {
	f := newFoundPath()
	f.turn <- struct{}{} // another run is asking
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := f.find(ctx, nil, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("find = %v", err)
	}
}
