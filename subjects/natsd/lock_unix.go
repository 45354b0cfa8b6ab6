//go:build unix && !solaris && !aix

package natsd

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// A dirLock is an flock: the system drops it with the process, however that ends.
// The file itself stays, because removing it would let two processes lock two files
// of the same name.
type dirLock struct{ file *os.File }

func acquire(path string) (*dirLock, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return &dirLock{file: file}, nil
	}
	_ = file.Close() // nothing was written
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, errInUse
	}
	return nil, err
}

func (l *dirLock) release() { _ = l.file.Close() } // closing drops the lock, and nothing was written
