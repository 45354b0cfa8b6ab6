//go:build race

package natsd

import "time"

// syncInterval is the server's default under the race detector. Its file store writes its timer without
// the lock under which the timer reads it (nats-server 2.15.2, filestore.go, setSyncTimer); with 100 ms a
// busy machine gets there, and the detector would fail a test of ours for it. Killing a process loses
// nothing that is not synced, so no test needs the short interval.
const syncInterval = 2 * time.Minute
