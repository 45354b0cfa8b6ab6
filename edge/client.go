package edge

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lexiflow/realtime/edge/engine"
	"github.com/lexiflow/realtime/edge/sio"
)

// client is one engine connection and the namespaces it has joined. The engine calls it from one
// callback at a time; the bus's answers come on other goroutines.
type client struct {
	// Static after Open.
	server  *Server
	session *engine.Session
	token   string // from the handshake; "" when the client sends it with each CONNECT
	address string // without the port
	device  device

	// Static after the first message, see wire.go.
	form  sio.Form
	heard bool

	// Owned by the session's callbacks.
	decoder sio.Decoder

	// turn is held while a packet is acted on: by the session's callbacks, or when an opening has ended by
	// who acts on what came meanwhile. It comes before mu.
	turn    sync.Mutex
	waiting []sio.Packet // for namespaces that are being opened, in order

	refused atomic.Int32 // CONNECTs refused so far
	owed    atomic.Int32 // acks that the client waits for

	mu sync.Mutex
	// Guarded by mu.
	sockets []*socket
	opening [nsCount]bool // CONNECTs that wait for the bus
	held    int           // sockets that count, opening ones included
	closed  bool
}

// gateway is the engine's Handler: it gives packets to the client they belong to.
type gateway struct{ s *Server }

// Open remembers what later CONNECTs need of the handshake.
func (g gateway) Open(session *engine.Session, r *engine.Request) {
	session.App = &client{
		server: g.s, session: session,
		token:   handshakeToken(r, !g.s.options.NoQueryToken),
		address: addressOf(r.RemoteAddr),
		device:  deviceOf(r.UserAgent),
	}
}

// Message decodes one Engine.IO message and acts on the packet that it completes.
func (g gateway) Message(session *engine.Session, data []byte, binary bool) {
	c, _ := session.App.(*client)
	packet, complete, err := c.decode(data, binary)
	if err != nil {
		// The reference closes the connection on undecodable input, without a reply.
		c.drop(malformed(err), engine.ReasonParseError)
		return
	}
	if complete {
		c.turn.Lock()
		defer c.turn.Unlock()
		c.packet(packet)
	}
}

// Close gives back everything that the client held.
func (g gateway) Close(session *engine.Session, _ engine.Reason) {
	c, _ := session.App.(*client)
	if c == nil {
		return // it did not arrive; see arrive.go
	}
	c.mu.Lock()
	c.closed = true
	sockets := slices.Clone(c.sockets)
	c.mu.Unlock()
	for _, k := range sockets {
		c.remove(k, false)
	}
}

// packet acts on one Socket.IO packet (socketio-protocol 8, 9).
func (c *client) packet(p sio.Packet) {
	if p.Type == sio.Connect {
		c.connect(p)
		return
	}
	k := c.socket(p.Namespace)
	if k == nil && c.isOpening(p.Namespace) {
		c.wait(p)
		return
	}
	if k == nil {
		c.drop(reasonNotConnected, engine.ReasonParseError)
		return
	}
	switch p.Type {
	case sio.Event, sio.BinaryEvent:
		c.server.event(k, p)
	case sio.Disconnect:
		c.remove(k, true)
	case sio.Ack, sio.BinaryAck:
		// The edge asks no client for an ack; unknown ids are ignored, as the reference does.
	default:
		c.drop(reasonUnexpectedPacket, engine.ReasonParseError)
	}
}

func (c *client) socket(namespace string) *socket {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.sockets {
		if k.ns.String() == namespace {
			return k
		}
	}
	return nil
}

func (c *client) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

func (c *client) all() []*socket {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.sockets)
}

// begin marks a namespace as being opened; not when it is open, or opening, already.
func (c *client) begin(n ns) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.opening[n] || slices.ContainsFunc(c.sockets, func(k *socket) bool { return k.ns == n }) {
		return false
	}
	c.opening[n] = true
	return true
}

