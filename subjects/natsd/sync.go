//go:build !race

package natsd

import "time"

// syncInterval is how often files are flushed to disk: what a power failure may take back (nats-facts 7).
const syncInterval = 100 * time.Millisecond
