package edge

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/lexiflow/realtime/edge/sio"
	"github.com/lexiflow/realtime/subjects"
)

// The events that the edge answers itself: case rooms and generic rooms (contract 1.1), because who
// may enter them is in the token. Every other room is entered through a service's reply.

const maxRoomName = 100 // characters (contract 2.2)

// subscribeCase: {caseId, since?} → {status:"subscribed", caseId, offset}.
func (s *Server) subscribeCase(in incoming) {
	id, ok := stringField(in.body, "caseId")
	name, err := subjects.Room(subjects.KindCase, id)
	if !ok || err != nil {
		in.refuse(badCaseID)
		s.next(in.from, laneRooms)
		return
	}
	since, asked, ok := positionField(in.body, "since")
	if !ok {
		in.refuse(refuse(subjects.CodeInvalidInput, "since must be a log position: digits, as a string or a number"))
		s.next(in.from, laneRooms)
		return
	}
	in.body = nil
	if asked {
		s.subscribeSince(in, id, name, since)
		return
	}
	s.enter(in.from, subjects.KindCase, id, func(entered bool, no *refusal) {
		if no != nil {
			in.refuse(no)
			s.next(in.from, laneRooms)
			return
		}
		s.subscribed(in, id, name, entered, nil)
	}, name)
}

// subscribed acks a subscription when the session knows of it. recovered is nil for one without since.
func (s *Server) subscribed(in incoming, id, name string, entered bool, recovered *bool) {
	s.kept(in.from, entered, func(err error) {
		if err != nil {
			s.exit(in.from, name)
			in.refuseFor(err)
		} else {
			offset := strconv.FormatUint(in.from.joinedAt(name), 10)
			in.ack(mustJSON(subjects.CaseSubscription{Status: "subscribed", CaseID: id, Offset: offset, Recovered: recovered}))
		}
		s.next(in.from, laneRooms)
	})
}

var badCaseID = refuse(subjects.CodeInvalidInput, "caseId must be a string of 1 to 128 bytes")

// unsubscribeCase: {caseId} → {status:"unsubscribed", caseId}, also for who was not subscribed.
func (s *Server) unsubscribeCase(in incoming) {
	id, ok := stringField(in.body, "caseId")
	name, err := subjects.Room(subjects.KindCase, id)
	if !ok || err != nil {
		in.refuse(badCaseID)
		s.next(in.from, laneRooms)
		return
	}
	s.kept(in.from, s.exit(in.from, name), func(err error) {
		if err != nil {
			in.refuseFor(err) // it has left, but would be back after a resumption: it should say so again
		} else {
			in.ack(mustJSON(subjects.CaseSubscription{Status: "unsubscribed", CaseID: id}))
		}
		s.next(in.from, laneRooms)
	})
}

// joinRoom: {room} or a bare string → {success:true}. A userId in it is accepted and ignored: who
// joins is in the token (contract 8, B4).
func (s *Server) joinRoom(in incoming) {
	asked, no := roomArgument(in.body)
	kind, id := targetOf(asked)
	name, err := subjects.Room(kind, id)
	if no == nil && err != nil {
		no = refuse(subjects.CodeInvalidInput, subjects.MessageOf(err))
	}
	if no != nil {
		in.refuse(no)
		s.next(in.from, laneRooms)
		return
	}
	in.body = nil
	s.enter(in.from, kind, id, func(entered bool, no *refusal) {
		if no != nil {
			in.refuse(no)
			s.next(in.from, laneRooms)
			return
		}
		s.kept(in.from, entered, func(err error) {
			if err != nil {
				s.exit(in.from, name)
				in.refuseFor(err)
			} else {
				in.ack(acknowledged)
			}
			if err == nil && entered && kind == subjects.KindRoom {
				s.announceJoined(in.from, name)
			}
			s.next(in.from, laneRooms)
		})
	}, name)
}

// leaveRoom: {room} or a bare string → {success:true}. Who was not in it announces nothing
// (contract 8, B23).
func (s *Server) leaveRoom(in incoming) {
	asked, no := roomArgument(in.body)
	if no != nil {
		in.refuse(no)
		s.next(in.from, laneRooms)
		return
	}
	kind, id := targetOf(asked)
	name, err := subjects.Room(kind, id)
	left := err == nil && s.exit(in.from, name)
	if left {
		s.announceLeft(in.from, name)
	}
	s.kept(in.from, left, func(err error) {
		if err != nil {
			in.refuseFor(err)
		} else {
			in.ack(acknowledged)
		}
		s.next(in.from, laneRooms)
	})
}

