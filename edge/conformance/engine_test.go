package main

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestEngineHandshake(t *testing.T) {
	for _, mode := range []string{"engine", "socket"} {
		both(t, mode, func(t *testing.T, s suite) {
			s.polling()
			s.websocket()
			s.want("GET", "", "", 400, "*")
			s.want("GET", "transport=abc", "", 400, "*")
			s.want("POST", "transport=polling", "", 400, "*")
			s.want("GET", "transport=websocket", "", 400, "*")
			s.want("GET", "transport=polling&EIO=abc", "", 200, "*") // the first EIO counts
			res, err := http.Get("http://" + s.addr + s.path + "?EIO=abc&transport=polling")
			if err != nil || res.StatusCode != 400 {
				t.Errorf("EIO=abc: %v %v", res, err)
			} else {
				_ = res.Body.Close()
			}
			if _, err := s.dial("transport=abc"); err == nil {
				t.Error("unknown transport: the WebSocket opened")
			}
		})
	}
}

func TestEngineMessages(t *testing.T) {
	both(t, "engine", func(t *testing.T, s suite) {
		q := s.polling()
		s.want("POST", q, "4hello", 200, "ok")
		s.want("GET", q, "", 200, "4hello")
		s.want("POST", q, "4test1\x1e4test2\x1e4test3", 200, "ok")
		s.want("GET", q, "", 200, "4test1\x1e4test2\x1e4test3")
		s.want("POST", q, "bAQIDBA==", 200, "ok")
		s.want("GET", q, "", 200, "bAQIDBA==")
		s.want("POST", q, "4hello\x1ebAQIDBA==", 200, "ok")
		s.want("GET", q, "", 200, "4hello\x1ebAQIDBA==")

		c := s.websocket()
		c.send("4hello")
		c.want("4hello")
		c.sendBinary([]byte{1, 2, 3, 4})
		c.wantBinary([]byte{1, 2, 3, 4})
	})
}

func TestEngineForbiddenMessages(t *testing.T) {
	for _, mode := range []string{"engine", "socket"} {
		both(t, mode, func(t *testing.T, s suite) {
			q := s.polling()
			s.want("POST", q, "abc", 400, "*")
			s.want("GET", q, "", 400, "*")

			q = s.polling()
			first := make(chan string, 1)
			go func() { _, body := s.get(q); first <- body }()
			s.pause(20 * time.Millisecond)
			s.want("GET", q, "", 400, "*")
			if got := <-first; got != "1" {
				t.Errorf("first of two GETs: %q", got)
			}

			q = s.polling()
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
			defer cancel()
			req, _ := http.NewRequestWithContext(ctx, "GET", "http://"+s.addr+s.path+"?EIO=4&"+q, nil)
			if res, err := http.DefaultClient.Do(req); err == nil {
				t.Errorf("cancelled GET: %v", res.Status)
				_ = res.Body.Close()
			}
			s.want("GET", q, "", 400, "*")

			c := s.websocket()
			c.send("abc")
			c.wantClosed(250 * time.Millisecond)
		})
	}
}

// pause lets time pass, as the suites do.
func (suite) pause(d time.Duration) { <-time.After(d) }

func TestEngineHeartbeat(t *testing.T) {
	for _, mode := range []string{"engine", "socket"} {
		both(t, mode, func(t *testing.T, s suite) {
			q := s.polling()
			for range 3 {
				s.want("GET", q, "", 200, "2")
				s.want("POST", q, "3", 200, "ok")
			}
			q = s.polling()
			s.pause(500 * time.Millisecond)
			s.want("GET", q, "", 400, "*")

			c := s.websocket()
			if mode == "engine" { // in the other the connect timeout follows
				for range 3 {
					c.want("2")
					c.send("3")
				}
			}
			c.wantClosed(time.Second)
		})
	}
}

func TestEngineClose(t *testing.T) {
	for _, mode := range []string{"engine", "socket"} {
		both(t, mode, func(t *testing.T, s suite) {
			for range 50 { // the GET and the POST race on two connections
				q := s.polling()
				get := make(chan string, 1)
				go func() { _, body := s.get(q); get <- body }()
				s.want("POST", q, "1", 200, "ok")
				if got := <-get; got != "6" {
					t.Errorf("GET beside the close: %q", got)
				}
				s.want("GET", q, "", 400, "*")
			}
			c := s.websocket()
			c.send("1")
			c.wantClosed(250 * time.Millisecond)
		})
	}
}

func TestEngineUpgrade(t *testing.T) {
	for _, mode := range []string{"engine", "socket"} {
		both(t, mode, func(t *testing.T, s suite) {
			q := s.polling()
			c, err := s.dial(strings.Replace(q, "polling", "websocket", 1))
			if err != nil {
				t.Fatal(err)
			}
			c.send("2probe")
			c.want("3probe")
			c.send("5")
			s.want("GET", q, "", 400, "*") // may overtake the commit
			second, err := s.dial(strings.Replace(q, "polling", "websocket", 1))
			if err != nil {
				t.Fatal("the second WebSocket must be opened, then closed:", err)
			}
			second.wantClosed(250 * time.Millisecond)
			if mode == "engine" {
				c.send("4hello")
				c.want("4hello")
			}
			// Several packets at once on the second transport.
			q = s.polling()
			c, err = s.dial(strings.Replace(q, "polling", "websocket", 1))
			if err != nil {
				t.Fatal(err)
			}
			c.send("2probe")
			c.send("5")
			c.send("40")
			c.want("3probe")
			if got := c.text(); mode == "engine" && got != "40" || mode == "socket" && !strings.HasPrefix(got, `40{"sid":"`) {
				t.Errorf("after the upgrade: %q", got)
			}
		})
	}
}
