package edge

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lexiflow/realtime/edge/engine"
	"github.com/lexiflow/realtime/edge/sio"
)

// Options say how an edge behaves. Only Keys is required; a zero field is its default.
type Options struct {
	Name         string     // of this edge, on the bus; default random
	Keys         *Keys      // verify tokens
	Access       AccessMode // who may watch a case; default AccessMember
	Origins      []string   // allowed besides the own host; "*" is every one
	NoQueryToken bool       // refuse ?token=, which ends in proxies' logs (contract 8, B12)
	Limits       Limits

	PingInterval   time.Duration // 25 s
	PingTimeout    time.Duration // 60 s
	ConnectTimeout time.Duration // 45 s; a client that has joined no namespace by then is closed
	CommandTimeout time.Duration // 5 s; until the ack TIMEOUT
	DrainTimeout   time.Duration // 5 s; over which clients are sent elsewhere

	ResumeWindow  time.Duration // 10 min; for which a lost session can be resumed
	IdleAfter     time.Duration // 5 min without activity; then a socket is reported as idle
	OnExpiry      ExpiryMode    // of a token while its socket is connected; default ExpiryKeep
	SessionMaxAge time.Duration // 12 h; bounds ExpiryKeep

	CompressThreshold int  // bytes from which events are compressed for clients that offer it; 1,024
	NoCompression     bool // decline permessage-deflate

	MemoryLimit  int64        // bytes; health is degraded above 90 % of it; 512 MiB
	Mode         engine.Mode  // how sockets are served; default by system
	HTTP         http.Handler // what is neither Socket.IO nor health; nil is 404
	OpsElsewhere bool         // no /metrics on the public listener
	Ready        func() error // of what runs beside the edge: an error makes /readyz 503; concurrent

	Logger   *slog.Logger         // slog.Default
	Registry *prometheus.Registry // its own
}

func (o Options) withDefaults() Options {
	o.Name = cmp.Or(o.Name, "edge-"+rand.Text()[:12])
	o.Limits = o.Limits.withDefaults()
	o.PingInterval = cmp.Or(o.PingInterval, 25*time.Second)
	o.PingTimeout = cmp.Or(o.PingTimeout, 60*time.Second)
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, 45*time.Second)
	o.CommandTimeout = cmp.Or(o.CommandTimeout, 5*time.Second)
	o.DrainTimeout = cmp.Or(o.DrainTimeout, 5*time.Second)
	o.ResumeWindow = cmp.Or(o.ResumeWindow, 10*time.Minute)
	o.IdleAfter = cmp.Or(o.IdleAfter, 5*time.Minute)
	o.SessionMaxAge = cmp.Or(o.SessionMaxAge, 12*time.Hour)
	o.MemoryLimit = cmp.Or(o.MemoryLimit, 512<<20)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	return o
}

// Server is one edge. New wires it, Run serves.
type Server struct {
	// Static after New.
	options      Options
	limits       Limits
	packetLimits sio.Limits
	log          *slog.Logger
	nc           *nats.Conn
	js           jetstream.JetStream
	engine       *engine.Engine
	hub          *hub
	accounts     *accounts
	talk         *shareTalk
	throttle     *throttle
	mark         string // of this process, in the ids of its sessions
	forwarder    *forwarder
	host         *host
	requests     *requests
	greeters     *greeters
	reader       *reader
	roster       *roster
	revocations  *revocations
	changes      *accessChanges
	recent       recentAccess
	dead         deadLetters
	connections  *connections
	mailbox      *mailbox
	replays      chan struct{} // places for replays from the stream
	ring         *ring         // owned by the fan-out
	fanned       atomic.Uint64 // log sequence up to which everything is fanned out
	metrics      *metrics

	atRest    [2]atomic.Int64 // goroutines and descriptors of the process before the first client, for health
	following atomic.Bool     // the log is being read
	draining  atomic.Bool
}

// New wires an edge to a connection that the caller owns. It fails where clients would: without a key,
// or where the bus takes smaller messages than the edge (design 2).
func New(nc *nats.Conn, o Options) (*Server, error) {
	if o.Keys == nil {
		return nil, errors.New("edge: no key to verify tokens with")
	}
	o = o.withDefaults()
	const envelope = 64 << 10 // headers and the JSON around a payload
	if have, need := nc.MaxPayload(), int64(o.Limits.MaxPayload)+envelope; have < need {
		return nil, fmt.Errorf("the NATS server's max_payload is %d bytes, this edge's --max-payload of %d needs %d: raise the one or lower the other",
			have, o.Limits.MaxPayload, need)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("jetstream: %w", err)
	}
	s := &Server{
		options: o, limits: o.Limits, log: o.Logger.With("edge", o.Name), nc: nc, js: js,
		packetLimits: sio.Limits{MaxAttachments: o.Limits.Attachments, MaxBytes: o.Limits.MaxPayload, Namespaces: namespaces[:]},
		hub:          newHub(), accounts: newAccounts(o.Limits), throttle: newThrottle(o.Limits.FailuresPerMinute),
		greeters: &greeters{}, revocations: newRevocations(), changes: newAccessChanges(), reader: newReader(nc, js, o.Logger), dead: make(deadLetters, deadLetterBound), mailbox: newMailbox(), replays: make(chan struct{}, replayAtOnce),
	}
	if s.connections, err = newConnections(s); err != nil {
		return nil, err
	}
	if s.talk, err = newShareTalk(nc, s.log, s.accounts, o.Name); err != nil {
		return nil, err
	}
	s.mark = newMark()
	s.forwarder = newForwarder(s)
	s.host = newHost(s, s.forwarder.chunk)
	s.roster = newRoster(nc, s.hub, o.Name, s.log)
	if s.requests, err = newRequests(nc); err != nil {
		return nil, fmt.Errorf("subscribe to the inbox: %w", err)
	}
	if s.engine, err = engine.New(gateway{s}, s.engineOptions()); err != nil {
		return nil, err
	}
	s.metrics = newMetrics(s, o.Registry)
	return s, nil
}

