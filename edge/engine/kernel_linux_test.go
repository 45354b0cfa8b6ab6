package engine

import (
	"strings"
	"testing"
)

// What a client does not read waits in its queue, whose frames are shared, and not in the kernel.
func TestKernelHoldsLittle(t *testing.T) {
	s := serve(t, nil, Options{Mode: Epoll, QueueFrames: 1 << 20, QueueBytes: 1 << 30})
	s.websocket() // does not read from here on
	session := s.session()
	f := Text([]byte(strings.Repeat("x", 10_000)))
	const count = 800
	for range count {
		session.Send(f)
	}
	eventually(t, "the socket is full", func() bool {
		session.mu.Lock()
		defer session.mu.Unlock()
		return session.blocked
	})
	_, left := session.Pending()
	if taken := count*f.Size() - left; taken > 1<<20 { // some of it in the client's kernel
		t.Errorf("the kernel took %d bytes for a client that does not read", taken)
	} else {
		t.Logf("%d bytes", taken)
	}
}
