package edge

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/edge/engine"
)

// watchBus keeps the edge and the bus in step: it notices reconnects and drops on state.> and asks the
// services again, a log that is not the one it was, and a reader to which nothing comes.
func (s *Server) watchBus(ctx context.Context) {
	status := s.nc.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.DISCONNECTED)
	defer s.nc.RemoveStatusListener(status)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	w := busWatch{s: s, dropped: s.reader.dropped()}
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-status:
			s.log.Info("connection to NATS", "status", now.String())
			s.recent.clear()
			if now == nats.CONNECTED {
				w.reconnected = true
				w.look(ctx)
			}
		case <-s.reader.stuck:
			w.unread = true
			w.look(ctx)
		case <-tick.C:
			w.look(ctx)
		}
	}
}

// busWatch is what watchBus remembers from one look to the next.
type busWatch struct {
	s           *Server
	dropped     int    // state and live messages
	position    uint64 // of the log, at the last look
	waiting     bool   // the log was longer than that then
	reconnected bool   // and not asked about what was missed yet
	unread      bool   // the log is to be read anew, which has not succeeded yet
	doubt       bool   // it seemed to be another one at the last look
}

// look is one look at the bus.
func (w *busWatch) look(ctx context.Context) {
	s := w.s
	if !s.nc.IsConnected() {
		w.waiting = false
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if w.unread {
		if err := s.reader.again(ctx); err != nil {
			s.log.Warn("the log cannot be read, trying again", "error", err)
			return
		}
		w.unread, w.waiting = false, false
	}
	began := time.Now()
	replaced, end, behind, err := s.reader.check(ctx)
	switch {
	case errors.Is(err, context.Canceled):
		return
	case err != nil: // a server that has just started may not have it yet
		s.log.Warn("the log cannot be checked, trying again", "error", err)
		return
	case replaced:
		w.replaced(ctx)
		return
	}
	w.doubt = false
	s.recent.look(end, began)
	w.progress(behind)
	if n := s.reader.dropped(); n > w.dropped || w.reconnected {
		if n > w.dropped {
			s.log.Warn("state events were dropped: asking the services again", "dropped", n-w.dropped)
		}
		if w.reconnected {
			s.connections.announce()
		}
		w.dropped, w.reconnected = n, false
		s.greetAll()
	}
}

// replaced acts when two looks in a row have found another log: a server that has just lost its leadership
// may speak of an end that is no more.
func (w *busWatch) replaced(ctx context.Context) {
	s := w.s
	if !w.doubt {
		w.doubt = true
		return
	}
	if err := s.reader.startOver(ctx); err != nil {
		s.log.Warn("the new log cannot be read, trying again", "error", err)
		return
	}
	s.metrics.rewinds.Inc()
	s.log.Error("the log is another one than was read so far; clients begin anew at its end")
	s.mailbox.post(s.startOver)
	w.reconnected, w.doubt = false, false
}

// progress has the log read anew when it has grown and nothing has come from one look to the next,
// although nothing that came before waits for the fan-out.
func (w *busWatch) progress(behind uint64) {
	r := w.s.reader
	position, idle := r.position.Load(), len(r.out) == 0
	if w.waiting && idle && behind > 0 && position == w.position {
		r.repair("nothing comes")
	}
	w.position, w.waiting = position, behind > 0 && idle
}

// startOver forgets every position in the old log. Clients hold offsets of it, so their sessions end:
// they come back for fresh ones. It runs on the fan-out goroutine.
func (s *Server) startOver() {
	position := s.reader.position.Load()
	s.recent.clear()
	s.ring = newRing(position)
	s.fanned.Store(position)
	s.hub.eachSocket(func(k *socket) {
		s.forget(k)
		k.client.session.Close(engine.ReasonServerClose)
	})
}

// readOnBehind follows a gap that cannot be closed: the log was trimmed before this edge had read it. Its
// clients may have missed something, so they are sent to resume: an edge that has read it gives it to
// them, and else they begin anew. It runs on the fan-out goroutine.
func (s *Server) readOnBehind(position uint64) {
	s.log.Error("the log was trimmed before it was read; clients come back", "position", position)
	s.recent.clear()
	s.ring = newRing(position)
	s.fanned.Store(position)
	s.hub.eachSocket(func(k *socket) { k.client.drop(reasonLogTrimmed, engine.ReasonServerClose) })
}

// greetAll asks hello again for every socket, without another `connected`.
func (s *Server) greetAll() {
	s.hub.eachSocket(func(k *socket) { s.greet(k, nil) })
}
