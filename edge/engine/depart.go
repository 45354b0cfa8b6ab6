package engine

import (
	"net/http"
	"time"

	"github.com/lexiflow/realtime/edge/sio"
)

// What this engine does for others that clients of its sessions have reached (foreign.go is their side).
//
// A request that another engine passes on is answered exactly as if it had come here. A session on polling
// leaves for a WebSocket elsewhere with everything that waits for its client, or stays; nothing that was
// sent is in both places or in neither.

// ServeSession answers a GET or POST that another engine passes on. It never asks Foreign, so a request
// takes one step at most.
func (e *Engine) ServeSession(w http.ResponseWriter, r *http.Request, sid string) {
	s := e.registry.get(sid)
	if s == nil {
		e.RefuseUnknown(w)
		return
	}
	e.servePolling(w, r, s)
}

// Has reports whether a session is here.
func (e *Engine) Has(sid string) bool { return e.registry.get(sid) != nil }

// Release lets a GET that is held end with a noop.
func (e *Engine) Release(sid string) {
	if s := e.registry.get(sid); s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.polling != nil {
			s.polling.signal()
		}
	}
}

// Break ends a session whose client did not get an answer or did not finish a request.
func (e *Engine) Break(sid string) {
	if s := e.registry.get(sid); s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.polling != nil {
			s.close(ReasonTransportError)
		}
	}
}

// Offer is a session on polling that may go on in another engine. For as long as it stands no WebSocket can
// take the session over here, and GETs end soon, so that the client can commit.
type Offer struct{ s *Session }

// Offer offers a session; nil when it is not here, not on polling, or promised to another WebSocket.
func (e *Engine) Offer(sid string) *Offer {
	s := e.registry.get(sid)
	if s == nil {
		return nil
	}
	o := &Offer{s}
	if !s.attach(o) {
		e.counters.refused[refusedSecondSocket].Add(1)
		return nil
	}
	s.probed(o)
	return o
}

// Session is what is offered.
func (o *Offer) Session() *Session { return o.s }

// Withdraw ends the offer; after Depart it does nothing.
func (o *Offer) Withdraw() {
	s := o.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.polling; p != nil && p.probe == link(o) {
		p.probe, p.probed = nil, false
	}
}

// Departure is what a session takes along.
type Departure struct {
	Frames      []Waiting     `json:"frames,omitempty"`
	Established bool          `json:"established"`
	Pinged      bool          `json:"pinged,omitempty"` // a ping is out, perhaps among the frames
	Age         time.Duration `json:"age"`              // since the handshake
	Beat        time.Duration `json:"beat"`             // since the handshake or the last pong
}

// Waiting is one frame that the client has not got.
type Waiting struct {
	Class   Class  `json:"class,omitempty"`
	Key     uint64 `json:"key,omitempty"`
	Payload []byte `json:"payload"` // as in a polling body
}

// Depart ends the session here, for ReasonMoved, and returns what it takes along. It calls pack when nothing
// stands in the way; from then on pack's caller sends nothing more. Between pack and the end no callback
// runs. Depart returns nil when the session cannot go, and again says whether it may be able to soon:
// callbacks and requests in flight pass, and pack may return false to wait for what its caller has in flight.
func (o *Offer) Depart(pack func() bool) (d *Departure, again bool) {
	s := o.s
	if !s.in.TryLock() {
		return nil, true
	}
	defer s.in.Unlock()
	if standing, busy := o.standing(); !standing || busy {
		return nil, standing
	}
	if !pack() {
		return nil, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p, now := s.polling, s.engine.now()
	if s.closing {
		return nil, false
	}
	d = &Departure{
		Established: s.established, Pinged: s.pinged,
		Age: time.Duration(now - s.opened), Beat: time.Duration(now - s.beat),
	}
	list, _ := s.queue.take()
	bytes := 0
	for _, f := range list {
		d.Frames = append(d.Frames, Waiting{f.class, f.key, f.appendPolling(nil)})
		bytes += len(f.wire)
	}
	s.queue.wrote(list, 0, bytes)
	if p.get != nil && p.get.answer == nil {
		p.give(&answer{refused: true, refusal: refusedRequest}) // as in commit
	}
	s.close(ReasonMoved)
	p.tail, p.tailUntil = tailMoved, now+int64(closeTail)
	return d, false
}

// standing reports whether the session still waits for this offer's commit, and whether something is in
// flight.
func (o *Offer) standing() (standing, busy bool) {
	s := o.s
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.polling
	if s.closing || s.after != ReasonNone || p == nil || p.probe != link(o) {
		return false, false
	}
	return true, p.posting
}

// Restore gives a session that arrives what it had. It comes before everything that is sent to it here.
func (s *Session) Restore(d *Departure) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.engine.now()
	s.established, s.pinged = d.Established, d.Pinged
	s.opened, s.beat = now-int64(d.Age), now-int64(d.Beat)
	for _, waiting := range d.Frames {
		f, err := waiting.frame()
		if err != nil {
			return err
		}
		s.queue.push(f)
	}
	return nil
}

// frame undoes appendPolling.
func (w Waiting) frame() (*Frame, error) {
	var frames []*Frame
	for packets := sio.NewPayloadReader(w.Payload); ; {
		p, ok, err := packets.Next()
		switch {
		case err != nil:
			return nil, err
		case !ok:
			return join(frames).As(w.Class, w.Key), nil
		case p.Binary:
			frames = append(frames, Binary(p.Data))
		case p.Type == sio.Message:
			frames = append(frames, Text(p.Data))
		default:
			frames = append(frames, packet(string(rune(p.Type))+string(p.Data)))
		}
	}
}

// An Offer stands where a WebSocket's probe would, but the bytes go elsewhere.

func (o *Offer) kick(*Session)                                   {}
func (o *Offer) arm(*Session)                                    {}
func (o *Offer) direct([]byte)                                   {}
func (o *Offer) shut(uint16, bool)                               {}
func (o *Offer) write([]*Frame, int, *vector) (n int, err error) { return 0, nil }
func (o *Offer) inflates() uint8                                 { return 0 }