func (c *client) isOpening(namespace string) bool {
	n, ok := namespaceNamed(namespace)
	c.mu.Lock()
	defer c.mu.Unlock()
	return ok && c.opening[n]
}

// wait keeps a packet that came before its namespace's CONNECT had an answer: it must not run before
// that (contract 8, B6), and the official client sends none. Few are kept.
func (c *client) wait(p sio.Packet) {
	if len(c.waiting) >= maxWaiting || len(p.Data) > maxWaitingBytes || len(p.Attachments) > 0 {
		c.drop(reasonNotConnected, engine.ReasonParseError)
		return
	}
	p.Data = slices.Clone(p.Data)
	c.waiting = append(c.waiting, p)
}

const (
	maxWaiting      = 16
	maxWaitingBytes = 16 << 10
)

// opened acts on what waited for a namespace's CONNECT, which has been answered.
func (c *client) opened(n ns) {
	c.turn.Lock()
	defer c.turn.Unlock()
	waiting := c.waiting
	c.waiting = nil
	for _, p := range waiting {
		if p.Namespace == n.String() {
			c.packet(p)
		} else {
			c.waiting = append(c.waiting, p)
		}
	}
}

// end says that the opening has failed.
func (c *client) end(n ns) {
	c.mu.Lock()
	c.opening[n] = false
	c.mu.Unlock()
}

// hold takes a place on the user's account for a socket that is being opened; without an account and
// without a refusal there is doubt. A resumed socket is never refused for a limit: it takes the place of
// the one that it was.
func (c *client) hold(user string, n ns, resumed bool, q attempt) (*account, *refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	account, no := c.server.accounts.open(user, n, c.held == 0, resumed, q)
	if account != nil {
		c.held++
	}
	return account, no
}

func (c *client) release(k *socket) {
	c.mu.Lock()
	c.held--
	last := c.held == 0
	c.mu.Unlock()
	c.server.accounts.close(k.account, k.ns, last)
	c.server.talk.doubts.look()
}

// add makes a socket one of the client's, unless the client is gone by now.
func (c *client) add(k *socket) bool {
	c.mu.Lock()
	c.opening[k.ns] = false
	gone := c.closed
	if !gone {
		c.sockets = append(c.sockets, k)
	}
	c.mu.Unlock()
	if gone {
		c.release(k)
		return false
	}
	c.session.Established()
	c.server.metrics.sockets[k.ns].Inc()
	k.activity.Store(k.since.UnixMilli())
	c.server.connections.opened(k)
	return true
}

// remove ends one socket: rooms, counts and the news of it to its generic rooms. clean says that the
// client left by itself, so that nobody need wait for it to come back.
func (c *client) remove(k *socket, clean bool) {
	c.mu.Lock()
	i := slices.Index(c.sockets, k)
	if i >= 0 {
		c.sockets = slices.Delete(c.sockets, i, i+1)
	}
	c.mu.Unlock()
	if i < 0 {
		return
	}
	now := time.Now()
	c.server.leaveSession(k, clean, now)
	for _, name := range k.shut() {
		c.server.accounts.leave(k.account, name)
		c.server.announceLeft(k, name)
	}
	c.release(k)
	c.server.metrics.sockets[k.ns].Dec()
	c.server.connections.closed(k, clean, now)
}

// drop closes the connection for a named reason. Transport loss makes the official client come back,
// a DISCONNECT packet would not.
func (c *client) drop(reason string, how engine.Reason) {
	c.server.metrics.refused(reason)
	c.session.Close(how)
}

// malformed names the way in which a packet was: the codec knows.
func malformed(err error) string {
	if e, ok := errors.AsType[sio.Error](err); ok {
		return "malformed_" + e.Reason()
	}
	return reasonMalformed
}

// addressOf cuts the port off.
func addressOf(remote string) string {
	if i := strings.LastIndexByte(remote, ':'); i >= 0 {
		return strings.Clone(remote[:i])
	}
	return remote
}
