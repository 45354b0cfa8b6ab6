package edge

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/subjects/natsd"
	"github.com/lexiflow/realtime/subjects/natsd/natstest"
)

// bus is a real NATS server in this process, with all streams.
func startBus(t testing.TB) (*natsd.Server, *nats.Conn) {
	t.Helper()
	server, nc, _ := natstest.Bus(t, natsd.Options{})
	return server, nc
}

// startEdge serves on a port of its own until the test ends, and returns its URL.
func startEdge(t testing.TB, nc *nats.Conn, o Options) (s *Server, url string) {
	t.Helper()
	if o.Keys == nil {
		keys, err := LoadKeys(context.Background(), KeyOptions{Secret: testSecret})
		if err != nil {
			t.Fatal(err)
		}
		o.Keys = keys
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if o.DrainTimeout == 0 {
		o.DrainTimeout = 200 * time.Millisecond
	}
	s, err := New(nc, o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Run does not end")
		}
	})
	return s, "http://" + l.Addr().String()
}
