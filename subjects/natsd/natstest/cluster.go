// Package natstest runs NATS for tests: [Bus] is one server in this process, which is what most want, and
// [Start] a cluster of real processes that can be killed (-9), stopped and started again, because a server
// that shuts down in this process hands its leaderships over first, and one that dies does not.
//
// A node is the test's own binary, so the package that uses it calls [Main] first thing in its TestMain:
//
//	func TestMain(m *testing.M) {
//		natstest.Main()
//		m.Run()
//	}
//
// It promises that no node outlives its test, or a test process that was killed. It does not promise
// production's speed: all nodes share one machine and one disk.
package natstest

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// nodeVariable makes a test binary a node; its value is a node as JSON.
const nodeVariable = "LEXIFLOW_TEST_NATS_NODE"

// patience bounds starting and electing. A loaded machine under the race detector needs some of it.
const patience = 60 * time.Second

// A node is what a process must know to be one.
type node struct {
	Name    string
	Dir     string
	Client  int // ports, on the loopback address
	Routes  []int
	Own     int // which of Routes is its own
	Monitor int
}

// Main runs a node and does not return, if this process was started as one.
func Main() {
	config := os.Getenv(nodeVariable)
	if config == "" {
		return
	}
	if err := serve(config); err != nil {
		fmt.Fprintln(os.Stderr, "natstest:", err)
		os.Exit(1) //nolint:forbidigo // this process is the node, there is no caller
	}
	os.Exit(0) //nolint:forbidigo // as above
}

// serve runs until the other end of standard input is gone.
func serve(config string) error {
	var n node
	if err := json.Unmarshal([]byte(config), &n); err != nil {
		return err
	}
	const host = "127.0.0.1"
	o := &server.Options{
		ServerName: n.Name, Host: host, Port: n.Client, HTTPHost: host, HTTPPort: n.Monitor,
		JetStream: true, StoreDir: n.Dir, JetStreamMaxStore: 1 << 40, JetStreamMaxMemory: 1 << 30,
		MaxPayload: 8 << 20, NoSigs: true, NoLog: true, DisableJetStreamBanner: true,
		Cluster: server.ClusterOpts{Name: "lexiflow", Host: host, Port: n.Routes[n.Own]},
	}
	for _, port := range n.Routes {
		o.Routes = append(o.Routes, &url.URL{Scheme: "nats-route", Host: net.JoinHostPort(host, strconv.Itoa(port))})
	}
	s, err := server.NewServer(o)
	if err != nil {
		return err
	}
	go s.Start()
	if !s.ReadyForConnections(patience) {
		return fmt.Errorf("%s takes no connections on port %d", n.Name, n.Client)
	}
	if _, err := os.Stdout.WriteString("ready\n"); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// A Cluster is some nodes. Its methods belong to the test's goroutine.
type Cluster struct {
	t     testing.TB
	nodes []*process
}

type process struct {
	node

	cmd   *exec.Cmd
	stdin io.Closer
}

// Start runs a cluster of n nodes until the test ends, and returns when it has a leader.
func Start(t testing.TB, n int) *Cluster {
	t.Helper()
	ports := FreePorts(t, 3*n)
	c := &Cluster{t: t}
	for i := range n {
		name := fmt.Sprintf("n%d", i)
		c.nodes = append(c.nodes, &process{node: node{
			Name: name, Dir: filepath.Join(t.TempDir(), name), Own: i,
			Routes: ports[:n], Client: ports[n+i], Monitor: ports[2*n+i],
		}})
	}
	t.Cleanup(func() {
		for i := range c.nodes {
			c.Kill(i)
		}
	})
	var ready []func() error
	for _, p := range c.nodes { // all of them first: none is ready without the others
		ready = append(ready, c.spawn(p))
	}
	for i, wait := range ready {
		if err := wait(); err != nil {
			t.Fatalf("node %d of the cluster: %v", i, err)
		}
	}
	c.awaitPeers(n)
	return c
}

// spawn starts a process. What it returns waits until the process takes connections.
func (c *Cluster) spawn(p *process) (ready func() error) {
	c.t.Helper()
	config, err := json.Marshal(p.node)
	if err != nil {
		c.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), nodeVariable+"="+string(config))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	p.cmd, p.stdin = cmd, stdin
	said := make(chan error, 1)
	go func() {
		_, err := bufio.NewReader(stdout).ReadString('\n')
		said <- err
	}()
	return func() error {
		select {
		case err := <-said:
			return err
		case <-time.After(patience):
			return fmt.Errorf("not ready in %v", patience)
		}
	}
}

// Kill ends a node as a crash does (-9).
func (c *Cluster) Kill(i int) {
	p := c.nodes[i]
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill() // it may have died
	_ = p.stdin.Close()
	_ = p.cmd.Wait() // says that it was killed
	p.cmd = nil
}

