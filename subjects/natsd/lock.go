package natsd

import (
	"fmt"
	"os"
	"path/filepath"
)

// lockName is the file inside a data directory that stands for using it.
const lockName = "lexiflow.lock"

// lockDir creates the directory if need be and takes it for this process.
func lockDir(dir string) (*dirLock, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("NATS data directory: %w", err)
	}
	lock, err := acquire(filepath.Join(dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("NATS data directory %s: %w: stop that server or choose another directory", dir, err)
	}
	return lock, nil
}
