package session

import "sync"

// Keeper keeps connections over several sessions of one parent pool, one after the other or at once: a new one for each
// would cost more than what they do. They are clean, and the sessions' all the same: Close closes them.
type Keeper struct {
	mu    sync.Mutex
	links []*link // guarded by mu
	ended bool    // guarded by mu
}

// take returns nil if there is none.
func (k *Keeper) take() *link {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	last := len(k.links) - 1
	if last < 0 {
		return nil
	}
	l := k.links[last]
	k.links = k.links[:last]
	return l
}

func (k *Keeper) put(l *link) bool {
	if k == nil {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.ended {
		k.links = append(k.links, l)
	}
	return !k.ended
}

// Close closes the connections that are kept, and has none kept any more.
func (k *Keeper) Close() {
	k.mu.Lock()
	links := k.links
	k.links, k.ended = nil, true
	k.mu.Unlock()
	for _, l := range links {
		l.discard()
	}
}
