package edge

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/edge/engine"
	"github.com/lexiflow/realtime/subjects"
)

// How edges speak about sessions: a question on ctl.edge.<mark>.poll or ctl.edge.<mark>.move, and a reply
// in as many messages as its size needs. The first names status and size, the others are bytes; they come
// in order, from one connection to one subscription. A reply that does not add up is none.

// Subjects of an edge under its mark, which is new with each start: a restarted edge does not answer for
// what it was.
const (
	subjectPoll = "poll"
	subjectMove = "move"
)

func markSubject(mark, what string) string {
	return subjects.ControlPrefix + "edge." + mark + "." + what
}

// newMark names this process in the ids of its sessions.
func newMark() string {
	var random [engine.PrefixSize]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(random[:])[:engine.PrefixSize]
}

// Operations of a question.
const (
	opGet     = "get"
	opPost    = "post"    // with the first chunk of a body
	opPart    = "part"    // the next one
	opRelease = "release" // end the GET that is held; no reply
	opBreak   = "break"   // an answer was lost: end the session; no reply
	opAlive   = "alive"

	opProbe    = "probe"    // may the session move?
	opWithdraw = "withdraw" // it stays; no reply
	opTake     = "take"     // it moves
)

// Headers of questions and replies.
const (
	headerOp      = "Lex-Op"
	headerSession = "Lex-Session"
	headerKey     = "Lex-Key"
	headerLast    = "Lex-Last"
	headerType    = "Lex-Type"
	headerStatus  = "Lex-Status"
	headerSize    = "Lex-Size"
)

// inquiry is what one edge asks another.
type inquiry struct {
	op   string
	sid  string
	key  string // of a POST in chunks, or of an offer to move
	kind string // Content-Type
	last bool   // no chunk follows; of a GET: it is held for a moment only
	body []byte
}

func (q inquiry) message(mark, what string) *nats.Msg {
	h := nats.Header{headerOp: {q.op}, headerSession: {q.sid}}
	if q.key != "" {
		h[headerKey] = []string{q.key}
	}
	if q.kind != "" {
		h[headerType] = []string{q.kind}
	}
	if q.last {
		h[headerLast] = []string{"1"}
	}
	return &nats.Msg{Subject: markSubject(mark, what), Header: h, Data: q.body}
}

func readQuestion(m *nats.Msg) inquiry {
	return inquiry{
		op: m.Header.Get(headerOp), sid: m.Header.Get(headerSession), key: m.Header.Get(headerKey),
		kind: m.Header.Get(headerType), last: m.Header.Get(headerLast) != "", body: m.Data,
	}
}

// reply is the answer to a question: an HTTP response without the rest of its headers.
type reply struct {
	status int
	kind   string // Content-Type
	body   []byte
}

var (
	errOwnerGone  = errors.New("edge: the session's owner is gone")
	errClientGone = errors.New("edge: the client is gone")
	errGarbled    = errors.New("edge: the reply is not understood")
)

// ask puts a question to an edge and waits for the whole reply.
func (f *forwarder) ask(ctx context.Context, mark, what string, q inquiry) (*reply, error) {
	o := f.enter(mark)
	defer f.leave(o)
	x := &exchange{done: make(chan struct{}), limit: maxReply(f.s.limits)}
	m := q.message(mark, what)
	f.s.requests.do(m.Subject, m.Header, m.Data, askAgain, x.answer)
	select {
	case <-x.done:
	case <-o.lost:
		x.giveUp(errOwnerGone)
	case <-ctx.Done():
		x.giveUp(ctx.Err())
	}
	return x.result()
}

// askAgain is how long an exchange that was given up stays in the map of requests at most.
const askAgain = 2 * time.Second

// maxReply bounds a reply: a full queue and the largest frame, in base64, or a session on its move.
func maxReply(l Limits) int { return 4*(l.MaxPayload+engineQueue) + 1<<20 }

// engineQueue is the engine's default for QueueBytes.
const engineQueue = 1 << 20

// exchange is one question that waits for its reply.
type exchange struct {
	limit int
	done  chan struct{}

	mu sync.Mutex
	// Guarded by mu.
	over  bool
	begun bool
	size  int
	reply reply
	err   error
}

// answer is the answerer of a question, see requests.
func (x *exchange) answer(m *nats.Msg, err error) (more time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.over:
		return 0
	case err != nil && subjects.CodeOf(err) == subjects.CodeTimeout:
		return askAgain // that the owner lives is asked elsewhere
	case err != nil:
		x.end(err)
		return 0
	}
	if !x.begun {
		err = x.begin(m)
	} else {
		x.reply.body = append(x.reply.body, m.Data...)
	}
	switch {
	case err != nil || len(x.reply.body) > x.size:
		x.end(errGarbled)
	case len(x.reply.body) == x.size:
		x.end(nil)
	default:
		return askAgain
	}
	return 0
}

// begin reads the first message of a reply; needs mu.
func (x *exchange) begin(m *nats.Msg) error {
	status, err := strconv.Atoi(m.Header.Get(headerStatus))
	if err != nil || status < 100 || status > 599 {
		return errGarbled
	}
	size, err := strconv.Atoi(m.Header.Get(headerSize))
	if err != nil || size < len(m.Data) || size > x.limit {
		return errGarbled
	}
	x.begun, x.size = true, size
	x.reply = reply{status: status, kind: m.Header.Get(headerType), body: m.Data}
	if size > len(m.Data) {
		x.reply.body = append(make([]byte, 0, size), m.Data...)
	}
	return nil
}

// end needs mu.
func (x *exchange) end(err error) {
	x.over, x.err = true, err
	close(x.done)
}

func (x *exchange) giveUp(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.over {
		x.end(err)
	}
}

func (x *exchange) result() (*reply, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return &x.reply, x.err
}

// respond sends a reply in messages of at most chunk bytes.
func respond(nc *nats.Conn, to string, a reply, chunk int) error {
	n := min(len(a.body), chunk)
	h := nats.Header{headerStatus: {strconv.Itoa(a.status)}, headerSize: {strconv.Itoa(len(a.body))}}
	if a.kind != "" {
		h[headerType] = []string{a.kind}
	}
	if err := nc.PublishMsg(&nats.Msg{Subject: to, Header: h, Data: a.body[:n]}); err != nil {
		return fmt.Errorf("reply: %w", err)
	}
	for rest := a.body[n:]; len(rest) > 0; rest = rest[n:] {
		n = min(len(rest), chunk)
		if err := nc.Publish(to, rest[:n]); err != nil {
			return fmt.Errorf("reply: %w", err)
		}
	}
	return nil
}

// outcomeOf names why a forwarded request was not answered.
func (s *Server) outcomeOf(err error) string {
	switch {
	case errors.Is(err, errClientGone), errors.Is(err, context.Canceled):
		return forwardClientGone
	case errors.Is(err, context.DeadlineExceeded):
		return forwardLate
	case errors.Is(err, errGarbled):
		return forwardGarbled
	case !s.nc.IsConnected():
		return forwardBusAway
	default:
		return forwardOwnerGone
	}
}

// bufferedResponse is the http.ResponseWriter of a request that came over the bus.
type bufferedResponse struct {
	header http.Header
	reply
}

// Header implements http.ResponseWriter.
func (b *bufferedResponse) Header() http.Header { return b.header }

// WriteHeader implements http.ResponseWriter.
func (b *bufferedResponse) WriteHeader(status int) { b.status = status }

// Write implements http.ResponseWriter. The engine writes once.
func (b *bufferedResponse) Write(data []byte) (int, error) {
	b.body = append(b.body, data...)
	return len(data), nil
}
