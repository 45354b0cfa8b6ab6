package edge

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync"
	"time"
)

// What a user holds on other edges, so that the limits per user hold over all of them (design 3, Limits;
// contract 8, B19, B22).
//
// Each edge tells the others what every user of its own holds: sockets per namespace and the rooms that
// were asked for, as hashes, so that a room that two devices are in on two edges counts once. It tells
// on a control subject (shares_talk.go) and not in a bucket: a burst of ten thousand CONNECTs is a few
// messages of ten bytes a user, an edge at rest two of twenty bytes a second, and nothing of it is worth
// keeping. The same messages are the lease: an edge that was not heard for shareSilence does not count,
// by the clock of who listens, so that clocks need not agree.
//
// Promised: what a user holds anywhere counts everywhere within 2 s (in practice within shareTick), what a
// dead edge held stops counting within shareSilence, and no CONNECT or join waits for the bus unless it is
// over the limit because of another edge.
//
// Not promised: the limit to the socket. Edges that admit within the same shareTick do not know of each
// other, an edge that has just started or lost the bus knows of nobody, and a session that is resumed is
// admitted whatever the count: then there are more, at most the limit on each edge beside what was
// resumed. None of them is closed; the newest are refused until there are fewer.
//
// A refused CONNECT makes the official client give up, so "no" must be certain. Another edge may be dead
// already; and it, or this one, may be about to notice that a socket has ended whose client is asking
// here, because a page was loaded again. So a socket counts for a refusal only when its edge was heard
// shareSettle after the CONNECT came. Until then the CONNECT waits, for less than a second (doubts.go); if
// the others stay silent, they stop counting and it is admitted. Closing the transport instead would be
// worse: the client would knock again and again at its shortest delay (socketio-protocol 14), and the
// hooks give up after six refused seconds (contract 0.9).

const (
	shareSilence = 2 * time.Second        // an edge that was not heard for longer does not count
	shareSettle  = 300 * time.Millisecond // more than shareTick: what had happened when it was asked has arrived
	shareForget  = 10 * time.Second       // after which a silent edge's shares are dropped
	shareMost    = 4096                   // rooms of one user that an edge tells; a higher limit holds per edge
)

// hash names a user or a room among edges. Users are told apart by it, so nobody may be able to choose an
// id that collides with another's: it is cut from SHA-256.
type hash uint64

func hashOf(name string) hash {
	sum := sha256.Sum256([]byte(name))
	return hash(binary.BigEndian.Uint64(sum[:]))
}

// share is what one edge holds for one user.
type share struct {
	sockets [nsCount]uint16
	rooms   []hash // distinct; shared and never changed
}

func (h share) empty() bool { return h.sockets == [nsCount]uint16{} && len(h.rooms) == 0 }

// attempt is a CONNECT or a join: when it was asked and when it is looked at.
type attempt struct{ asked, now time.Time }

// verdict is the answer to it.
type verdict uint8

const (
	admitted verdict = iota
	refused          // for certain
	doubtful         // there is no place, unless an edge is dead or has news
)

// tally is how many are held already: by all edges that count, and of that by this edge and those that
// were heard since the question.
type tally struct{ counted, certain int }

// verdict is the rule: admit while there is a place by all that is known, refuse when there is none by
// what is certain.
func (t tally) verdict(limit int) verdict {
	switch {
	case t.counted < limit:
		return admitted
	case t.certain >= limit:
		return refused
	}
	return doubtful
}

// counts reports whether an edge that was last heard at heard counts, and whether it does for certain.
func (q attempt) counts(heard time.Time) (counts, certain bool) {
	counts = q.now.Sub(heard) <= shareSilence
	return counts, counts && heard.Sub(q.asked) >= shareSettle
}

// shares are what the other edges hold. All methods may be called concurrently.
type shares struct {
	mu sync.Mutex
	// Guarded by mu, which is a leaf.
	edges map[string]*edgeShares
}

