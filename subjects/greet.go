package subjects

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// A service whose answer to hello has changed asks every edge to ask again, for the sockets in one room:
//
//	ctl.greet.<kind>.<id>   a [Greet]; the room is usually user.<id>
//
// An edge then asks hello.<namespace> once more and applies what comes, rooms and events, without another
// `connected`. It is at most once: what is lost is repaired by the next hello, after a reconnect at the
// latest.

// AllGreet matches the subjects of [GreetSubject].
const AllGreet = greetPrefix + "*.*"

const greetPrefix = ControlPrefix + "greet."

// A Greet says for which sockets in the room; the zero value is for all of them.
type Greet struct {
	Namespaces []string `json:"namespaces,omitempty"` // as clients name them: "/events"
}

// GreetSubject returns where to ask for the sockets in a room, "user.u1".
func GreetSubject(room string) (string, error) {
	if _, _, err := ParseRoom(room); err != nil {
		return "", err
	}
	return greetPrefix + room, nil
}

// DecodeGreet reads a message on [AllGreet] and the room it is for.
func DecodeGreet(m *nats.Msg) (room string, g Greet, err error) {
	room, ok := strings.CutPrefix(m.Subject, greetPrefix)
	if !ok {
		return "", g, Errorf(CodeInvalidInput, "subject %.64q does not begin with %s", m.Subject, greetPrefix)
	}
	if _, _, err := ParseRoom(room); err != nil {
		return "", g, err
	}
	if len(m.Data) > 0 {
		if err := json.Unmarshal(m.Data, &g); err != nil {
			return "", g, Errorf(CodeInvalidInput, "the request to greet %s is not understood: %w", room, err)
		}
	}
	return room, g, nil
}

// A Greeter asks for one service, whose replicas all have one: it waits a little, so that the other
// replicas know what it knows before one of them is asked; it asks once for changes that come together,
// and for one room once a second; it asks for five hundred rooms a second at most; and what another
// replica has asked for meanwhile it does not ask for. [Greeter.Again] may be called concurrently.
type Greeter struct {
	nc      *nats.Conn
	service string
	body    []byte

	mu sync.Mutex
	// Guarded by mu.
	due   map[string]greeting  // by room
	asked map[string]time.Time // when last
}

// greeting is a room that will be asked for, and whether it has to be once more: something has changed
// that whoever is asked then perhaps does not know.
type greeting struct {
	at   time.Time
	more bool
}

const (
	greetSettle = 250 * time.Millisecond
	greetEvery  = time.Second // for one room
	greetTick   = 20 * time.Millisecond
	greetBatch  = 10 // rooms a tick
)

// NewGreeter returns a greeter for sockets of some namespaces, on a connection that stays the caller's.
func NewGreeter(nc *nats.Conn, service string, namespaces ...string) *Greeter {
	body, err := json.Marshal(Greet{namespaces})
	if err != nil {
		panic("subjects: " + err.Error()) // a list of strings can be written
	}
	return &Greeter{nc: nc, service: service, body: body, due: make(map[string]greeting), asked: make(map[string]time.Time)}
}

// Again has the sockets in a room greeted again, after the others had their turn for so long.
func (g *Greeter) Again(room string, patience time.Duration) { g.again(room, patience, time.Now()) }

func (g *Greeter) again(room string, patience time.Duration, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := now.Add(greetSettle + patience)
	if next := g.asked[room].Add(greetEvery); next.After(at) {
		at = next
	}
	due, waits := g.due[room]
	switch {
	case !waits, at.Before(due.at):
		due.at = at
	case due.at.Before(now.Add(greetSettle)):
		due.more = true
	}
	g.due[room] = due
}

// heard notes that the room was asked for, by whichever replica.
func (g *Greeter) heard(room string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.settled(room, now)
}

// settled needs mu.
func (g *Greeter) settled(room string, now time.Time) {
	g.asked[room] = now
	if g.due[room].more {
		g.due[room] = greeting{at: now.Add(greetEvery)}
		return
	}
	delete(g.due, room)
}

// take returns rooms that are due, some at a time.
func (g *Greeter) take(now time.Time) (rooms []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for room, due := range g.due {
		if !due.at.After(now) && len(rooms) < greetBatch {
			rooms = append(rooms, room)
			g.settled(room, now)
		}
	}
	maps.DeleteFunc(g.asked, func(_ string, at time.Time) bool { return now.Sub(at) > greetEvery })
	slices.Sort(rooms)
	return rooms
}

// Run asks until ctx ends.
func (g *Greeter) Run(ctx context.Context) error {
	sub, err := g.nc.Subscribe(AllGreet, func(m *nats.Msg) {
		if m.Header.Get(HeaderService) == g.service {
			g.heard(strings.TrimPrefix(m.Subject, greetPrefix), time.Now())
		}
	})
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only when the connection is gone
	tick := time.NewTicker(greetTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if !g.nc.IsConnected() {
				continue // edges greet everybody after a reconnect
			}
			for _, room := range g.take(now) {
				g.ask(room)
			}
		}
	}
}

func (g *Greeter) ask(room string) {
	subject, err := GreetSubject(room)
	if err != nil {
		return
	}
	// What cannot be sent is lost as what does not arrive.
	_ = g.nc.PublishMsg(&nats.Msg{Subject: subject, Header: nats.Header{HeaderService: {g.service}}, Data: g.body})
}
