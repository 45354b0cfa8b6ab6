package edge

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/lexiflow/realtime/edge/engine"
	"github.com/lexiflow/realtime/subjects"
)

// A polling client's next request may reach any edge. Its session lives on the one whose mark the sid begins
// with, and every other edge passes the request on to ctl.edge.<mark>.poll and the answer back (host.go is
// the owner's side, exchange.go how they speak).
//
// forwarder promises that the client sees what a single edge would have answered, once: a request is never
// sent twice, and takes one step, since the owner answers it or nobody. When it cannot be known whether an
// answer arrived, the session is ended at its owner and the client told that it is unknown, so that it comes
// back at once and resumes with nothing lost. An owner that is gone is noticed when it is asked, and within
// ownerEvery while it holds a GET. What it keeps is bounded by the requests that clients have open here, one
// chunk of a POST and one answer each.
type forwarder struct {
	s     *Server
	chunk int // bytes of one message

	mu sync.Mutex
	// Guarded by mu.
	owners     map[string]*owner
	held       map[*heldGet]struct{}
	reconnects uint64 // of the connection to NATS, as of the last look
	draining   bool
}

// owner is an edge that has requests of ours in hand, by its mark. Its fields are guarded by forwarder.mu.
type owner struct {
	mark   string
	inHand int
	silent int           // questions in a row that it did not answer
	lost   chan struct{} // closed when it is given up
}

type heldGet struct{ mark, sid string }

const (
	ownerEvery  = 500 * time.Millisecond // how often an owner that has requests in hand is asked whether it lives
	ownerSilent = 6                      // unanswered questions after which it is given up
	maxChunk    = 256 << 10
	holdSlack   = 5 * time.Second // that a held GET may take beyond the time in which its session would have ended
)

func newForwarder(s *Server) *forwarder {
	return &forwarder{
		s: s, chunk: int(min(maxChunk, s.nc.MaxPayload()/2)),
		owners: make(map[string]*owner), held: make(map[*heldGet]struct{}),
	}
}

// Outcomes of a forwarded request, beside the answer's status: labels of forwarded_polls_total.
const (
	forwardOwnerGone  = "owner_gone"  // no edge has this mark (any more), or it does not answer
	forwardBusAway    = "bus_away"    // NATS is not connected here
	forwardClientGone = "client_gone" // it gave up, or did not take the answer
	forwardLate       = "late"        // no answer within the time that a GET is held
	forwardGarbled    = "garbled"     // an answer that is none
)

// poll answers a request of a session that another edge has. It is the engine's Foreign.Poll.
func (f *forwarder) poll(w http.ResponseWriter, r *http.Request, sid string) {
	var (
		a   *reply
		err error
	)
	switch r.Method {
	case http.MethodGet:
		a, err = f.get(r.Context(), sid)
	case http.MethodPost:
		a, err = f.post(w, r, sid)
	default:
		a = &reply{status: http.StatusInternalServerError} // as the engine
	}
	if err == nil {
		err = f.write(w, a)
		f.s.countForwarded(a, err)
		if err != nil {
			f.tell(sid, opBreak)
		}
		return
	}
	f.s.countForwarded(nil, err)
	f.tell(sid, opBreak)
	f.s.engine.RefuseUnknown(w)
}

// get passes on a GET, which its owner holds until it has something.
func (f *forwarder) get(ctx context.Context, sid string) (*reply, error) {
	ctx, cancel := context.WithTimeout(ctx, f.s.options.PingInterval+f.s.options.PingTimeout+holdSlack)
	defer cancel()
	g := &heldGet{markOf(sid), sid}
	f.mu.Lock()
	f.held[g] = struct{}{}
	draining := f.draining
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.held, g)
		f.mu.Unlock()
	}()
	return f.ask(ctx, g.mark, subjectPoll, inquiry{op: opGet, sid: sid, last: draining})
}

// post passes on a POST, in chunks of which each is asked for: a session that does not exist costs one.
func (f *forwarder) post(w http.ResponseWriter, r *http.Request, sid string) (*reply, error) {
	limit := f.s.limits.MaxPayload
	if r.ContentLength > int64(limit) {
		w.Header().Set("Connection", "close") // the body stays unread
		return &reply{status: http.StatusRequestEntityTooLarge}, nil
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTime)) // only tests' writers have none
	q := inquiry{op: opPost, sid: sid, key: nuid.Next(), kind: r.Header.Get("Content-Type")}
	size := f.chunk
	if r.ContentLength >= 0 {
		size = min(size, int(r.ContentLength)+1) // one more, so that the end shows
	}
	chunk := make([]byte, size)
	for {
		n, last, err := fill(r.Body, chunk)
		if err != nil {
			return nil, errClientGone
		}
		q.body, q.last = chunk[:n], last
		a, err := f.ask(r.Context(), markOf(sid), subjectPoll, q)
		switch {
		case err != nil:
			return nil, err
		case a.status != http.StatusContinue:
			if q.last {
				_ = control.SetReadDeadline(time.Time{})
			} else {
				w.Header().Set("Connection", "close")
			}
			return a, nil
		case q.last:
			return nil, errGarbled
		}
		q.op, q.kind = opPart, ""
	}
}