// Restart starts a node that was killed, on its old data and ports.
func (c *Cluster) Restart(i int) {
	c.t.Helper()
	if err := c.spawn(c.nodes[i])(); err != nil {
		c.t.Fatalf("node %d of the cluster: %v", i, err)
	}
}

// Signal sends a node a signal, such as SIGSTOP and SIGCONT.
func (c *Cluster) Signal(i int, s os.Signal) {
	c.t.Helper()
	if err := c.nodes[i].cmd.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

// URL lists the addresses of all nodes, for one that connects to any of them.
func (c *Cluster) URL() string {
	var list []string
	for _, p := range c.nodes {
		list = append(list, p.URL())
	}
	return strings.Join(list, ",")
}

// NodeURL is the address of one node.
func (c *Cluster) NodeURL(i int) string { return c.nodes[i].URL() }

// URL is where clients reach the node.
func (n node) URL() string { return fmt.Sprintf("nats://127.0.0.1:%d", n.Client) }

// Connect returns a connection that moves to another node when its own dies, and is closed when the
// test ends.
func (c *Cluster) Connect(opts ...nats.Option) *nats.Conn {
	c.t.Helper()
	all := append([]nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(50 * time.Millisecond)}, opts...)
	nc, err := nats.Connect(c.URL(), all...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(nc.Close)
	return nc
}

// AwaitMeta waits until the living nodes agree on who leads the cluster, and returns its number.
func (c *Cluster) AwaitMeta() int {
	c.t.Helper()
	return c.await("leader of the cluster", func() string {
		name := ""
		for _, p := range c.nodes {
			if p.cmd == nil {
				continue
			}
			said := p.meta().Leader
			if said == "" || name != "" && said != name {
				return ""
			}
			name = said
		}
		return name
	})
}

// awaitPeers waits until the cluster's leader knows that all nodes are there: before, it finds no place
// for replicas.
func (c *Cluster) awaitPeers(n int) {
	c.t.Helper()
	c.await("cluster with all its nodes", func() string {
		known := c.nodes[c.AwaitMeta()].meta()
		away := slices.ContainsFunc(known.Replicas, func(r replica) bool { return r.Offline || !r.Current })
		if away || len(known.Replicas) != n-1 {
			return ""
		}
		return known.Leader
	})
}

// meta is what a node knows of the cluster. Only its leader knows the replicas.
type meta struct {
	Leader   string    `json:"leader"`
	Replicas []replica `json:"replicas"`
}

type replica struct {
	Current bool `json:"current"`
	Offline bool `json:"offline"`
}

// meta asks a node; the leader is "" if it knows nobody.
func (n node) meta() meta {
	client := http.Client{Timeout: time.Second}
	resp, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/jsz", n.Monitor))
	if err != nil {
		return meta{}
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	var js struct {
		Meta meta `json:"meta_cluster"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&js); err != nil {
		return meta{}
	}
	return js.Meta
}

// AwaitLeader waits until a living node leads a stream, and returns its number.
func (c *Cluster) AwaitLeader(js jetstream.JetStream, stream string) int {
	c.t.Helper()
	return c.await("leader of "+stream, func() string {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		s, err := js.Stream(ctx, stream)
		if err != nil || s.CachedInfo().Cluster == nil {
			return ""
		}
		return s.CachedInfo().Cluster.Leader
	})
}

// AwaitCurrent waits until streams are whole: every node has its replica and is up to date. Who kills a
// node before that, after another one, takes the majority away.
func (c *Cluster) AwaitCurrent(js jetstream.JetStream, streams ...string) {
	c.t.Helper()
	for _, name := range streams {
		c.await("current replicas of "+name, func() string {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			s, err := js.Stream(ctx, name)
			if err != nil || s.CachedInfo().Cluster == nil {
				return ""
			}
			cluster := s.CachedInfo().Cluster
			for _, r := range cluster.Replicas {
				if !r.Current || r.Offline {
					return ""
				}
			}
			return cluster.Leader
		})
	}
}

// await polls until a living node is named.
func (c *Cluster) await(what string, name func() string) int {
	c.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		said := name()
		i := slices.IndexFunc(c.nodes, func(p *process) bool { return p.cmd != nil && p.Name == said })
		if i >= 0 {
			return i
		}
	}
	c.t.Fatalf("no %s in %v", what, patience)
	return -1
}

// Others lists the nodes that live, but for i.
func (c *Cluster) Others(i int) (living []int) {
	for k, p := range c.nodes {
		if k != i && p.cmd != nil {
			living = append(living, k)
		}
	}
	slices.SortFunc(living, cmp.Compare[int])
	return living
}
