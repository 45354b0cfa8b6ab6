package engine

// Session is one Engine.IO session, on whatever transport it is. All methods may be called
// concurrently, also from within callbacks.
type Session struct {
	App any // the Handler's own; the engine never touches it
}

// ID is the Engine.IO sid: 20 characters, secret to its client.
func (s *Session) ID() string { return "" }

// Transport is "polling" or "websocket" as of now.
func (s *Session) Transport() string { return "" }

// RemoteAddr is the host:port that the handshake came from.
func (s *Session) RemoteAddr() string { return "" }

// Established stops the connect timeout.
func (s *Session) Established() {}

// Send queues frames, all of them or none, and returns whether they were taken: not when the session
// is closing, when it is full, or when their class gave way. It never blocks and never calls the Handler.
func (s *Session) Send(frames ...*Frame) bool { return false }

// Pending is what waits for the client, in frames and bytes.
func (s *Session) Pending() (frames, bytes int) { return 0, 0 }

// Close ends the session soon, without what still waits. The first reason wins.
func (s *Session) Close(reason Reason) {}

// CloseAfterFlush takes no more frames and ends the session when those waiting are written, or after 5 s.
func (s *Session) CloseAfterFlush(reason Reason) {}
