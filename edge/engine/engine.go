package engine

import (
	"context"
	"errors"
	"net"
	"net/http"
)

// ErrClosed is what Serve returns after Close or StopAccepting.
var ErrClosed = errors.New("engine: closed")

// Handler receives what happens to sessions. Callbacks of one session never overlap and are never
// made from inside Send or Close; callbacks of different sessions run at the same time. They run on
// the goroutine that reads, so they must not block.
type Handler interface {
	// Open follows the handshake. r is valid only during the call.
	Open(s *Session, r *Request)
	// Message brings one Engine.IO message. data is valid only during the call.
	Message(s *Session, data []byte, binary bool)
	// Close ends the session, exactly once; nothing follows it.
	Close(s *Session, reason Reason)
}

// Engine serves Engine.IO sessions on any number of listeners. Its methods may be called concurrently.
type Engine struct {
	handler  Handler
	options  Options
	counters counters
}

// New makes an Engine that calls h. It serves nothing until Serve or ServeHTTP is called.
func New(h Handler, o Options) (*Engine, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Engine{handler: h, options: o}, nil
}

// Serve accepts connections from l until StopAccepting or Close, and returns ErrClosed then. It
// closes l.
func (e *Engine) Serve(l net.Listener) error { return ErrClosed }

// ServeHTTP serves one request of any http.Server; WebSockets are hijacked.
func (e *Engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {}

// StopAccepting closes the listeners and answers new handshakes with 503. Sessions stay.
func (e *Engine) StopAccepting() {}

// Close stops accepting, closes every session with ReasonDrain and waits until all have ended or ctx
// does; then it frees everything in any case.
func (e *Engine) Close(ctx context.Context) error { return nil }

// Sessions iterates over the open sessions. Sessions that begin or end meanwhile may be missed or met.
func (e *Engine) Sessions(yield func(*Session) bool) {}
