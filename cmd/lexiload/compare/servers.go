package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// server is one that is measured.
type server struct {
	name  string
	title string // in the table
	// command starts it, serving address and reading from bus.
	command  func(c config, address, bus string) []string
	protocol []string // for lexiload
}

const ours = "edge"

var servers = []server{
	{
		name: ours, title: "edge",
		command: func(c config, address, bus string) []string {
			return []string{
				filepath.Join(c.bin, "lexiflow"), "edge", "--listen", address, "--ops-listen", "127.0.0.1:0",
				"--nats", bus, "--max-connections", "30000",
			}
		},
	},
	{
		name: "floor", title: "floor",
		command: func(c config, address, bus string) []string {
			return []string{filepath.Join(c.bin, "floor"), "--listen", address, "--nats", bus}
		},
	},
	{
		name: "socketio", title: "Socket.IO",
		command: func(c config, address, bus string) []string {
			return []string{"node", filepath.Join(c.socketio, "server.mjs"), address, bus}
		},
	},
	{
		name: "centrifuge", title: "Centrifuge", protocol: []string{"--protocol", "centrifuge"},
		command: func(c config, address, bus string) []string {
			return []string{filepath.Join(c.bin, "centrifuge"), "--listen", address, "--nats", bus}
		},
	},
}

func serverNames() (names []string) {
	for _, s := range servers {
		names = append(names, s.name)
	}
	return names
}

// bench holds what all runs share.
type bench struct {
	config config
	stderr io.Writer
	folder string // of NATS's data and of logs
	secret string
	files  int
	bus    string // NATS's URL
	nats   *process
}

func newBench(ctx context.Context, c config, stderr io.Writer) (*bench, error) {
	b := &bench{config: c, stderr: stderr, secret: rand.Text() + rand.Text()}
	var err error
	if b.files, err = raiseFileLimit(); err != nil {
		return nil, err
	}
	if b.folder, err = os.MkdirTemp("", "compare-"); err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err == nil {
		b.bus = "nats://" + address
		b.nats, err = b.start("nats", filepath.Join(c.bin, "lexiflow"), "nats", "--nats-listen", address, "--data-dir", filepath.Join(b.folder, "nats"))
	}
	if err == nil {
		err = b.nats.answers(ctx, func(ctx context.Context) error {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
			if err == nil {
				_ = conn.Close()
			}
			return err
		})
	}
	if err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bench) close() {
	if b.nats != nil {
		b.nats.stop()
	}
	_ = os.RemoveAll(b.folder)
}

// freeAddress is one that nobody listens on at this moment.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}

// process is a child that is killed when it is not needed any more.
type process struct {
	name  string
	cmd   *exec.Cmd
	log   string
	ended chan struct{}
}

func (b *bench) start(name string, command ...string) (*process, error) {
	p := &process{name: name, log: filepath.Join(b.folder, name+".log"), ended: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	p.cmd = exec.Command(command[0], command[1:]...)
	p.cmd.Env = append(os.Environ(), "JWT_SECRET="+b.secret)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // killed, one way or the other
		close(p.ended)
	}()
	return p, nil
}

// stop kills: draining takes seconds, and nothing of it is measured.
func (p *process) stop() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}

func (p *process) pid() string { return strconv.Itoa(p.cmd.Process.Pid) }

// answers tries until ask succeeds.
func (p *process) answers(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
			continue
		}
		text, _ := os.ReadFile(p.log)
		return fmt.Errorf("%s does not answer: %w\n%s", p.name, err, text[max(len(text)-2000, 0):])
	}
}

// run measures one server in one scenario.
func (b *bench) run(ctx context.Context, s server, what scenario) (*report, error) {
	count := 1
	if what.kill {
		count = 2
	}
	var processes []*process
	var urls []string
	for n := range count {
		address, err := freeAddress()
		if err != nil {
			return nil, err
		}
		p, err := b.start(fmt.Sprintf("%s-%d", s.name, n), s.command(b.config, address, b.bus)...)
		if err != nil {
			return nil, err
		}
		defer p.stop()
		url := "http://" + address
		// The first connection finds out whether it serves, and warms it up.
		if err := p.answers(ctx, func(ctx context.Context) error {
			_, err := b.load(ctx, append(s.protocol, "--url", url, "--connections", "1", "--settle", "0s"))
			return err
		}); err != nil {
			return nil, err
		}
		processes, urls = append(processes, p), append(urls, url)
	}
	time.Sleep(time.Second) // what begins behind the first connection is not measured
	args := append(what.load.arguments(b.config.quick, b.files), s.protocol...)
	args = append(args, "--url", urls[0], "--server-pid", processes[count-1].pid(), "--nats-pid", b.nats.pid())
	if what.kill {
		args = append(args, "--return-url", urls[1], "--kill-pid", processes[0].pid())
	}
	out, err := b.load(ctx, args)
	if err != nil {
		return nil, err
	}
	var r report
	if err := json.Unmarshal(out, &r); err != nil {
		return nil, fmt.Errorf("lexiload's report: %w", err)
	}
	return &r, nil
}

// load runs lexiload. Its error says what it said.
func (b *bench) load(ctx context.Context, args []string) ([]byte, error) {
	var out, said bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(b.config.bin, "lexiload"), append([]string{"--nats", b.bus}, args...)...)
	cmd.Env = append(os.Environ(), "JWT_SECRET="+b.secret)
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		if _, failed := errors.AsType[*exec.ExitError](err); failed {
			err = fmt.Errorf("%w: %s%s", err, said.Bytes(), out.Bytes())
		}
		return nil, err
	}
	return out.Bytes(), nil
}
