package gooseplus_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gooseplus/gooseplus"
)

// TestPersist: a write that the server must not miss is tried again for a while, not for ever, because the lock is held meanwhile.
func TestPersist(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	for name, c := range map[string]struct {
		succeeds, tries int // succeeds: the try that does; 0: none
		limit, took     time.Duration
	}{
		"at once":                     {1, 1, time.Minute, 0},
		"in the end":                  {6, 6, time.Minute, 1550 * time.Millisecond},
		"never":                       {0, 6, time.Minute, 1550 * time.Millisecond},
		"until the end of its time":   {0, 3, 300 * time.Millisecond, 300 * time.Millisecond},
		"though its time was over":    {1, 1, 0, 0},
		"once when its time was over": {0, 1, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), c.limit)
				defer cancel()
				began, tries := time.Now(), 0
				err := gooseplus.Persist(ctx, func() error {
					if tries++; tries == c.succeeds {
						return nil
					}
					return refused
				})
				if failed := errors.Is(err, refused); failed != (c.succeeds == 0) || err != nil && !failed {
					t.Errorf("error %v", err)
				}
				if took := time.Since(began); tries != c.tries || took != c.took {
					t.Errorf("%d tries in %v, want %d in %v", tries, took, c.tries, c.took)
				}
			})
		})
	}
}
