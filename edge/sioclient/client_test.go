package sioclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

var transports = []string{transportWebSocket, transportPolling}

// dial connects and returns a channel of "name arg arg" lines.
func dial(t *testing.T, s *server, o Options) (*Client, chan string) {
	t.Helper()
	events := make(chan string, 100)
	o.URL = s.URL
	o.OnEvent = func(name string, args []json.RawMessage) {
		line := name
		for _, a := range args {
			line += " " + string(a)
		}
		events <- line
	}
	c, err := Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Abort)
	return c, events
}

func want(t *testing.T, events chan string, line string) {
	t.Helper()
	select {
	case got := <-events:
		if got != line {
			t.Fatalf("got %.100s, want %.100s", got, line)
		}
	case <-time.After(5 * time.Second):
		t.Fatalf("no event, want %.100s", line)
	}
}

func ended(t *testing.T, c *Client) error {
	t.Helper()
	select {
	case <-c.Done():
		return c.Err()
	case <-time.After(5 * time.Second):
		t.Fatal("the connection did not end")
		return nil
	}
}

func TestClient(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			s := newServer(t)
			c, events := dial(t, s, Options{
				Transport: transport, Namespace: "/events", Token: "t", Auth: map[string]any{"offset": "7", "token": "overruled"},
				Header: http.Header{"Authorization": {"Bearer x"}},
			})
			want(t, events, `auth {"offset":"7","token":"t"}`)
			if c.SID() != "public" || c.PID() != "private" || s.header.Get("Authorization") != "Bearer x" {
				t.Errorf("sid %q, pid %q, header %v", c.SID(), c.PID(), s.header)
			}
			if err := c.Emit(t.Context(), "echo", 1, json.RawMessage(`{"a" : 2}`), nil); err != nil {
				t.Fatal(err)
			}
			want(t, events, `back [1,{"a":2},null]`)
			for i := range 3 {
				ack, err := c.EmitAck(t.Context(), "echo", i)
				if err != nil || string(ack) != fmt.Sprintf("[%d]", i) {
					t.Fatalf("ack %s, %v", ack, err)
				}
				want(t, events, fmt.Sprintf("back [%d]", i)) // it came before the ack
			}
			if ack, err := c.EmitAck(t.Context(), "empty ack"); err != nil || string(ack) != "null" {
				t.Errorf("ack %s, %v", ack, err)
			}
			c.Close()
			c.Close()
			if err := c.Emit(t.Context(), "echo"); !errors.Is(err, ErrClosed) || !errors.Is(ended(t, c), ErrClosed) {
				t.Errorf("after Close: %v, %v", err, c.Err())
			}
		})
	}
}

func TestClientOrderAndSizes(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			c, events := dial(t, newServer(t), Options{Transport: transport, ReadBuffer: 256})
			for _, name := range []string{"count", "large", "huge", "attach"} {
				if err := c.Emit(t.Context(), name); err != nil {
					t.Fatal(err)
				}
			}
			for i := range 50 {
				want(t, events, fmt.Sprintf("n %d", i))
			}
			want(t, events, `large "`+strings.Repeat("x", 10_000)+`"`)
			want(t, events, `huge "`+strings.Repeat("x", 70_000)+`"`)
			want(t, events, `file {"_placeholder":true,"num":0}`)
		})
	}
}

func TestClientFragments(t *testing.T) {
	c, events := dial(t, newServer(t), Options{})
	if err := c.Emit(t.Context(), "fragments"); err != nil {
		t.Fatal(err)
	}
	want(t, events, `back ["whole"]`)
	if err := c.Emit(t.Context(), "echo"); err != nil {
		t.Fatal(err)
	}
	want(t, events, `back []`)
}

func TestClientOnPacket(t *testing.T) {
	seen := make(chan string, 10)
	c, events := dial(t, newServer(t), Options{OnPacket: func(packet []byte) bool {
		seen <- string(packet)
		return strings.Contains(string(packet), "secret")
	}})
	for _, arg := range []string{"secret", "public"} {
		if err := c.Emit(t.Context(), "echo", arg); err != nil {
			t.Fatal(err)
		}
	}
	want(t, events, `back ["public"]`)
	want(t, seen, `2["back",["secret"]]`)
	want(t, seen, `2["back",["public"]]`)
}

