package edge

import (
	"fmt"
	"time"

	"github.com/lexiflow/realtime/edge/engine"
	"github.com/lexiflow/realtime/subjects"
)

// ExpiryMode says what happens to a socket whose token expires while it is connected (contract 8, B9).
type ExpiryMode uint8

const (
	// ExpiryKeep leaves it connected, as the original did, but not beyond Options.SessionMaxAge.
	ExpiryKeep ExpiryMode = iota
	// ExpiryDisconnect sends the event error TOKEN_EXPIRED and closes the transport.
	ExpiryDisconnect
)

// ParseExpiry reads the value of --on-expiry.
func ParseExpiry(value string) (ExpiryMode, error) {
	switch value {
	case "keep":
		return ExpiryKeep, nil
	case "disconnect":
		return ExpiryDisconnect, nil
	}
	return 0, fmt.Errorf("%q: keep or disconnect is allowed", value)
}

func (m ExpiryMode) String() string {
	if m == ExpiryDisconnect {
		return "disconnect"
	}
	return "keep"
}

// over reports whether a socket that was opened at since must go.
func (m ExpiryMode) over(who *identity, since, now time.Time, maxAge time.Duration) bool {
	if who.expires.IsZero() || now.Before(who.expires) {
		return false
	}
	return m == ExpiryDisconnect || now.Sub(since) > maxAge
}

// refreshAuth: {token} → {success:true, expiresAt}. A newer token of the same user takes the place of
// the one that the socket was opened with, on every namespace of the connection.
func (s *Server) refreshAuth(in *incoming) {
	token, _ := stringField(in.body, "token")
	who, err := s.options.Keys.verify(token)
	switch {
	case err != nil:
		s.throttle.failed(in.from.client.address, time.Now())
		in.refuse(refuse(subjects.CodeAuthFailed, err.Error()))
		return
	case who.user != in.from.user || s.revocations.covers(who):
		in.refuse(refuse(subjects.CodeAuthFailed, "the token is revoked or another user's"))
		return
	}
	for _, k := range in.from.client.all() {
		if k.user == who.user {
			k.who.Store(who)
			if s.revokedMeanwhile(k) {
				return
			}
		}
	}
	if who.expires.IsZero() {
		in.ack(acknowledged)
		return
	}
	in.ack(mustJSON(subjects.AuthRefreshed{Success: true, ExpiresAt: subjects.At(who.expires)}))
}

// expiryEvery is how late an expiry may be noticed.
const expiryEvery = time.Second

// expireSockets closes the sockets whose token is over.
func (s *Server) expireSockets(now time.Time) {
	s.hub.eachSocket(func(k *socket) {
		if s.options.OnExpiry.over(k.who.Load(), k.since, now, s.options.SessionMaxAge) {
			s.expire(k, now)
		}
	})
}

// expire tells the client why, and closes the transport: it comes back, with a newer token if it has
// one.
func (s *Server) expire(k *socket, now time.Time) {
	s.metrics.refused(reasonExpired)
	k.emit("error", refuse(subjects.CodeTokenExpired, "the token has expired").event(now))
	k.client.session.CloseAfterFlush(engine.ReasonKicked)
}
