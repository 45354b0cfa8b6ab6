//go:build !unix || solaris || aix

package natsd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// A dirLock is a file that exists. It outlives a process that was killed, so the
// error says which file to remove.
type dirLock struct{ path string }

func acquire(path string) (*dirLock, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%w, or one was killed and %s is left over (remove it then)", errInUse, path)
	}
	if err != nil {
		return nil, err
	}
	return &dirLock{path: path}, file.Close()
}

func (l *dirLock) release() { _ = os.Remove(l.path) } // a file that stays is explained by the next start
