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
	if reason := c.server.unavailable(); reason != "" {
		c.drop(reason, engine.ReasonServerClose)
		return
	}
	if !c.begin(n) {
		c.drop(reasonTwiceConnected, engine.ReasonParseError)
		return
	}
	token := connectToken(p.Data, c.token)
	pid, offset := resumeRequest(p.Data)
	who, expired, err := c.server.options.Keys.verifyFor(token, pid != "")
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
	if pid != "" {
		(&resumption{c: c, n: n, who: who, expired: expired, pid: pid, offset: offset}).begin()
		return
	}
	c.fresh(n, who)
}

// fresh opens a new session when there is a place for it on the user's account. Whether there is may be
// in doubt for a moment.
func (c *client) fresh(n ns, who *identity) {
	c.server.whenSettled(func(q attempt) (settled bool) {
		account, no := c.hold(who.user, n, false, q)
		switch {
		case no != nil:
			c.refuseConnect(n, no)
		case account != nil:
			c.openFresh(n, who, account)
		default:
			return c.isClosed()
		}
		return true
	})
}

// openFresh opens it. Its CONNECT waits until the session is kept.
func (c *client) openFresh(n ns, who *identity, account *account) {
	k := &socket{
		client: c, ns: n, id: newSocketID(), user: who.user, account: account, since: time.Now(),
		pid: newSocketID().String(), start: c.server.fanned.Load(),
	}
	k.who.Store(who)
	c.server.save(k, func(err error) {
		if err != nil {
			c.abandon(k, err)
			return
		}
		if !c.add(k) {
			c.server.forget(k)
			return
		}
		k.joinOwn()
		if c.server.revokedMeanwhile(k) {
			return
		}
		c.session.Hold() // hello is mostly answered at once, and then `connected` leaves in the same write
		k.accept()
		c.opened(n)
		c.server.greet(k, &greeted{})
	})
}

// abandon gives up an opening that the bus did not let happen; the client comes back.
func (c *client) abandon(k *socket, err error) {
	c.end(k.ns)
	c.release(k)
	c.server.log.Warn("session not kept", "namespace", k.ns.String(), "error", err)
	c.drop(reasonBusAway, engine.ReasonServerClose)
}

// joinOwn enters the rooms that every socket is in.
func (k *socket) joinOwn() {
	for _, name := range k.ownRooms() {
		k.join(name, roomOwn)
	}
}

func (k *socket) ownRooms() []string {
	own, err := subjects.Room(subjects.KindUser, k.user)
	if err != nil {
		return []string{roomAll} // verify admits no such user
	}
	return []string{own, roomAll}
}

// accept answers the CONNECT.
func (k *socket) accept() {
	c := k.client
	c.send(c.form.AppendConnectSID(nil, k.ns.String(), k.id.String(), k.pid))
}

// roomAll is the room of everybody in a namespace; it ends at the firm's NATS account (design 2).
const roomAll = "all.all"

// refuseNamespace answers exactly as the reference does, without data.
func (c *client) refuseNamespace(name string) {
	c.server.metrics.refused(reasonUnknownNamespace)
	c.send(c.form.AppendConnectError(nil, name, "Invalid namespace", nil))
	c.countRefused()
}

func (c *client) refuseConnect(n ns, r *refusal) {
	c.end(n)
	c.server.metrics.refused(r.reason())
	c.send(c.form.AppendConnectError(nil, n.String(), r.message, r.connectData()))
	c.countRefused()
}

// countRefused ends a client that keeps asking: each refusal costs a verification.
func (c *client) countRefused() {
	if int(c.refused.Add(1)) > c.server.limits.Namespaces {
		c.drop(reasonTooManyRefusals, engine.ReasonServerClose)
	}
}

// greeted is what `connected` says of a resumption; zero for a fresh session.
type greeted struct {
	recovered bool
	from      uint64
	missed    int
}

// announce emits `connected`, which ends the opening exchange. It runs on the fan-out goroutine: the
// position that it names is behind every event that was queued before it.
func (k *socket) announce(now time.Time, g *greeted) {
	position := max(k.client.server.fanned.Load(), k.delivered)
	e := subjects.ConnectionEvent{
		UserID: k.user, SocketID: k.id.String(), Namespace: k.ns.label(), Base: subjects.Base{Timestamp: subjects.At(now)},
		Recovered: g.recovered, From: g.from, To: position, Missed: g.missed,
	}
	if k.ns == nsEvents || k.ns.alias() {
		e.Message = "Connected to LexiFlow realtime"
	}
	c := k.client
	c.send(c.form.AppendEvent(nil, k.ns.String(), "connected", encodeConnected(&e), offsetOf(position)))
	c.session.Release()
	k.greeted.Store(true)
}

// caller is the identity that services see; it comes from the token and this socket alone.
func (k *socket) caller() subjects.Caller {
	return subjects.Caller{
		User: k.user, Socket: k.id.String(), Edge: k.client.server.options.Name, Scope: k.who.Load().scope,
	}
}
