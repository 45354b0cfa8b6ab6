package edge

import (
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/subjects"
)

func TestParticipantsAreCountedOverEdges(t *testing.T) {
	_, nc := startBus(t)
	one, url1 := startEdge(t, nc, Options{Name: "one"})
	_, url2 := startEdge(t, nc, Options{Name: "two"})
	a := connect(t, url1, "/events", "a", "")
	a.ack("join_room", map[string]string{"room": "chat-1"})
	if e := a.next("user_joined"); e["participantCount"] != 1.0 || e["room"] != "chat-1" || e["userId"] != "a" {
		t.Fatalf("first join %v", e)
	}
	b := connect(t, url2, "/events", "b", "")
	b.ack("join_room", map[string]any{"room": "chat-1", "userId": "a"})
	if e := b.next("user_joined"); e["participantCount"] != 2.0 || e["userId"] != "b" {
		t.Fatalf("second join %v", e)
	}
	a.next("user_joined")
	b.ack("join_room", map[string]string{"room": "chat-1"}) // again: no second user_joined
	if ack := a.ack("send_message", map[string]any{"room": "chat-1", "message": "hi"}); ack["success"] != true {
		t.Fatalf("send_message %v", ack)
	}
	if e := b.next("message"); e["message"] != "hi" || e["userId"] != "a" || e["from"] != a.SID() {
		t.Fatalf("message %v", e)
	}
	b.Close()
	if e := a.next("user_left"); e["participantCount"] != 1.0 || e["userId"] != "b" {
		t.Fatalf("leave %v", e)
	}
	if n := one.roster.participants("room.chat-1"); n != 1 {
		t.Fatalf("%d participants, want 1", n)
	}
	if ack := a.ack("send_message", map[string]any{"room": "elsewhere", "message": "hi"}); ack["code"] != "FORBIDDEN" {
		t.Fatalf("send_message without membership: %v", ack)
	}
}

func TestTokenIsRefreshedInPlace(t *testing.T) {
	_, nc := startBus(t)
	_, url := startEdge(t, nc, Options{OnExpiry: ExpiryDisconnect})
	soon := time.Now().Add(2 * time.Second)
	short := func(user string, expires time.Time) string {
		return sign(t, jwt.SigningMethodHS256, []byte(testSecret), jwt.MapClaims{"sub": user, "exp": expires.Unix()})
	}
	kept, dropped := dial(t, url, "/events", short("u1", soon)), dial(t, url, "/events", short("u2", soon))
	if ack := kept.ack("auth:refresh", map[string]string{"token": short("u2", time.Now().Add(time.Hour))}); ack["code"] != "AUTH_FAILED" {
		t.Fatalf("another user's token: %v", ack)
	}
	if ack := kept.ack("auth:refresh", map[string]string{"token": tokenFor(t, "u1", "case:123")}); ack["success"] != true || ack["expiresAt"] == nil {
		t.Fatalf("refresh: %v", ack)
	}
	if e := dropped.next("error"); e["code"] != "TOKEN_EXPIRED" {
		t.Fatalf("error %v", e)
	}
	select {
	case <-dropped.Done():
	case <-time.After(patience):
		t.Fatal("still connected after its token has expired")
	}
	if ack := kept.ack("subscribe:case", case123); ack["status"] != "subscribed" {
		t.Fatalf("the new token's scope does not count: %v", ack)
	}
}

func TestConnectionsAreReported(t *testing.T) {
	_, nc := startBus(t)
	batches := make(chan subjects.ConnBatch, 100)
	sub, err := nc.Subscribe(subjects.AllConn, func(m *nats.Msg) {
		batch, err := subjects.DecodeConnBatch(m.Data)
		if err != nil {
			t.Error(err)
		}
		batches <- batch
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	_, url := startEdge(t, nc, Options{Name: "e@1", IdleAfter: 300 * time.Millisecond})
	var seq uint64
	expect := func(op subjects.ConnOp) subjects.ConnEvent {
		t.Helper()
		for deadline := time.After(patience); ; {
			select {
			case batch := <-batches:
				if seq++; batch.Seq != seq || batch.Edge != "e@1" {
					t.Fatalf("batch %d of %s, want %d", batch.Seq, batch.Edge, seq)
				}
				if len(batch.Events) > 0 {
					if e := batch.Events[0]; e.Op == op && e.User == "u1" {
						return e
					}
					t.Fatalf("batch %+v, want %s", batch, op)
				}
			case <-deadline:
				t.Fatalf("no %s", op)
			}
		}
	}
	b := connect(t, url, "/events", "u1", "")
	if e := expect(subjects.ConnOpen); e.Socket != b.SID() || e.Namespace != "/events" || e.Device == "" {
		t.Fatalf("open %+v", e)
	}
	expect(subjects.ConnIdle)
	b.ack("presence:heartbeat", map[string]any{})
	expect(subjects.ConnActive)
	b.ack("presence:idle", map[string]any{})
	expect(subjects.ConnIdle)
	b.ack("presence:heartbeat", map[string]any{}) // says nothing any more
	subject, err := subjects.EdgeConnectionsSubject("e@1")
	if err != nil {
		t.Fatal(err)
	}
	reply, err := nc.Request(subject, nil, patience)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := subjects.DecodeConnSnapshot(reply.Data)
	if err != nil || whole.Seq != seq || len(whole.Sockets) != 1 || !whole.Sockets[0].Idle {
		t.Fatalf("snapshot %+v behind batch %d: %v", whole, seq, err)
	}
	b.ack("presence:active", map[string]any{})
	expect(subjects.ConnActive)
	b.Abort()
	if e := expect(subjects.ConnClose); e.Clean {
		t.Fatal("a lost transport is reported as clean")
	}
	key, _ := subjects.LeaseKey("e@1")
	entry, err := bucketOf(t, nc, subjects.BucketEdges).Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if lease, err := subjects.DecodeEdgeLease(entry.Value()); err != nil || lease.Incarnation != whole.Incarnation {
		t.Fatalf("lease %s: %v", entry.Value(), err)
	}
}
