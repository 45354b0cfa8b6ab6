package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// ErrClosed is what Serve returns after StopAccepting or Close.
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
	// Static after New.
	handler  Handler
	options  Options
	start    time.Time
	shards   []*shard
	poller   *poller // nil in Mode Goroutines
	http     *http.Server
	handoff  *handoff // connections for http
	registry registry
	counters counters
	next     atomic.Uint32   // round robin over shards
	life     context.Context // ends when Close begins
	end      context.CancelFunc

	mu sync.Mutex
	// Guarded by mu.
	listeners map[net.Listener]struct{}
	conns     map[*stdConn]struct{}
	open      int           // sessions that have not ended
	stopped   bool          // no new sessions
	closed    bool          // Close was called
	idle      chan struct{} // closed when stopped and open is 0; nil until Close waits
	served    sync.WaitGroup
}

// New makes an Engine that calls h, and starts its event loops. Close frees them.
func New(h Handler, o Options) (*Engine, error) {
	if h == nil {
		return nil, errors.New("engine: New: the Handler is nil")
	}
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if o.Mode == Auto {
		o.Mode = Goroutines
		if runtime.GOOS == "linux" {
			o.Mode = Epoll
		}
	}
	e := &Engine{
		handler: h, options: o, start: time.Now(), handoff: newHandoff(),
		listeners: map[net.Listener]struct{}{}, conns: map[*stdConn]struct{}{},
	}
	e.life, e.end = context.WithCancel(context.Background())
	e.registry.init()
	if o.Mode == Epoll {
		if e.poller, err = newPoller(e, o.Loops); err != nil {
			e.end()
			return nil, fmt.Errorf("engine: start event loops: %w", err)
		}
	}
	shortest := min(o.PingInterval, o.PingTimeout, o.UpgradeTimeout, o.ConnectTimeout, o.HandshakeTimeout)
	for range o.Loops {
		s := &shard{wheel: newWheel(shortest, e.now)}
		e.shards = append(e.shards, s)
		e.served.Go(s.wheel.run)
	}
	e.http = &http.Server{
		Handler: e, ReadHeaderTimeout: o.HandshakeTimeout, IdleTimeout: time.Minute, ConnState: e.countHTTP,
		MaxHeaderBytes: maxHead, ErrorLog: quietLog(o.Logger),
	}
	e.served.Go(func() { _ = e.http.Serve(e.handoff) }) // ends with Close
	return e, nil
}

// now is the engine's clock: monotonic nanoseconds, never 0.
func (e *Engine) now() int64 { return int64(time.Since(e.start)) + 1 }

func (e *Engine) shard() *shard {
	return e.shards[int(e.next.Add(1))%len(e.shards)]
}

// Serve accepts connections from l until StopAccepting or Close, and returns ErrClosed then. It
// closes l.
func (e *Engine) Serve(l net.Listener) error {
	e.mu.Lock()
	if e.stopped {
		e.mu.Unlock()
		_ = l.Close()
		return ErrClosed
	}
	e.listeners[l] = struct{}{}
	e.mu.Unlock()
	var err error
	if tcp, ok := l.(*net.TCPListener); ok && e.poller != nil {
		err = e.poller.accept(tcp)
	} else {
		err = e.accept(l)
	}
	e.mu.Lock()
	delete(e.listeners, l)
	stopped := e.stopped
	e.mu.Unlock()
	_ = l.Close()
	if stopped {
		return ErrClosed
	}
	return err
}

// accept gives every connection to net/http: Mode Goroutines, and listeners without a descriptor.
func (e *Engine) accept(l net.Listener) error {
	var pause backoff
	for {
		nc, err := l.Accept()
		if err != nil {
			if !pause.wait(e.options.Logger, err) {
				return err
			}
			continue
		}
		pause.reset()
		e.counters.accepted.Add(1)
		e.handoff.push(nc)
	}
}

// StopAccepting closes the listeners and answers new handshakes with 503. Open sessions stay.
func (e *Engine) StopAccepting() {
	e.mu.Lock()
	e.stopped = true
	listeners := e.listeners
	e.listeners = map[net.Listener]struct{}{}
	e.mu.Unlock()
	for l := range listeners {
		_ = l.Close()
	}
	if e.poller != nil {
		e.poller.stopAccepting()
	}
}

