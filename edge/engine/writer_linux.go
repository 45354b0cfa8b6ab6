package engine

import (
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxVector is how many frames one writev takes (the kernel's UIO_MAXIOV).
const maxVector = 1024

// vector is the iovec array of one writing goroutine, reused for every write.
type vector struct {
	iov [maxVector]unix.Iovec
}

// writer writes what other goroutines than the loop send: the sessions in its list, each with one
// call for everything that waits. While it is busy with some, more frames gather for the others.
type writer struct {
	wake, stop, ended chan struct{}
	vec               vector

	mu      sync.Mutex
	waiting []*Session
	asleep  bool
}

func (w *writer) init() {
	w.wake, w.stop, w.ended = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
}

// push adds a session to the list. Called with the session's mu held.
func (w *writer) push(s *Session) {
	w.mu.Lock()
	w.waiting = append(w.waiting, s)
	asleep := w.asleep
	w.asleep = false
	w.mu.Unlock()
	if asleep {
		w.wake <- struct{}{}
	}
}

func (w *writer) run() {
	defer close(w.ended)
	var list []*Session
	for {
		w.mu.Lock()
		if len(w.waiting) == 0 {
			w.asleep = true
			w.mu.Unlock()
			select {
			case <-w.wake:
			case <-w.stop:
				return
			}
			continue
		}
		list, w.waiting = w.waiting, list[:0]
		w.mu.Unlock()
		for _, s := range list {
			s.flush(&w.vec)
		}
		clear(list)
		if cap(list) > keepList {
			list = nil
		}
	}
}

// keepList bounds the array that a writer keeps for its list.
const keepList = 16 << 10

// writeFrames writes frames, less the first skip bytes, to a non-blocking descriptor in one call. A
// full socket is no error: n says how much it took.
func writeFrames(fd int, frames []*Frame, skip int, v *vector) (int, error) {
	if len(frames) == 1 {
		return writeBytes(fd, frames[0].wire[skip:])
	}
	frames = frames[:min(len(frames), maxVector)]
	for i, f := range frames {
		v.iov[i].Base = unsafe.SliceData(f.wire)
		v.iov[i].SetLen(len(f.wire))
	}
	v.iov[0].Base = &frames[0].wire[skip]
	v.iov[0].SetLen(len(frames[0].wire) - skip)
	n, err := retry(unix.SYS_WRITEV, fd, unsafe.Pointer(&v.iov), len(frames))
	clear(v.iov[:len(frames)]) // or the array would keep the frames alive
	return n, err
}

func writeBytes(fd int, b []byte) (int, error) {
	return retry(unix.SYS_WRITE, fd, unsafe.Pointer(unsafe.SliceData(b)), len(b))
}

func readBytes(fd int, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// retry makes a write call on a non-blocking descriptor. RawSyscall, since the call does not block
// and telling the scheduler about it costs more than it.
func retry(call uintptr, fd int, p unsafe.Pointer, n int) (int, error) {
	for {
		done, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(p), uintptr(n))
		switch errno {
		case 0:
			return int(done), nil
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return 0, nil
		default:
			return 0, errno
		}
	}
}
