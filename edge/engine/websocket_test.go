package engine

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// What RFC 6455 forbids a client, and the code that a server closes with.
func TestHostileFrames(t *testing.T) {
	for name, c := range map[string]struct {
		bytes  []byte
		code   uint16
		reason Reason
	}{
		"unmasked":           {[]byte{0x81, 2, '4', 'a'}, 1002, ReasonForbiddenFrame},
		"rsv1":               {masked(0xc1, "4a"), 1002, ReasonForbiddenFrame},
		"rsv2":               {masked(0xa1, "4a"), 1002, ReasonForbiddenFrame},
		"opcode 3":           {masked(0x83, "4a"), 1002, ReasonForbiddenFrame},
		"opcode 11":          {masked(0x8b, ""), 1002, ReasonForbiddenFrame},
		"long control":       {masked(0x89, strings.Repeat("p", 126)), 1002, ReasonForbiddenFrame},
		"fragmented control": {masked(0x09, "p"), 1002, ReasonForbiddenFrame},
		"stray continuation": {masked(0x80, "a"), 1002, ReasonForbiddenFrame},
		"interleaved":        {frames(masked(0x01, "4a"), masked(0x81, "4b")), 1002, ReasonForbiddenFrame},
		"invalid UTF-8":      {masked(0x81, "4\xff\xfe"), 1007, ReasonParseError},
		"invalid in pieces":  {frames(masked(0x01, "4\xf4"), masked(0x80, "\x90\x80\x80")), 1007, ReasonParseError},
		"too large":          {masked(0x81, "4"+strings.Repeat("x", 1000)), 1009, ReasonMessageTooLarge},
		"too large in sum":   {frames(masked(0x02, strings.Repeat("x", 600)), masked(0x80, strings.Repeat("x", 600))), 1009, ReasonMessageTooLarge},
		"announced only":     {[]byte{0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4}, 1009, ReasonMessageTooLarge},
		"empty fragments":    {frames(masked(0x02, ""), bytes.Repeat(masked(0x00, ""), 1100)), 1009, ReasonMessageTooLarge},
		"close, one byte":    {masked(0x88, "\x03"), 1002, ReasonForbiddenFrame},
		"close, code 1005":   {masked(0x88, "\x03\xed"), 1002, ReasonForbiddenFrame},
		"close, code 999":    {masked(0x88, "\x03\xe7"), 1002, ReasonForbiddenFrame},
		"close, bad reason":  {masked(0x88, "\x03\xe8\xff"), 1002, ReasonForbiddenFrame},
		"close 1000":         {masked(0x88, "\x03\xe8bye"), 1000, ReasonTransportClose},
		"close 4321":         {masked(0x88, "\x10\xe1"), 4321, ReasonTransportClose},
		"close, empty":       {masked(0x88, ""), codeNoStatus, ReasonTransportClose},
		"packet 1":           {masked(0x81, "1"), 1000, ReasonTransportClose},
		"ping packet":        {masked(0x81, "2"), 1002, ReasonForbiddenFrame},
		"unknown packet":     {masked(0x81, "7"), 1000, ReasonParseError},
		"empty packet":       {masked(0x81, ""), 1000, ReasonParseError},
	} {
		t.Run(name, func(t *testing.T) {
			bothModes(t, func(t *testing.T, mode Mode) {
				s := serve(t, nil, Options{Mode: mode, MaxPayload: 1000})
				client := s.websocket()
				// What came before counts, what comes after does not.
				client.raw(frames(masked(0x81, "4first"), c.bytes, masked(0x81, "4late")))
				if c.reason != ReasonTransportClose || c.bytes[0] != 0x81 { // after packet 1 nobody reads
					client.wantText("4first")
				}
				client.wantClose(c.code)
				s.reason(c.reason)
			})
		})
	}
}

// The same through a client that sends byte by byte.
func TestFragments(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{Mode: mode})
		c := s.websocket()
		all := frames(masked(0x01, "4a\xc3"), masked(0x89, "in between"), masked(0x00, ""), masked(0x80, "\xa9b"))
		for i := range all {
			c.raw(all[i : i+1])
		}
		if op, data, err := c.next(); op != opPong || string(data) != "in between" || err != nil {
			t.Fatalf("%d %q %v", op, data, err)
		}
		c.wantText("4aéb")
		// A message larger than the read buffer, and many in one write.
		big := strings.Repeat("0123456789", 90_000)
		c.raw(masked(0x81, "4"+big))
		c.wantText("4" + big)
		var many []byte
		for i := range 1000 {
			many = append(many, masked(0x81, fmt.Sprintf("4%d", i))...)
		}
		c.raw(many)
		for i := range 1000 {
			c.wantText(fmt.Sprintf("4%d", i))
		}
	})
}

