//go:build !unix

package notifyd

import "time"

var begun = time.Now()

// cpuTime cannot be known here; the wall clock stands in for it.
func cpuTime() time.Duration { return time.Since(begun) }
