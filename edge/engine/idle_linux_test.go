package engine

import (
	"runtime"
	"testing"
	"unsafe"
)

// An idle WebSocket costs no goroutine, no buffer and less than 700 bytes of heap, whether it may
// compress or not.
func TestIdle(t *testing.T) {
	t.Run("plain", func(t *testing.T) { idle(t) })
	t.Run("deflate", func(t *testing.T) { idle(t, offerDeflate...) })
}

func idle(t *testing.T, header ...string) {
	s := serve(t, nil, Options{Mode: Epoll})
	const sessions = 2000
	clients := make([]int, 0, sessions)
	head := []byte(handshakeHead("/socket.io/?EIO=4&transport=websocket", s.addr, header...))
	connect := func() {
		fd := rawDial(t, s.addr)
		clients = append(clients, fd)
		rawExchange(t, fd, head)
		<-s.handler.opened
	}
	connect()
	goroutines, heap := runtime.NumGoroutine(), heapInUse()
	for len(clients) < sessions {
		connect()
	}
	if n := runtime.NumGoroutine(); n > goroutines+2 {
		t.Errorf("%d goroutines with one session, %d with %d", goroutines, n, sessions)
	}
	each := int(heapInUse()-heap) / (sessions - 1)
	t.Logf("%d bytes of heap for each session; Session %d, conn %d bytes", each, unsafe.Sizeof(Session{}), unsafe.Sizeof(conn{}))
	if each > 700 {
		t.Errorf("%d bytes of heap for each session", each)
	}
	for _, fd := range clients {
		rawClose(fd)
	}
	for range clients {
		s.reason(ReasonTransportClose)
	}
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
