package engine

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// stuckLink is a link that takes nothing, so that everything waits.
type stuckLink struct{}

func (stuckLink) kick(*Session)                             {}
func (stuckLink) write([]*Frame, int, *vector) (int, error) { return 0, nil }
func (stuckLink) arm(*Session)                              {}
func (stuckLink) direct([]byte)                             {}
func (stuckLink) shut(uint16, bool)                         {}
func (stuckLink) inflates() uint8                           { return 0 }

// stuck makes a session on which frames only wait.
func stuck(t *testing.T, o Options) (*server, *Session) {
	o.Mode = Goroutines
	s := serve(t, nil, o)
	session, _ := s.begin("")
	session.link = stuckLink{}
	session.start(&Request{})
	session.end()
	return s, session
}

func waiting(s *Session) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, f := range s.queue.list {
		b.Write(f.wire[2:])
		b.WriteByte(' ')
	}
	return b.String()
}

func TestClasses(t *testing.T) {
	text := func(s string) *Frame { return Text([]byte(s)) }
	for name, c := range map[string]struct {
		send func(s *Session)
		want string
		drop string
		n    uint64
	}{
		"stored in order": {func(s *Session) {
			s.Send(text("a"), text("b"))
			s.Send(text("c"))
		}, "4a 4b 4c ", "passing", 0},
		"gauge replaces its own key": {func(s *Session) {
			s.Send(text("g1").As(Gauge, 1))
			s.Send(text("a"))
			s.Send(text("h1").As(Gauge, 2))
			s.Send(text("g2").As(Gauge, 1))
		}, "4a 4h1 4g2 ", "replaced", 1},
		"passing stops at a quarter": {func(s *Session) {
			for i := range 4 {
				s.Send(text(fmt.Sprint(i)).As(Passing, 0))
			}
		}, "40 41 42 ", "passing", 1},
		"passing makes room": {func(s *Session) {
			s.Send(text("p").As(Passing, 0))
			for i := range 8 {
				s.Send(text(fmt.Sprint(i)))
			}
		}, "40 41 42 43 44 45 46 47 ", "evicted", 1},
		"a packet is dropped with its attachments": {func(s *Session) {
			s.Send(text("p1").As(Passing, 0), text("x").As(Passing, 0), text("y").As(Passing, 0))
			for i := range 8 {
				s.Send(text(fmt.Sprint(i)))
			}
		}, "40 41 42 43 44 45 46 47 ", "evicted", 1},
	} {
		t.Run(name, func(t *testing.T) {
			s, session := stuck(t, Options{QueueFrames: 8})
			c.send(session)
			if got := waiting(session); got != c.want {
				t.Errorf("waiting %q, want %q", got, c.want)
			}
			if n := s.Stats().Dropped[c.drop]; n != c.n {
				t.Errorf("%d dropped as %s, want %d", n, c.drop, c.n)
			}
		})
	}
}

func TestOverflow(t *testing.T) {
	for name, c := range map[string]struct {
		options Options
		fit     int
		size    int
	}{
		"frames": {Options{QueueFrames: 100}, 100, 10},
		"bytes":  {Options{QueueBytes: 10_000}, 9, 1000},
		"one":    {Options{QueueBytes: 100}, 1, 1000}, // too large for the bound, but nothing waits
	} {
		t.Run(name, func(t *testing.T) {
			s, session := stuck(t, c.options)
			f := Text(make([]byte, c.size))
			for i := range c.fit {
				if !session.Send(f) {
					t.Fatalf("refused frame %d of %d", i, c.fit)
				}
			}
			if frames, bytes := session.Pending(); frames != c.fit || bytes != c.fit*f.Size() {
				t.Errorf("pending %d frames, %d bytes", frames, bytes)
			}
			for range 2 {
				if session.Send(f) {
					t.Error("took more than the bound")
				}
			}
			s.reason(ReasonSlowReader)
		})
	}
}

