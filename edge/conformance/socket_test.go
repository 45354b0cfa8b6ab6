package main

import (
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

func TestSocketConnect(t *testing.T) {
	both(t, "socket", func(t *testing.T, s suite) {
		sidOf := func(c socket, namespace string) string {
			t.Helper()
			got := c.text()
			rest, ok := strings.CutPrefix(got, "40"+namespace+`{"sid":"`)
			sid, end, ended := strings.Cut(rest, `"`)
			if !ok || !ended || end != "}" || sid == "" {
				t.Fatalf("CONNECT was answered %q", got)
			}
			return sid
		}
		c := s.websocket()
		c.send("40")
		main := sidOf(c, "")
		c.want(`42["auth",{}]`)
		c.send(`40/custom,{"token":"abc"}`)
		custom := sidOf(c, "/custom,")
		c.want(`42/custom,["auth",{"token":"abc"}]`)
		if main == custom {
			t.Error("two namespaces share a sid")
		}

		c = s.websocket()
		c.send(`40{"token":"123"}`)
		sidOf(c, "")
		c.want(`42["auth",{"token":"123"}]`)

		c = s.websocket()
		c.send("40/random")
		c.want(`44/random,{"message":"Invalid namespace"}`)

		for _, bad := range []string{"4abc", "40{}x", "40[]", `40"a"`, "40null"} {
			c = s.websocket()
			c.send(bad)
			c.wantClosed(250 * time.Millisecond)
		}
		c = s.websocket() // answers pings, but never joins
		start := time.Now()
		for {
			packet, op, err := wsutil.ReadServerData(c.rw)
			if err != nil {
				break
			}
			if op == ws.OpText && string(packet) == "2" {
				c.send("3")
			}
		}
		if took := time.Since(start); took < 900*time.Millisecond || took > 1500*time.Millisecond {
			t.Errorf("closed after %v, want 1 s", took)
		}
	})
}

func TestSocketDisconnect(t *testing.T) {
	both(t, "socket", func(t *testing.T, s suite) {
		c := s.connected()
		c.send("41")
		c.send("42[\"message\",1]") // a packet for a namespace that is not joined
		c.wantClosed(250 * time.Millisecond)

		c = s.connected()
		c.send("40/custom")
		if got := c.text(); !strings.HasPrefix(got, "40/custom,") {
			t.Fatal(got)
		}
		c.want(`42/custom,["auth",{}]`)
		c.send("41/custom")
		c.send(`42["message","message to main namespace"]`)
		c.want(`42["message-back","message to main namespace"]`)
	})
}

func TestSocketMessages(t *testing.T) {
	both(t, "socket", func(t *testing.T, s suite) {
		c := s.connected()
		c.send(`42["message",1,"2",{"3":[true]}]`)
		c.want(`42["message-back",1,"2",{"3":[true]}]`)
		c.send(`42["message"]`)
		c.want(`42["message-back"]`)
		c.send(`42456["message-with-ack",1,"2",{"3":[false]}]`)
		c.want(`43456[1,"2",{"3":[false]}]`)

		c.send(`452-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`)
		c.sendBinary([]byte{1, 2, 3})
		c.sendBinary([]byte{4, 5, 6})
		c.want(`452-["message-back",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`)
		c.wantBinary([]byte{1, 2, 3})
		c.wantBinary([]byte{4, 5, 6})

		c.send(`452-789["message-with-ack",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`)
		c.sendBinary([]byte{1, 2, 3})
		c.sendBinary([]byte{4, 5, 6})
		c.want(`462-789[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`)
		c.wantBinary([]byte{1, 2, 3})
		c.wantBinary([]byte{4, 5, 6})

		for _, bad := range []func(c socket){
			func(c socket) { c.send("42{}") },
			func(c socket) { c.send(`42[]`) },
			func(c socket) { c.send("4abc") },
			func(c socket) { c.sendBinary([]byte{1}) },
			func(c socket) {
				c.send(`451-["message",{"_placeholder":true,"num":0}]`)
				c.send(`42["message"]`)
			},
		} {
			c := s.connected()
			bad(c)
			c.wantClosed(250 * time.Millisecond)
		}
	})
}

func TestSocketPolling(t *testing.T) {
	both(t, "socket", func(t *testing.T, s suite) {
		q := s.polling()
		s.want("POST", q, "40", 200, "ok")
		_, body := s.get(q)
		connect, rest, ok := strings.Cut(body, "\x1e")
		if !ok || !strings.HasPrefix(connect, `40{"sid":"`) || rest != `42["auth",{}]` {
			t.Fatalf("%q", body)
		}
		s.want("POST", q, "451-[\"message\",{\"_placeholder\":true,\"num\":0}]\x1ebAQID", 200, "ok")
		s.want("GET", q, "", 200, "451-[\"message-back\",{\"_placeholder\":true,\"num\":0}]\x1ebAQID")
	})
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{{"--mode", "x"}, {"--read", "x"}, {"--listen", "nowhere:x"}, {"--nonsense"}} {
		if err := run(args); err == nil {
			t.Errorf("%v: accepted", args)
		}
	}
}
