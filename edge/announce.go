package edge

import (
	"strings"
	"time"

	"github.com/lexiflow/realtime/subjects"
)

// user_joined and user_left of generic rooms (contract 1.1; 8, B23): passing events, so that members
// on every edge see them.

type memberEvent struct {
	Room             string `json:"room"`
	SocketID         string `json:"socketId"`
	UserID           string `json:"userId"`
	ParticipantCount int    `json:"participantCount"`
	Timestamp        string `json:"timestamp"`
}

func (s *Server) announceJoined(k *socket, name string) { s.announceMember(k, name, "user_joined") }

// announceLeft tells the rest of a generic room. Other kinds of room have no such event.
func (s *Server) announceLeft(k *socket, name string) { s.announceMember(k, name, "user_left") }

func (s *Server) announceMember(k *socket, name, event string) {
	kind, id, err := subjects.ParseRoom(name)
	if err != nil || kind != subjects.KindRoom {
		return
	}
	s.roster.changed(name)
	s.publishLive(name, event, memberEvent{
		Room: id, SocketID: k.id.String(), UserID: k.user,
		ParticipantCount: s.roster.participants(name), Timestamp: iso(time.Now()),
	})
}

// publishLive sends a passing event. While NATS is away it is dropped at once: the client library
// would keep it and deliver old news after the reconnect (nats-facts 8).
func (s *Server) publishLive(room, event string, payload any) {
	if !s.nc.IsConnected() {
		return
	}
	subject := subjects.Live.String() + "." + room + "." + strings.ReplaceAll(event, ":", ".")
	if err := s.nc.Publish(subject, mustJSON(payload)); err != nil {
		s.log.Warn("passing event not published", "event", event, "error", err)
	}
}