// edgeShares is one other edge. Its fields are guarded by shares.mu.
type edgeShares struct {
	incarnation uint64
	seq         uint64 // of the last message; the first is 1
	complete    bool   // no message before it is missing
	heard       time.Time
	asked       time.Time // when it was last asked for the whole
	users       map[hash]share
	next        map[hash]share // a whole that is arriving; takes the place of users with its last part
}

func newShares() *shares { return &shares{edges: make(map[string]*edgeShares)} }

// sockets adds what other edges hold of a user in a namespace to the own count.
func (s *shares) sockets(user hash, n ns, own int, q attempt) tally {
	t := tally{counted: own}
	if _, certain := q.counts(q.now); certain {
		t.certain = own
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.edges {
		held := int(e.users[user].sockets[n])
		if held == 0 {
			continue
		}
		if counts, certain := q.counts(e.heard); certain {
			t.counted += held
			t.certain += held
		} else if counts {
			t.counted += held
		}
	}
	return t
}

// rooms counts a user's distinct rooms over all edges, and reports whether another edge has the user in
// this room, so that entering it here is one room no more.
func (s *shares) rooms(user, room hash, own []roomShare, q attempt) (t tally, elsewhere bool) {
	t = tally{len(own), len(own)}
	var scratch [2][64]hash
	counted, certain := scratch[0][:0], scratch[1][:0]
	s.mu.Lock()
	for _, e := range s.edges {
		held := e.users[user].rooms
		counts, sure := q.counts(e.heard)
		if !counts || len(held) == 0 {
			continue
		}
		elsewhere = elsewhere || slices.Contains(held, room)
		counted = append(counted, held...)
		if sure {
			certain = append(certain, held...)
		}
	}
	s.mu.Unlock()
	t.counted += others(counted, own)
	t.certain += others(certain, own)
	return t, elsewhere
}

// others counts the distinct rooms among held that are not own ones. It sorts held.
func others(held []hash, own []roomShare) (n int) {
	slices.Sort(held)
	for _, h := range slices.Compact(held) {
		if !slices.ContainsFunc(own, func(r roomShare) bool { return r.hash == h }) {
			n++
		}
	}
	return n
}

// note takes over a message of another edge and reports whether the whole has to be asked for, because
// some before it are missing. It says so again only after a while: the whole may be under way.
func (s *shares) note(from string, news shareNews, now time.Time) (ask bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if news.part == partBye {
		delete(s.edges, from)
		return false
	}
	e := s.edges[from]
	if e == nil || e.incarnation != news.incarnation { // what the process before it held died with it
		e = &edgeShares{incarnation: news.incarnation, users: make(map[hash]share), complete: true}
		s.edges[from] = e
	}
	e.heard = now
	e.take(news)
	if e.complete || e.next != nil || now.Sub(e.asked) < shareBeat {
		return false
	}
	e.asked = now
	return true
}

// take needs shares.mu. Behind a gap changes are noted all the same: each is a user's whole share.
func (e *edgeShares) take(news shareNews) {
	if news.seq != e.seq+1 {
		e.complete, e.next = false, nil
	}
	e.seq = news.seq
	if news.part&partFirst != 0 {
		e.next = make(map[hash]share, len(news.users))
	}
	into := e.users
	if news.part != partChange {
		into = e.next
	}
	if into == nil {
		return // the rest of a whole whose beginning is missing
	}
	for _, u := range news.users {
		if u.empty() {
			delete(into, u.user)
		} else {
			into[u.user] = u.share
		}
	}
	if news.part&partLast != 0 {
		e.users, e.next, e.complete = e.next, nil, true
	}
}

// forget drops the shares of edges that are silent for long, and returns how many others count now.
func (s *shares) forget(now time.Time) (alive int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, e := range s.edges {
		switch silent := now.Sub(e.heard); {
		case silent > shareForget:
			delete(s.edges, name)
		case silent <= shareSilence:
			alive++
		}
	}
	return alive
}
