// Command conformance serves the transport and codec layers of the edge without its policy, for the
// official Engine.IO 4 and Socket.IO 5 protocol suites:
//
//	go run ./edge/conformance --listen 127.0.0.1:3000 --mode engine
//
// It promises what the suites need and nothing else: in mode engine every message is echoed on
// /engine.io/; in mode socket two namespaces without tokens answer on /socket.io/. It is not for
// production. SIGTERM and SIGINT stop it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/lexiflow/realtime/edge/engine"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(2)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("conformance", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:3000", "address to serve on")
	mode := flags.String("mode", "engine", "engine: echo on /engine.io/; socket: namespaces on /socket.io/")
	read := flags.String("read", "auto", "how connections are read: auto, epoll or goroutines")
	if err := flags.Parse(args); err != nil {
		return err // the flag package has printed the usage
	}
	handler, path, err := handlerOf(*mode)
	if err != nil {
		return err
	}
	options := optionsFor(path)
	options.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	if options.Mode, err = engine.ParseMode(*read); err != nil {
		return fmt.Errorf("--read: %w", err)
	}
	e, err := engine.New(handler, options)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return fmt.Errorf("--listen %s: %w", *listen, err)
	}
	fmt.Fprintf(os.Stderr, "serving mode %s on http://%s%s\n", *mode, l.Addr(), path)

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	closed := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		closed <- e.Close(grace)
	})
	if err := e.Serve(l); !errors.Is(err, engine.ErrClosed) {
		return err
	}
	return <-closed
}

func handlerOf(mode string) (engine.Handler, string, error) {
	switch mode {
	case "engine":
		return echo{}, "/engine.io/", nil
	case "socket":
		return chat{}, "/socket.io/", nil
	}
	return nil, "", fmt.Errorf("--mode %q: must be engine or socket", mode)
}

// optionsFor gives the timing that both suites expect.
func optionsFor(path string) engine.Options {
	return engine.Options{
		Path: path, PingInterval: 300 * time.Millisecond, PingTimeout: 200 * time.Millisecond,
		ConnectTimeout: time.Second, MaxPayload: 1_000_000,
	}
}
