package mutex

import (
	"context"
	"sync"
)

// Memory is a lock within the process, one for each Key.
type Memory struct {
	Key any
}

var _ Mutex = Memory{}

// inMemory has the keys that are locked. It belongs to the process, as the databases in its memory
// do.
var inMemory sync.Map

// TryLock implements Mutex.
func (m Memory) TryLock(context.Context) (Held, error) {
	if _, taken := inMemory.LoadOrStore(m.Key, true); taken {
		return nil, nil
	}
	return heldMemory(m), nil
}

// Holder implements Mutex.
func (Memory) Holder(context.Context) (string, error) { return "", nil }

type heldMemory Memory

// Check implements Held.
func (heldMemory) Check(context.Context) error { return nil }

// Release implements Held.
func (h heldMemory) Release(context.Context) error {
	h.Abandon()
	return nil
}

// Abandon implements Held.
func (h heldMemory) Abandon() { inMemory.Delete(h.Key) }