// Close stops accepting, closes every session with ReasonDrain and waits until all Close callbacks
// are made and the clients had a moment to read their close frames, or until ctx ends. Then it frees
// everything in any case; its error is that of ctx.
func (e *Engine) Close(ctx context.Context) error {
	e.StopAccepting()
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	idle := make(chan struct{})
	e.idle = idle
	if e.open == 0 {
		close(idle)
	}
	e.mu.Unlock()
	e.end()
	e.registry.each(func(s *Session) bool {
		s.Close(ReasonDrain)
		return true
	})
	var err error
	select {
	case <-idle:
	case <-ctx.Done():
		err = fmt.Errorf("engine: close: sessions are still open: %w", ctx.Err())
	}
	e.shutdown(ctx)
	return err
}

// shutdown lets connections linger for as long as ctx allows and frees the rest.
func (e *Engine) shutdown(ctx context.Context) {
	linger, cancel := context.WithTimeout(ctx, lingerTime)
	defer cancel()
	if err := e.http.Shutdown(linger); err != nil {
		_ = e.http.Close()
	}
	if e.poller != nil {
		e.poller.close(linger)
	}
	e.closeStd(linger)
	for _, s := range e.shards {
		close(s.wheel.stop)
	}
	e.served.Wait()
}

// lingerTime is how long a connection may take to read its close frame and go.
const lingerTime = time.Second

// Sessions iterates over the open sessions. Sessions that begin or end meanwhile may be missed or met.
func (e *Engine) Sessions(yield func(*Session) bool) {
	e.registry.each(func(s *Session) bool {
		s.mu.Lock()
		met := s.visible && !s.closing
		s.mu.Unlock()
		return !met || yield(s)
	})
}

// begin reserves a place for a session and makes it; the caller opens it.
func (e *Engine) begin(remote string) (*Session, *Refusal) {
	e.mu.Lock()
	switch {
	case e.stopped:
		e.mu.Unlock()
		return nil, e.refuse(refusedStopped)
	case e.options.MaxSessions > 0 && e.open >= e.options.MaxSessions:
		e.mu.Unlock()
		return nil, e.refuse(refusedFull)
	}
	e.open++
	e.mu.Unlock()
	now := e.now()
	return &Session{engine: e, shard: e.shard(), remote: remote, id: newSID(e.options.Prefix), opened: now, beat: now}, nil
}

// ended gives a session's place back.
func (e *Engine) ended() {
	e.mu.Lock()
	e.open--
	if e.open == 0 && e.idle != nil {
		close(e.idle)
		e.idle = nil
	}
	e.mu.Unlock()
}

// start registers the session, makes the Open callback and sets its timer. The caller has set its
// transport.
func (s *Session) start(r *Request) {
	e := s.engine
	s.begin()
	s.mu.Lock()
	if s.polling != nil {
		e.counters.polling.Add(1)
	} else {
		e.counters.websocket.Add(1)
	}
	e.counters.opened.Add(1)
	s.mu.Unlock()
	e.handler.Open(s, r)
	e.registry.add(s)
	s.mu.Lock()
	s.visible = true
	s.shard.wheel.schedule(&s.timer, s, s.nextDeadline())
	s.mu.Unlock()
	e.mu.Lock()
	closed := e.closed
	e.mu.Unlock()
	if closed { // Close may have been over the registry before
		s.Close(ReasonDrain)
	}
}

// shard is a share of the sessions: their timers, and the reaper that ends them.
type shard struct {
	wheel *wheel

	mu sync.Mutex
	// Guarded by mu.
	dying   []*Session
	reaping bool
}

// reap has the session finished, on a goroutine that exists only while there is something to end.
func (h *shard) reap(s *Session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dying = append(h.dying, s)
	if !h.reaping {
		h.reaping = true
		go h.reaper()
	}
}

func (h *shard) reaper() {
	for {
		h.mu.Lock()
		dying := h.dying
		h.dying = nil
		h.reaping = len(dying) > 0
		h.mu.Unlock()
		if len(dying) == 0 {
			return
		}
		for _, s := range dying {
			s.finish()
		}
	}
}
