package subjects

import (
	"log/slog"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects/natsd"
)

// bus starts a real server of its own for a test.
func bus(t *testing.T) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	server, err := natsd.Start(t.Context(), natsd.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
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

// busWithStreams has all streams too.
func busWithStreams(t *testing.T) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, js := bus(t)
	if err := EnsureStreams(t.Context(), js, StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	return nc, js
}

func TestEnsureStreamsIsIdempotent(t *testing.T) {
	_, js := busWithStreams(t)
	if err := EnsureStreams(t.Context(), js, StreamOptions{}); err != nil {
		t.Fatal(err)
	}
}
