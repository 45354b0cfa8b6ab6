package engine

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestHandshake(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{Mode: mode, PingInterval: 3 * time.Second, PingTimeout: 2 * time.Second})
		check := func(transport, packet, upgrades string) {
			t.Helper()
			var open map[string]any
			if packet[0] != '0' || json.Unmarshal([]byte(packet[1:]), &open) != nil || len(open) != 5 {
				t.Fatalf("%s: open packet %q", transport, packet)
			}
			sid, _ := open["sid"].(string)
			if len(sid) != 20 || fmt.Sprint(open["upgrades"]) != upgrades || open["pingInterval"] != 3000.0 ||
				open["pingTimeout"] != 2000.0 || open["maxPayload"] != 1e6 {
				t.Errorf("%s: open packet %q", transport, packet)
			}
			session := s.session()
			if session.ID() != sid || session.Transport() != transport || !strings.HasPrefix(session.RemoteAddr(), "127.0.0.1:") {
				t.Errorf("%s: session %q %s from %q", transport, session.ID(), session.Transport(), session.RemoteAddr())
			}
		}
		status, body, head := s.do("GET", "EIO=4&transport=polling", "")
		if status != 200 || head.Get("Content-Type") != "text/plain; charset=UTF-8" {
			t.Errorf("polling: %d %v", status, head)
		}
		check("polling", body, "[websocket]")
		c, status := s.dial("EIO=4&transport=websocket")
		if status != 101 {
			t.Fatalf("websocket: %d", status)
		}
		check("websocket", c.text(), "[]")
		c.send(opText, "4hi")
		c.wantText("4hi")
		c.send(opBinary, "\x00\x01")
		if op, data, err := c.next(); op != opBinary || string(data) != "\x00\x01" || err != nil {
			t.Errorf("binary echo: %d %q %v", op, data, err)
		}
	})
}

// The answers of socketio-protocol 3, on both transports where they exist.
func TestHandshakeErrors(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{
			Mode: mode, AllowOrigin: func(origin, _ string) bool { return origin != "http://evil.example" },
			Allow: func(r *Request) *Refusal {
				if r.Query.Get("no") != "" {
					return &Refusal{Message: "not today"}
				}
				return nil
			},
		})
		live := s.poll()
		sid := live[strings.Index(live, "sid="):]
		for name, c := range map[string]struct {
			method, query string
			origin        string
			status        int
			body          string
		}{
			"no transport":        {"GET", "EIO=4", "", 400, `{"code":0,"message":"Transport unknown"}`},
			"unknown transport":   {"GET", "EIO=4&transport=abc", "", 400, `{"code":0,"message":"Transport unknown"}`},
			"transport first":     {"POST", "EIO=3", "http://evil.example", 400, `{"code":0,"message":"Transport unknown"}`},
			"unknown session":     {"GET", "EIO=4&transport=polling&sid=abc", "", 400, `{"code":1,"message":"Session ID unknown"}`},
			"unknown, 20 bytes":   {"POST", "EIO=4&transport=polling&sid=aaaaaaaaaaaaaaaaaaaa", "", 400, `{"code":1,"message":"Session ID unknown"}`},
			"empty session":       {"GET", "EIO=4&transport=polling&sid=", "", 400, `{"code":1,"message":"Session ID unknown"}`},
			"method":              {"POST", "EIO=4&transport=polling", "", 400, `{"code":2,"message":"Bad handshake method"}`},
			"method before EIO":   {"PUT", "EIO=3&transport=polling", "", 400, `{"code":2,"message":"Bad handshake method"}`},
			"no upgrade":          {"GET", "EIO=4&transport=websocket", "", 400, `{"code":3,"message":"Bad request"}`},
			"no upgrade, session": {"GET", "EIO=4&transport=websocket&" + sid, "", 400, `{"code":3,"message":"Bad request"}`},
			"origin bytes":        {"GET", "EIO=4&transport=polling", "http://\xc3\xa9", 400, `{"code":3,"message":"Bad request"}`},
			"origin":              {"GET", "EIO=4&transport=polling", "http://evil.example", 403, `{"code":4,"message":"Forbidden"}`},
			"origin, live":        {"GET", live, "http://evil.example", 403, `{"code":4,"message":"Forbidden"}`},
			"hook":                {"GET", "EIO=3&transport=polling&no=1", "", 403, `{"code":4,"message":"not today"}`},
			"no version":          {"GET", "transport=polling", "", 400, `{"code":5,"message":"Unsupported protocol version"}`},
			"version 3":           {"GET", "EIO=3&transport=polling", "", 400, `{"code":5,"message":"Unsupported protocol version"}`},
			"version 04":          {"GET", "EIO=04&transport=polling", "", 400, `{"code":5,"message":"Unsupported protocol version"}`},
			"method, live":        {"PUT", live, "", 500, ""},
		} {
			t.Run(name, func(t *testing.T) {
				var header []string
				if c.origin != "" {
					header = []string{"Origin", c.origin}
				}
				status, body, head := s.do(c.method, c.query, "", header...)
				if status != c.status || body != c.body || body != "" && head.Get("Content-Type") != "application/json" {
					t.Errorf("%d %q %q, want %d %q", status, body, head.Get("Content-Type"), c.status, c.body)
				}
			})
			if c.method != "GET" || !strings.Contains(c.query, "transport=polling") {
				continue
			}
			t.Run(name+" over websocket", func(t *testing.T) {
				nc, err := net.Dial("tcp", s.addr)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = nc.Close() }()
				_ = nc.SetDeadline(time.Now().Add(patience))
				query := strings.Replace(c.query, "transport=polling", "transport=websocket", 1)
				header := []string{}
				if c.origin != "" {
					header = []string{"Origin", c.origin}
				}
				_, _ = nc.Write([]byte(handshakeHead("/socket.io/?"+query, s.addr, header...)))
				answer, _ := io.ReadAll(nc)
				head, body, _ := bytes.Cut(answer, []byte("\r\n\r\n"))
				if !bytes.HasPrefix(head, fmt.Appendf(nil, "HTTP/1.1 %d ", c.status)) || string(body) != c.body {
					t.Errorf("%q, want %d %q", answer, c.status, c.body)
				}
			})
		}
	})
}

