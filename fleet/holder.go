package fleet

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gooseplus/gooseplus/fleet/internal/ledger"
)

// A holder has a slot of a server for as long as its lease is renewed.
type holder struct {
	token   string
	lease   time.Duration
	lost    atomic.Bool
	renewed atomic.Int64 // nanoseconds on the clock of holders
}

// holders are those of one worker. Their leases are renewed together, by one statement.
type holders struct {
	mu sync.Mutex
	by map[string]*holder // guarded by mu; by token
}

// began is where the clock of holders begins, which never goes back.
var began = time.Now()

func (h *holder) renew(asked time.Duration) { h.renewed.Store(int64(asked)) }

// valid says whether the slot is still the holder's for some time. It ends before the lease does.
func (h *holder) valid() bool {
	return !h.lost.Load() && time.Since(began)-time.Duration(h.renewed.Load()) < h.lease-h.lease/6
}

// add adds a holder that was asked for at that time.
func (hs *holders) add(token string, lease, asked time.Duration) *holder {
	h := &holder{token: token, lease: lease}
	h.renew(asked)
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.by[token] = h
	return h
}

func (hs *holders) remove(token string) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	delete(hs.by, token)
}

func (hs *holders) list() map[string]*holder {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return maps.Clone(hs.by)
}

// renew renews all leases. A holder that has lost its slot learns it.
func (hs *holders) renew(ctx context.Context, l *ledger.Ledger) error {
	list := hs.list()
	if len(list) == 0 {
		return nil
	}
	asked := time.Since(began)
	kept, err := l.Renew(ctx, slices.Collect(maps.Keys(list)))
	if err != nil {
		return err
	}
	for _, token := range kept {
		if h := list[token]; h != nil {
			h.renew(asked)
			delete(list, token)
		}
	}
	for _, h := range list {
		h.lost.Store(true)
	}
	return nil
}