func TestClientRefused(t *testing.T) {
	tests := map[string]struct {
		o    Options
		want string
	}{
		"bad token":         {Options{Token: "bad"}, "sioclient: connect refused: Authentication failed (AUTH_FAILED)"},
		"unknown namespace": {Options{Token: "plain", Namespace: "/x"}, "sioclient: connect refused: Invalid namespace"},
		"old protocol":      {Options{Token: "v2"}, "sioclient: the server's answer to CONNECT has no sid: is it Socket.IO 2?"},
		"no Socket.IO here": {Options{Path: "/elsewhere/"}, "400"},
		"bad scheme":        {Options{URL: "ftp://h"}, `sioclient: URL "ftp://h": want http, https, ws or wss and a host`},
		"bad transport":     {Options{Transport: "pigeon"}, `sioclient: transport "pigeon": want websocket or polling`},
		"bad namespace":     {Options{Namespace: "x"}, `sioclient: namespace "x": must begin with / and hold no comma`},
		"bad auth":          {Options{Auth: map[string]any{"a": func() {}}}, "sioclient: auth: json: unsupported type: func()"},
	}
	for _, transport := range transports {
		for name, tt := range tests {
			t.Run(transport+"/"+name, func(t *testing.T) {
				if tt.o.URL == "" {
					tt.o.URL = newServer(t).URL
				}
				if tt.o.Transport == "" {
					tt.o.Transport = transport
				}
				c, err := Dial(t.Context(), tt.o)
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("got %v, %v", c, err)
				}
			})
		}
	}
}

func TestClientDialContext(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err := Dial(ctx, Options{URL: newServer(t).URL, Transport: transport, Token: "mute"})
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestClientEnds(t *testing.T) {
	tests := map[string]struct {
		event string
		arg   string
		want  error
		text  string
		only  string
	}{
		"namespace ended":   {event: "bye", want: ErrDisconnected},
		"connection closed": {event: "drop", want: ErrServerClosed},
		"close code":        {event: "raw", arg: "code|too big", want: ErrServerClosed, text: "code 1009 too big", only: transportWebSocket},
		"malformed packet":  {event: "raw", arg: "42[", text: "payload is not valid JSON"},
		"stray attachment":  {event: "raw", arg: "binary|x", text: "without a header"},
		"masked frame":      {event: "raw", arg: "masked|2", text: "RFC 6455", only: transportWebSocket},
		"unknown packet":    {event: "raw", arg: "x", text: "unknown Engine.IO packet"},
		"above the limit":   {event: "huge", text: "MaxMessage"},
	}
	for _, transport := range transports {
		for name, tt := range tests {
			if tt.only != "" && tt.only != transport {
				continue
			}
			t.Run(transport+"/"+name, func(t *testing.T) {
				c, _ := dial(t, newServer(t), Options{Transport: transport, MaxMessage: 20_000})
				sent := c.Emit(t.Context(), tt.event, tt.arg)
				err := ended(t, c)
				if sent != nil && !errors.Is(sent, err) {
					t.Errorf("sending failed with %v, the connection with %v", sent, err)
				}
				if tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
					t.Errorf("ended with %v", err)
				}
			})
		}
	}
}

func TestClientAcksEnd(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			c, _ := dial(t, newServer(t), Options{Transport: transport})
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if _, err := c.EmitAck(ctx, "wrong ack"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("an ack for somebody else: %v", err)
			}
			if _, err := c.EmitAck(t.Context(), "drop"); !errors.Is(err, ErrServerClosed) {
				t.Errorf("an ack from a server that is gone: %v", err)
			}
			if len(c.acks) != 0 {
				t.Errorf("%d acks are still waited for", len(c.acks))
			}
		})
	}
}

func TestClientHeartbeat(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			s := newServer(t)
			s.interval, s.timeout = 50*time.Millisecond, 100*time.Millisecond
			c, _ := dial(t, s, Options{Transport: transport})
			ses := s.sessions["session-0"]
			ses.out <- "2"
			select {
			case <-ses.pongs:
			case <-time.After(5 * time.Second):
				t.Fatal("no pong")
			}
			if err := ended(t, c); !errors.Is(err, ErrPingTimeout) { // no second ping
				t.Errorf("ended with %v", err)
			}
		})
	}
}
