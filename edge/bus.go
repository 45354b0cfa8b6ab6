package edge

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
)

// watchBus keeps the edge and the bus in step: it notices reconnects and drops on state.> and asks the
// services again, and a log that is not the one it was.
func (s *Server) watchBus(ctx context.Context) {
	status := s.nc.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.DISCONNECTED)
	defer s.nc.RemoveStatusListener(status)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	dropped := s.reader.dropped()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-status:
			s.log.Info("connection to NATS", "status", now.String())
			if now == nats.CONNECTED {
				s.resync(ctx)
			}
		case <-tick.C:
			if n := s.reader.dropped(); n > dropped {
				s.log.Warn("state events were dropped: asking the services again", "dropped", n-dropped)
				dropped = n
				s.greetAll()
			}
		}
	}
}

// resync follows a reconnect.
func (s *Server) resync(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	rewound, err := s.reader.rewound(ctx)
	switch {
	case errors.Is(err, context.Canceled):
		return
	case err != nil:
		s.log.Error("the log cannot be checked after the reconnect", "error", err)
	case rewound:
		s.metrics.rewinds.Inc()
		s.log.Error("the log ends before what was already read: it was replaced; reading on from its end")
	}
	s.connections.announce()
	s.greetAll()
}

// greetAll asks hello again for every socket, without another `connected`.
func (s *Server) greetAll() {
	s.hub.eachSocket(func(k *socket) { s.greet(k, nil) })
}
