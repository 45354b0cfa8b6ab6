package edge

import (
	"errors"
	"time"

	"github.com/lexiflow/realtime/edge/engine"
	"github.com/lexiflow/realtime/edge/sio"
	"github.com/lexiflow/realtime/subjects"
)

// connect answers a CONNECT: CONNECT_ERROR for what will not get better by coming back, a closed
// transport for what will (design 3, Refusals), and else CONNECT, the services' hello, `connected`.
//
// The token is verified before anything is answered and nothing here waits, so no event of the client
// can run in between (contract 8, B6).
func (c *client) connect(p sio.Packet) {
	n, ok := namespaceNamed(p.Namespace)
	if !ok {
		c.refuseNamespace(p.Namespace)
		return
	}
	if c.socket(p.Namespace) != nil {
		c.drop(reasonTwiceConnected, engine.ReasonParseError)
		return
	}
	if reason := c.server.unavailable(); reason != "" {
		c.drop(reason, engine.ReasonServerClose)
		return
	}
	who, err := c.server.options.Keys.verify(connectToken(p.Data, c.token))
	if errors.Is(err, errKeyUnknown) {
		c.drop(reasonKeyUnknown, engine.ReasonServerClose)
		return
	}
	if err != nil {
		c.server.throttle.failed(c.address, time.Now())
		c.refuseConnect(n, refuse(subjects.CodeAuthFailed, "Authentication failed: "+err.Error()))
		return
	}
	if c.server.revocations.covers(who) {
		c.server.metrics.refused(reasonRevoked)
		c.refuseConnect(n, refuse(subjects.CodeAuthFailed, "Authentication failed: the token is revoked"))
		return
	}
	account, no := c.server.accounts.open(who.user, n, len(c.sockets) == 0)
	if no != nil {
		c.refuseConnect(n, no)
		return
	}
	k := &socket{client: c, ns: n, id: newSocketID(), user: who.user, account: account, since: time.Now()}
	k.who.Store(who)
	c.accept(k)
}

// accept makes the socket a member of its own rooms, answers, and greets.
func (c *client) accept(k *socket) {
	c.sockets = append(c.sockets, k)
	c.session.Established()
	c.server.metrics.sockets[k.ns].Inc()
	if own, err := subjects.Room(subjects.KindUser, k.user); err == nil {
		k.join(own, roomOwn)
	}
	k.join(roomAll, roomOwn)
	k.activity.Store(k.since.UnixMilli())
	c.server.connections.opened(k)
	k.send(sio.AppendConnectSID(nil, k.ns.String(), k.id.String(), ""))
	c.server.greet(k, true)
}

// roomAll is the room of everybody in a namespace; it ends at the firm's NATS account (design 2).
const roomAll = "all.all"

// refuseNamespace answers exactly as the reference does, without data.
func (c *client) refuseNamespace(name string) {
	c.server.metrics.refused(reasonUnknownNamespace)
	c.session.Send(engine.Text(sio.AppendConnectError(nil, name, "Invalid namespace", nil)))
	c.countRefused()
}

func (c *client) refuseConnect(n ns, r *refusal) {
	c.server.metrics.refused(r.reason())
	c.session.Send(engine.Text(sio.AppendConnectError(nil, n.String(), r.message, r.connectData())))
	c.countRefused()
}

// countRefused ends a client that keeps asking: each refusal costs a verification.
func (c *client) countRefused() {
	if c.refused++; c.refused > c.server.limits.Namespaces {
		c.drop(reasonTooManyRefusals, engine.ReasonServerClose)
	}
}

// connectedEvent is the superset of what the original's namespaces announce (contract 1.0).
type connectedEvent struct {
	Message   string `json:"message,omitempty"`
	UserID    string `json:"userId"`
	SocketID  string `json:"socketId"`
	Namespace string `json:"namespace"`
	Timestamp string `json:"timestamp"`
}

// announce emits `connected`, which ends the opening exchange.
func (k *socket) announce(now time.Time) {
	e := connectedEvent{
		UserID: k.user, SocketID: k.id.String(), Namespace: k.ns.label(), Timestamp: iso(now),
	}
	if k.ns == nsEvents || k.ns.alias() {
		e.Message = "Connected to LexiFlow realtime"
	}
	k.emit("connected", mustJSON(e))
}

// caller is the identity that services see; it comes from the token and this socket alone.
func (k *socket) caller() subjects.Caller {
	return subjects.Caller{
		User: k.user, Socket: k.id.String(), Edge: k.client.server.options.Name, Scope: k.who.Load().scope,
	}
}
