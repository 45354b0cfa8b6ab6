package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"
)

// accept takes connections from l and spreads them over the loops until l is closed.
func (p *poller) accept(l *net.TCPListener) error {
	file, err := l.File()
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	p.mu.Lock()
	if p.stopped {
		p.mu.Unlock()
		return ErrClosed
	}
	p.listeners[file] = struct{}{}
	p.mu.Unlock()
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var (
		fd     int
		from   string
		failed error
		pause  backoff
	)
	// Accepted sockets inherit it: a frame must not wait for the ack of the one before.
	_ = raw.Control(func(listener uintptr) {
		_ = unix.SetsockoptInt(int(listener), unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	})
	one := func(listener uintptr) bool {
		fd, from, failed = acceptOne(int(listener))
		return !errors.Is(failed, unix.EAGAIN)
	}
	for {
		if err := raw.Read(one); err != nil {
			return err
		}
		if failed != nil {
			if !pause.wait(p.engine.options.Logger, failed) {
				return failed
			}
			continue
		}
		pause.reset()
		p.engine.counters.accepted.Add(1)
		p.add(fd, from)
	}
}

func (p *poller) stopAccepting() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	for file := range p.listeners {
		_ = file.Close()
	}
	clear(p.listeners)
}

// acceptOne takes one connection, if there is one. It goes to the kernel directly, like every frequent call
// of this package, none of which blocks: of a call that the scheduler is told of it believes, when it lasts
// for some microseconds, that it does, and wakes another thread to go on in its place.
func acceptOne(listener int) (fd int, from string, err error) {
	var raw unix.RawSockaddrAny
	size := uint32(unix.SizeofSockaddrAny)
	n, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(listener), uintptr(unsafe.Pointer(&raw)),
		uintptr(unsafe.Pointer(&size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return -1, "", errno
	}
	return int(n), remoteOf(&raw), nil
}

// remoteOf is the address of a peer that the kernel has filled in.
func remoteOf(raw *unix.RawSockaddrAny) string {
	switch raw.Addr.Family {
	case unix.AF_INET:
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(raw))
		return netip.AddrPortFrom(netip.AddrFrom4(in.Addr), hostOrder(in.Port)).String()
	case unix.AF_INET6:
		in := (*unix.RawSockaddrInet6)(unsafe.Pointer(raw))
		return netip.AddrPortFrom(netip.AddrFrom16(in.Addr).Unmap(), hostOrder(in.Port)).String()
	}
	return ""
}

func hostOrder(port uint16) uint16 {
	return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&port))[:])
}

// unsentBytes is how much the kernel takes for a connection that cannot send it yet. Without a bound that
// is up to 4 MiB (net.ipv4.tcp_wmem) for each client that does not read, while what waits in a queue is
// shared by all who wait for it. What is under way to a client that reads does not count.
const unsentBytes = 128 << 10

// add gives an accepted descriptor to a loop, to read its request head.
func (p *poller) add(fd int, remote string) {
	l := p.loops[int(p.next.Add(1))%len(p.loops)]
	c := &conn{loop: l, fd: int32(fd), remote: remote}
	c.setDeadline(p.engine.options.HandshakeTimeout)
	// Not on the listener: where that speaks MPTCP, as Go's do, its connections do not inherit it.
	limit := int32(unsentBytes)
	_, _, _ = unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT,
		uintptr(unsafe.Pointer(&limit)), unsafe.Sizeof(limit), 0)
	p.open.Add(1)
	// From here on the loop owns it.
	if !p.table.set(fd, c) || l.control(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN) != nil {
		l.post(task{c: c, kind: taskShut, abrupt: true})
	}
}

// adoption is a WebSocket whose handshake went through net/http.
type adoption struct {
	s     *Session
	r     *Request
	first bool
	early []byte
}