func TestBadUpgradeRequests(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{Mode: mode, HandshakeTimeout: 300 * time.Millisecond})
		good := handshakeHead("/socket.io/?EIO=4&transport=websocket", "x")
		for name, c := range map[string]struct{ head, want string }{
			"no key":       {strings.Replace(good, "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n", "", 1), "HTTP/1.1 400 "},
			"short key":    {strings.Replace(good, "AQIDBAUGBwgJCgsMDQ4PEA==", "abc", 1), "HTTP/1.1 400 "},
			"version 8":    {strings.Replace(good, "Version: 13", "Version: 8", 1), "HTTP/1.1 4"},
			"connection":   {strings.Replace(good, "Connection: Upgrade", "Connection: close", 1), "HTTP/1.1 400 "},
			"no host":      {strings.Replace(good, "Host: x\r\n", "", 1), "HTTP/1.1 400 "},
			"huge":         {strings.Replace(good, "\r\n\r\n", "\r\nCookie: "+strings.Repeat("c", 20<<10)+"\r\n\r\n", 1), "HTTP/1.1 431 "},
			"huge, no end": {good[:len(good)-2] + "Cookie: " + strings.Repeat("c", 33<<10), "HTTP/1.1 431 "},
			"unfinished":   {good[:len(good)-2], ""},
			"half a line":  {"GET /sock", ""},
			"not HTTP":     {"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", "HTTP/1.1 400 "},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				nc, err := net.Dial("tcp", s.addr)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = nc.Close() }()
				_ = nc.SetDeadline(time.Now().Add(patience))
				_, _ = nc.Write([]byte(c.head))
				answer, err := io.ReadAll(nc)
				if !strings.HasPrefix(string(answer), c.want) || err != nil && !isReset(err) {
					t.Errorf("%.100q %v, want %q", answer, err, c.want)
				}
			})
		}
	})
}

// The head of a handshake may come in pieces, and frames may follow it at once.
func TestHandshakeInPieces(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{Mode: mode})
		for _, size := range []int{1, 7, 100, 1 << 20} {
			nc, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			_ = nc.SetDeadline(time.Now().Add(patience))
			all := append([]byte(handshakeHead("/socket.io/?transport=websocket&EIO=4", s.addr)), masked(0x81, "4early")...)
			for len(all) > 0 {
				n := min(size, len(all))
				if _, err := nc.Write(all[:n]); err != nil {
					t.Fatal(err)
				}
				all = all[n:]
			}
			seen := make([]byte, 0, 1024)
			for !bytes.Contains(seen, []byte("4early")) {
				n, err := nc.Read(seen[len(seen):cap(seen)])
				if err != nil {
					t.Fatalf("pieces of %d: %q then %v", size, seen, err)
				}
				seen = seen[:len(seen)+n]
			}
			_ = nc.Close()
		}
	})
}

