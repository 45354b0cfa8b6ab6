package engine

import (
	"net"
	"net/http"
	"sync/atomic"
)

// Stats are counters since New, and the present number of sessions.
type Stats struct {
	Polling, WebSocket int64 // open sessions by transport
	HTTP               int64 // connections that net/http serves now

	Accepted  uint64 // TCP connections accepted on raw listeners
	Opened    uint64 // sessions begun
	Upgraded  uint64 // sessions moved from polling to WebSocket
	FramesIn  uint64 // messages received, both transports, Engine.IO control packets included
	BytesIn   uint64 // bytes read from WebSockets and POST bodies
	FramesOut uint64 // frames written, both transports
	BytesOut  uint64 // their bytes
	Writes    uint64 // write and writev calls, and GETs answered

	Compressed uint64 // frames compressed, each once however many sessions got it

	Closed  map[string]uint64 // by Reason
	Refused map[string]uint64 // requests and connections, by reason
	Dropped map[string]uint64 // frames, by reason
}

// counters is the live form of Stats. Gauges are signed.
type counters struct {
	polling, websocket, http   atomic.Int64
	accepted, opened, upgraded atomic.Uint64
	framesIn, bytesIn          atomic.Uint64
	framesOut, bytesOut        atomic.Uint64
	writes                     atomic.Uint64
	compressed                 atomic.Uint64
	closed                     [reasonCount]atomic.Uint64
	refused                    [refusalCount]atomic.Uint64
	dropped                    [dropCount]atomic.Uint64
}

// Stats reads the counters. Each is exact, together they are not one instant. Any goroutine may call it.
func (e *Engine) Stats() Stats {
	c := &e.counters
	return Stats{
		Polling: c.polling.Load(), WebSocket: c.websocket.Load(), HTTP: c.http.Load(),
		Accepted: c.accepted.Load(), Opened: c.opened.Load(), Upgraded: c.upgraded.Load(),
		FramesIn: c.framesIn.Load(), BytesIn: c.bytesIn.Load(),
		FramesOut: c.framesOut.Load(), BytesOut: c.bytesOut.Load(), Writes: c.writes.Load(),
		Compressed: c.compressed.Load(),
		Closed:     named(c.closed[1:], reasonNames[1:]),
		Refused:    named(c.refused[:], refusalNames[:]),
		Dropped:    named(c.dropped[:], dropNames[:]),
	}
}

func named(counts []atomic.Uint64, names []string) map[string]uint64 {
	m := make(map[string]uint64, len(names))
	for i := range counts {
		m[names[i]] = counts[i].Load()
	}
	return m
}

// countHTTP is a hook of http.Server. A connection that is hijacked is net/http's no longer.
func (e *Engine) countHTTP(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		e.counters.http.Add(1)
	case http.StateClosed, http.StateHijacked:
		e.counters.http.Add(-1)
	case http.StateActive, http.StateIdle:
	}
}
