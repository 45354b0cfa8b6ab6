package edge

import (
	"maps"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/subjects"
)

// hello.<namespace> asks the services what a fresh socket gets before `connected`: rooms and events.
// More than one service may answer (presence and messaging both greet on /messaging), and nothing
// says how many there are. So the edge learns: it waits for those that answered before, a short time
// at most, and takes what comes later as it comes.

const (
	helloFirst    = 2 * time.Second        // for the first answer; where no service listens there is no wait
	helloPatience = 500 * time.Millisecond // from one answer to the next of a service that answered before
	helloLate     = 2 * time.Second        // after which an answer is not listened to any more
)

// greeters are the services known to answer, per namespace. Methods may be called concurrently.
type greeters struct {
	mu sync.Mutex
	// Guarded by mu.
	known [nsCount]map[string]bool
}

func (g *greeters) expected(n ns) map[string]bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.known[n])
}

func (g *greeters) answered(n ns, service string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.known[n] == nil {
		g.known[n] = make(map[string]bool)
	}
	g.known[n][service] = true
}

// silent forgets services that did not answer; they are learnt again when they do.
func (g *greeters) silent(n ns, services map[string]bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for service := range services {
		delete(g.known[n], service)
	}
}

// greeting is one socket's hello. Its fields are used by its answerer alone.
type greeting struct {
	s        *Server
	k        *socket
	missing  map[string]bool // services that are waited for
	announce *greeted        // what `connected` will say; nil when it is not to be sent (any more)
}

// greet asks the services, applies what they say, and sends `connected` last when announce is set.
// Without any service, `connected` comes at once.
func (s *Server) greet(k *socket, announce *greeted) {
	g := &greeting{s: s, k: k, missing: s.greeters.expected(k.ns), announce: announce}
	header := nats.Header{}
	k.caller().SetHeaders(header)
	subjects.SetDeadline(header, time.Now(), helloFirst+helloLate)
	s.requests.do(subjects.HelloSubject(k.ns.String()), header, nil, helloFirst, g.answer)
}

func (g *greeting) answer(m *nats.Msg, err error) (more time.Duration) {
	if err != nil {
		first := g.announce != nil
		g.s.greeters.silent(g.k.ns, g.missing)
		g.complete()
		if first && subjects.CodeOf(err) == subjects.CodeTimeout {
			return helloLate
		}
		return 0
	}
	service := m.Header.Get(subjects.HeaderService)
	g.s.greeters.answered(g.k.ns, service)
	delete(g.missing, service)
	g.apply(m)
	if len(g.missing) > 0 {
		return helloPatience
	}
	g.complete()
	return helloLate
}

func (g *greeting) apply(m *nats.Msg) {
	if err := subjects.ErrorOf(m); err != nil {
		g.s.log.Warn("hello refused by a service", "namespace", g.k.ns.String(), "code", subjects.CodeOf(err))
		return
	}
	reply, err := subjects.ParseReply(m)
	if err != nil {
		g.s.log.Error("hello is not understood", "namespace", g.k.ns.String(), "error", err)
		return
	}
	g.s.applyRooms(g.k, reply)
	g.k.emitAll(reply.Events)
	if len(reply.Join)+len(reply.Leave) > 0 {
		g.s.save(g.k, func(error) {}) // connected waits for it, see complete
	}
}

func (g *greeting) complete() {
	what := g.announce
	if what == nil {
		return
	}
	g.announce = nil
	// Behind the writes that are under way: what connected promises is kept.
	g.s.saved(g.k, func() {
		g.s.mailbox.post(func() { g.k.announce(time.Now(), what) })
	})
}