func TestCORS(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{Mode: mode, AllowOrigin: func(origin, host string) bool {
			return origin == "http://"+host || origin == "null"
		}})
		for _, query := range []string{"EIO=4&transport=polling", "EIO=4&transport=abc"} {
			_, _, head := s.do("GET", query, "", "Origin", "null")
			if head.Get("Access-Control-Allow-Origin") != "null" || head.Get("Access-Control-Allow-Credentials") != "true" || head.Get("Vary") != "Origin" {
				t.Errorf("%s: %v", query, head)
			}
		}
		status, _, head := s.do("OPTIONS", "EIO=4&transport=polling", "", "Origin", "http://"+s.addr,
			"Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "authorization")
		if status != 204 || head.Get("Access-Control-Allow-Headers") != "authorization" || head.Get("Access-Control-Allow-Methods") != "GET,POST" {
			t.Errorf("preflight: %d %v", status, head)
		}
		_, _, head = s.do("OPTIONS", "EIO=4&transport=polling", "", "Origin", "http://evil.example")
		if head.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("refused preflight: %v", head)
		}
		_, _, head = s.do("GET", "EIO=4&transport=polling", "")
		if head.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("without origin: %v", head)
		}
	})
}

func TestOtherPaths(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{Mode: mode, HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			_, _ = fmt.Fprintf(w, "%s %s %d", r.Method, r.URL.Path, len(body))
		})})
		res, err := http.Post("http://"+s.addr+"/page", "text/plain", strings.NewReader(strings.Repeat("p", 300_000)))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		if body, _ := io.ReadAll(res.Body); string(body) != "POST /page 300000" {
			t.Errorf("%q", body)
		}
	})
}

func TestTransportsOff(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		unknown := `{"code":0,"message":"Transport unknown"}`
		s := serve(t, nil, Options{Mode: mode, NoWebSocket: true})
		if _, status := s.dial("EIO=4&transport=websocket"); status != 400 {
			t.Errorf("websocket: %d", status)
		}
		if _, body, _ := s.do("GET", "EIO=4&transport=polling", ""); !strings.Contains(body, `"upgrades":[]`) {
			t.Errorf("handshake %q", body)
		}
		s = serve(t, nil, Options{Mode: mode, NoPolling: true})
		s.want("GET", "EIO=4&transport=polling", "", 400, unknown)
		s.websocket()
	})
}

func TestMaxSessions(t *testing.T) {
	bothModes(t, func(t *testing.T, mode Mode) {
		s := serve(t, nil, Options{Mode: mode, MaxSessions: 2})
		c := s.websocket()
		s.poll()
		if _, status := s.dial("EIO=4&transport=websocket"); status != 503 {
			t.Errorf("third: %d", status)
		}
		s.want("GET", "EIO=4&transport=polling", "", 503, `{"code":4,"message":"Too many connections"}`)
		c.send(opClose, "")
		s.reason(ReasonTransportClose)
		eventually(t, "a place is free", func() bool { return s.Stats().WebSocket == 0 })
		s.websocket()
		if n := s.Stats().Refused["max_sessions"]; n != 2 {
			t.Errorf("counted %d refusals", n)
		}
	})
}

// ServeHTTP works below any http.Server, TLS included; upgrades come over its connections.
func TestServeHTTP(t *testing.T) {
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			bothModes(t, func(t *testing.T, mode Mode) {
				s := serve(t, nil, Options{Mode: mode})
				start := httptest.NewServer
				if secure {
					start = httptest.NewTLSServer
				}
				outer := start(s.Engine)
				defer outer.Close()
				nc, err := net.Dial("tcp", outer.Listener.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				if secure {
					nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true}) // a test's own certificate
				}
				defer func() { _ = nc.Close() }()
				throughHTTP(t, s, nc)
				_ = nc.Close()
				s.reason(ReasonTransportClose)
			})
		})
	}
}

// throughHTTP uses a keep-alive connection for polling first and upgrades it then.
func throughHTTP(t *testing.T, s *server, nc net.Conn) {
	t.Helper()
	c := s.over(nc)
	c.raw([]byte("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n"))
	res, err := http.ReadResponse(c.br, nil)
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("%v %v", res, err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	s.session()
	c.raw(append([]byte(handshakeHead("/socket.io/?EIO=4&transport=websocket", "x")), masked(0x81, "4early")...))
	if res, err = http.ReadResponse(c.br, nil); err != nil || res.StatusCode != 101 {
		t.Fatalf("%v %v", res, err)
	}
	c.text()
	c.wantText("4early")
	c.raw(masked(0x01, "4pi"))
	c.raw(masked(0x80, "eces"))
	c.wantText("4pieces")
	s.session()
}
