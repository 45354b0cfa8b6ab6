package edge

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/edge/engine"
)

// watchBus keeps the edge and the bus in step: it notices reconnects and drops on state.> and asks the
// services again, and a log that is not the one it was.
func (s *Server) watchBus(ctx context.Context) {
	status := s.nc.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.DISCONNECTED)
	defer s.nc.RemoveStatusListener(status)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	dropped, unchecked := s.reader.dropped(), false
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-status:
			s.log.Info("connection to NATS", "status", now.String())
			if now == nats.CONNECTED {
				unchecked = !s.resync(ctx)
			}
		case <-tick.C:
			if unchecked && s.nc.IsConnected() {
				unchecked = !s.resync(ctx)
			}
			if n := s.reader.dropped(); n > dropped {
				s.log.Warn("state events were dropped: asking the services again", "dropped", n-dropped)
				dropped = n
				s.greetAll()
			}
		}
	}
}

// resync follows a reconnect. It returns false when the log could not be asked: a server that has just
// started may not have it yet.
func (s *Server) resync(ctx context.Context) (done bool) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	rewound, err := s.reader.rewound(ctx)
	switch {
	case errors.Is(err, context.Canceled):
		return true
	case err != nil:
		s.log.Warn("the log cannot be checked after the reconnect, trying again", "error", err)
		return false
	case rewound:
		s.metrics.rewinds.Inc()
		s.log.Error("the log ends before what was already read: it was replaced; clients begin anew at its end")
		s.mailbox.post(s.startOver)
		return true
	}
	s.connections.announce()
	s.greetAll()
	return true
}

// startOver forgets every position in the old log. Clients hold offsets of it, so their sessions end:
// they come back for fresh ones. It runs on the fan-out goroutine.
func (s *Server) startOver() {
	position := s.reader.position.Load()
	s.ring = newRing(position)
	s.fanned.Store(position)
	s.hub.eachSocket(func(k *socket) {
		s.forget(k)
		k.client.session.Close(engine.ReasonServerClose)
	})
}

// greetAll asks hello again for every socket, without another `connected`.
func (s *Server) greetAll() {
	s.hub.eachSocket(func(k *socket) { s.greet(k, nil) })
}
