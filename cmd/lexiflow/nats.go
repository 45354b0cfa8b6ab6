package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/lexiflow/realtime/subjects/natsd"
)

func (a *app) natsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "nats",
		Short: "Run the embedded NATS server alone, with its streams",
		Long: `Run the embedded NATS server with JetStream, and make the streams and buckets.

For trying out several processes. Production brings its own NATS cluster: this server has
no users and no copies.`,
		Args: words(0, 0),
	}
	c := a.configure(cmd, inNATS)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.runNATS(cmd.Context(), c) }
	return cmd
}

func (a *app) runNATS(ctx context.Context, c *config) error {
	log := a.logger(c)
	g, o := newGroup(ctx), newOps()
	o.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := o.addTo(g, c.opsListen, log); err != nil {
		return err
	}
	g.add("nats", func(ctx context.Context) error {
		server, nc, err := startNATS(ctx, c, log)
		if err != nil {
			return err
		}
		defer server.Close()
		defer nc.Close()
		o.answer(health(func() error {
			if err := nc.FlushTimeout(time.Second); err != nil {
				return fmt.Errorf("nats does not answer: %w", err)
			}
			return nil
		}, o))
		_, _ = fmt.Fprintf(a.out, "nats://%s\n", reachable(server.Addr())) // for scripts that chose port 0
		log.Info("nats serves", "address", server.Addr().String(), "data_dir", c.dataDir)
		<-ctx.Done()
		log.Info("nats stops")
		return nil
	})
	return g.wait(stopPatience)
}

// startNATS runs the embedded server in the data folder and makes the streams. The caller closes both.
func startNATS(ctx context.Context, c *config, log *slog.Logger) (*natsd.Server, *nats.Conn, error) {
	probe, err := openListener(ctx, "nats-listen", c.natsListen) // so that the error names the flag
	if err != nil {
		return nil, nil, err
	}
	if tcp, ok := probe.Addr().(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		log.Warn("nats has no users and can be reached from other machines", "address", c.natsListen)
	}
	_ = probe.Close() // only looked
	server, err := natsd.Start(ctx, natsd.Options{
		DataDir: filepath.Join(c.dataDir, "nats"), Listen: c.natsListen, Logger: log,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("--data-dir %s: %w", c.dataDir, err)
	}
	nc, err := server.Connect(nats.Name("lexiflow"))
	if err == nil {
		err = prepareStreams(ctx, nc, c.streamOptions(), log)
	}
	if err != nil {
		if nc != nil {
			nc.Close()
		}
		server.Close()
		return nil, nil, fmt.Errorf("--data-dir %s: %w", c.dataDir, err)
	}
	return server, nc, nil
}

// reachable is an address as a client on this machine would dial it.
func reachable(address net.Addr) string {
	tcp, ok := address.(*net.TCPAddr)
	if !ok {
		return address.String()
	}
	host := tcp.IP.String()
	if tcp.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, fmt.Sprint(tcp.Port))
}