// fill reads until the chunk is full or the body ends. Not io.ReadFull, which says the same of a body that
// has ended and of one that broke off.
func fill(body io.Reader, chunk []byte) (n int, last bool, err error) {
	for n < len(chunk) {
		more, err := body.Read(chunk[n:])
		n += more
		if errors.Is(err, io.EOF) {
			return n, true, nil
		}
		if err != nil {
			return n, false, err
		}
	}
	return n, false, nil
}

// bodyTime is the engine's HandshakeTimeout: what a client has for a POST's body.
const bodyTime = 10 * time.Second

// write answers in one piece, as the engine does.
func (f *forwarder) write(w http.ResponseWriter, a *reply) error {
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Now().Add(f.s.options.PingTimeout)) // only tests' writers have none
	h := w.Header()
	if a.kind != "" {
		h.Set("Content-Type", a.kind)
	}
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	if f.leaving() {
		h.Set("Connection", "close")
	}
	w.WriteHeader(a.status)
	_, err := w.Write(a.body)
	if err == nil {
		err = control.Flush()
	}
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return errClientGone
	}
	_ = control.SetWriteDeadline(time.Time{})
	return nil
}

// tell sends a session's owner something that needs no answer.
func (f *forwarder) tell(sid, op string) {
	if !f.s.nc.IsConnected() {
		return // the session ends by its heartbeat
	}
	m := inquiry{op: op, sid: sid}.message(markOf(sid), subjectPoll)
	if err := f.s.nc.PublishMsg(m); err != nil {
		f.s.log.Warn("the owner of a session is not told", "op", op, "error", err)
	}
}

// drain lets the GETs that are held end, so that their clients' next ones go to other edges.
func (f *forwarder) drain() {
	f.mu.Lock()
	f.draining = true
	f.mu.Unlock()
	f.release()
}

func (f *forwarder) release() {
	f.mu.Lock()
	held := slices.Collect(maps.Keys(f.held))
	f.mu.Unlock()
	for _, g := range held {
		f.tell(g.sid, opRelease)
	}
}

func (f *forwarder) leaving() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.draining
}

// holding is how many GETs other edges hold for clients of this one.
func (f *forwarder) holding() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.held)
}

// enter notes that an owner has one more request in hand.
func (f *forwarder) enter(mark string) *owner {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := f.owners[mark]
	if o == nil {
		o = &owner{mark: mark, lost: make(chan struct{})}
		f.owners[mark] = o
	}
	o.inHand++
	return o
}

func (f *forwarder) leave(o *owner) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if o.inHand--; o.inHand == 0 && f.owners[o.mark] == o {
		delete(f.owners, o.mark)
	}
}

// watch asks the owners that have requests in hand whether they live. NATS says at once that nobody listens,
// but not that who has listened died before the answer.
func (f *forwarder) watch(time.Time) {
	if f.leaving() {
		f.release() // one that was overtaken by the first word
	}
	f.mu.Lock()
	// What was said while the connection was lost cannot have been heard.
	again := f.s.nc.Stats().Reconnects
	unheard := again != f.reconnects
	f.reconnects = again
	owners := slices.Collect(maps.Values(f.owners))
	f.mu.Unlock()
	for _, o := range owners {
		if unheard {
			f.lose(o)
			continue
		}
		m := inquiry{op: opAlive}.message(o.mark, subjectPoll)
		f.s.requests.do(m.Subject, m.Header, nil, ownerEvery, once(func(_ *nats.Msg, err error) { f.heard(o, err) }))
	}
}

// heard takes an owner's word, or its silence.
func (f *forwarder) heard(o *owner, err error) {
	f.mu.Lock()
	switch {
	case err == nil:
		o.silent = 0
	case subjects.CodeOf(err) == subjects.CodeTimeout:
		o.silent++
	default:
		o.silent = ownerSilent
	}
	gone := o.silent >= ownerSilent
	f.mu.Unlock()
	if gone {
		f.lose(o)
	}
}

// lose gives up what an owner has in hand.
func (f *forwarder) lose(o *owner) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.owners[o.mark] == o {
		delete(f.owners, o.mark)
		close(o.lost)
	}
}

// markOf is what the ids of an edge's engine begin with. The engine has checked the id's characters, so a
// mark is a token of a subject as it stands.
func markOf(sid string) string { return sid[:engine.PrefixSize] }
