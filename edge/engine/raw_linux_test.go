package engine

import (
	"bytes"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// Clients that are bare, blocking descriptors: they add neither goroutines nor heap to what a test
// or benchmark measures.

func rawDial(tb testing.TB, addr string) int {
	tb.Helper()
	to := netip.MustParseAddrPort(addr)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
		tb.Fatal(err)
	}
	return fd
}

// rawExchange sends a handshake and reads until the open packet is whole.
func rawExchange(tb testing.TB, fd int, head []byte) {
	tb.Helper()
	if _, err := unix.Write(fd, head); err != nil {
		tb.Fatal(err)
	}
	var buf [2048]byte
	for n := 0; !bytes.HasSuffix(buf[:n], []byte("}")); {
		k, err := unix.Read(fd, buf[n:])
		if k <= 0 {
			tb.Fatalf("handshake: %q %v", buf[:n], err)
		}
		n += k
	}
}

func rawClose(fd int) { _ = unix.Close(fd) }
