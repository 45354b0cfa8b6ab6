package edge

import (
	"context"
	"slices"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/subjects"
)

// hearGreets takes the services' word that what they say at hello has changed for the sockets in a room,
// and asks them again: rooms and events, without another `connected`.
func (s *Server) hearGreets(ctx context.Context) error {
	sub, err := s.nc.Subscribe(subjects.AllGreet, s.heardGreet)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = sub.Unsubscribe() }) // fails only when the connection is gone
	return nil
}

func (s *Server) heardGreet(m *nats.Msg) {
	room, to, err := subjects.DecodeGreet(m)
	if err != nil {
		s.log.Warn("a request to greet again is not understood", "subject", m.Subject, "error", err)
		return
	}
	for n := range nsCount {
		if len(to.Namespaces) > 0 && !slices.Contains(to.Namespaces, n.String()) {
			continue
		}
		for _, k := range s.hub.members(roomKey{n, room}) {
			s.greet(k, nil)
		}
	}
}
