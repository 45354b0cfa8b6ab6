package edge

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/lexiflow/realtime/subjects"
)

// Limits bound what one edge, one user and one client may use (contract 2.2). A zero field is its
// default.
type Limits struct {
	Connections        int // clients of this edge; 10,000
	ConnectionsPerUser int // sockets of one user in one namespace (contract 8, B19); 5
	RoomsPerUser       int // rooms that a user's clients asked for, over all sockets; 50
	ServiceRooms       int // rooms that services joined one socket to; 1,000
	EventsPerMinute    int // of one socket; typing, ping and heartbeats have ten times as many; 100
	MaxPayload         int // bytes of one message; 1,048,576
	Attachments        int // binary attachments of one packet; 10
	Namespaces         int // CONNECTs that one client may have refused; 64
	FailuresPerMinute  int // refused tokens of one address before its handshakes are refused; 300
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Connections:        cmp.Or(l.Connections, 10_000),
		ConnectionsPerUser: cmp.Or(l.ConnectionsPerUser, 5),
		RoomsPerUser:       cmp.Or(l.RoomsPerUser, 50),
		ServiceRooms:       cmp.Or(l.ServiceRooms, 1_000),
		EventsPerMinute:    cmp.Or(l.EventsPerMinute, 100),
		MaxPayload:         cmp.Or(l.MaxPayload, 1_048_576),
		Attachments:        cmp.Or(l.Attachments, 10),
		Namespaces:         cmp.Or(l.Namespaces, 64),
		FailuresPerMinute:  cmp.Or(l.FailuresPerMinute, 300),
	}
}

// cheapFactor is how many more events the cheap class may send (contract 8, B29): a flood of typing
// must not starve the events that matter.
const cheapFactor = 10

// accounts count what each user holds on this edge. A user without a socket has no account, so counts
// cannot outlive their connections (contract 8, B21). All methods may be called concurrently.
type accounts struct {
	limits Limits

	mu sync.Mutex
	// Guarded by mu.
	users   map[string]*account
	clients int // engine connections that hold at least one namespace
}

// account is one user's share. All fields are guarded by accounts.mu, but for the limiter's inside.
type account struct {
	user    string
	sockets [nsCount]uint16
	rooms   []roomShare   // a slice, not a map: most users have one or two
	ceiling *rate.Limiter // over all sockets; nil until the first event
}

// roomShare counts a user's sockets in one room, so that one device's leaving frees nothing that
// another still uses (contract 8, B22).
type roomShare struct {
	name    string
	sockets int
}

func newAccounts(l Limits) *accounts {
	return &accounts{limits: l, users: make(map[string]*account)}
}

// open admits one socket, and its client when first says that it is the client's first, or refuses it.
// force admits it whatever the limits say.
func (a *accounts) open(user string, n ns, first, force bool) (*account, *refusal) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !force && first && a.clients >= a.limits.Connections {
		r := refuse(subjects.CodeConnectionLimit, "the server has reached its connection limit")
		r.currentConnections = a.clients
		return nil, r
	}
	acc := a.users[user]
	if !force && acc != nil && int(acc.sockets[n]) >= a.limits.ConnectionsPerUser {
		r := refuse(subjects.CodeUserConnectionLimit, "too many connections of this user to "+n.String())
		r.currentConnections = int(acc.sockets[n])
		return nil, r
	}
	if acc == nil {
		acc = &account{user: user}
		a.users[user] = acc
	}
	acc.sockets[n]++
	if first {
		a.clients++
	}
	return acc, nil
}

// close gives back a socket, and its client when last says that it was the client's last.
func (a *accounts) close(acc *account, n ns, last bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	acc.sockets[n]--
	if last {
		a.clients--
	}
	if acc.sockets == [nsCount]uint16{} {
		delete(a.users, acc.user)
	}
}

// enter counts one socket of the user into a room, or says how many rooms there are when that is one
// too many. A room that another socket of the user is in costs nothing.
func (a *accounts) enter(acc *account, room string) (rooms int, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := acc.share(room); i >= 0 {
		acc.rooms[i].sockets++
		return len(acc.rooms), true
	}
	if len(acc.rooms) >= a.limits.RoomsPerUser {
		return len(acc.rooms), false
	}
	acc.rooms = append(acc.rooms, roomShare{name: room, sockets: 1})
	return len(acc.rooms), true
}

func (a *accounts) leave(acc *account, room string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := acc.share(room)
	if i < 0 {
		return
	}
	if acc.rooms[i].sockets--; acc.rooms[i].sockets == 0 {
		acc.rooms = slices.Delete(acc.rooms, i, i+1)
	}
}

func (acc *account) share(room string) int {
	return slices.IndexFunc(acc.rooms, func(s roomShare) bool { return s.name == room })
}

// ceilingOf returns the limiter over all sockets of a user.
func (a *accounts) ceilingOf(acc *account) *rate.Limiter {
	a.mu.Lock()
	defer a.mu.Unlock()
	if acc.ceiling == nil {
		acc.ceiling = perMinute(a.limits.EventsPerMinute * a.limits.ConnectionsPerUser)
	}
	return acc.ceiling
}

// usage is what health and metrics report.
func (a *accounts) usage() (clients, users, usersWithRooms int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, acc := range a.users {
		if len(acc.rooms) > 0 {
			usersWithRooms++
		}
	}
	return a.clients, len(a.users), usersWithRooms
}

// perMinute is a token bucket that holds a minute's worth: a burst after a pause passes, and over any
// boundary of minutes there are at most twice as many, refilling evenly (contract 8, B29).
func perMinute(events int) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(float64(events)/60), events)
}

// take takes one token, or says how long until there is one.
func take(l *rate.Limiter, now time.Time) (wait time.Duration, ok bool) {
	if l.AllowN(now, 1) {
		return 0, true
	}
	missing := 1 - l.TokensAt(now)
	return time.Duration(missing / float64(l.Limit()) * float64(time.Second)), false
}