func (s *Server) engineOptions() engine.Options {
	return engine.Options{
		Path:           "/socket.io/",
		PingInterval:   s.options.PingInterval,
		PingTimeout:    s.options.PingTimeout,
		ConnectTimeout: s.options.ConnectTimeout,
		MaxPayload:     s.limits.MaxPayload,
		Mark:           s.fanned.Load,

		CompressThreshold: s.options.CompressThreshold,
		NoCompression:     s.options.NoCompression,

		AllowOrigin: originAllowed(s.options.Origins),
		Allow:       s.allowHandshake,
		Prefix:      s.mark,
		Foreign:     &engine.Foreign{Poll: s.forwarder.poll, Probe: s.forwarder.probe},
		HTTP:        s.routes(),
		Mode:        s.options.Mode,
		// Room for handshakes under way beside the clients that the limit admits.
		MaxSessions: s.limits.Connections + s.limits.Connections/8 + 64,
		Logger:      s.log,
	}
}

// allowHandshake refuses before a session exists, which the official client takes as a reason to try
// again later.
func (s *Server) allowHandshake(r *engine.Request) *engine.Refusal {
	if s.draining.Load() {
		s.metrics.refused(reasonDraining)
		return &engine.Refusal{Status: http.StatusServiceUnavailable, Code: 4, Message: "This server is going away"}
	}
	if _, blocked := s.throttle.blocked(addressOf(r.RemoteAddr), time.Now()); blocked {
		s.metrics.refused(reasonThrottled)
		return &engine.Refusal{Status: http.StatusTooManyRequests, Code: 4, Message: "Too many refused tokens from this address"}
	}
	return nil
}

// unavailable names what keeps this edge from accepting sockets now, or is empty.
func (s *Server) unavailable() string {
	switch {
	case s.draining.Load():
		return reasonDraining
	case !s.nc.IsConnected() || !s.following.Load():
		return reasonBusAway
	}
	return ""
}

// Run serves l until ctx ends, then drains: the clients' transports are closed in waves, so that they
// come back elsewhere. It returns an error when serving ended by itself.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	if err := s.reader.start(ctx); err != nil {
		_ = l.Close()
		return fmt.Errorf("edge: %w", err)
	}
	s.ring = newRing(s.reader.begun)
	s.fanned.Store(s.reader.begun)
	work, stop := context.WithCancel(context.WithoutCancel(ctx)) // outlives ctx by the drain
	defer stop()
	revoked, err := s.loadRevocations(work)
	if err := errors.Join(err, s.hearGreets(work)); err != nil {
		_ = l.Close()
		return fmt.Errorf("edge: %w", err)
	}
	if err := s.host.start(); err != nil {
		_ = l.Close()
		return fmt.Errorf("edge: %w", err)
	}
	defer s.host.stop()
	s.atRest[0].Store(int64(runtime.NumGoroutine()))
	s.atRest[1].Store(int64(descriptors()))
	var group sync.WaitGroup
	group.Go(func() { s.fanOut(work) })
	s.awaitPreface(ctx)
	s.following.Store(true)
	group.Go(func() { every(work, sweepEvery, s.requests.sweep) })
	group.Go(func() { s.watchBus(work) })
	group.Go(func() { s.followRevocations(work, revoked) })
	group.Go(func() { s.keepDeadLetters(work) })
	group.Go(func() { every(work, ownerEvery, s.forwarder.watch) })
	group.Go(func() { every(work, expiryEvery, s.expireSockets) })
	group.Go(func() { every(work, refreshEvery, s.refreshSessions) })
	group.Go(func() {
		var r rest
		every(work, restEvery, func(time.Time) { r.look(s) })
	})
	group.Go(func() {
		if err := s.roster.run(work); err != nil {
			s.log.Error("room counts are not shared", "error", err)
		}
	})
	group.Go(func() {
		if err := s.talk.run(work); err != nil {
			s.log.Error("what users hold is not shared: limits hold for this edge alone", "error", err)
		}
	})
	group.Go(func() {
		if err := s.connections.run(work); err != nil {
			s.log.Error("connections are not reported", "error", err)
		}
	})
	served := make(chan error, 1)
	go func() { served <- s.engine.Serve(l) }()
	s.log.Info("edge serves", "address", l.Addr().String(), "access", s.options.Access.String())

	select {
	case <-ctx.Done():
		s.drain()
		err = <-served
	case err = <-served:
	}
	s.reader.stop()
	stop()
	group.Wait()
	if errors.Is(err, engine.ErrClosed) {
		return nil
	}
	return err
}

// awaitPreface waits until the ring has what was in the log before, so that nobody who connects gets it
// as news. It does not wait for ever: messages that are trimmed meanwhile never come.
func (s *Server) awaitPreface(ctx context.Context) {
	late := time.NewTimer(prefaceLimit)
	defer late.Stop()
	select {
	case <-s.reader.prefaced:
	case <-ctx.Done():
	case <-late.C:
		s.log.Warn("the log's newest messages do not come; beginning without some of them")
	}
}

const prefaceLimit = 10 * time.Second

// every calls f once a period until ctx ends.
func every(ctx context.Context, period time.Duration, f func(now time.Time)) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			f(now)
		}
	}
}
