package mutex

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/gofrs/flock"
)

// File is a lock on a file of its own, which is created and stays.
type File struct {
	Path string
	// Beside is the database's file, whose mode and, if root creates the lock's, owner it gets, as SQLite does
	// it with its journals: whoever may write the database must be able to lock it.
	Beside string
}

var _ Mutex = File{}

// TryLock implements Mutex. A symbolic link in the place of the file is an error: it would have the lock, and what
// is done to the file, somewhere else.
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
	return heldFile{lock}, nil
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

// mend gives a file that is there the mode of the database, for as long as nobody else may lock it: root may have
// made it, for itself alone.
func (f File) mend(mode fs.FileMode, database fs.FileInfo) error {
	info, err := os.Lstat(f.Path)
	if err != nil || database == nil || !info.Mode().IsRegular() || info.Mode().Perm() == mode {
		return nil // what is wrong with it is found when it is opened
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

// Holder implements Mutex.
func (File) Holder(context.Context) (string, error) { return "", nil }

type heldFile struct{ lock *flock.Flock }

// Check implements Held: as long as the process lives, the kernel keeps the lock.
func (heldFile) Check(context.Context) error { return nil }

// Release implements Held.
func (h heldFile) Release(context.Context) error { return h.lock.Close() }

// Abandon implements Held.
func (h heldFile) Abandon() { _ = h.lock.Close() }
