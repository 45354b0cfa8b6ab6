package main

import (
	"bytes"
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// loop is one goroutine with an epoll descriptor that reads its connections. What it answers it writes; events
// are written by whoever broadcasts.
type loop struct {
	epfd   int
	secret []byte
	rooms  *rooms

	// Owned by run.
	conns map[int32]*conn
	buf   [64 << 10]byte
	slot  int // of the ping that is due next
}

// conn is all that is kept of a connection.
type conn struct {
	fd   int32
	open bool   // the handshake is done
	room string // guarded by rooms.mu, like the end of the descriptor
}

// Pings: each connection every pingSlots ticks, those of one slot together.
const (
	tick      = 100 * time.Millisecond
	pingSlots = 250
)

func newLoop(secret []byte, r *rooms) (*loop, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	return &loop{epfd: epfd, secret: secret, rooms: r, conns: map[int32]*conn{}}, err
}

// watch may be called by any goroutine.
func (l *loop) watch(fd int) error {
	return unix.EpollCtl(l.epfd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

func (l *loop) run() error {
	events := make([]unix.EpollEvent, 128)
	next := time.Now().Add(tick)
	for {
		n, err := unix.EpollWait(l.epfd, events, int(max(time.Until(next), 0)/time.Millisecond)+1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("epoll_wait: %w", err)
		}
		for i := range max(n, 0) {
			l.readable(events[i].Fd)
		}
		for now := time.Now(); now.After(next); next = next.Add(tick) {
			l.ping()
		}
	}
}

func (l *loop) write(c *conn, wire []byte) {
	n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(c.fd), uintptr(unsafe.Pointer(unsafe.SliceData(wire))), uintptr(len(wire)))
	if errno != 0 || int(n) < len(wire) {
		l.end(c)
	}
}

var pingFrame = appendText(nil, []byte("2"))

// ping writes to the connections whose turn it is.
func (l *loop) ping() {
	l.slot = (l.slot + 1) % pingSlots
	for fd, c := range l.conns {
		if int(fd)%pingSlots == l.slot && c.open {
			l.write(c, pingFrame)
		}
	}
}

// readable reads once and answers.
func (l *loop) readable(fd int32) {
	c := l.conns[fd]
	if c == nil {
		c = &conn{fd: fd}
		l.conns[fd] = c
	}
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&l.buf)), uintptr(len(l.buf)))
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return
	case errno != 0 || n == 0:
		l.end(c)
		return
	}
	data := l.buf[:n]
	if !c.open {
		if !bytes.HasSuffix(data, []byte("\r\n\r\n")) {
			l.end(c) // a head in pieces: not on this machine's loopback
			return
		}
		c.open = true
		l.write(c, handshake(data))
		return
	}
	for len(data) > 0 {
		var message []byte
		if message, data = unframe(data); message == nil || !l.answer(c, message) {
			l.end(c)
			return
		}
	}
}

func (l *loop) end(c *conn) {
	if l.conns[c.fd] == c {
		delete(l.conns, c.fd)
		l.rooms.leave(c)
	}
}
