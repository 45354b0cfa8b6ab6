package natsd_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects/natsd"
)

func start(t *testing.T, o natsd.Options) *natsd.Server {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := natsd.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func connect(t *testing.T, s *natsd.Server) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := s.Connect()
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

func TestInProcessOnly(t *testing.T) {
	s := start(t, natsd.Options{})
	if s.Addr() != nil || s.ClientURL() != "" {
		t.Errorf("a server without a listener has the address %v, %q", s.Addr(), s.ClientURL())
	}
	nc, js := connect(t, s)
	if got, want := nc.MaxPayload(), int64(8<<20); got != want {
		t.Errorf("max payload %d, want %d", got, want)
	}
	// A reservation beyond any laptop's free space: the limit is ours, not the disk's.
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "BIG", Subjects: []string{"big"}, MaxBytes: 900 << 30})
	if err != nil {
		t.Errorf("reserving 900 GiB: %v", err)
	}
}

func TestListener(t *testing.T) {
	s := start(t, natsd.Options{Listen: "127.0.0.1:0"})
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatalf("connecting to %s: %v", s.ClientURL(), err)
	}
	nc.Close()
}

func TestStartRefuses(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() }) // it only had to be open
	notDir := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(notDir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	inUse := t.TempDir()
	start(t, natsd.Options{DataDir: inUse})
	ended, cancel := context.WithCancel(t.Context())
	cancel()

	for name, c := range map[string]struct {
		ctx  context.Context
		o    natsd.Options
		want string // in the error
	}{
		"a directory in use": {t.Context(), natsd.Options{DataDir: inUse}, inUse},
		"a file":             {t.Context(), natsd.Options{DataDir: notDir}, notDir},
		"a taken port":       {t.Context(), natsd.Options{Listen: taken.Addr().String()}, taken.Addr().String()},
		"an address":         {t.Context(), natsd.Options{Listen: "localhost"}, `"localhost"`},
		"a port":             {t.Context(), natsd.Options{Listen: "localhost:http"}, `"localhost:http"`},
		"an ended context":   {ended, natsd.Options{}, "context canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			c.o.Logger = slog.New(slog.DiscardHandler)
			s, err := natsd.Start(c.ctx, c.o)
			if err == nil {
				s.Close()
				t.Fatal("it started")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q does not name %s", err, c.want)
			}
		})
	}
}

func TestRestartKeepsMessages(t *testing.T) {
	dir := t.TempDir()
	first := start(t, natsd.Options{DataDir: dir})
	_, js := connect(t, first)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "s", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	first.Close()

	_, js = connect(t, start(t, natsd.Options{DataDir: dir}))
	stream, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	msg, err := stream.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if string(msg.Data) != "kept" {
		t.Errorf("message 1 is %q", msg.Data)
	}
}

func TestTemporaryDirectoryIsRemoved(t *testing.T) {
	root := t.TempDir()
	t.Setenv("TMPDIR", root)
	s := start(t, natsd.Options{})
	connect(t, s)
	s.Close()
	s.Close() // once more is harmless
	left, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}
