package natstest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Ports for what must know them before it listens. They lie below those that systems give to connections and
// to who listens on port 0, which other tests do all the time.
const (
	firstPort = 20_000
	portCount = 12_000
)

// FreePorts finds n ports of the loopback address on which nobody listens. They are let go again before they
// are used: a test that looks at the same moment may take one, by a chance of one in thousands, and then the
// start fails.
func FreePorts(t testing.TB, n int) (ports []int) {
	t.Helper()
	const tries = 1000
	for range tries {
		if len(ports) == n {
			return ports
		}
		port := firstPort + rand.IntN(portCount)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue // taken
		}
		defer l.Close() //nolint:errcheck // it was only looked at
		ports = append(ports, port)
	}
	t.Fatalf("%d of %d ports in %d tries", len(ports), n, tries)
	return nil
}

// FreeAddress is one address on which nobody listens.
func FreeAddress(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", FreePorts(t, 1)[0])
}