// sendMessage: {room, message} → {success:true} once the log has it. Only members of a room speak in
// it, and what they send is always the event `message` (contract 8, B3).
//
// It takes its turn behind the joins before it, and gives it up once it is published: what follows on
// this connection follows in the log.
func (s *Server) sendMessage(in incoming) {
	defer s.next(in.from, laneRooms)
	asked, no := roomArgument(in.body)
	message, ok := sio.Field(in.body, "message")
	if no == nil && (!ok || bytes.Equal(message, []byte("null")) || bytes.Equal(message, []byte(`""`))) {
		no = refuse(subjects.CodeInvalidInput, "message must not be empty")
	}
	if no != nil {
		in.refuse(no)
		return
	}
	kind, id := targetOf(asked)
	name, err := subjects.Room(kind, id)
	if err != nil || (kind != subjects.KindRoom && kind != subjects.KindCase) || !in.from.in(name) {
		in.refuse(refuse(subjects.CodeForbidden, "not a member of this room"))
		return
	}
	s.publishMessage(&in, asked, name, message)
}

type roomMessage struct {
	Room      string          `json:"room"`
	From      string          `json:"from"`
	UserID    string          `json:"userId"`
	Message   json.RawMessage `json:"message"`
	Timestamp string          `json:"timestamp"`
}

func (s *Server) publishMessage(in *incoming, asked, name string, message []byte) {
	body := mustJSON(roomMessage{asked, in.from.id.String(), in.from.user, message, iso(time.Now())})
	header := nats.Header{subjects.HeaderMsgID: {nuid.Next()}}
	answer := *in // in is the callback's; the answer comes later
	answer.body = nil
	s.requests.do(subjects.Log.String()+"."+name+".message", header, body, s.options.CommandTimeout, once(func(m *nats.Msg, err error) {
		if err == nil {
			err = publishError(m.Data)
		}
		if err != nil {
			answer.refuse(refuse(subjects.CodeOf(err), err.Error()))
			return
		}
		answer.ack(acknowledged)
	}))
}

// publishError reads the answer of a stream to a publish.
func publishError(data []byte) error {
	var ack struct {
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
		Sequence uint64 `json:"seq"`
	}
	if err := json.Unmarshal(data, &ack); err != nil || ack.Error != nil || ack.Sequence == 0 {
		return subjects.Errorf(subjects.CodeUnavailable, "the log did not take the message")
	}
	return nil
}

// targetOf splits a client's room name: "case:7" is the case's own room, under that room's rule; every
// name that no kind claims is a generic room of a key space of its own, so that no name can reach a
// user's, a conversation's or another socket's room.
func targetOf(asked string) (kind subjects.Kind, id string) {
	prefix, rest, ok := strings.Cut(asked, ":")
	if ok && subjects.Kind(prefix).Valid() && subjects.Kind(prefix) != subjects.KindRoom {
		return subjects.Kind(prefix), rest
	}
	return subjects.KindRoom, asked
}

// roomArgument reads {room: "…"} or a bare "…" (contract 1.5, join-room).
func roomArgument(body []byte) (string, *refusal) {
	name, ok := jsonString(body)
	if !ok {
		name, ok = stringField(body, "room")
	}
	if n := utf8.RuneCountInString(name); !ok || n == 0 || n > maxRoomName {
		return "", refuse(subjects.CodeInvalidInput, "room must be a string of 1 to 100 characters")
	}
	return name, nil
}

// positionField reads an optional log position, which clients get as a string.
func positionField(body []byte, key string) (position uint64, given, ok bool) {
	raw, given := sio.Field(body, key)
	if !given || bytes.Equal(raw, []byte("null")) {
		return 0, false, true
	}
	text, quoted := jsonString(raw)
	if !quoted {
		text = string(raw)
	}
	position, err := strconv.ParseUint(text, 10, 64)
	return position, true, err == nil
}

func stringField(body []byte, key string) (string, bool) {
	raw, ok := sio.Field(body, key)
	if !ok {
		return "", false
	}
	return jsonString(raw)
}
