package edge

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/subjects"
)

// Entering a room that a client asked for: may it, is there room on the user's account, is it still
// allowed. Leaving one.

// enter joins a room on the user's account and then calls done, perhaps later and on another
// goroutine: who may enter a case is asked on the bus. entered says that the socket was not in it.
func (s *Server) enter(k *socket, kind subjects.Kind, id string, done func(entered bool, no *refusal), name string) {
	if k.in(name) {
		done(false, nil)
		return
	}
	s.permitSoon(k.who.Load(), kind, id, name, func(no *refusal) {
		if no != nil {
			done(false, no)
			return
		}
		s.whenSettled(func(q attempt) (settled bool) {
			entered, no, settled := s.admitTo(k, kind, id, name, q)
			if settled {
				done(entered, no)
			}
			return settled
		})
	})
}

// admitTo takes a room of the user's share; settled is false while it is in doubt whether there is one.
// The change of access that came between the permission and the join is seen here, or its eviction sees
// the member: the change is noted before it evicts.
func (s *Server) admitTo(k *socket, kind subjects.Kind, id, name string, q attempt) (entered bool, no *refusal, settled bool) {
	rooms, verdict := s.accounts.enter(k.account, name, q)
	switch verdict {
	case doubtful:
		return false, nil, k.gone()
	case refused:
		return false, roomLimit(rooms), true
	case admitted:
	}
	if !k.join(name, roomAsked) {
		s.accounts.leave(k.account, name) // a service was faster, or the socket is gone
		return false, nil, true
	}
	if kind == subjects.KindCase && s.options.Access == AccessMember {
		if list, ok := s.changes.latest(name); ok && !list.admits(k.who.Load(), kind, id) {
			s.exit(k, name)
			return false, forbidden, true
		}
	}
	return true, nil, true
}

func roomLimit(rooms int) *refusal {
	no := refuse(subjects.CodeRoomLimit, fmt.Sprintf("room limit reached: %d rooms", rooms))
	no.currentRoomCount = rooms
	return no
}

// exit leaves a room that the client had asked for, and frees its share.
func (s *Server) exit(k *socket, name string) bool {
	left := k.leave(name, roomAsked)
	if left {
		s.accounts.leave(k.account, name)
		s.talk.doubts.look()
	}
	return left
}

var forbidden = refuse(subjects.CodeForbidden, "no access to this room")

// permitSoon is permit, and at once where a list that is kept admits.
func (s *Server) permitSoon(who *identity, kind subjects.Kind, id, name string, f func(*refusal)) {
	if kind == subjects.KindCase && s.options.Access == AccessMember {
		if list, ok := s.recent.find(name, s.fanned.Load(), time.Now()); ok && list.admits(who, kind, id) {
			f(nil)
			return
		}
	}
	s.permit(who, kind, id, name, f)
}

// permit decides whether an identity may ask for a room, and calls f with the refusal or nil. For a
// case that is what the bucket ACCESS and the token's scope say together.
func (s *Server) permit(who *identity, kind subjects.Kind, id, name string, f func(*refusal)) {
	switch {
	case kind == subjects.KindCase && s.options.Access == AccessMember:
		s.askAccess(name, func(list accessList, err error) {
			switch {
			case err != nil:
				f(refuse(subjects.CodeOf(err), subjects.MessageOf(err)))
			case !list.admits(who, kind, id):
				f(forbidden)
			default:
				f(nil)
			}
		})
	case s.options.Access.mayEnter(who, kind, id):
		f(nil)
	default:
		f(forbidden)
	}
}

// askAccess reads a room's list: the newer of the bucket's and the last change that this edge has read
// from the log, since the bucket is filled from the log a moment later. A room without a list has an
// empty one.
func (s *Server) askAccess(name string, f func(accessList, error)) {
	since := s.recent.asking()
	s.requests.do(accessGet+name, nil, nil, s.options.CommandTimeout, once(func(m *nats.Msg, err error) {
		var stored accessList
		if err == nil {
			stored, err = parseStored(m)
		}
		if newer, ok := s.changes.latest(name); ok && (err != nil || newer.Revision >= stored.Revision) {
			stored, err = newer, nil
		}
		if err == nil {
			s.recent.keep(name, stored, since, time.Now())
		}
		f(stored, err)
	}))
}

// accessGet asks for the last value of a key, without a consumer (ADR-31, direct get).
const accessGet = "$JS.API.DIRECT.GET.KV_" + subjects.BucketAccess + ".$KV." + subjects.BucketAccess + "."

func parseStored(m *nats.Msg) (list accessList, err error) {
	switch status := m.Header.Get("Status"); status {
	case "":
	case "404":
		return accessList{}, nil
	default:
		return accessList{}, subjects.Errorf(subjects.CodeUnavailable, "access cannot be checked now: status %s", status)
	}
	if m.Header.Get("KV-Operation") != "" {
		return accessList{}, nil // deleted
	}
	if err := json.Unmarshal(m.Data, &list); err != nil {
		// A list that cannot be read must not open what it may have closed.
		return accessList{}, subjects.Errorf(subjects.CodeInternal, "the access list is not understood")
	}
	return list, nil
}
