package mutex

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/gofrs/flock"
)

// File is a lock on a file of its own, which is created and stays.
type File struct {
	Path string
	// Beside is the database's file. The lock file gets its mode and, if root creates it, its owner, as SQLite's journals do:
	// every user who may write the database must be able to lock it.
	Beside string
}

var _ Mutex = File{}

// TryLock implements Mutex. A symbolic link in the place of the file is an error: the lock, and changes to the file's mode,
// would be somewhere else.
func (f File) TryLock(context.Context) (Held, error) {
	if err := f.create(); err != nil {
		return nil, fmt.Errorf("lock file: %w", err)
	}
	lock := flock.New(f.Path, flock.SetFlag(os.O_RDONLY|noFollow))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock file: %w", err)
	}
	if !locked {
		return nil, lock.Close()
	}
	return heldLocal(lock.Close), nil
}

func (f File) create() error {
	mode := fs.FileMode(0o600)
	database, err := os.Stat(f.Beside)
	if err == nil {
		mode = database.Mode().Perm()
	}
	file, err := os.OpenFile(f.Path, os.O_RDWR|os.O_CREATE|os.O_EXCL|noFollow, mode)
	if errors.Is(err, fs.ErrExist) {
		return f.mend(mode, database)
	}
	if err != nil {
		return err
	}
	if database != nil {
		err = errors.Join(file.Chmod(mode), own(file, database)) // whatever the umask is
	}
	return errors.Join(err, file.Close())
}

// mend gives an existing lock file the mode of the database: root may have created it so that only root can lock it.
func (f File) mend(mode fs.FileMode, database fs.FileInfo) error {
	info, err := os.Lstat(f.Path)
	if err != nil || database == nil || !info.Mode().IsRegular() || info.Mode().Perm() == mode {
		return nil // a fault of the file shows when it is opened
	}
	file, err := os.OpenFile(f.Path, os.O_RDONLY|noFollow, 0)
	if err != nil {
		return nil
	}
	if file.Chmod(mode) == nil {
		err = own(file, database)
	}
	return errors.Join(err, file.Close())
}

// Memory is a lock within the process, one for each Key.
type Memory struct{ Key any }

var _ Mutex = Memory{}

// inMemory has the keys that are locked. It belongs to the process, as the databases in its memory do.
var inMemory sync.Map

// TryLock implements Mutex.
func (m Memory) TryLock(context.Context) (Held, error) {
	if _, taken := inMemory.LoadOrStore(m.Key, true); taken {
		return nil, nil
	}
	return heldLocal(func() error { inMemory.Delete(m.Key); return nil }), nil
}

// Holder implements Mutex.
func (File) Holder(context.Context) (string, error) { return "", nil }

// Holder implements Mutex.
func (Memory) Holder(context.Context) (string, error) { return "", nil }

// heldLocal frees a lock that the process has for as long as it lives.
type heldLocal func() error

// Check implements Held.
func (heldLocal) Check(context.Context) error { return nil }

// Release implements Held.
func (free heldLocal) Release(context.Context) error { return free() }

// Abandon implements Held.
func (free heldLocal) Abandon() { _ = free() }
