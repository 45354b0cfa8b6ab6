package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/lexiflow/realtime/subjects"
)

// group runs the long-lived things of a process: the first to return stops the others, and all are
// waited for.
type group struct {
	ctx  context.Context
	stop context.CancelFunc

	mu      sync.Mutex
	running []string // guarded by mu, like err
	err     error    // of the first that failed
	ended   chan string
}

func newGroup(ctx context.Context) *group {
	g := &group{ended: make(chan string)}
	g.ctx, g.stop = context.WithCancel(ctx)
	return g
}

// add starts run. It must return soon after its context has ended; to be asked to stop is no failure.
func (g *group) add(name string, run func(context.Context) error) {
	g.mu.Lock()
	g.running = append(g.running, name)
	g.mu.Unlock()
	go func() {
		err := run(g.ctx)
		g.mu.Lock()
		if err != nil && g.err == nil && !errors.Is(err, context.Canceled) {
			g.err = fmt.Errorf("%s: %w", name, err)
		}
		i := slices.Index(g.running, name)
		g.running = slices.Delete(g.running, i, i+1)
		last := len(g.running) == 0
		g.mu.Unlock()
		g.stop()
		if last {
			close(g.ended)
		}
	}()
}

// wait returns when all have returned; at least one was added. Once they were told to stop they have patience: a new timeout,
// because the context that ended is why they stop. What still runs then is named and left behind.
func (g *group) wait(patience time.Duration) error {
	defer g.stop()
	<-g.ctx.Done()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-g.ended:
	case <-late.C:
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.running) > 0 {
		return errors.Join(g.err, fmt.Errorf("%s did not stop within %v", strings.Join(g.running, ", "), patience))
	}
	return g.err
}

// logger writes to stderr: text for people, JSON for machines.
func (a *app) logger(c *config) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.logLevel}
	if c.logFormat == "text" || c.logFormat == "auto" && isTerminal(a.err) {
		return slog.New(slog.NewTextHandler(a.err, options))
	}
	return slog.New(slog.NewJSONHandler(a.err, options))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// openListener opens the address of a flag. Its error names the flag and what to do.
func openListener(ctx context.Context, flag, address string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("--%s %s: the port is in use: stop who uses it, or choose another with --%s", flag, address, flag)
	case err != nil:
		return nil, fmt.Errorf("--%s %s: %w", flag, address, err)
	}
	return l, nil
}

// ops is the operators' listener. It answers from the start, so that a process which waits for NATS is
// alive and not ready.
type ops struct {
	registry *prometheus.Registry
	ready    atomic.Pointer[http.Handler] // what the process itself answers, once it can
}

func newOps() *ops {
	o := &ops{registry: prometheus.NewRegistry()}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "lexiflow_build_info", Help: "1, labelled with the version.",
		ConstLabels: prometheus.Labels{"version": version()},
	})
	build.Set(1)
	o.registry.MustRegister(build) // an edge adds the runtime's own metrics
	return o
}

// answer hands everything but pprof to h.
func (o *ops) answer(h http.Handler) { o.ready.Store(&h) }

// addTo opens the listener, if one is wanted, and serves it in the group.
func (o *ops) addTo(g *group, address string, log *slog.Logger) error {
	if address == "" {
		return nil
	}
	l, err := openListener(g.ctx, "ops-listen", address)
	if err != nil {
		return err
	}
	log.Info("operators are served", "address", l.Addr().String())
	server := &http.Server{Handler: o.routes(), ReadHeaderTimeout: 5 * time.Second}
	g.add("operators", func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, func() { _ = server.Close() })
		defer stop()
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	return nil
}

func (o *ops) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	metrics := promhttp.HandlerFor(o.registry, promhttp.HandlerOpts{})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if h := o.ready.Load(); h != nil {
			(*h).ServeHTTP(w, r)
			return
		}
		switch r.URL.Path {
		case "/metrics":
			metrics.ServeHTTP(w, r)
		case "/livez":
			_, _ = io.WriteString(w, "ok\n") // the client is gone
		case "/readyz":
			http.Error(w, "starting: NATS is awaited", http.StatusServiceUnavailable)
		default:
			http.NotFound(w, r)
		}
	})
	return mux
}

// health answers for a process that is not an edge.
func health(ready func() error, o *ops) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(o.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n") // the client is gone
	})
	return mux
}

// prepareStreams makes the streams that everything expects, once the bus can.
func prepareStreams(ctx context.Context, nc *nats.Conn, o subjects.StreamOptions, log *slog.Logger) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	return subjects.AwaitStreams(ctx, js, o, log)
}
