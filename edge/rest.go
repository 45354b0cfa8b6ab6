package edge

import (
	"runtime/debug"
	"time"
)

// After many clients have come or gone the heap is full of what their opening took, and the runtime keeps
// that as room for more. An edge that has come to rest gives it back to the system: its memory is then that
// of its connections, which is what health reports and what a limit has to leave room for.

// rest finds that moment. It belongs to one goroutine.
type rest struct {
	seen  uint64 // changes at the last look: sessions opened and closed
	freed uint64 // changes when memory was given back
}

const (
	restEvery  = 3 * time.Second
	restStill  = 50   // changes between two looks that are no storm any more
	restChange = 1000 // changes at least before it is worth a collection; with many sessions a quarter of them
)

// come reports whether rest has come after many changes.
func (r *rest) come(changes uint64, open int64) bool {
	still := changes-r.seen < restStill
	r.seen = changes
	if !still || changes-r.freed < max(restChange, uint64(open)/4) {
		return false
	}
	r.freed = changes
	return true
}

// look gives memory back when rest has come.
func (r *rest) look(s *Server) {
	stats := s.engine.Stats()
	open := stats.Polling + stats.WebSocket
	if r.come(2*stats.Opened-uint64(open), open) {
		debug.FreeOSMemory()
	}
}
