package edge

import (
	"cmp"
	"slices"
	"sync"
	"time"

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

// accounts count what each user holds on this edge, and know what the user holds on the others. A user
// without a socket has no account, so counts cannot outlive their connections (contract 8, B21). All
// methods may be called concurrently.
//
// A session that moves here from another edge brings its places along, whatever the limits say: open with
// force for the socket and adopt for each room that was asked for, close and leave on the edge that it
// comes from.
type accounts struct {
	limits    Limits
	elsewhere *shares

	mu sync.Mutex
	// Guarded by mu.
	users   map[string]*account
	changed []*account // since the other edges were told; each once
	clients int        // engine connections that hold at least one namespace
}

// account is one user's share. All fields are guarded by accounts.mu.
type account struct {
	user    string // static
	hash    hash   // static
	sockets [nsCount]uint16
	rooms   []roomShare // a slice, not a map: most users have one or two
	ceiling bucket      // over all sockets
	changed bool        // it is in accounts.changed
}

// roomShare counts a user's sockets in one room, so that one device's leaving frees nothing that
// another still uses (contract 8, B22).
type roomShare struct {
	name    string
	hash    hash
	sockets int
}

func newAccounts(l Limits) *accounts {
	return &accounts{limits: l, elsewhere: newShares(), users: make(map[string]*account)}
}

// open admits one socket, and its client when first says that it is the client's first, or refuses it,
// or neither: then it is doubtful and to be asked again. force admits it whatever the limits say.
func (a *accounts) open(user string, n ns, first, force bool, q attempt) (*account, *refusal) {
	key := hashOf(user)
	a.mu.Lock()
	defer a.mu.Unlock()
	acc := a.users[user]
	if !force {
		if no, doubt := a.full(acc, key, n, first, q); no != nil || doubt {
			return nil, no
		}
	}
	if acc == nil {
		acc = &account{user: user, hash: key}
		a.users[user] = acc
	}
	acc.sockets[n]++
	a.touch(acc)
	if first {
		a.clients++
	}
	return acc, nil
}

// full reports whether there is no place for one more socket; needs mu. acc is nil for a user without one.
func (a *accounts) full(acc *account, key hash, n ns, first bool, q attempt) (no *refusal, doubt bool) {
	if first && a.clients >= a.limits.Connections {
		no = refuse(subjects.CodeConnectionLimit, "the server has reached its connection limit")
		no.currentConnections = a.clients
		return no, false
	}
	own := 0
	if acc != nil {
		own = int(acc.sockets[n])
	}
	held := a.elsewhere.sockets(key, n, own, q)
	switch held.verdict(a.limits.ConnectionsPerUser) {
	case refused:
		no = refuse(subjects.CodeUserConnectionLimit, "too many connections of this user to "+n.String())
		no.currentConnections = held.counted
	case doubtful:
		doubt = true
	case admitted:
	}
	return no, doubt
}

// touch notes that the other edges are to be told of an account; needs mu.
func (a *accounts) touch(acc *account) {
	if !acc.changed {
		acc.changed = true
		a.changed = append(a.changed, acc)
	}
}

// close gives back a socket, and its client when last says that it was the client's last.
func (a *accounts) close(acc *account, n ns, last bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	acc.sockets[n]--
	a.touch(acc)
	if last {
		a.clients--
	}
	if acc.sockets == [nsCount]uint16{} {
		acc.rooms = nil
		delete(a.users, acc.user)
	}
}

// enter counts one socket of the user into a room unless that is one room too many; rooms is how many
// there are. A room that another socket of the user is in, here or on another edge, costs nothing.
func (a *accounts) enter(acc *account, room string, q attempt) (rooms int, v verdict) {
	key := hashOf(room)
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := acc.share(room); i >= 0 {
		acc.rooms[i].sockets++
		return len(acc.rooms), admitted
	}
	held, elsewhere := a.elsewhere.rooms(acc.hash, key, acc.rooms, q)
	if !elsewhere {
		v = held.verdict(a.limits.RoomsPerUser)
	}
	if v == admitted {
		acc.rooms = append(acc.rooms, roomShare{room, key, 1})
		a.touch(acc)
	}
	return held.counted, v
}

// adopt counts one socket into a room that its session has brought along.
func (a *accounts) adopt(acc *account, room string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := acc.share(room); i >= 0 {
		acc.rooms[i].sockets++
		return
	}
	acc.rooms = append(acc.rooms, roomShare{room, hashOf(room), 1})
	a.touch(acc)
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
		a.touch(acc)
	}
}

// changes are the shares of the users that have changed since it was called last.
func (a *accounts) changes() []userShare {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.changed) == 0 {
		return nil
	}
	changed := make([]userShare, 0, len(a.changed))
	for _, acc := range a.changed { // a user who has come back has two accounts here, the newer behind the older
		acc.changed = false
		changed = append(changed, acc.whole())
	}
	a.changed = nil // an edge at rest keeps no array of its last burst
	return changed
}

// all are the shares of all users.
func (a *accounts) all() []userShare {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make([]userShare, 0, len(a.users))
	for _, acc := range a.users {
		all = append(all, acc.whole())
	}
	return all
}

func (acc *account) whole() userShare {
	u := userShare{acc.hash, share{sockets: acc.sockets}}
	if len(acc.rooms) > 0 {
		u.rooms = make([]hash, len(acc.rooms))
		for i, r := range acc.rooms {
			u.rooms[i] = r.hash
		}
	}
	return u
}

func (acc *account) share(room string) int {
	return slices.IndexFunc(acc.rooms, func(s roomShare) bool { return s.name == room })
}

// take takes a token from the ceiling over all sockets of a user, or says how long until there is one.
func (a *accounts) take(acc *account, now time.Time) (wait time.Duration, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return acc.ceiling.take(a.limits.EventsPerMinute*a.limits.ConnectionsPerUser, now)
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
