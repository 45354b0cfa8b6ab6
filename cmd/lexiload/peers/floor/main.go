// Command floor is the least that a server of the edge's clients can do, to see what is the kernel's share of
// a figure and what is ours: epoll, a raw listener, gobwas/ws for the handshake, an HS256 token verified,
// frames prepared once for each event and written to each member of its room, all that wait in one writev.
//
//	JWT_SECRET=… floor --listen HOST:PORT --nats URL
//
// It looks for the few bytes that lexiload sends and understands nothing else. Not there: queues for slow
// readers (a full socket ends its connection), limits, close handshakes, fragments, polling, sessions, logs.
package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"

	"github.com/nats-io/nats.go"
	"golang.org/x/sys/unix"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

func run() error {
	listen := flag.String("listen", "127.0.0.1:0", "address to serve on")
	bus := flag.String("nats", nats.DefaultURL, "NATS to read events from")
	flag.Parse()
	ended := make(chan error, 1)
	fail := func(err error) {
		select {
		case ended <- err:
		default:
		}
	}
	r := &rooms{members: map[string][]*conn{}}
	var loops []*loop
	for range runtime.GOMAXPROCS(0) {
		l, err := newLoop([]byte(os.Getenv("JWT_SECRET")), r)
		if err != nil {
			return err
		}
		loops = append(loops, l)
		go func() { fail(l.run()) }()
	}
	nc, err := nats.Connect(*bus, nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { fail(nats.ErrConnectionClosed) }))
	if err != nil {
		return err
	}
	messages := make(chan *nats.Msg, 4096)
	if _, err = nc.ChanSubscribe("lex.case.>", messages); err != nil {
		return err
	}
	go r.run(messages)
	address, err := net.ResolveTCPAddr("tcp4", *listen)
	if err != nil {
		return err
	}
	go func() { fail(accept(address, loops)) }()
	return <-ended
}

// accept spreads connections over the loops.
func accept(address *net.TCPAddr, loops []*loop) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	to := &unix.SockaddrInet4{Port: address.Port, Addr: [4]byte(address.IP.To4())}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1), // inherited by what it accepts
		unix.Bind(fd, to), unix.Listen(fd, 4096))
	if err != nil {
		return fmt.Errorf("listening on %v: %w", address, err)
	}
	for n := 0; ; n++ {
		conn, _, err := unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return fmt.Errorf("accepting: %w", err)
		}
		if err := loops[n%len(loops)].watch(conn); err != nil {
			return fmt.Errorf("watching a connection: %w", err)
		}
	}
}
