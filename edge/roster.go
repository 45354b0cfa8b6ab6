package edge

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/subjects"
)

// roster counts the participants of generic rooms over all edges, for user_joined and user_left
// (contract 8, B23). Each edge says on ctl.rooms.<edge> how many members it has: at every change, just
// before the event that the change causes and on the same connection, so that the others know first;
// all of it to an edge that starts, and again every few seconds, which repairs what was lost and lets
// an edge that died stop counting. Methods may be called concurrently.
type roster struct {
	nc   *nats.Conn
	hub  *hub
	self string
	log  *slog.Logger

	mu sync.Mutex
	// Guarded by mu.
	others map[string]*peer
}

// peer is what another edge said last.
type peer struct {
	heard time.Time
	rooms map[string]int
}

// rosterNews is one message. Whole replaces what was known of the edge, otherwise the rooms named are
// updated, 0 being gone. Ask wants everybody's whole.
type rosterNews struct {
	Ask   bool           `json:"ask,omitempty"`
	Whole bool           `json:"whole,omitempty"`
	Rooms map[string]int `json:"rooms,omitempty"`
}

const (
	rosterEvery  = 3 * time.Second
	rosterForget = 10 * time.Second
	rosterPrefix = subjects.ControlPrefix + "rooms."
)

func newRoster(nc *nats.Conn, h *hub, self string, log *slog.Logger) *roster {
	return &roster{nc: nc, hub: h, self: self, log: log, others: make(map[string]*peer)}
}

// run takes part until ctx ends, and says goodbye then.
func (r *roster) run(ctx context.Context) error {
	sub, err := r.nc.Subscribe(rosterPrefix+"*", r.receive)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()
	r.say(rosterNews{Ask: true})
	tick := time.NewTicker(rosterEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			r.say(rosterNews{Whole: true})
			return nil
		case now := <-tick.C:
			r.forget(now)
			r.sayAll()
		}
	}
}

// receive notes what another edge says.
func (r *roster) receive(m *nats.Msg) {
	from := strings.TrimPrefix(m.Subject, rosterPrefix)
	var news rosterNews
	if from == r.self {
		return
	}
	if err := json.Unmarshal(m.Data, &news); err != nil {
		r.log.Warn("room counts are not understood", "edge", from, "error", err)
		return
	}
	r.note(from, news, time.Now())
	if news.Ask {
		r.sayAll()
	}
}

func (r *roster) note(from string, news rosterNews, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.others[from]
	if p == nil || news.Whole {
		p = &peer{rooms: make(map[string]int, len(news.Rooms))}
		r.others[from] = p
	}
	p.heard = now
	for name, members := range news.Rooms {
		if members > 0 {
			p.rooms[name] = members
		} else {
			delete(p.rooms, name)
		}
	}
}

func (r *roster) forget(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, p := range r.others {
		if now.Sub(p.heard) > rosterForget {
			delete(r.others, name)
		}
	}
}

// changed tells the other edges how many members a room has here now.
func (r *roster) changed(name string) {
	r.say(rosterNews{Rooms: map[string]int{name: r.hub.count(name)}})
}

func (r *roster) sayAll() {
	news := rosterNews{Whole: true, Rooms: make(map[string]int)}
	r.hub.each(func(key roomKey, members []*socket) {
		if strings.HasPrefix(key.name, genericPrefix) {
			news.Rooms[key.name] += len(members)
		}
	})
	r.say(news)
}

// genericPrefix begins the names of the rooms that have participants.
const genericPrefix = string(subjects.KindRoom) + "."

func (r *roster) say(news rosterNews) {
	if !r.nc.IsConnected() {
		return // the next whole repairs it
	}
	if err := r.nc.Publish(rosterPrefix+r.self, mustJSON(news)); err != nil {
		r.log.Warn("room counts not sent", "error", err)
	}
}

// participants counts a room's members on all edges.
func (r *roster) participants(name string) int {
	members := r.hub.count(name)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.others {
		members += p.rooms[name]
	}
	return members
}
