package edge

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/subjects"
)

// shareTalk tells the other edges what this one holds, and hears them.
//
//	ctl.shares.<edge>        edge → all   shareNews: what changed within a tick; without a change, that it lives
//	ctl.edge.<edge>.shares   edge → one   a message before yours is missing: say all
//
// Messages may be lost. Their numbers tell, and the whole repairs it.
type shareTalk struct {
	// Static.
	nc          *nats.Conn
	log         *slog.Logger
	accounts    *accounts
	shares      *shares
	doubts      *doubts
	self        string // escaped
	incarnation uint64

	asked atomic.Bool  // somebody wants the whole
	alive atomic.Int64 // other edges that count

	// Owned by run.
	seq  uint64
	said time.Time
}

const (
	shareTick   = 200 * time.Millisecond // changes of this long leave together
	shareBeat   = 500 * time.Millisecond // four of them in shareSilence: three may be lost
	sharePrefix = subjects.ControlPrefix + "shares."
)

func newShareTalk(nc *nats.Conn, log *slog.Logger, a *accounts, self string) (*shareTalk, error) {
	token, err := subjects.Escape(self)
	if err != nil {
		return nil, fmt.Errorf("the edge's name %.64q cannot be part of a subject: %w", self, err)
	}
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	return &shareTalk{
		nc: nc, log: log, accounts: a, shares: a.elsewhere, doubts: newDoubts(),
		self: token, incarnation: binary.BigEndian.Uint64(random[:]),
	}, nil
}

// run talks until ctx ends, and says goodbye then.
func (t *shareTalk) run(ctx context.Context) error {
	news, err := t.nc.Subscribe(sharePrefix+"*", t.receive)
	if err != nil {
		return err
	}
	defer func() { _ = news.Unsubscribe() }()
	asked, err := t.nc.Subscribe(askSharesSubject(t.self), func(*nats.Msg) { t.asked.Store(true) })
	if err != nil {
		return err
	}
	defer func() { _ = asked.Unsubscribe() }()
	tick := time.NewTicker(shareTick)
	defer tick.Stop()
	t.tell(time.Now()) // the number 1: who hears of this edge from here on misses nothing
	for {
		select {
		case <-ctx.Done():
			t.say(partBye, nil)
			return nil
		case now := <-tick.C:
			t.alive.Store(int64(t.shares.forget(now)))
			t.tell(now)
			t.doubts.retry(now)
		case <-t.doubts.wake:
			t.doubts.retry(time.Now())
		}
	}
}

func askSharesSubject(edge string) string { return subjects.ControlPrefix + "edge." + edge + ".shares" }

// tell says what there is to say at a tick.
func (t *shareTalk) tell(now time.Time) {
	changed := t.accounts.changes()
	switch {
	case t.asked.Swap(false):
		t.say(partWhole|partFirst|partLast, t.accounts.all())
	case len(changed) > 0 || now.Sub(t.said) >= shareBeat:
		t.say(partChange, changed)
	default:
		return
	}
	t.said = now
}

// say publishes one message, or several where one is not enough. While the bus is away they are counted
// and not kept: the gap makes the others ask.
func (t *shareTalk) say(part sharePart, users []userShare) {
	for {
		t.seq++
		message, n := shareNews{t.incarnation, t.seq, part, users}.encode()
		if t.nc.IsConnected() {
			if err := t.nc.Publish(sharePrefix+t.self, message); err != nil {
				t.log.Warn("shares are not sent", "seq", t.seq, "error", err)
			}
		}
		if users = users[n:]; len(users) == 0 {
			return
		}
		part &^= partFirst
	}
}

// receive notes what another edge says.
func (t *shareTalk) receive(m *nats.Msg) {
	from := strings.TrimPrefix(m.Subject, sharePrefix)
	if from == t.self {
		return
	}
	news, err := parseShareNews(m.Data)
	if err != nil {
		t.log.Warn("another edge's shares are not understood: its users do not count here", "edge", from, "error", err)
		return
	}
	if t.shares.note(from, news, time.Now()) {
		_ = t.nc.Publish(askSharesSubject(from), nil) // if it is lost, the next message asks again
	}
	t.doubts.look()
}
