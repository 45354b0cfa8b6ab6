// Command lexiload opens real Socket.IO connections to an edge, publishes events over NATS and reports what
// arrived: connect rate, deliveries a second, latency, losses, and what both cost the server. Other servers
// of Socket.IO or Centrifuge that read the same subjects can be measured beside it (compare, peers).
//
//	lexiload --connections 10000 --server-pid $(pidof lexiflow)          idle connections
//	lexiload --connections 5000 --burst --events 1000                    fan-out at full speed
//	lexiload --connections 100 --rate 50 --duration 10s                  latency at 5,000 deliveries/s
//	lexiload --connections 10000 --cycle                                 connect, join, disconnect
//	lexiload --connections 10000 --url A --return-url B --kill-pid $PID_OF_A --rate 500      kill -9 and resume
//	lexiload --namespace /notifications --rooms 0 --command notification:list --rate 1000    command round trips
//
// It is one process, and on a small machine it competes with the server it measures: that is why it never
// decodes what is delivered. Every run is bounded in count and in time, and it only talks to this machine,
// because aimed elsewhere it would be a weapon.
//
// Exit code 0 means that everything arrived, once and in order; 1 that it did not, or that the run failed;
// 2 is wrong usage.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

const (
	exitOK = iota
	exitFailed
	exitUsage
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal kills
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// config is the command line.
type config struct {
	urls      []string
	returns   []string // where clients go when their edge is killed
	protocol  string
	namespace string
	transport string
	nats      string

	connections int
	connectRate float64 // a second
	concurrency int
	rooms       int
	token       string
	secret      string

	rate     float64 // events, or commands, a second
	command  string
	argument string
	burst    bool
	inflight int
	events   int
	duration time.Duration
	size     int
	drain    time.Duration
	settle   time.Duration
	idle     time.Duration
	cycle    bool
	limit    time.Duration

	serverPID int
	natsPID   int
	killPID   int
	json      bool
}

const (
	protocolSocketIO   = "socket.io"
	protocolCentrifuge = "centrifuge"
)

const (
	maxConnections = 60_000 // what one loopback address can hold
	maxEvents      = 10_000_000
	maxSize        = 1 << 20
)

func parseFlags(args []string, stderr io.Writer) (config, error) {
	var c config
	var urls, returns string
	f := flag.NewFlagSet("lexiload", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&urls, "url", "http://127.0.0.1:3000", "edges on this machine, several with commas")
	f.StringVar(&returns, "return-url", "", "with --kill-pid: edges on this machine that its clients come back through")
	f.StringVar(&c.protocol, "protocol", protocolSocketIO, "socket.io, or centrifuge to load such a server")
	f.StringVar(&c.namespace, "namespace", "/events", "namespace to connect to")
	f.StringVar(&c.transport, "transport", "websocket", "websocket or polling")
	f.StringVar(&c.nats, "nats", "nats://127.0.0.1:4222", "NATS on this machine, to publish to")
	f.IntVar(&c.connections, "connections", 100, "connections to open")
	f.Float64Var(&c.connectRate, "connect-rate", 1000, "connections to begin a second")
	f.IntVar(&c.concurrency, "connect-concurrency", 64, "connections to be opening at once")
	f.IntVar(&c.rooms, "rooms", 1, "connection i joins case r(i mod rooms); 0 joins none, for --command")
	f.StringVar(&c.token, "token", "", "one token for all connections")
	f.StringVar(&c.secret, "jwt-secret", os.Getenv("JWT_SECRET"), "HS256 secret to make a token with for each of the users u0, u1, …; default $JWT_SECRET")
	f.Float64Var(&c.rate, "rate", 0, "events to publish, or commands to send, a second")
	f.StringVar(&c.command, "command", "", "event that clients emit instead, with an ack, to time a service's answers")
	f.StringVar(&c.argument, "argument", "{}", "JSON that --command carries")
	f.BoolVar(&c.burst, "burst", false, "publish as fast as events are delivered to all")
	f.IntVar(&c.inflight, "inflight", 16, "with --burst: events published but not yet delivered to all")
	f.IntVar(&c.events, "events", 0, "events to publish at most; 0 = as many as --duration allows")
	f.DurationVar(&c.duration, "duration", 10*time.Second, "how long to publish at most")
	f.IntVar(&c.size, "size", 200, "bytes of each payload")
	f.DurationVar(&c.settle, "settle", 2*time.Second, "how long to hold the connections before they are measured")
	f.DurationVar(&c.idle, "idle", 0, "how long to measure what the idle connections cost then")
	f.BoolVar(&c.cycle, "cycle", false, "close each connection as soon as it has joined, and measure the whole visit")
	f.DurationVar(&c.drain, "drain", 5*time.Second, "how long to wait for a delivery before the missing ones count as lost")
	f.DurationVar(&c.limit, "time-limit", 10*time.Minute, "end of the run in any case")
	f.IntVar(&c.serverPID, "server-pid", 0, "process of the edge: report its CPU and memory")
	f.IntVar(&c.natsPID, "nats-pid", 0, "process of NATS: report its CPU")
	f.IntVar(&c.killPID, "kill-pid", 0, "process of the edge at --url: kill it with -9 when a quarter of --duration is over")
	f.BoolVar(&c.json, "json", false, "report as JSON")
	if err := f.Parse(args); err != nil {
		return c, err
	}
	if f.NArg() > 0 {
		return c, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	c.urls = strings.Split(urls, ",")
	if returns != "" {
		c.returns = strings.Split(returns, ",")
	}
	return c, c.check()
}

// check names the flag that cannot be.
func (c *config) check() error {
	between := func(name string, value, low, high int) error {
		if value < low || value > high {
			return fmt.Errorf("--%s %d: want %d to %d", name, value, low, high)
		}
		return nil
	}
	errs := []error{
		between("connections", c.connections, 1, maxConnections),
		between("connect-concurrency", c.concurrency, 1, 1000),
		between("rooms", c.rooms, 0, c.connections),
		between("inflight", c.inflight, 1, maxInflight),
		between("events", c.events, 0, maxEvents),
		between("size", c.size, minPayload, maxSize),
	}
	if c.connectRate <= 0 || c.rate < 0 {
		errs = append(errs, errors.New("--connect-rate and --rate must be positive"))
	}
	if c.rate > 0 && c.burst {
		errs = append(errs, errors.New("--rate and --burst exclude each other"))
	}
	if c.command != "" && (c.rate == 0 || !json.Valid([]byte(c.argument))) {
		errs = append(errs, errors.New("--command needs --rate, and JSON as --argument"))
	}
	if c.rooms == 0 && c.publishes() {
		errs = append(errs, errors.New("--rooms 0 leaves nobody to publish to"))
	}
	if c.events > 0 && c.rate == 0 && !c.burst {
		errs = append(errs, errors.New("--events needs --rate or --burst"))
	}
	if min(c.duration, c.drain, c.limit) <= 0 || min(c.settle, c.idle) < 0 {
		errs = append(errs, errors.New("--duration, --drain and --time-limit must be positive"))
	}
	if c.protocol != protocolSocketIO && c.protocol != protocolCentrifuge {
		errs = append(errs, fmt.Errorf("--protocol %q: want %s or %s", c.protocol, protocolSocketIO, protocolCentrifuge))
	}
	if c.protocol == protocolCentrifuge && (c.command != "" || c.killPID != 0) {
		errs = append(errs, errors.New("--command and --kill-pid need --protocol "+protocolSocketIO))
	}
	if (c.killPID != 0) != (len(c.returns) > 0) || c.killPID < 0 || c.killPID != 0 && c.rate == 0 {
		errs = append(errs, errors.New("--kill-pid needs --return-url and --rate, and --return-url needs --kill-pid"))
	}
	if c.cycle && (c.rate > 0 || c.burst || c.idle > 0) {
		errs = append(errs, errors.New("--cycle leaves nobody for --rate, --burst and --idle"))
	}
	if (c.token == "") == (c.secret == "") {
		errs = append(errs, errors.New("exactly one of --token and --jwt-secret is needed"))
	}
	for _, u := range c.urls {
		errs = append(errs, onLoopback("url", u))
	}
	for _, u := range c.returns {
		errs = append(errs, onLoopback("return-url", u))
	}
	for u := range strings.SplitSeq(c.nats, ",") {
		errs = append(errs, onLoopback("nats", u))
	}
	return errors.Join(errs...)
}

// publishes tells whether there are events to publish.
func (c *config) publishes() bool { return c.command == "" && (c.rate > 0 || c.burst) }

// onLoopback refuses targets beyond this machine. Names other than localhost are not looked up: what they
// point to may change.
func onLoopback(flagName, target string) error {
	u, err := url.Parse(target)
	if err != nil || u.Hostname() == "" {
		return fmt.Errorf("--%s %q: want scheme://host:port", flagName, target)
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || (ip != nil && ip.IsLoopback()) {
		return nil
	}
	return fmt.Errorf("--%s: %s is not this machine: lexiload only loads loopback addresses (127.0.0.1, ::1, localhost)", flagName, u.Hostname())
}

// run is the program but for the process.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c, err := parseFlags(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	say := func(format string, v ...any) { _, _ = fmt.Fprintf(stderr, format+"\n", v...) } // nobody left to tell
	if err != nil {
		say("lexiload: %s\nSee lexiload --help.", strings.ReplaceAll(err.Error(), "\n", "\nlexiload: "))
		return exitUsage
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.limit, errors.New("--time-limit is over"))
	defer cancel()
	l := newLoad(c, say)
	defer l.close()
	report, err := l.run(ctx)
	if err != nil {
		say("lexiload: %v", err)
		return exitFailed
	}
	if err := report.write(stdout, c.json); err != nil {
		say("lexiload: writing the report: %v", err)
		return exitFailed
	}
	if !report.Complete() {
		return exitFailed
	}
	return exitOK
}
