package mutex

import (
	"context"

	"github.com/gofrs/flock"
)

// File is a lock on a file of its own, which is created and stays.
type File struct {
	Path string
}

var _ Mutex = File{}

// TryLock implements Mutex.
func (f File) TryLock(context.Context) (Held, error) {
	lock := flock.New(f.Path)
	locked, err := lock.TryLock()
	if err != nil || !locked {
		return nil, err
	}
	return heldFile{lock}, nil
}

type heldFile struct{ lock *flock.Flock }

// Check implements Held: as long as the process lives, the kernel keeps the lock.
func (heldFile) Check(context.Context) error { return nil }

// Release implements Held.
func (h heldFile) Release(context.Context) error { return h.lock.Close() }
