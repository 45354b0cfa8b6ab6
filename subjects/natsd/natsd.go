// Package natsd runs a NATS server with JetStream inside this process: for
// `lexiflow up` and `lexiflow nats`, and for every test.
//
// It promises that a data directory has one server at a time, which NATS itself
// does not check; that what was acknowledged is on disk within 100 ms, and
// survives the death of the process in any case; and that a failure to start is an
// error and not the end of the process.
//
// It does not promise availability: one server is one machine, and a power failure
// may cost the last 100 ms. It has no users, so whoever reaches the listener may do
// anything; listen on a loopback address. Production brings its own cluster.
package natsd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Options say where a server keeps its data and who reaches it. The zero value is
// what a test wants: a temporary directory and no listener.
type Options struct {
	DataDir string // default: a temporary directory that Close removes
	Listen  string // "127.0.0.1:4222", port 0 for any free one; default: no listener, in-process connections only
	Name    string // default "lexiflow"

	MaxPayload int32 // bytes per message; default 8 MiB
	MaxStore   int64 // bytes JetStream may reserve on disk; default 1 TiB, so that free space does not decide whether streams can be created

	Logger *slog.Logger // default slog.Default(); what NATS calls a notice is logged at debug level
}

const (
	defaultMaxPayload = 8 << 20
	defaultMaxStore   = 1 << 40
	maxMemory         = 1 << 30          // for memory streams; a limit, not a reservation
	startPatience     = 30 * time.Second // a large log takes a while to be checked
	readyStep         = 20 * time.Millisecond
)

// A Server is a running NATS server. Its methods may be called concurrently.
type Server struct {
	nats *server.Server
	lock *dirLock
	temp string // directory to remove, if any

	closing sync.Once
}

// Start runs a server and returns when it takes connections. ctx bounds starting
// alone: the server runs until Close.
//
// A directory that another server uses is an error naming it; so is a listener
// that cannot be opened.
func Start(ctx context.Context, o Options) (*Server, error) {
	host, port, err := splitListen(o.Listen)
	if err != nil {
		return nil, err
	}
	s := &Server{}
	dir := o.DataDir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "lexiflow-nats-"); err != nil {
			return nil, fmt.Errorf("NATS data directory: %w", err)
		}
		s.temp = dir
	}
	if s.lock, err = lockDir(dir); err != nil {
		s.cleanUp()
		return nil, err
	}
	log := &logger{log: orDefault(o.Logger), fatal: make(chan error, 1)}
	s.nats, err = server.NewServer(&server.Options{
		ServerName:             orElse(o.Name, "lexiflow"),
		Host:                   host,
		Port:                   port,
		DontListen:             o.Listen == "",
		JetStream:              true,
		StoreDir:               dir,
		JetStreamMaxStore:      orElse(o.MaxStore, defaultMaxStore),
		JetStreamMaxMemory:     maxMemory,
		SyncInterval:           syncInterval,
		MaxPayload:             orElse(o.MaxPayload, defaultMaxPayload),
		NoSigs:                 true,
		DisableJetStreamBanner: true,
	})
	if err != nil {
		s.cleanUp()
		return nil, fmt.Errorf("NATS server options: %w", err)
	}
	s.nats.SetLoggerV2(log, false, false, false)
	go s.nats.Start()
	if err := s.awaitReady(ctx, log.fatal); err != nil {
		s.Close()
		return nil, fmt.Errorf("starting NATS in %s: %w", dir, err)
	}
	return s, nil
}

// awaitReady returns when the server takes connections or certainly never will.
func (s *Server) awaitReady(ctx context.Context, fatal <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		ready := s.nats.ReadyForConnections(readyStep)
		select {
		case err := <-fatal:
			return err
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", ctx.Err())
		default:
			if ready {
				return nil
			}
		}
	}
}

// Connect opens a connection inside the process; it reconnects for ever. The caller
// closes it.
func (s *Server) Connect(opts ...nats.Option) (*nats.Conn, error) {
	all := append([]nats.Option{nats.InProcessServer(s), nats.MaxReconnects(-1)}, opts...)
	return nats.Connect("", all...)
}

// InProcessConn implements [nats.InProcessConnProvider].
func (s *Server) InProcessConn() (net.Conn, error) { return s.nats.InProcessConn() }

// ClientURL returns the address for clients of other processes, "" without a
// listener.
func (s *Server) ClientURL() string {
	if s.Addr() == nil {
		return ""
	}
	return s.nats.ClientURL()
}

// Addr returns the listener's address, nil without one.
func (s *Server) Addr() net.Addr { return s.nats.Addr() }

// Close stops the server, waits until its files are written and lets go of the
// directory. Connections end; what they have published and not flushed is lost, so
// drain them first.
func (s *Server) Close() {
	s.closing.Do(func() {
		s.nats.Shutdown()
		s.nats.WaitForShutdown()
		s.cleanUp()
	})
}

// cleanUp lets go of the directory.
func (s *Server) cleanUp() {
	if s.lock != nil {
		s.lock.release()
	}
	if s.temp != "" {
		_ = os.RemoveAll(s.temp) // a temporary directory that stays is the system's to remove
	}
}

// splitListen returns what NATS wants of an address: its random port is -1.
func splitListen(address string) (host string, port int, err error) {
	if address == "" {
		return "", 0, nil
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("NATS listen address %q: %w", address, err)
	}
	if port, err = strconv.Atoi(service); err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("NATS listen address %q: the port is a number from 0 to 65535", address)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, nil
}

func orElse[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

func orDefault(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.Default()
	}
	return log
}

// errInUse is wrapped by lockDir when another server has the directory.
var errInUse = errors.New("another server uses it")
