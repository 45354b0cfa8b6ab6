package edge

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"strconv"

	"github.com/lexiflow/realtime/subjects"
)

// history {room, before?, limit?} gives what is still in the log of a room that the socket is in, a page at
// a time, backward: from the ring, behind it from the stream. JetStream reads forward only, but it finds the
// last message of a subject up to a position. A room has few subjects, one for each event name, so the page
// is merged from behind: the newest of their last messages, then the one before it on its subject.

const (
	historyLimit = 50  // events of a page, unless asked for
	historyMost  = 200 // that may be asked for
)

// historyRequest is one page asked for.
type historyRequest struct {
	in     incoming
	asked  string // the room as the client names it
	name   string
	before uint64 // a log position; math.MaxUint64 for the newest
	limit  int
}

func (s *Server) history(in incoming) {
	r, no := readHistoryRequest(in)
	if no == nil && !in.from.in(r.name) {
		no = refuse(subjects.CodeForbidden, "not a member of this room")
	}
	if no != nil {
		in.refuse(no)
		s.next(in.from, laneRooms)
		return
	}
	s.mailbox.post(func() { // the ring is the fan-out's
		if !r.in.from.in(r.name) {
			r.in.refuse(forbidden) // taken out meanwhile
			s.next(r.in.from, laneRooms)
			return
		}
		page := s.ring.before(r.name, r.before, r.limit)
		go r.older(s, page, min(s.ring.first, r.before))
	})
}

func readHistoryRequest(in incoming) (*historyRequest, *refusal) {
	asked, no := roomArgument(in.body)
	if no != nil {
		return nil, no
	}
	kind, id := targetOf(asked)
	name, err := subjects.Room(kind, id)
	if err != nil {
		return nil, refuse(subjects.CodeInvalidInput, subjects.MessageOf(err))
	}
	before, given, ok := positionField(in.body, "before")
	if !given {
		before = math.MaxUint64
	}
	limit, limited, fine := positionField(in.body, "limit")
	if !limited {
		limit = historyLimit
	}
	if !ok || !fine || limit == 0 || limit > historyMost {
		return nil, refuse(subjects.CodeInvalidInput, "before must be a log position, and limit a number from 1 to "+strconv.Itoa(historyMost))
	}
	in.body = nil
	return &historyRequest{in: in, asked: asked, name: name, before: before, limit: int(limit)}, nil
}

// older goes on in the stream, behind what the ring has, and looks who was admitted then.
func (r *historyRequest) older(s *Server, page []*delivery, first uint64) {
	ctx, cancel := context.WithTimeout(context.Background(), s.options.CommandTimeout)
	defer cancel()
	var list accessList
	more, err := s.backward(ctx, r.name, first, r.limit-len(page))
	page = append(page, more...)
	if err == nil && len(page) > 0 {
		list, err = s.accessAt(ctx, r.name, page[len(page)-1].seq-1)
	}
	if err != nil {
		s.log.Warn("history cannot be read", "error", err)
		r.in.refuse(refuse(subjects.CodeUnavailable, "the log cannot be read now"))
		s.next(r.in.from, laneRooms)
		return
	}
	r.answer(s, page, list, len(page) < r.limit)
}

// backward returns up to n messages of a room before a position, newest first.
func (s *Server) backward(ctx context.Context, room string, before uint64, n int) (events []*delivery, err error) {
	if before <= 1 || n == 0 {
		return nil, nil
	}
	last, err := s.lastOf(ctx, []string{roomFilter(room)}, 0, before-1)
	for err == nil && len(last) > 0 && len(events) < n {
		i := 0
		for j, d := range last {
			if d.seq > last[i].seq {
				i = j
			}
		}
		d := last[i]
		last = slices.Delete(last, i, i+1)
		events = append(events, d)
		if d.seq > 1 {
			var earlier []*delivery
			earlier, err = s.lastOf(ctx, []string{d.subject}, 0, d.seq-1)
			last = append(last, earlier...)
		}
	}
	return events, err
}

// answer acks a page, given newest first, with the room's access list before its oldest message. What this
// socket would not have got is left out, and what does not fit into one message is left to the next page.
func (r *historyRequest) answer(s *Server, page []*delivery, list accessList, complete bool) {
	ack := subjects.RoomHistoryPage{Success: true, Room: r.asked, Complete: complete}
	visible := r.visible(s, page, list)
	size := 0
	for i, d := range page {
		var e subjects.RoomHistoryEvent
		if visible[i] {
			e, visible[i] = r.in.from.historyEvent(d)
		}
		if size += len(e.Data) + len(e.Event) + 64; size > s.limits.MaxPayload && len(ack.Events) > 0 {
			ack.Complete = false
			break
		}
		ack.Before = strconv.FormatUint(d.seq, 10)
		if visible[i] {
			ack.Events = append(ack.Events, e)
		}
	}
	if ack.Complete {
		ack.Before = ""
	}
	slices.Reverse(ack.Events)
	r.in.ack(mustJSON(ack))
	s.next(r.in.from, laneRooms)
}

// visible says of each message whether the user was admitted at its place in the log.
func (r *historyRequest) visible(s *Server, page []*delivery, list accessList) []bool {
	who, all := r.in.from.who.Load(), make([]bool, len(page))
	for i, d := range slices.Backward(page) {
		if d.event == accessChanged && json.Unmarshal(d.payload, &list) != nil {
			list = accessList{Deny: []string{who.user}} // what is not understood opens nothing
		}
		all[i] = s.mayStay(list, who, r.name)
	}
	return all
}

// historyEvent is an event as this socket got it, or would have.
func (k *socket) historyEvent(d *delivery) (e subjects.RoomHistoryEvent, ok bool) {
	m, ok := k.missedMessage(d)
	if !ok {
		return e, false
	}
	return subjects.RoomHistoryEvent{Event: d.event, Data: m.body, Offset: strconv.FormatUint(d.seq, 10)}, true
}
