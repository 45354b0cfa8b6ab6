package engine

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// poller is the event loops of an Engine and what they share.
type poller struct {
	engine *Engine
	loops  []*loop
	table  fdTable
	open   atomic.Int64 // descriptors that the loops own
	next   atomic.Uint32

	mu        sync.Mutex
	listeners map[*os.File]struct{}
	stopped   bool
}

// loop is one epoll instance with the goroutine that reads its connections and the goroutine that
// writes what other goroutines send. The epoll descriptor is itself registered with Go's network
// poller, so a waiting loop is a parked goroutine and no blocked thread.
type loop struct {
	poller *poller
	file   *os.File // the epoll descriptor
	raw    syscall.RawConn
	epfd   int
	wakeFD int // an eventfd for tasks

	// Owned by run.
	buf    []byte
	events []unix.EpollEvent
	ready  int
	waitFn func(uintptr) bool // l.wait, bound once
	vec    vector
	head   headReader
	exit   bool

	mu    sync.Mutex
	tasks []task
	freed bool // wakeFD is closed

	writer writer
	ended  chan struct{}
}

const (
	readBuffer = 64 << 10
	eventBatch = 128
)

func newPoller(e *Engine, n int) (*poller, error) {
	p := &poller{engine: e, listeners: map[*os.File]struct{}{}}
	for range n {
		l, err := newLoop(p)
		if err != nil {
			for _, l := range p.loops {
				l.free()
			}
			return nil, err
		}
		p.loops = append(p.loops, l)
	}
	for _, l := range p.loops {
		go l.run()
		go l.writer.run()
	}
	return p, nil
}

func newLoop(p *poller) (*loop, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	wakeFD, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(epfd)
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	// os.NewFile registers only what is non-blocking with the network poller.
	if err := unix.SetNonblock(epfd, true); err != nil {
		_, _ = unix.Close(epfd), unix.Close(wakeFD)
		return nil, fmt.Errorf("set the epoll descriptor non-blocking: %w", err)
	}
	l := &loop{
		poller: p, epfd: epfd, wakeFD: wakeFD, file: os.NewFile(uintptr(epfd), "epoll"),
		buf: make([]byte, readBuffer), events: make([]unix.EpollEvent, eventBatch), ended: make(chan struct{}),
	}
	l.waitFn = l.wait
	l.head.init(p.engine)
	l.writer.init()
	if l.raw, err = l.file.SyscallConn(); err == nil {
		err = l.control(unix.EPOLL_CTL_ADD, wakeFD, unix.EPOLLIN)
	}
	if err != nil {
		l.free()
		return nil, fmt.Errorf("prepare epoll: %w", err)
	}
	return l, nil
}

func (l *loop) free() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.freed = true
	_ = l.file.Close()
	_ = unix.Close(l.wakeFD)
}

// control changes what epoll watches of a descriptor.
func (l *loop) control(op, fd int, events uint32) error {
	return unix.EpollCtl(l.epfd, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// wait takes the events that are there, without blocking. Go's poller watches the epoll descriptor
// edge-triggered, so wait is called until it finds none: only then may the loop park.
func (l *loop) wait(fd uintptr) bool {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, fd,
			uintptr(unsafe.Pointer(&l.events[0])), uintptr(len(l.events)), 0, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		l.ready = 0
		if errno == 0 {
			l.ready = int(n)
		}
		return l.ready > 0
	}
}

// run reads until the poller closes.
func (l *loop) run() {
	defer close(l.ended)
	for !l.exit {
		if err := l.raw.Read(l.waitFn); err != nil {
			l.poller.engine.options.Logger.Error("event loop failed", "error", err)
			return
		}
		for _, ev := range l.events[:l.ready] {
			if int(ev.Fd) == l.wakeFD {
				continue // below: tasks may free what later events are about
			}
			c := l.poller.table.get(int(ev.Fd))
			if c == nil || c.loop != l {
				continue
			}
			if ev.Events&unix.EPOLLOUT != 0 {
				c.writable()
			}
			if ev.Events&^unix.EPOLLOUT != 0 {
				c.readable()
			}
		}
		l.runTasks()
	}
}

// task is something that only the loop may do with a connection.
type task struct {
	c      *conn
	kind   taskKind
	code   uint16
	abrupt bool
	adopt  *adoption
}

type taskKind uint8

const (
	taskShut taskKind = iota
	taskTimeout
	taskAdopt
	taskExit
)

// post hands the loop a task. Any goroutine may call it.
func (l *loop) post(t task) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.freed {
		return
	}
	if l.tasks = append(l.tasks, t); len(l.tasks) == 1 {
		one := [8]byte{1}
		_, _ = unix.Write(l.wakeFD, one[:]) // fails only when full, and then the loop is awake
	}
}

func (l *loop) runTasks() {
	l.mu.Lock()
	tasks := l.tasks
	l.tasks = nil
	l.mu.Unlock()
	if len(tasks) == 0 {
		return
	}
	var count [8]byte
	_, _ = unix.Read(l.wakeFD, count[:])
	for _, t := range tasks {
		switch t.kind {
		case taskShut:
			t.c.end(t.code, t.abrupt)
		case taskTimeout:
			t.c.timeout()
		case taskAdopt:
			t.c.adopted(t.adopt)
		case taskExit:
			l.exit = true
		}
	}
}

// close waits until the loops own no connection, or ctx ends, and ends them with what is left.
func (p *poller) close(ctx context.Context) {
	untilTrue(ctx, func() bool { return p.open.Load() == 0 })
	for _, l := range p.loops {
		l.post(task{kind: taskExit})
		<-l.ended
		close(l.writer.stop)
		<-l.writer.ended
	}
	p.table.each(func(c *conn) { c.kill(false) })
	for _, l := range p.loops {
		l.free()
	}
}

// fdTable finds the connection of a descriptor. Descriptors are small and reused, so an array does;
// its pages are made as they are needed.
type fdTable struct {
	pages [4096]atomic.Pointer[fdPage]
}

type fdPage [1024]atomic.Pointer[conn]

func (t *fdTable) get(fd int) *conn {
	if page := t.pages[fd>>10].Load(); page != nil {
		return page[fd&1023].Load()
	}
	return nil
}

// set stores c, nil to clear. It returns false for a descriptor beyond the table.
func (t *fdTable) set(fd int, c *conn) bool {
	if fd>>10 >= len(t.pages) {
		return false
	}
	slot := &t.pages[fd>>10]
	if slot.Load() == nil {
		slot.CompareAndSwap(nil, new(fdPage))
	}
	slot.Load()[fd&1023].Store(c)
	return true
}

func (t *fdTable) each(f func(*conn)) {
	for i := range t.pages {
		page := t.pages[i].Load()
		if page == nil {
			continue
		}
		for j := range page {
			if c := page[j].Load(); c != nil {
				f(c)
			}
		}
	}
}
