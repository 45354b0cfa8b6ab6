package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/lexiflow/realtime/dashboardd"
	"github.com/lexiflow/realtime/edge"
	"github.com/lexiflow/realtime/msgd"
	"github.com/lexiflow/realtime/notifyd"
	"github.com/lexiflow/realtime/presence"
	"github.com/lexiflow/realtime/subjects"
)

// service is what the domain services have in common. Run blocks until ctx ends, and returns an error
// when it cannot go on; Ready may be asked at any time.
type service interface {
	Run(ctx context.Context) error
	Ready() error
}

// parts are what a service is made of besides its settings.
type parts struct {
	nc       *nats.Conn // one of its own
	log      *slog.Logger
	registry *prometheus.Registry
}

// serviceKind is one domain service: a subcommand, and a part of up.
type serviceKind struct {
	name  string
	in    commands
	short string
	make  func(*config, parts) (service, error)
}

// serviceKinds are all there are, in the order in which they start.
var serviceKinds = []serviceKind{
	{
		name: "presence", in: inPresence, short: "Run the service that knows who is here",
		make: func(c *config, p parts) (service, error) {
			return presence.New(p.nc, presence.Options{Grace: c.grace, Logger: p.log, Registry: p.registry})
		},
	},
	{
		name: "notifyd", in: inNotifyd, short: "Run the service that stores and pushes notifications",
		make: func(c *config, p parts) (service, error) {
			window := c.digest
			if window == 0 {
				window = -1 // none
			}
			return notifyd.New(p.nc, notifyd.Options{
				DigestWindow: window, OpenCases: c.access == edge.AccessOpen, Logger: p.log, Registry: p.registry,
			})
		},
	},
	{
		name: "msgd", in: inMsgd, short: "Run the service of conversations and their messages",
		make: func(c *config, p parts) (service, error) {
			return msgd.New(p.nc, msgd.Options{Version: release(), Logger: p.log, Registry: p.registry})
		},
	},
	{
		name: "dashboardd", in: inDashboardd, short: "Run the service that counts for dashboards",
		make: func(c *config, p parts) (service, error) {
			return dashboardd.New(p.nc, dashboardd.Options{
				Interval: c.push, AcceptGap: c.acceptGap, OpenCases: c.access == edge.AccessOpen, Version: release(), Logger: p.log, Registry: p.registry,
			})
		},
	},
}

func serviceNames() (names []string) {
	for _, kind := range serviceKinds {
		names = append(names, kind.name)
	}
	return names
}

// serviceCommand is the subcommand of one service.
func (a *app) serviceCommand(kind serviceKind) *cobra.Command {
	cmd := &cobra.Command{
		Use:   kind.name,
		Short: kind.short,
		Long: kind.short + `. Any number of them share the work.

While NATS is away at the start it waits and says so. What is published while it is down is
not lost; commands to it are answered UNAVAILABLE meanwhile. SIGTERM ends it with 0.`,
		Args: words(0, 0),
	}
	c := a.configure(cmd, kind.in)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.runService(cmd.Context(), c, kind) }
	return cmd
}

func (a *app) runService(ctx context.Context, c *config, kind serviceKind) error {
	if err := c.checkTogether(); err != nil {
		return err
	}
	log := a.logger(c)
	g, o := newGroup(ctx), newOps()
	o.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := o.addTo(g, c.opsListen, log); err != nil {
		return err
	}
	g.add(kind.name, func(ctx context.Context) error {
		nc, err := subjects.Connect(ctx, c.connectOptions(log, "lexiflow "+kind.name))
		if err != nil {
			return err
		}
		defer nc.Close()
		if err := prepareStreams(ctx, nc, c.streamOptions(), log); err != nil {
			return err
		}
		s, err := kind.make(c, parts{nc, log, o.registry})
		if err != nil {
			return err
		}
		o.answer(health(s.Ready, o))
		log.Info("the service runs", "service", kind.name)
		return drained(untilTold(ctx, s), nc)
	})
	return g.wait(stopPatience)
}

// untilTold runs a service. It must not end before it is told to.
func untilTold(ctx context.Context, s service) error {
	err := s.Run(ctx)
	if err == nil && ctx.Err() == nil {
		return errors.New("it ended by itself")
	}
	return err
}

// serviceSet is the services that up runs. It does not change after made.
type serviceSet []madeService

type madeService struct {
	service
	name string
	nc   *nats.Conn
}

// makeServices makes those that are wanted, each with a connection of its own. The caller closes the
// set, also after an error.
func makeServices(c *config, connect func(name string) (*nats.Conn, error), log *slog.Logger, registry *prometheus.Registry) (set serviceSet, err error) {
	for _, kind := range serviceKinds {
		if !slices.Contains(c.services, kind.name) {
			continue
		}
		nc, err := connect("lexiflow " + kind.name)
		if err != nil {
			return set, fmt.Errorf("%s: %w", kind.name, err)
		}
		set = append(set, madeService{name: kind.name, nc: nc})
		made, err := kind.make(c, parts{nc, log, registry})
		if err != nil {
			return set, fmt.Errorf("%s: %w", kind.name, err)
		}
		set[len(set)-1].service = made
	}
	return set, nil
}

// run adds the services to the group. They end with ctx and not with the group's own: while it stops,
// the edge still has clients to answer.
func (set serviceSet) run(ctx context.Context, g *group) {
	for _, s := range set {
		g.add(s.name, func(context.Context) error { return drained(untilTold(ctx, s), s.nc) })
	}
}

func (set serviceSet) close() {
	for _, s := range set {
		s.nc.Close()
	}
}

// ready is nil when all are, else it says who is not.
func (set serviceSet) ready() error {
	var errs []error
	for _, s := range set {
		if err := s.Ready(); err != nil {
			errs = append(errs, fmt.Errorf("%s is not ready: %w", s.name, err))
		}
	}
	return errors.Join(errs...)
}

// await returns when all are ready, or when patience is over: clients are better served by some than by
// none, and /readyz says who is missing.
func (set serviceSet) await(ctx context.Context, patience time.Duration, log *slog.Logger) {
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	late := time.NewTimer(patience)
	defer late.Stop()
	for err := set.ready(); err != nil; err = set.ready() {
		select {
		case <-look.C:
		case <-late.C:
			log.Warn("not all services are ready yet", "error", err)
			return
		case <-ctx.Done():
			return
		}
	}
}

// serviceList is which services up runs.
func serviceList(to *[]string) value {
	return parsed[[]string]{to, "services", func(s string) ([]string, error) {
		switch s {
		case "all":
			return serviceNames(), nil
		case "none":
			return nil, nil
		}
		var some []string
		for name := range strings.SplitSeq(s, ",") {
			name = strings.TrimSpace(name)
			if !slices.Contains(serviceNames(), name) {
				return nil, fmt.Errorf("all, none, or some of %s with commas are allowed", strings.Join(serviceNames(), ", "))
			}
			some = append(some, name)
		}
		return some, nil
	}, func(some []string) string {
		if len(some) == len(serviceKinds) {
			return "all"
		}
		return cmp.Or(strings.Join(some, ","), "none")
	}}
}
