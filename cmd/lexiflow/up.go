package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/lexiflow/realtime/edge"
	clientdemo "github.com/lexiflow/realtime/edge/client/demo"
)

func (a *app) upCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run everything in one process, with a demo to use it in",
		Long: `Run everything in one process: an embedded NATS server with JetStream, one edge and the domain
services, with a demo of a law firm's workspace to use it in, and a page of raw events beside it
(/events.html; at / where the demo was not built).

Without a key for tokens it makes a secret and keeps it in its data folder, so that the demo
token it prints survives a restart.`,
		Args: words(0, 0),
	}
	c := a.configure(cmd, inUp)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.runUp(cmd.Context(), c) }
	return cmd
}

const (
	demoUser  = "demo"
	demoValid = 7 * 24 * time.Hour
)

func (a *app) runUp(ctx context.Context, c *config) error {
	if err := c.checkKeys(true); err != nil {
		return err
	}
	log := a.logger(c)
	l, err := openListener(ctx, "listen", c.listen) // first, because it is what most often is in use
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }() // the edge has closed it, unless it never served
	server, nc, err := startNATS(ctx, c, log)
	if err != nil {
		return stopped(ctx, err)
	}
	defer server.Close()
	defer nc.Close()
	keys, d, err := a.demo(ctx, c, l.Addr(), server.Addr(), log)
	if err != nil {
		return stopped(ctx, err)
	}
	o := newOps()
	services, err := makeServices(c, func(name string) (*nats.Conn, error) { return server.Connect(nats.Name(name)) }, log, o.registry)
	defer services.close()
	if err != nil {
		return err
	}
	d.nc = nc
	options := c.edgeOptions(keys, page(d, demoFiles()), log, o.registry)
	options.Ready = services.ready
	gateway, err := edge.New(nc, options)
	if err != nil {
		return err
	}
	o.answer(gateway.Ops())
	g := newGroup(ctx)
	if err := o.addTo(g, c.opsListen, log); err != nil {
		return err
	}
	serving, served := context.WithCancel(context.WithoutCancel(ctx))
	defer served()
	g.add("edge", func(ctx context.Context) error {
		defer served()
		services.await(ctx, servicesPatience, log) // so that the first client meets them
		if ctx.Err() != nil {
			return nil // told to stop, or one of them has failed
		}
		d.print(a.out, c.dataDir)
		return drained(gateway.Run(ctx, l), nc)
	})
	services.run(serving, g)
	return g.wait(c.draining + stopPatience)
}

// servicesPatience is how long clients wait for a service that is not ready.
const servicesPatience = 5 * time.Second

// stopped takes an error for a clean end when it only says that the process was told to stop.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// demo is what a new user gets: where things are, and a token where one can be made.
type demo struct {
	url, natsURL string
	program      string // how to call this program
	token        string // "" with a public key: only its owner can sign
	expires      time.Time
	local        bool // the listener is loopback, so the page may have the token

	secret string // what claims are signed with for the demo's people
	claims tokenClaims
	nc     *nats.Conn // where the demo publishes; set before anything is served
}

// demoFiles is the demo application, nil where it was not built.
func demoFiles() fs.FS {
	if files, built := clientdemo.Files(); built {
		return files
	}
	return nil
}

// demo loads the keys, and makes a secret where none is given.
func (a *app) demo(ctx context.Context, c *config, public, bus net.Addr, log *slog.Logger) (*edge.Keys, *demo, error) {
	d := &demo{
		url: "http://" + reachable(public), natsURL: "nats://" + reachable(bus), program: a.tryIt(),
		expires: time.Now().Add(demoValid), local: loopback(public),
	}
	if c.jwtKeyFile == "" && c.jwksURL == "" {
		var err error
		if c.jwtSecret == "" {
			if c.jwtSecret, err = keepSecret(c.dataDir); err != nil {
				return nil, nil, err
			}
		}
		claims := c.claims()
		d.secret, d.claims = c.jwtSecret, claims
		d.claims.Type = "access"
		claims.Subject, claims.Scope, claims.Type = demoUser, "case:*", "access"
		if d.token, err = mint(c.jwtSecret, claims, time.Now(), demoValid); err != nil {
			return nil, nil, err
		}
	}
	keys, err := c.loadKeys(ctx, log)
	return keys, d, err
}

func loopback(address net.Addr) bool {
	tcp, ok := address.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// publishLine is the command to try first.
func (d *demo) publishLine() string {
	line := d.program + " publish case 123 document:uploaded '{\"documentId\":\"d1\",\"fileName\":\"brief.pdf\"}'"
	if d.natsURL != "nats://127.0.0.1:4222" {
		line += " --nats " + d.natsURL
	}
	return line
}

// print is what up says on stdout once it serves.
func (d *demo) print(w io.Writer, dataDir string) {
	if base, err := os.Getwd(); err == nil && dataDir == "lexiflow-data" {
		dataDir = base + "/" + dataDir
	}
	token := d.token
	if token == "" {
		token = "<a token signed by your issuer>"
	}
	_, _ = fmt.Fprintf(w, `
  LexiFlow Realtime is up.

  page       %s/
  socket.io  %s  (namespaces /events /notifications /dashboard /messaging)
  nats       %s
  data       %s

  Open the page, then publish an event from a second terminal:

    %s

  The same in a browser or Node, with socket.io-client:

    const socket = io("%s/events", { auth: { token } });
    socket.on("document:uploaded", (document) => console.log(document));
    socket.emit("subscribe:case", { caseId: "123" });

  Demo token: %s

    %s

`, d.url, d.url, d.natsURL, dataDir, d.publishLine(), d.url, d.about(), token) // a closed stdout hinders nobody
}

// about says what the demo token is good for.
func (d *demo) about() string {
	if d.token == "" {
		return "none, because only the owner of the private key can sign one"
	}
	return fmt.Sprintf("user %s, every case, until %s", demoUser, d.expires.Format("2 January 2006"))
}
