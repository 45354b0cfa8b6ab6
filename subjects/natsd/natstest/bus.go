package natstest

import (
	"log/slog"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
)

// Bus runs one server in this process, with all streams, until the test ends; see [Server].
func Bus(t testing.TB, o natsd.Options) (*natsd.Server, *nats.Conn, jetstream.JetStream) {
	t.Helper()
	server, nc, js := Server(t, o)
	if err := subjects.EnsureStreams(t.Context(), js, subjects.StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	return server, nc, js
}

// Server runs one server in this process, without streams, until the test ends, and returns a connection to
// it. It is silent unless o has a logger.
func Server(t testing.TB, o natsd.Options) (*natsd.Server, *nats.Conn, jetstream.JetStream) {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	server, err := natsd.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	nc, js := Dial(t, server)
	return server, nc, js
}

// Dial opens one more connection to a server in this process, until the test ends.
func Dial(t testing.TB, server *natsd.Server) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := server.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}