// Pings are answered, but a flood of them is not answered one for one.
func TestPingFlood(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{Mode: mode})
		c := s.websocket()
		const flood = 5000
		c.raw(append(bytes.Repeat(masked(0x89, "x"), flood), masked(0x89, "last")...))
		pongs := 0
		for {
			op, data, err := c.next()
			if op != opPong || err != nil {
				t.Fatalf("%d %q %v", op, data, err)
			}
			pongs++
			if string(data) == "last" {
				break
			}
		}
		if pongs > flood/2 {
			t.Errorf("%d pongs for %d pings", pongs, flood)
		}
		c.raw(masked(0x8a, "unasked")) // pongs are ignored
		c.send(opText, "4x")
		c.wantText("4x")
	})
}

// A peer that is simply gone.
func TestLostConnections(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{Mode: mode})
		c := s.websocket()
		_ = c.nc.Close()
		s.reason(ReasonTransportClose)
		c = s.websocket()
		tcp, _ := c.nc.(*net.TCPConn)
		_ = tcp.SetLinger(0)
		_ = c.nc.Close()
		s.reason(ReasonTransportError)
		c = s.websocket()
		c.raw(masked(0x81, "4half")[:5])
		_ = c.nc.Close()
		s.reason(ReasonTransportClose)
	})
}

// A client that does not answer the close frame is cut off.
func TestLingerIsBounded(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		t.Parallel()
		s := serve(t, nil, Options{Mode: mode})
		c := s.websocket()
		start := time.Now()
		s.session().Close(ReasonServerClose)
		s.reason(ReasonServerClose)
		c.wantClose(codeNormal)
		// Our side stays open, and is written to, until the server gives up.
		for {
			if _, err := c.nc.Write(masked(0x81, "4x")); err != nil {
				break
			}
			if time.Since(start) > patience {
				t.Fatal("still open")
			}
			time.Sleep(10 * time.Millisecond) // nothing signals that the other side has closed
		}
	})
}

// Callbacks end where Close says so: whatever else the client sent in the same read.
func TestCloseInCallback(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		h := newRecorder()
		calls := make(chan string, 10)
		h.message = func(s *Session, data []byte, _ bool) {
			calls <- string(data)
			s.Send(Text([]byte("bye")))
			s.CloseAfterFlush(ReasonKicked)
			s.Close(ReasonServerClose) // the first one wins: nothing waits any more
			if s.Send(Text([]byte("late"))) {
				t.Error("took a frame after the end")
			}
		}
		s := serve(t, h, Options{Mode: mode})
		c := s.websocket()
		c.raw(frames(masked(0x81, "4a"), masked(0x81, "4b")))
		got := wait(t, h.closed, "Close")
		if len(calls) != 1 || got == ReasonNone {
			t.Errorf("%d calls, closed for %v", len(calls), got)
		}
		_, _ = io.Copy(io.Discard, c.br)
	})
}

func TestCloseAfterFlush(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		h := newRecorder()
		h.message = func(s *Session, _ []byte, _ bool) {
			s.Send(Text([]byte("bye")))
			s.CloseAfterFlush(ReasonKicked)
		}
		s := serve(t, h, Options{Mode: mode})
		c := s.websocket()
		c.send(opText, "4x")
		c.wantText("4bye")
		c.wantClose(codeNormal)
		s.reason(ReasonKicked)
		// From outside of a callback, with much to write.
		c = s.websocket()
		s.session()
		session := s.session()
		big := strings.Repeat("x", 100_000)
		for range 8 {
			session.Send(Text([]byte(big)))
		}
		session.CloseAfterFlush(ReasonDrain)
		for range 8 {
			c.wantText("4" + big)
		}
		c.wantClose(codeGoingAway)
		s.reason(ReasonDrain)
	})
}

// A session that Open closes was begun all the same: the client must see the handshake end.
func TestCloseInOpen(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		h := newRecorder()
		h.open = func(s *Session, _ *Request) { s.Close(ReasonServerClose) }
		s := serve(t, h, Options{Mode: mode})
		s.websocket().wantClose(codeNormal)
		s.reason(ReasonServerClose)
	})
}
