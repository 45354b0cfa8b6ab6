package edge

import (
	"context"
	"time"

	"github.com/lexiflow/realtime/edge/engine"
)

// drain sends the clients elsewhere: not ready, no new connections, then every transport closed, in
// waves so that the other edges are not hit at once. Transports, not DISCONNECT packets: after those
// the official client would stay away (contract 8, B39).
func (s *Server) drain() {
	s.draining.Store(true)
	s.forwarder.drain()
	s.engine.StopAccepting()
	var sessions []*engine.Session
	s.engine.Sessions(func(session *engine.Session) bool {
		sessions = append(sessions, session)
		return true
	})
	s.log.Info("edge drains", "connections", len(sessions))
	deadline := time.Now().Add(s.options.DrainTimeout)
	wave := max(len(sessions)/drainWaves, 1)
	pause := time.NewTicker(s.options.DrainTimeout / (2 * drainWaves))
	defer pause.Stop()
	for i, session := range sessions {
		if i > 0 && i%wave == 0 {
			<-pause.C
		}
		session.CloseAfterFlush(engine.ReasonDrain)
	}
	// A new context: the one that was cancelled is why we are here.
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	if err := s.engine.Close(ctx); err != nil {
		s.log.Warn("connections were cut at the end of the drain", "error", err)
	}
	s.log.Info("edge drained")
}

// drainWaves spread the reconnects over half the drain time.
const drainWaves = 20
