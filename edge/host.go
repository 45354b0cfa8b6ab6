package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// host answers what other edges ask about the sessions of this one: polls that reached them (forward.go)
// and moves (move.go). It promises that the engine sees such a request as one of its own listener, that one
// for a session which is not here is answered at once, and that it never passes anything on. What it keeps
// is bounded by the engine's sessions: a session has one GET and one POST, a second one ends it.
type host struct {
	s     *Server
	chunk int
	subs  []*nats.Subscription
	ended chan struct{} // closed by stop
	group sync.WaitGroup

	mu sync.Mutex
	// Guarded by mu.
	stopped bool
	uploads map[string]*upload // POSTs in chunks, by key
	offers  map[string]*offer  // moves, by key
}

func newHost(s *Server, chunk int) *host {
	return &host{s: s, chunk: chunk, ended: make(chan struct{}), uploads: make(map[string]*upload), offers: make(map[string]*offer)}
}

// start returns when other edges can reach this one, which must be before it has a session.
func (h *host) start() error {
	for what, take := range map[string]nats.MsgHandler{subjectPoll: h.poll, subjectMove: h.move} {
		sub, err := h.s.nc.Subscribe(markSubject(h.s.mark, what), take)
		if err != nil {
			return fmt.Errorf("subscribe %s: %w", what, err)
		}
		h.subs = append(h.subs, sub)
	}
	if err := h.s.nc.FlushTimeout(h.s.options.CommandTimeout); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	return nil
}

// stop returns when nothing of it runs any more. The engine has closed its sessions before.
func (h *host) stop() {
	for _, sub := range h.subs {
		_ = sub.Unsubscribe() // fails only when the connection is gone, and the subscription with it
	}
	h.mu.Lock()
	h.stopped = true
	h.mu.Unlock()
	close(h.ended)
	h.group.Wait()
}

// background runs what may wait, on a goroutine that stop waits for.
func (h *host) background(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.stopped {
		h.group.Go(f)
	}
}

// poll takes one question. It does not wait for anything.
func (h *host) poll(m *nats.Msg) {
	q := readQuestion(m)
	switch q.op {
	case opAlive:
		h.respond(m, reply{status: http.StatusOK})
	case opRelease:
		h.s.engine.Release(q.sid)
	case opBreak:
		h.s.engine.Break(q.sid)
		h.breakUploads(q.sid)
	case opGet, opPost:
		if !h.s.engine.Has(q.sid) {
			h.respond(m, h.serve(context.Background(), q, http.MethodGet, nil))
			return
		}
		if q.op == opGet {
			if q.last {
				time.AfterFunc(briefHold, func() { h.s.engine.Release(q.sid) })
			}
			h.background(func() { h.respond(m, h.serve(context.Background(), q, http.MethodGet, nil)) }) // ends with the session
			return
		}
		h.background(func() { h.upload(m, q) })
	case opPart:
		h.mu.Lock()
		u := h.uploads[q.key]
		h.mu.Unlock()
		if u == nil || !u.offer(part{m, q}) {
			h.respond(m, reply{status: http.StatusBadRequest})
		}
	default:
		h.respond(m, reply{status: http.StatusNotImplemented}) // of a newer edge
	}
}

// briefHold is how long a GET is held for an edge that drains.
const briefHold = 250 * time.Millisecond

// serve has the engine answer a request.
func (h *host) serve(ctx context.Context, q inquiry, method string, body io.Reader) reply {
	w := &bufferedResponse{header: http.Header{}, reply: reply{status: http.StatusOK}}
	r, err := http.NewRequestWithContext(ctx, method, "/", body)
	if err != nil {
		return reply{status: http.StatusBadRequest}
	}
	r.Header.Set("Content-Type", q.kind)
	h.s.engine.ServeSession(w, r, q.sid)
	w.kind = w.header.Get("Content-Type")
	return w.reply
}

func (h *host) respond(m *nats.Msg, a reply) {
	if err := respond(h.s.nc, m.Reply, a, h.chunk); err != nil {
		h.s.log.Warn("a forwarded request is not answered", "error", err) // who asked gives up
	}
}

// upload serves a POST whose body comes in chunks.
func (h *host) upload(m *nats.Msg, q inquiry) {
	u := &upload{host: h, sid: q.sid, current: part{m, q}, rest: q.body, next: make(chan part, 1), broken: make(chan struct{}, 1)}
	if !q.last {
		h.mu.Lock()
		h.uploads[q.key] = u
		h.mu.Unlock()
		defer func() {
			h.mu.Lock()
			delete(h.uploads, q.key)
			h.mu.Unlock()
		}()
	}
	a := h.serve(context.Background(), q, http.MethodPost, u)
	h.respond(u.current.m, a)
}

// breakUploads ends the POST of a session whose client has broken it off.
func (h *host) breakUploads(sid string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, u := range h.uploads {
		if u.sid == sid {
			select {
			case u.broken <- struct{}{}:
			default:
			}
		}
	}
}

// part is a chunk and the message to answer it on.
type part struct {
	m *nats.Msg
	q inquiry
}

// upload is the body of a POST. It asks for the next chunk when the engine wants more.
type upload struct {
	host    *host
	sid     string
	current part
	rest    []byte
	next    chan part     // capacity 1: who sends waits to be asked
	broken  chan struct{} // capacity 1
}

func (u *upload) offer(p part) bool {
	select {
	case u.next <- p:
		return true
	default:
		return false
	}
}

var errUpload = errors.New("edge: the rest of a body did not come")

// Read implements io.Reader.
func (u *upload) Read(b []byte) (int, error) {
	for len(u.rest) == 0 {
		if u.current.q.last {
			return 0, io.EOF
		}
		u.host.respond(u.current.m, reply{status: http.StatusContinue})
		late := time.NewTimer(bodyTime)
		select {
		case u.current = <-u.next:
			late.Stop()
		case <-late.C:
			return 0, errUpload
		case <-u.broken:
			return 0, errUpload
		case <-u.host.ended:
			return 0, errUpload
		}
		u.rest = u.current.q.body
	}
	n := copy(b, u.rest)
	u.rest = u.rest[n:]
	return n, nil
}
