package engine

import (
	"errors"
	"net"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// An address is read as the kernel writes it: of IPv4, and of IPv4 through a socket of IPv6.
func TestAcceptedAddress(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		file, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		client, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			t.Fatal(err)
		}
		fd, from, err := acceptOne(int(file.Fd()))
		for end := time.Now().Add(patience); errors.Is(err, unix.EAGAIN) && time.Now().Before(end); {
			fd, from, err = acceptOne(int(file.Fd()))
		}
		if want := client.LocalAddr().String(); err != nil || from != want {
			t.Errorf("listening on %s: accepted %q, %v; the client is %s", address, from, err, want)
		}
		_, _, _ = client.Close(), file.Close(), l.Close()
		_ = unix.Close(fd)
	}
}