// adopt moves nc to a loop. It returns false, and leaves nc as it is, when nc has no descriptor.
func (p *poller) adopt(nc net.Conn, s *Session, r *Request, first bool, early []byte) bool {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	fd := -1
	if raw.Control(func(old uintptr) { fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }) != nil || err != nil {
		return false
	}
	if replay, ok := nc.(*replayConn); ok {
		early = append(early, replay.prefix...)
	}
	_ = nc.Close()
	l := p.loops[int(p.next.Add(1))%len(p.loops)]
	c := &conn{loop: l, fd: int32(fd), remote: s.remote, peer: peer{window: r.window}}
	p.open.Add(1)
	p.table.set(fd, c)
	l.post(task{c: c, kind: taskAdopt, adopt: &adoption{s: s, r: r, first: first, early: early}})
	return true
}

// adopted begins the work of an adopted connection.
func (c *conn) adopted(a *adoption) {
	failed := c.loop.control(unix.EPOLL_CTL_ADD, int(c.fd), unix.EPOLLIN)
	c.open(a.s, a.r, a.first, nil, a.early)
	if failed != nil {
		c.lost(c, ReasonTransportError)
		c.kill(true)
	}
}

// headReader reads request heads for one loop: WebSocket handshakes under Options.Path are answered
// here, everything else becomes a net.Conn for net/http.
type headReader struct {
	engine   *Engine
	upgrader ws.Upgrader // its callbacks are bound once
	line     []byte      // "GET " and the path that handshakes begin with

	// Of the head that is being read.
	in      bytes.Reader
	out     bytes.Buffer
	request Request
	session *Session
	first   bool
	refused *Refusal
	agreed  negotiation
}

var errRefused = errors.New("engine: handshake refused")

func (h *headReader) init(e *Engine) {
	h.engine = e
	h.line = []byte("GET " + e.options.Path)
	h.upgrader = ws.Upgrader{
		ReadBufferSize: maxHead,
		OnRequest:      h.onRequest, OnHost: h.onHost, OnHeader: h.onHeader, OnBeforeUpgrade: h.onUpgrade,
	}
	if !e.options.NoCompression {
		h.upgrader.Negotiate = h.agreed.offer
	}
}

// Read and Write make the head in memory the connection of the upgrader.
func (h *headReader) Read(b []byte) (int, error)  { return h.in.Read(b) }
func (h *headReader) Write(b []byte) (int, error) { return h.out.Write(b) }

// read takes bytes of a head and acts when it is whole.
func (h *headReader) read(c *conn, data []byte) {
	seen := 0
	if c.input.part != nil { // where a WebSocket keeps half a message, half a head is kept before
		seen = max(len(c.input.part.data)-3, 0)
		c.input.part.data = append(c.input.part.data, data...)
		data = c.input.part.data
	}
	if n := min(len(data), len(h.line)); !bytes.Equal(data[:n], h.line[:n]) {
		h.handOff(c, data)
		return
	}
	end := bytes.Index(data[seen:], []byte("\r\n\r\n"))
	if end += seen; end < seen && len(data) <= maxHead {
		if c.input.part == nil {
			c.input.part = &partial{data: bytes.Clone(data)}
		}
		return
	}
	if end < seen || end > maxHead {
		h.engine.counters.refused[refusedHeadTooLarge].Add(1)
		c.answer(appendResponse(nil, http.StatusRequestHeaderFieldsTooLarge, "text/plain", nil))
		return
	}
	head, early := data[:end+4], data[end+4:]
	if !wantsWebSocket(head) || h.engine.options.Foreign != nil && h.engine.foreign(sidOf(head)) {
		h.handOff(c, data) // what may wait for another engine must not stop the loop
		return
	}
	c.input.part = nil
	h.upgrade(c, head, early)
}

// wantsWebSocket reports whether a head has the header Upgrade: websocket.
func wantsWebSocket(head []byte) bool {
	for len(head) > 0 {
		var line []byte
		line, head, _ = bytes.Cut(head, []byte("\n"))
		if name, value, ok := bytes.Cut(line, []byte(":")); ok && len(name) == len("upgrade") &&
			bytes.EqualFold(name, []byte("upgrade")) {
			return bytes.EqualFold(bytes.TrimSpace(value), []byte(transportWebSocket))
		}
	}
	return false
}

