package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/lexiflow/realtime/edge"
	"github.com/lexiflow/realtime/subjects"
)

func (a *app) edgeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "edge",
		Short: "Run one gateway between NATS and Socket.IO clients",
		Long: `Run one gateway between NATS and Socket.IO clients. Any number of edges work on one NATS.

It needs a key to verify tokens with: --jwt-secret, --jwt-key-file or --jwks-url.
While NATS is away at the start it waits and says so. SIGTERM drains: clients are sent
elsewhere, then it exits with 0.`,
		Args: words(0, 0),
	}
	c := a.configure(cmd, inEdge)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.runEdge(cmd.Context(), c) }
	return cmd
}

func (a *app) runEdge(ctx context.Context, c *config) error {
	if err := c.checkTogether(); err != nil {
		return err
	}
	if err := c.checkKeys(false); err != nil {
		return err
	}
	log := a.logger(c)
	keys, err := c.loadKeys(ctx, log)
	if err != nil {
		return err
	}
	collectSeldom()
	g, o := newGroup(ctx), newOps()
	if err := o.addTo(g, c.opsListen, log); err != nil {
		return err
	}
	g.add("edge", func(ctx context.Context) error {
		nc, err := subjects.Connect(ctx, c.connectOptions(log, "lexiflow edge"))
		if err != nil {
			return err
		}
		defer nc.Close()
		if err := prepareStreams(ctx, nc, c.streamOptions(), log); err != nil {
			return err
		}
		server, err := edge.New(nc, c.edgeOptions(keys, nil, log, o.registry))
		if err != nil {
			return err
		}
		l, err := openListener(ctx, "listen", c.listen)
		if err != nil {
			return err
		}
		o.answer(server.Ops())
		_, _ = fmt.Fprintf(a.out, "http://%s\n", reachable(l.Addr())) // for scripts that chose port 0
		return drained(server.Run(ctx, l), nc)
	})
	return g.wait(c.draining + stopPatience)
}

// collectSeldom lets garbage grow to twice of what lives, instead of once, before it is collected: an edge's
// heap is small, and a visit costs 8 % less. At rest the memory is given back (edge/rest.go). GOGC, where it is
// set, decides.
func collectSeldom() {
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(200)
	}
}

// stopPatience is what stopping may take besides draining.
const stopPatience = 10 * time.Second

// drained sends what was published and not flushed, after all else has ended.
func drained(err error, nc *nats.Conn) error {
	if nc.IsConnected() {
		_ = nc.FlushTimeout(time.Second) // a bus that is away has nothing to be told
	}
	return err
}

func (c *config) edgeOptions(keys *edge.Keys, page http.Handler, log *slog.Logger, registry *prometheus.Registry) edge.Options {
	return edge.Options{
		Name: c.name, Keys: keys, Access: c.access, Origins: c.origins, NoQueryToken: c.noQueryToken,
		Limits: edge.Limits{
			Connections: c.maxConnections, ConnectionsPerUser: c.maxPerUser, RoomsPerUser: c.maxRooms,
			EventsPerMinute: c.rateLimit, MaxPayload: int(c.maxPayload),
		},
		PingInterval: c.pingInterval, PingTimeout: c.pingTimeout, CommandTimeout: c.commandTimeout, DrainTimeout: c.draining,
		IdleAfter: c.idleAfter, OnExpiry: c.onExpiry, SessionMaxAge: c.sessionMaxAge, ResumeWindow: c.resumeWindow,
		CompressThreshold: int(c.compressThreshold), NoCompression: !c.compression,
		MemoryLimit: c.memoryLimit, Mode: c.engine, HTTP: page, OpsElsewhere: c.opsListen != "",
		Logger: log, Registry: registry,
	}
}

// loadKeys reads the key that verifies tokens. A file or secret that cannot be used is wrong usage; a
// URL that does not answer is not.
func (c *config) loadKeys(ctx context.Context, log *slog.Logger) (*edge.Keys, error) {
	keys, err := edge.LoadKeys(ctx, edge.KeyOptions{
		Secret: c.jwtSecret, PEMFile: c.jwtKeyFile, JWKSURL: c.jwksURL,
		Issuer: c.jwtIssuer, Audience: c.jwtAudience, Logger: log,
	})
	if err != nil && c.jwksURL == "" {
		return nil, &usageError{err}
	}
	return keys, err
}