// A group is taken whole or not at all.
func TestSendIsAtomic(t *testing.T) {
	s, session := stuck(t, Options{QueueFrames: 3})
	f := Text([]byte("x"))
	session.Send(f, f)
	if session.Send(f, f) {
		t.Error("took two where one fits")
	}
	s.reason(ReasonSlowReader)
}

// A client that never reads costs what the bounds say and is cut off, without harm to others.
func TestSlowReader(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{Mode: mode, QueueFrames: 64})
		slow := s.websocket()
		slowSession := s.session()
		quick := s.websocket()
		quickSession := s.session()
		f := Text([]byte(strings.Repeat("x", 50_000)))
		for i := range 1000 {
			slowSession.Send(f)
			if !quickSession.Send(f) {
				t.Fatalf("the quick reader lost frame %d", i)
			}
			quick.text()
		}
		s.reason(ReasonSlowReader)
		if frames, _ := slowSession.Pending(); frames > 64 {
			t.Errorf("%d frames still held", frames)
		}
		slow.wantEOF()
	})
}

// Many senders, a reader that pauses so that sockets fill up: every frame arrives once, and those of
// one sender in order.
func TestManySenders(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{Mode: mode, QueueFrames: 1 << 20, QueueBytes: 1 << 29})
		c := s.websocket()
		session := s.session()
		const senders, each = 8, 2000
		var group sync.WaitGroup
		for k := range senders {
			group.Go(func() {
				for i := range each {
					// Sizes from a few bytes to beyond one segment, so that writes end anywhere.
					session.Send(Text(fmt.Appendf(nil, "%d %d %s", k, i, strings.Repeat("x", i*7%3000))))
				}
			})
		}
		next := [senders]int{}
		for i := range senders * each {
			if i%5000 == 0 {
				time.Sleep(20 * time.Millisecond) // lets the socket fill
			}
			var k, n int
			if _, err := fmt.Sscanf(c.text(), "4%d %d", &k, &n); err != nil || next[k] != n {
				t.Fatalf("message %d: sender %d has %d, want %d (%v)", i, k, n, next[k], err)
			}
			next[k]++
		}
		group.Wait()
		eventually(t, "nothing pending", func() bool { frames, bytes := session.Pending(); return frames == 0 && bytes == 0 })
	})
}

// Sessions that end while others send to them.
func TestSendWhileClosing(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{Mode: mode})
		f := Text([]byte("x"))
		const clients = 60
		var group sync.WaitGroup
		for i := range clients {
			c := s.websocket()
			session := s.session()
			group.Go(func() {
				for session.Send(f) {
				}
			})
			switch i % 3 {
			case 0:
				_ = c.nc.Close()
			case 1:
				session.Close(ReasonServerClose)
			case 2:
				_, _ = c.nc.Write(masked(0x88, "")) // it may be cut off as a slow reader already
			}
		}
		group.Wait()
		for range clients {
			wait(t, s.handler.closed, "Close")
		}
	})
}

// queue.wrote puts back what a short write left, before what came meanwhile.
func TestQueueShortWrites(t *testing.T) {
	for n := range 40 {
		var q queue
		for _, text := range []string{"a", "bb", "ccc"} {
			q.push(Text([]byte(text)))
		}
		list, sent := q.take()
		q.push(Text([]byte("late")))
		total := 0
		for _, f := range list {
			total += f.Size()
		}
		n = min(n, total)
		done := q.wrote(list, sent, n)
		var rest []byte
		for _, f := range q.list {
			rest = append(rest, f.wire...)
		}
		all := "\x81\x024a\x81\x034bb\x81\x044ccc\x81\x054late"
		if got := string(rest[q.sent:]); got != all[n:] || int(q.frames) != 4-done || int(q.bytes) != len(rest) {
			t.Errorf("after %d bytes: %q, %d frames, %d bytes", n, got, q.frames, q.bytes)
		}
	}
}
