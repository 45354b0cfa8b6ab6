package main

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// loop is one goroutine with an epoll descriptor: it alone reads and writes its connections.
type loop struct {
	epfd, wakeFD int
	secret       []byte

	// Owned by run.
	conns map[int32]*conn
	rooms map[string][]*conn
	buf   [64 << 10]byte
	iov   []unix.Iovec
	slot  int // of the ping that is due next

	mu sync.Mutex
	// Guarded by mu.
	posted []event
}

// conn is all that is kept of a connection.
type conn struct {
	fd   int32
	open bool // the handshake is done
	room string
}

// event is a frame on its way to a room.
type event struct {
	room  string
	frame []byte
}

// Pings: each connection every pingSlots ticks, those of one slot together.
const (
	tick      = 100 * time.Millisecond
	pingSlots = 250
)

func newLoop(secret []byte) (*loop, error) {
	l := &loop{secret: secret, conns: map[int32]*conn{}, rooms: map[string][]*conn{}}
	var errs [3]error
	l.epfd, errs[0] = unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	l.wakeFD, errs[1] = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	errs[2] = l.watch(l.wakeFD)
	return l, errors.Join(errs[:]...)
}

// watch may be called by any goroutine.
func (l *loop) watch(fd int) error {
	return unix.EpollCtl(l.epfd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

// post hands over an event. Any goroutine may call it.
func (l *loop) post(room string, frame []byte) {
	l.mu.Lock()
	l.posted = append(l.posted, event{room, frame})
	first := len(l.posted) == 1
	l.mu.Unlock()
	if first {
		one := [8]byte{1}
		_, _ = unix.Write(l.wakeFD, one[:]) // fails only when full, and then the loop is awake
	}
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
			if events[i].Fd == int32(l.wakeFD) {
				_, _ = unix.Read(l.wakeFD, l.buf[:8])
				l.broadcast()
			} else {
				l.readable(events[i].Fd)
			}
		}
		for now := time.Now(); now.After(next); next = next.Add(tick) {
			l.ping()
		}
	}
}

// broadcast writes what was posted: to each member all that waits for its room, in one call.
func (l *loop) broadcast() {
	l.mu.Lock()
	posted := l.posted
	l.posted = nil
	l.mu.Unlock()
	for i := range posted {
		if posted[i].frame == nil {
			continue // went with an earlier one of its room
		}
		room := posted[i].room
		l.iov = l.iov[:0]
		for j := i; j < len(posted); j++ {
			if posted[j].room == room && posted[j].frame != nil {
				l.iov = append(l.iov, unix.Iovec{Base: unsafe.SliceData(posted[j].frame), Len: uint64(len(posted[j].frame))})
				posted[j].frame = nil
			}
		}
		members := l.rooms[room]
		for k := len(members) - 1; k >= 0; k-- { // backwards: ending a member moves the last into its place
			l.writev(members[k])
		}
	}
}

const maxVector = 1024

func (l *loop) writev(c *conn) {
	for iov := l.iov; len(iov) > 0; iov = iov[min(len(iov), maxVector):] {
		part, want := iov[:min(len(iov), maxVector)], 0
		for i := range part {
			want += int(part[i].Len)
		}
		n, _, errno := unix.RawSyscall(unix.SYS_WRITEV, uintptr(c.fd), uintptr(unsafe.Pointer(unsafe.SliceData(part))), uintptr(len(part)))
		if errno != 0 || int(n) < want {
			l.end(c)
			return
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
	if l.conns[c.fd] != c {
		return
	}
	delete(l.conns, c.fd)
	members := l.rooms[c.room]
	for i, m := range members {
		if m == c {
			last := len(members) - 1
			members[i], members[last] = members[last], nil
			l.rooms[c.room] = members[:last]
			break
		}
	}
	_ = unix.Close(int(c.fd))
}
