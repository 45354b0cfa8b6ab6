package engine

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"
)

// handoff is the listener through which connections that turned out to be plain HTTP reach net/http.
// push never blocks, so an event loop may call it.
type handoff struct {
	wake chan struct{} // capacity 1

	mu     sync.Mutex
	conns  []net.Conn
	closed bool
}

func newHandoff() *handoff { return &handoff{wake: make(chan struct{}, 1)} }

func (h *handoff) push(nc net.Conn) {
	h.mu.Lock()
	closed := h.closed
	if !closed {
		h.conns = append(h.conns, nc)
	}
	h.mu.Unlock()
	if closed {
		_ = nc.Close()
		return
	}
	h.signal()
}

func (h *handoff) signal() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// Accept implements net.Listener.
func (h *handoff) Accept() (net.Conn, error) {
	for {
		h.mu.Lock()
		if h.closed {
			h.mu.Unlock()
			return nil, net.ErrClosed
		}
		if len(h.conns) > 0 {
			nc := h.conns[0]
			h.conns[0] = nil
			if h.conns = h.conns[1:]; len(h.conns) == 0 {
				h.conns = nil
			}
			h.mu.Unlock()
			return nc, nil
		}
		h.mu.Unlock()
		<-h.wake
	}
}

// Close implements net.Listener.
func (h *handoff) Close() error {
	h.mu.Lock()
	conns := h.conns
	h.conns, h.closed = nil, true
	h.mu.Unlock()
	for _, nc := range conns {
		_ = nc.Close()
	}
	h.signal()
	return nil
}

// Addr implements net.Listener.
func (h *handoff) Addr() net.Addr { return &net.TCPAddr{} }

// backoff keeps an accept loop from spinning when the process has no descriptor left.
type backoff struct{ pause time.Duration }

const maxBackoff = time.Second

// wait sleeps after an accept error that may pass. It returns false for one that will not.
func (b *backoff) wait(log *slog.Logger, err error) bool {
	if !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) &&
		!errors.Is(err, syscall.ENOBUFS) && !errors.Is(err, syscall.ENOMEM) &&
		!errors.Is(err, syscall.ECONNABORTED) && !errors.Is(err, syscall.EINTR) {
		return false
	}
	if errors.Is(err, syscall.ECONNABORTED) || errors.Is(err, syscall.EINTR) {
		return true
	}
	b.pause = min(max(2*b.pause, 10*time.Millisecond), maxBackoff)
	log.Warn("accept failed, waiting", "error", err, "pause", b.pause)
	time.Sleep(b.pause)
	return true
}

func (b *backoff) reset() { b.pause = 0 }
