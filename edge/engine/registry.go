package engine

import "sync"

// registry finds sessions by id. It is cut into parts so that handshakes on several loops do not
// wait for each other.
type registry struct {
	parts [16]struct {
		mu       sync.Mutex
		sessions map[sid]*Session
	}
}

func (r *registry) init() {
	for i := range r.parts {
		r.parts[i].sessions = map[sid]*Session{}
	}
}

// part of an id: its last characters are random, the first may be Options.Prefix.
func part(id sid) int { return int(id[len(id)-1]) % 16 }

func (r *registry) add(s *Session) {
	p := &r.parts[part(s.id)]
	p.mu.Lock()
	p.sessions[s.id] = s
	p.mu.Unlock()
}

func (r *registry) remove(s *Session) {
	p := &r.parts[part(s.id)]
	p.mu.Lock()
	delete(p.sessions, s.id)
	p.mu.Unlock()
}

// get finds a session by the text of its id, nil if there is none.
func (r *registry) get(text string) *Session {
	var id sid
	if len(text) != len(id) {
		return nil
	}
	copy(id[:], text)
	p := &r.parts[part(id)]
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sessions[id]
}

// each calls f for every session, without a lock.
func (r *registry) each(f func(*Session) bool) {
	var part []*Session
	for i := range r.parts {
		p := &r.parts[i]
		part = part[:0]
		p.mu.Lock()
		for _, s := range p.sessions {
			part = append(part, s)
		}
		p.mu.Unlock()
		for _, s := range part {
			if !f(s) {
				return
			}
		}
	}
}