// upgrade answers a WebSocket handshake.
func (h *headReader) upgrade(c *conn, head, early []byte) {
	h.in.Reset(head)
	h.out.Reset()
	h.request = Request{Method: http.MethodGet, RemoteAddr: c.remote}
	h.session, h.first, h.refused, h.agreed = nil, false, nil, negotiation{}
	_, err := h.upgrader.Upgrade(h)
	s, r, refused := h.session, h.request, h.refused
	h.request, h.session = Request{}, nil
	switch {
	case refused != nil:
		c.answer(appendResponse(nil, refused.Status, "application/json", refused.body()))
	case err != nil:
		h.engine.counters.refused[refusedRequest].Add(1)
		if h.out.Len() == 0 || !errors.Is(err, io.EOF) && !bytes.HasPrefix(h.out.Bytes(), []byte("HTTP/1.1 4")) {
			c.answer(appendResponse(nil, refusals[refusedRequest].Status, "application/json", refusals[refusedRequest].body()))
			return
		}
		c.answer(bytes.Clone(h.out.Bytes()))
	default:
		c.window = h.agreed.window
		c.open(s, &r, h.first, bytes.Clone(h.out.Bytes()), early)
	}
}

func (h *headReader) onRequest(uri []byte) error {
	path, query, _ := strings.Cut(string(uri), "?")
	h.request.Path = path
	h.request.Query, _ = url.ParseQuery(query) // what can be read of it, like net/http
	return nil
}

func (h *headReader) onHost(host []byte) error {
	h.request.Host = string(host)
	return nil
}

func (h *headReader) onHeader(key, value []byte) error {
	switch string(key) {
	case "Origin":
		h.request.Origin = string(value)
	case "Authorization":
		h.request.Authorization = string(value)
	case "User-Agent":
		h.request.UserAgent = string(value)
	}
	return nil
}

// onUpgrade decides when the head is known to be a handshake.
func (h *headReader) onUpgrade() (ws.HandshakeHeader, error) {
	s, refused := h.engine.check(&h.request, true)
	if s == nil && refused == nil {
		h.first = true
		s, refused = h.engine.begin(h.request.RemoteAddr)
	}
	h.session, h.refused = s, refused
	if refused != nil {
		return nil, errRefused
	}
	return nil, nil //nolint:nilnil // no further headers
}

// handOff makes the connection a net.Conn that begins with what was read already.
func (h *headReader) handOff(c *conn, data []byte) {
	prefix := bytes.Clone(data)
	file := os.NewFile(uintptr(c.fd), "")
	_ = c.loop.control(unix.EPOLL_CTL_DEL, int(c.fd), 0)
	c.loop.poller.table.set(int(c.fd), nil)
	c.loop.poller.open.Add(-1)
	c.setDeadline(0)
	c.state, c.input.part = stateDead, nil
	nc, err := net.FileConn(file)
	_ = file.Close()
	if err != nil {
		h.engine.options.Logger.Warn("connection lost between epoll and net/http", "error", err)
		return
	}
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		_ = nc.Close()
		return
	}
	h.engine.handoff.push(&replayConn{TCPConn: tcp, prefix: prefix})
}

// replayConn reads prefix before the connection.
type replayConn struct {
	*net.TCPConn
	prefix []byte
}

// Read implements net.Conn.
func (c *replayConn) Read(b []byte) (int, error) {
	if len(c.prefix) > 0 {
		n := copy(b, c.prefix)
		if c.prefix = c.prefix[n:]; len(c.prefix) == 0 {
			c.prefix = nil
		}
		return n, nil
	}
	return c.TCPConn.Read(b)
}

// answer writes a response that ends the connection and lingers until the peer has read it.
func (c *conn) answer(response []byte) {
	_, _ = writeBytes(int(c.fd), response) // the peer may be gone
	_ = unix.Shutdown(int(c.fd), unix.SHUT_WR)
	c.state, c.input.part = stateLinger, nil
	c.setDeadline(lingerTime)
}

// appendResponse appends a whole HTTP response after which the connection is closed.
func appendResponse(dst []byte, status int, kind string, body []byte) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(append(dst, ' '), http.StatusText(status)...)
	dst = append(append(dst, "\r\nConnection: close\r\nCache-Control: no-store\r\nContent-Type: "...), kind...)
	dst = append(dst, "\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	return append(append(dst, "\r\n\r\n"...), body...)
}
