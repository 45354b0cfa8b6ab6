package subjects

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/subjects/natsd"
)

// warnings is a slog handler that hands the messages of a level to a channel.
type warnings struct {
	slog.Handler
	said chan string
}

func (w warnings) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		select {
		case w.said <- r.Message:
		default:
		}
	}
	return nil
}

func (w warnings) Enabled(context.Context, slog.Level) bool { return true }

func newWarnings() (*slog.Logger, <-chan string) {
	said := make(chan string, 16)
	return slog.New(warnings{slog.DiscardHandler, said}), said
}

// freeAddr returns a loopback address nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return addr
}

func TestConnectInProcess(t *testing.T) {
	s, err := natsd.Start(t.Context(), natsd.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	nc, err := Connect(t.Context(), ConnectOptions{InProcess: s, Name: "test", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.Flush(); err != nil {
		t.Error(err)
	}
}

func TestConnectWaitsForTheServer(t *testing.T) {
	addr := freeAddr(t)
	log, said := newWarnings()
	connected := make(chan error, 1)
	go func() {
		nc, err := Connect(t.Context(), ConnectOptions{URL: "nats://" + addr, Logger: log})
		if err == nil {
			nc.Close()
		}
		connected <- err
	}()
	select { // it has tried, failed and said so
	case <-said:
	case err := <-connected:
		t.Fatalf("did not wait: %v", err)
	}
	s, err := natsd.Start(t.Context(), natsd.Options{Listen: addr, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := <-connected; err != nil {
		t.Error(err)
	}
}

func TestConnectGivesUpWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	log, _ := newWarnings()
	addr := freeAddr(t)
	_, err := Connect(ctx, ConnectOptions{URL: "nats://user:secret@" + addr, Logger: log})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), addr) || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

func TestConnectDoesNotWaitInVain(t *testing.T) {
	guarded := guardedServer(t)
	absent := filepath.Join(t.TempDir(), "absent")
	notPEM := filepath.Join(t.TempDir(), "not.pem")
	if err := os.WriteFile(notPEM, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		o    ConnectOptions
		want string // in the error
	}{
		"no credentials file":   {ConnectOptions{CredsFile: absent}, absent},
		"no NKey file":          {ConnectOptions{NKeyFile: absent}, absent},
		"no NKey in the file":   {ConnectOptions{NKeyFile: notPEM}, notPEM},
		"no CA file":            {ConnectOptions{CAFile: absent}, absent},
		"no CA in the file":     {ConnectOptions{CAFile: notPEM}, notPEM},
		"no certificate":        {ConnectOptions{CertFile: absent, KeyFile: absent}, absent},
		"half a certificate":    {ConnectOptions{CertFile: notPEM}, "both"},
		"a malformed URL":       {ConnectOptions{URL: "nats://user:secret@127.0.0.1:port"}, "invalid port"},
		"a malformed prefix":    {ConnectOptions{InboxPrefix: "a.>"}, "prefix"},
		"refused credentials":   {ConnectOptions{URL: "nats://user:secret@" + guarded}, "Authorization"},
		"credentials forgotten": {ConnectOptions{URL: "nats://" + guarded}, "Authorization"},
	} {
		t.Run(name, func(t *testing.T) {
			c.o.Logger = slog.New(slog.DiscardHandler)
			nc, err := Connect(t.Context(), c.o)
			if err == nil {
				nc.Close()
				t.Fatal("it connected")
			}
			if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("error %q does not name %s, or names a secret", err, c.want)
			}
		})
	}
}

// guardedServer listens and wants a password.
func guardedServer(t *testing.T) (addr string) {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, Username: "user", Password: "right", NoSigs: true, NoLog: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	return s.Addr().String()
}

func TestConnectSurvivesTheServer(t *testing.T) {
	dir, addr := t.TempDir(), freeAddr(t)
	options := natsd.Options{DataDir: dir, Listen: addr, Logger: slog.New(slog.DiscardHandler)}
	first, err := natsd.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	log, said := newWarnings()
	nc, err := Connect(t.Context(), ConnectOptions{URL: first.ClientURL(), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	reconnected := make(chan struct{}, 1)
	notify := nc.Opts.ReconnectedCB
	nc.SetReconnectHandler(func(c *nats.Conn) {
		notify(c)
		reconnected <- struct{}{}
	})
	first.Close()
	if got := <-said; !strings.Contains(got, "lost") {
		t.Errorf("said %q", got)
	}
	if _, err := Request(t.Context(), nc, "cmd.x", Caller{}, nil); CodeOf(err) != CodeUnavailable {
		t.Errorf("a request while the bus is away: %v", err)
	}
	second, err := natsd.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	<-reconnected
	if err := nc.Flush(); err != nil {
		t.Error(err)
	}
}

func TestRedact(t *testing.T) {
	for list, want := range map[string]string{
		"nats://127.0.0.1:4222":            "nats://127.0.0.1:4222",
		"nats://u:p@a:1,nats://token@b":    "nats://xxxxx@a:1,nats://xxxxx@b",
		"u:p@ss@a:1":                       "xxxxx@a:1",
		"tls://a.example:4222,b.example:1": "tls://a.example:4222,b.example:1",
	} {
		if got := redact(list); got != want {
			t.Errorf("redact(%q) = %q, want %q", list, got, want)
		}
	}
}

// One of several addresses is enough, in whatever place.
func TestConnectToOneOfSeveral(t *testing.T) {
	s, err := natsd.Start(t.Context(), natsd.Options{Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	nobody := "nats://" + freeAddr(t)
	for _, list := range []string{nobody + "," + s.ClientURL(), s.ClientURL() + ", " + nobody} {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		nc, err := Connect(ctx, ConnectOptions{URL: list, Logger: slog.New(slog.DiscardHandler)})
		cancel()
		if err != nil {
			t.Fatalf("%s: %v", list, err)
		}
		nc.Close()
	}
}
