package edge

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
	"github.com/lexiflow/realtime/subjects/natsd/natstest"
)

// TestBusLostAndBack stops the server under a connected client and starts it again on the same data:
// not ready meanwhile, the client stays, and what is published after goes on where it stopped.
func TestBusLostAndBack(t *testing.T) {
	dir := t.TempDir()
	quiet := slog.New(slog.DiscardHandler)
	server, err := natsd.Start(context.Background(), natsd.Options{DataDir: dir, Listen: natstest.FreeAddress(t), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	address := server.Addr()
	dial := func() *nats.Conn {
		nc, err := subjects.Connect(t.Context(), subjects.ConnectOptions{URL: "nats://" + fmt.Sprint(address), Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	nc := dial()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := subjects.EnsureStreams(t.Context(), js, subjects.StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	_, url := startEdge(t, nc, Options{})
	b := connect(t, url, "/events", "u1", "case:*")
	b.ack("subscribe:case", case123)
	// No event before the loss: the reader must not begin at "new" when it comes back.
	server.Close()
	eventually(t, "not ready", func() bool { return statusOf(t, url+"/readyz") == http.StatusServiceUnavailable })
	if ack := b.ack("invoice:approve", map[string]any{}); ack["code"] != "UNAVAILABLE" {
		t.Fatalf("a command while the bus is away: %v", ack)
	}
	if status := statusOf(t, url+"/api/realtime/health"); status != http.StatusServiceUnavailable {
		t.Fatalf("health answers %d while the bus is away", status)
	}

	server, err = natsd.Start(context.Background(), natsd.Options{DataDir: dir, Listen: fmt.Sprint(address), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	// Another connection, perhaps before the edge is back.
	other := dial()
	const events = 50
	for n := range events {
		publish(t, other, subjects.KindCase, "123", "case:updated", fmt.Sprintf(`{"n":%d}`, n))
	}
	for n := range events {
		if e := b.next("case:updated"); e["n"] != float64(n) {
			t.Fatalf("event %v, want n=%d", e, n)
		}
	}
	eventually(t, "ready again", func() bool { return statusOf(t, url+"/readyz") == http.StatusOK })
	revoke(t, other, "user.u1")
	b.goes("a user who is revoked after the bus was away")
}

func statusOf(t testing.TB, url string) int {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

// TestBusReplaced brings up a server without the old data: the positions that clients hold are of a log
// that is no more, so they begin anew instead of waiting for it to grow past them.
func TestBusReplaced(t *testing.T) {
	quiet := slog.New(slog.DiscardHandler)
	start := func(listen string) *natsd.Server {
		server, err := natsd.Start(context.Background(), natsd.Options{DataDir: t.TempDir(), Listen: listen, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		return server
	}
	server := start(natstest.FreeAddress(t))
	address := fmt.Sprint(server.Addr())
	prepared := func() *nats.Conn {
		nc, err := subjects.Connect(t.Context(), subjects.ConnectOptions{URL: "nats://" + address, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		if err := subjects.EnsureStreams(t.Context(), js, subjects.StreamOptions{}); err != nil {
			t.Fatal(err)
		}
		return nc
	}
	nc := prepared()
	_, url := startEdge(t, nc, Options{})
	b := connect(t, url, "/events", "u1", "case:*")
	b.ack("subscribe:case", case123)
	numbers(t, nc, 0, 20)
	b.expect(0, 20)

	server.Close()
	server = start(address)
	t.Cleanup(server.Close)
	other := prepared()
	select {
	case <-b.Done():
	case <-time.After(2 * patience):
		t.Fatal("the client stays with offsets of a log that is no more")
	}
	eventually(t, "ready again", func() bool { return statusOf(t, url+"/readyz") == http.StatusOK })
	again := b.again(url, "/events", tokenFor(t, "u1", "case:*"))
	if again.PID() == b.PID() {
		t.Fatal("a session of another log is resumed")
	}
	again.ack("subscribe:case", case123)
	numbers(t, other, 0, 3)
	again.expect(0, 3)
	revoke(t, other, "user.u1")
	again.goes("a user who is revoked on the new bus")
}
