package main

import (
	"slices"
	"strings"
	"sync"
	"unsafe"

	"github.com/nats-io/nats.go"
	"golang.org/x/sys/unix"
)

// rooms know their members and write to them.
type rooms struct {
	mu sync.Mutex
	// Guarded by mu.
	members map[string][]*conn
	iov     []unix.Iovec
}

func (r *rooms) join(c *conn, room string) {
	r.mu.Lock()
	c.room = room
	r.members[room] = append(r.members[room], c)
	r.mu.Unlock()
}

// leave closes the descriptor too: nobody writes to it while mu is held.
func (r *rooms) leave(c *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	members := r.members[c.room]
	if i := slices.Index(members, c); i >= 0 {
		last := len(members) - 1
		members[i], members[last] = members[last], nil
		r.members[c.room] = members[:last]
	}
	_ = unix.Close(int(c.fd))
}

// event is a frame on its way to a room; written when frame is nil.
type event struct {
	room  string
	frame []byte
}

// run broadcasts what arrives, as much as waits at a time.
func (r *rooms) run(messages <-chan *nats.Msg) {
	var waiting []event
	for m := range messages {
		waiting = append(waiting[:0], prepare(m))
		for more := true; more && len(waiting) < maxVector; {
			select {
			case m := <-messages:
				waiting = append(waiting, prepare(m))
			default:
				more = false
			}
		}
		r.broadcast(waiting)
		clear(waiting)
	}
}

// prepare makes the frame that all members of a room get.
func prepare(m *nats.Msg) event {
	parts := strings.SplitN(m.Subject, ".", 4)
	text := append([]byte(`42/events,["`), strings.ReplaceAll(parts[3], ".", ":")...)
	text = append(append(append(text, `",`...), m.Data...), ']')
	return event{parts[2], appendText(nil, text)}
}

// broadcast writes to each member all that waits for its room, in one call.
func (r *rooms) broadcast(waiting []event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, e := range waiting {
		if e.frame == nil {
			continue // went with an earlier one of its room
		}
		r.iov = r.iov[:0]
		for j := i; j < len(waiting); j++ {
			if next := &waiting[j]; next.room == e.room && next.frame != nil {
				r.iov = append(r.iov, unix.Iovec{Base: unsafe.SliceData(next.frame), Len: uint64(len(next.frame))})
				next.frame = nil
			}
		}
		for _, c := range r.members[e.room] {
			writev(c, r.iov)
		}
	}
}

const maxVector = 1024 // of the kernel

// writev ends a connection whose socket is full: its loop sees that.
func writev(c *conn, iov []unix.Iovec) {
	want := 0
	for i := range iov {
		want += int(iov[i].Len)
	}
	n, _, errno := unix.RawSyscall(unix.SYS_WRITEV, uintptr(c.fd), uintptr(unsafe.Pointer(unsafe.SliceData(iov))), uintptr(len(iov)))
	if errno != 0 || int(n) < want {
		_ = unix.Shutdown(int(c.fd), unix.SHUT_RDWR)
	}
}
