package engine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The clients of a benchmark live in a process of their own, so that getrusage of this one is what
// the server costs. The child is this test binary with these variables set.
const (
	childAddr = "ENGINE_BENCH_ADDR" // where to connect
	childN    = "ENGINE_BENCH_N"    // how many
	childSize = "ENGINE_BENCH_SIZE" // bytes after which to report
	childHead = "ENGINE_BENCH_HEAD" // what it offers as extensions

	// cycles as the size makes the child connect and disconnect that often before it reports;
	// beats makes it answer pings.
	cycles = 101
	beats  = 3 // the bytes of a ping
)

// TestBenchClients is the child: it reads everything and writes a byte to stdout for each full round.
func TestBenchClients(t *testing.T) {
	addr := os.Getenv(childAddr)
	if addr == "" {
		return // only meant for the child of a benchmark
	}
	n, _ := strconv.Atoi(os.Getenv(childN))
	round, _ := strconv.Atoi(os.Getenv(childSize))
	epfd, err := unix.EpollCreate1(0)
	if err != nil {
		t.Fatal(err)
	}
	var header []string
	if offer := os.Getenv(childHead); offer != "" {
		header = []string{extensions, offer}
	}
	head, pong := []byte(handshakeHead("/socket.io/?EIO=4&transport=websocket", addr, header...)), masked(0x81, "3")
	for range n {
		fd := rawDial(t, addr)
		rawExchange(t, fd, head)
		if err := unix.EpollCtl(epfd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
			t.Fatal(err)
		}
	}
	report := func() { _, _ = unix.Write(3, []byte{1}) }
	report()
	events, buf := make([]unix.EpollEvent, 512), make([]byte, 256<<10)
	for got := 0; ; {
		k, err := unix.EpollWait(epfd, events, -1)
		if err != nil && err != unix.EINTR {
			t.Fatal(err)
		}
		for _, ev := range events[:max(k, 0)] {
			size, _ := unix.Read(int(ev.Fd), buf)
			if size <= 0 {
				return // the server is done
			}
			if round == beats {
				_, _ = unix.Write(int(ev.Fd), pong)
				continue
			}
			for got += size; got >= round; got -= round {
				if round == cycles {
					for range cycles {
						fd := rawDial(t, addr)
						rawExchange(t, fd, head)
						rawClose(fd)
					}
					got = round
				}
				report()
			}
		}
	}
}

// crowd is a server with clients in a child process, which report every round of bytes received.
type crowd struct {
	*server
	sessions []*Session
	reports  *os.File
}

