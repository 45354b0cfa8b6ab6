package edge

import (
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/subjects"
)

// requests are the edge's questions on the bus. A question waits as an entry in a map, not as a
// goroutine: ten thousand clients that connect at once ask ten thousand times. One inbox serves all.
//
// do may be called concurrently. Answers are given on one goroutine, one after another, or on the
// caller's when the question could not be sent; they must not block.
type requests struct {
	nc    *nats.Conn
	inbox string // "_INBOX.<random>."

	mu sync.Mutex
	// Guarded by mu.
	next    uint64
	waiting map[string]*question
}

// question is one request in flight. It stays in the map until it is done, so that an answer that
// arrives while a deadline is handled waits for that instead of being lost.
type question struct {
	mu sync.Mutex
	// Guarded by mu.
	deadline time.Time
	answer   answerer
	done     bool
}

// answerer gets what comes back and says whether it waits for more. m is nil when err is not;
// err is UNAVAILABLE when nobody listens and TIMEOUT when the deadline passed, after which the
// answerer may ask for more time.
type answerer func(m *nats.Msg, err error) (more time.Duration)

// once is an answerer for exactly one reply.
func once(f func(m *nats.Msg, err error)) answerer {
	return func(m *nats.Msg, err error) time.Duration {
		f(m, err)
		return 0
	}
}

// sweepEvery is how late a TIMEOUT may be noticed.
const sweepEvery = 25 * time.Millisecond

func newRequests(nc *nats.Conn) (*requests, error) {
	r := &requests{nc: nc, inbox: nc.NewInbox() + ".", waiting: make(map[string]*question)}
	_, err := nc.Subscribe(r.inbox+"*", r.receive)
	return r, err
}

// do sends a question. While NATS is away it is refused at once instead of being kept for later: the
// edge never repeats a command behind the client's back (design 1).
func (r *requests) do(subject string, header nats.Header, body []byte, timeout time.Duration, a answerer) {
	if !r.nc.IsConnected() {
		a(nil, errUnavailable)
		return
	}
	q := &question{deadline: time.Now().Add(timeout), answer: a}
	token := r.register(q)
	err := r.nc.PublishMsg(&nats.Msg{Subject: subject, Reply: r.inbox + token, Header: header, Data: body})
	if err != nil {
		r.settle(token, q, nil, subjects.Errorf(subjects.CodeUnavailable, "not sent: %v", err))
	}
}

var (
	errUnavailable = subjects.Errorf(subjects.CodeUnavailable, "no service answers this now")
	errTimeout     = subjects.Errorf(subjects.CodeTimeout, "no answer in time; it is perhaps done")
)

func (r *requests) register(q *question) (token string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next++
	token = strconv.FormatUint(r.next, 36)
	r.waiting[token] = q
	return token
}

// receive is the inbox's handler. An answer to a question that is gone is too late.
func (r *requests) receive(m *nats.Msg) {
	token := strings.TrimPrefix(m.Subject, r.inbox)
	r.mu.Lock()
	q := r.waiting[token]
	r.mu.Unlock()
	switch {
	case q == nil:
	case len(m.Data) == 0 && m.Header.Get("Status") == "503":
		r.settle(token, q, nil, errUnavailable)
	default:
		r.settle(token, q, m, nil)
	}
}

// settle gives one answer, or one error, to a question and forgets it unless it waits for more.
func (r *requests) settle(token string, q *question, m *nats.Msg, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.done {
		return
	}
	if more := q.answer(m, err); more > 0 {
		q.deadline = time.Now().Add(more)
		return
	}
	q.done = true
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waiting, token)
}

// sweep ends the questions whose deadline has passed.
func (r *requests) sweep(now time.Time) {
	r.mu.Lock()
	waiting := maps.Clone(r.waiting)
	r.mu.Unlock()
	for token, q := range waiting {
		if q.late(now) {
			r.settle(token, q, nil, errTimeout)
		}
	}
}

func (q *question) late(now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return now.After(q.deadline)
}

func (r *requests) pending() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiting)
}
