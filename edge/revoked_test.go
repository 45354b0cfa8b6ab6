package edge

import (
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/subjects"
)

func revoke(t testing.TB, nc *nats.Conn, key string) {
	t.Helper()
	if _, err := bucketOf(t, nc, subjects.BucketRevoked).PutString(t.Context(), key, ""); err != nil {
		t.Fatal(err)
	}
}

// goes waits for the end of the connection, which is promised within a second.
func (b *browser) goes(what string) {
	b.t.Helper()
	start := time.Now()
	select {
	case <-b.Done():
		if took := time.Since(start); took > time.Second {
			b.t.Errorf("%s stays for %v", what, took)
		}
	case <-time.After(patience):
		b.t.Fatalf("%s stays", what)
	}
}

func TestRevocationOnEveryEdge(t *testing.T) {
	_, nc := startBus(t)
	_, one := startEdge(t, nc, Options{Name: "one"})
	two, url2 := startEdge(t, nc, Options{Name: "two"})
	other := connect(t, url2, "/events", "u2", "")
	expired := sign(t, jwt.SigningMethodHS256, []byte(testSecret), jwt.MapClaims{
		"sub": "u1", "jti": "token-of-u1", "exp": time.Now().Add(-time.Minute).Unix(),
	})
	for name, key := range map[string]string{"user": "user.u1", "token": "jti.token-of-u1"} {
		t.Run(name, func(t *testing.T) {
			here, there := connect(t, one, "/events", "u1", ""), connect(t, url2, "/messaging", "u1", "")
			lost := connect(t, one, "/events", "u1", "")
			lost.cutOff()
			revoke(t, nc, key)
			here.goes("on one edge")
			there.goes("on the other edge")
			resumes := func(b *browser) map[string]any { return map[string]any{"pid": b.PID(), "offset": "1"} }
			for _, token := range []string{tokenFor(t, "u1", ""), expired} {
				refusedDial(t, url2, token, resumes(here))
				refusedDial(t, one, token, resumes(lost))
			}
			if err := bucketOf(t, nc, subjects.BucketRevoked).Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the revocation is forgotten", func() bool {
				return !two.revocations.covers(&identity{user: "u1", tokenID: "token-of-u1"})
			})
			// It ended the session: a token that could only resume it is good for nothing now.
			refusedDial(t, url2, expired, resumes(here))
		})
	}
	if ack := other.ack("ping"); ack["success"] != true {
		t.Fatal("another user was thrown out too")
	}
}

// TestRevokedBetweenCheckAndMembership has the entry come when the token has been checked already and the
// socket is not a member yet, so that the eviction does not see it.
func TestRevokedBetweenCheckAndMembership(t *testing.T) {
	_, nc := startBus(t)
	s, url := startEdge(t, nc, Options{})
	b := connect(t, url, "/events", "u1", "")
	s.revocations.mu.Lock()
	s.revocations.keys["user.u1"] = revocation{} // noted, and nobody evicted
	s.revocations.mu.Unlock()
	var k *socket
	s.hub.eachSocket(func(member *socket) { k = member })
	if !s.revokedMeanwhile(k) {
		t.Fatal("a revoked socket is not noticed when it becomes a member")
	}
	b.goes("a revoked socket")
}