func gather(tb testing.TB, o Options, n, round int, header ...string) *crowd {
	tb.Helper()
	h := newRecorder()
	e, err := New(h, o)
	if err != nil {
		tb.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	go func() { _ = e.Serve(l) }()
	in, out, err := os.Pipe()
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestBenchClients$")
	child.Env = append(os.Environ(), childAddr+"="+l.Addr().String(), fmt.Sprintf("%s=%d", childN, n), fmt.Sprintf("%s=%d", childSize, round))
	if len(header) > 0 {
		child.Env = append(child.Env, childHead+"="+header[1])
	}
	child.ExtraFiles = []*os.File{out}
	if err := child.Start(); err != nil {
		tb.Fatal(err)
	}
	_ = out.Close()
	tb.Cleanup(func() {
		cancel()
		_ = child.Wait()
		_ = in.Close()
		ctx, done := context.WithTimeout(context.Background(), patience)
		defer done()
		_ = e.Close(ctx)
	})
	c := &crowd{server: &server{Engine: e, handler: h, addr: l.Addr().String()}, reports: in}
	for range n {
		select {
		case s := <-h.opened:
			c.sessions = append(c.sessions, s)
		case <-time.After(10 * patience):
			tb.Fatal("the child does not connect")
		}
	}
	c.awaitRound(tb)
	return c
}

func (c *crowd) awaitRound(tb testing.TB) {
	if _, err := io.ReadFull(c.reports, make([]byte, 1)); err != nil {
		tb.Fatal(err)
	}
}

// cpu is what this process has used so far.
func cpu() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

var benchPacket = []byte(`2["document:uploaded",{"caseId":"123","documentId":"d1","fileName":"` + strings.Repeat("x", 118) + `"}]`)

// BenchmarkFanout reports the CPU of the server process for one delivery of a 200-byte event.
func BenchmarkFanout(b *testing.B) {
	for _, mode := range modes() {
		for _, c := range []struct{ rooms, members, flight int }{
			{1, 1000, 16}, {1, 1000, 1}, {100, 10, 1}, {1, 10, 1}, {1, 1, 1},
		} {
			b.Run(fmt.Sprintf("%v/rooms=%d/members=%d/flight=%d", mode, c.rooms, c.members, c.flight), func(b *testing.B) {
				f := Text(benchPacket)
				n := c.rooms * c.members
				crowd := gather(b, Options{Mode: mode}, n, n*c.flight*f.Size())
				deliver := func() {
					for range c.flight {
						for _, s := range crowd.sessions {
							if !s.Send(f) {
								b.Fatal("refused")
							}
						}
						if c.rooms > 1 { // one event at a time: the others do not wait behind it
							runtime.Gosched()
						}
					}
					crowd.awaitRound(b)
				}
				deliver()
				before := cpu()
				b.ReportAllocs()
				for b.Loop() {
					deliver()
				}
				total := float64(b.N * n * c.flight)
				b.ReportMetric(float64(cpu()-before)/1e3/total, "µs-cpu/delivery")
				b.ReportMetric(total/b.Elapsed().Seconds(), "deliveries/s")
			})
		}
	}
}

// largePacket is an event of 2 KB as services send them: names that repeat, values that do not.
func largePacket() []byte {
	b := []byte(`2["case:documents",{"caseId":"123","documents":[`)
	for i := 0; len(b) < 2048; i++ {
		b = fmt.Appendf(b, `{"documentId":"d-%x","fileName":"brief %d.pdf","size":%d,"uploadedBy":"user-%d","at":"2026-11-28T21:%02d:%02d.%03dZ"},`,
			i*7919*104729, i*31, i*7777777%1000003, i*17%50, i%60, i*7%60, i*331%1000)
	}
	return append(b[:len(b)-1], "]}]"...)
}

// BenchmarkFanoutLarge is BenchmarkFanout with a fresh 2 KB event each time, for clients that inflate and
// others. What is compressed is compressed once for the room.
func BenchmarkFanoutLarge(b *testing.B) {
	packet := largePacket()
	size := map[string]int{"plain": Text(packet).Size(), "deflate": len(deflateWire(Text(packet).wire, 1024))}
	for _, mode := range modes() {
		for _, form := range []string{"plain", "deflate"} {
			for _, flight := range []int{16, 1} {
				b.Run(fmt.Sprintf("%v/%s/members=1000/flight=%d", mode, form, flight), func(b *testing.B) {
					const n = 1000
					var header []string
					if form == "deflate" {
						header = offerDeflate
					}
					crowd := gather(b, Options{Mode: mode}, n, n*flight*size[form], header...)
					before := cpu()
					b.ReportAllocs()
					for b.Loop() {
						for range flight {
							f := Text(packet)
							for _, s := range crowd.sessions {
								if !s.Send(f) {
									b.Fatal("refused")
								}
							}
						}
						crowd.awaitRound(b)
					}
					total := float64(b.N * n * flight)
					b.ReportMetric(float64(cpu()-before)/1e3/total, "µs-cpu/delivery")
					b.ReportMetric(float64(size[form]), "wire-bytes")
				})
			}
		}
	}
}

// BenchmarkDeflate compresses one event.
func BenchmarkDeflate(b *testing.B) {
	f := Text(largePacket())
	b.SetBytes(int64(len(f.wire)))
	b.ReportAllocs()
	for b.Loop() {
		deflateWire(f.wire, 1024)
	}
}

// BenchmarkInflate reads one compressed event of a client.
func BenchmarkInflate(b *testing.B) {
	packet := squeeze("4" + string(largePacket()))
	data := masked(0xc1, packet)
	buf := make([]byte, len(data))
	var in input
	to := new(counter)
	b.SetBytes(int64(len(packet)))
	b.ReportAllocs()
	for b.Loop() {
		copy(buf, data)
		if in.feed(buf, rules{1 << 20, true}, to) != 0 {
			b.Fatal("refused")
		}
	}
}

// BenchmarkConnect reports the CPU of a whole life: accept, handshake, open, close.
func BenchmarkConnect(b *testing.B) {
	for _, mode := range modes() {
		b.Run(mode.String(), func(b *testing.B) {
			crowd := gather(b, Options{Mode: mode}, 1, cycles)
			done := make(chan struct{})
			defer close(done)
			go func() { // the handler's reports fill their channels otherwise
				for {
					select {
					case <-crowd.handler.closed:
					case <-crowd.handler.opened:
					case <-done:
						return
					}
				}
			}()
			before := cpu()
			b.ReportAllocs()
			for b.Loop() {
				crowd.sessions[0].Send(Text(make([]byte, cycles)))
				crowd.awaitRound(b)
			}
			total := float64(b.N * cycles)
			b.ReportMetric(float64(cpu()-before)/1e3/total, "µs-cpu/cycle")
			b.ReportMetric(b.Elapsed().Seconds()*1e6/total, "µs/cycle")
		})
	}
}

// BenchmarkHeartbeat reports the CPU of a ping and its pong, which is what an idle client costs in
// every PingInterval.
func BenchmarkHeartbeat(b *testing.B) {
	for _, mode := range modes() {
		b.Run(mode.String(), func(b *testing.B) {
			const n, interval = 2000, 500 * time.Millisecond
			crowd := gather(b, Options{Mode: mode, PingInterval: interval}, n, beats)
			before, pings := cpu(), crowd.Stats().FramesOut
			for b.Loop() {
				<-time.After(interval)
			}
			pings = crowd.Stats().FramesOut - pings
			b.ReportMetric(float64(cpu()-before)/1e3/float64(pings), "µs-cpu/heartbeat")
			if len(crowd.handler.closed) > 0 {
				b.Errorf("%d clients timed out", len(crowd.handler.closed))
			}
		})
	}
}

// A delivery allocates nothing: neither frames nor queues nor vectors, nor the compressed form that others
// have made already.
func TestDeliveryAllocatesNothing(t *testing.T) {
	f := Text(benchPacket)
	t.Run("plain", func(t *testing.T) { deliverFreely(t, f, f.Size()) })
	f = Text(largePacket())
	t.Run("deflate", func(t *testing.T) { deliverFreely(t, f, len(deflateWire(f.wire, 1024)), offerDeflate...) })
}

func deliverFreely(t *testing.T, f *Frame, size int, header ...string) {
	const n, flight, rounds = 100, 16, 20
	c := gather(t, Options{Mode: Epoll}, n, n*flight*size, header...)
	deliver := func() {
		for range flight {
			for _, s := range c.sessions {
				s.Send(f)
			}
		}
		c.awaitRound(t)
	}
	deliver()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range rounds {
		deliver()
	}
	runtime.ReadMemStats(&after)
	each := float64(after.Mallocs-before.Mallocs) / (n * flight * rounds)
	// What is allowed is a pool after a collection, and the race detector's habit of dropping what is
	// put into one. BenchmarkFanout shows the number without it: less than 0.0001.
	if each > 0.2 {
		t.Errorf("%.3f allocations per delivery", each)
	}
}

// BenchmarkInput parses the frames of a typical client.
func BenchmarkInput(b *testing.B) {
	data := bytes.Repeat(masked(0x81, string(append([]byte("4"), benchPacket...))), 10)
	buf := make([]byte, len(data))
	var in input
	to := new(counter)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		copy(buf, data)
		if in.feed(buf, rules{limit: 1 << 20}, to) != 0 {
			b.Fatal("refused")
		}
	}
}
