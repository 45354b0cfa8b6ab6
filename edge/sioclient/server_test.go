package sioclient

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/lexiflow/realtime/edge/sio"
)

// server is as much of a Socket.IO server as the client's tests need, on both transports. What it does
// follows from the names of the events it gets; see answer.
type server struct {
	*httptest.Server

	interval, timeout time.Duration // announced; pings are sent only when pinging

	mu       sync.Mutex
	sessions map[string]*session
	header   http.Header // of the last handshake
}

// session is one connection; out is nil-terminated by closing it.
type session struct {
	server *server
	out    chan string
	pongs  chan struct{}
	once   sync.Once
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{interval: time.Minute, timeout: time.Minute, sessions: map[string]*session{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.mu.Lock()
	ses := s.sessions[q.Get("sid")]
	fresh := ses == nil
	if fresh {
		s.header = r.Header.Clone()
		ses = &session{server: s, out: make(chan string, 64), pongs: make(chan struct{}, 64)}
		s.sessions[fmt.Sprintf("session-%d", len(s.sessions))] = ses
		h := sio.Handshake{SID: fmt.Sprintf("session-%d", len(s.sessions)-1), PingInterval: s.interval, PingTimeout: s.timeout, MaxPayload: 1000}
		ses.out <- string(h.Append(nil))
	}
	s.mu.Unlock()
	switch {
	case r.URL.Path != "/socket.io/" || q.Get("EIO") != "4":
		http.Error(w, `{"code":5}`, http.StatusBadRequest)
	case q.Get("transport") == "websocket":
		ses.webSocket(w, r)
	case q.Get("sid") != "" && fresh:
		http.Error(w, `{"code":1}`, http.StatusBadRequest)
	case r.Method == http.MethodPost:
		ses.post(w, r)
	default:
		ses.get(w, r)
	}
}

func (s *session) webSocket(w http.ResponseWriter, r *http.Request) {
	conn, _, _, err := ws.UpgradeHTTP(r, w)
	if err != nil {
		return
	}
	go func() {
		defer conn.Close() //nolint:errcheck // the test is over
		for text := range s.out {
			for _, frame := range frames(text) {
				if ws.WriteFrame(conn, frame) != nil {
					return
				}
			}
		}
	}()
	defer s.close()
	for {
		data, op, err := wsutil.ReadClientData(conn)
		if err != nil {
			return
		}
		if op == ws.OpText {
			s.packet(string(data))
		}
	}
}

// frames turns "raw:" messages into what a friendly server would not send.
func frames(text string) []ws.Frame {
	kind, rest, _ := strings.Cut(text, "|")
	switch kind {
	case "fragments":
		return []ws.Frame{
			ws.NewFrame(ws.OpText, false, []byte(rest[:1])), ws.NewPingFrame([]byte("hi")), ws.NewFrame(ws.OpContinuation, false, nil),
			ws.NewFrame(ws.OpContinuation, false, []byte(rest[1:5])), ws.NewPongFrame(nil), ws.NewFrame(ws.OpContinuation, true, []byte(rest[5:])),
		}
	case "binary":
		return []ws.Frame{ws.NewBinaryFrame([]byte(rest))}
	case "code":
		return []ws.Frame{ws.NewCloseFrame(ws.NewCloseFrameBody(1009, rest))}
	case "masked":
		return []ws.Frame{ws.MaskFrame(ws.NewTextFrame([]byte(rest)))}
	}
	return []ws.Frame{ws.NewTextFrame([]byte(text))}
}

func (s *session) get(w http.ResponseWriter, r *http.Request) {
	var body []byte
	select {
	case <-r.Context().Done():
	case text, ok := <-s.out:
		if !ok {
			text = "1"
		}
		data, binary := strings.CutPrefix(text, "binary|")
		if binary {
			body = sio.AppendPayload(body, sio.EnginePacket{Type: sio.Message, Binary: true, Data: []byte(data)})
		} else {
			body = append(body, text...)
		}
	}
	_, _ = w.Write(body)
}

func (s *session) post(w http.ResponseWriter, r *http.Request) {
	body := make([]byte, r.ContentLength)
	if _, err := r.Body.Read(body); len(body) > 0 && err != nil && err.Error() != "EOF" {
		return
	}
	payload := sio.NewPayloadReader(body)
	for p, ok, _ := payload.Next(); ok; p, ok, _ = payload.Next() {
		s.packet(string(p.Type) + string(p.Data))
	}
	_, _ = w.Write([]byte("ok"))
}

func (s *session) close() { s.once.Do(func() { close(s.out) }) }

func (s *session) packet(text string) {
	switch text[0] {
	case '1':
		s.close()
	case '3':
		s.pongs <- struct{}{}
	case '4':
		var d sio.Decoder
		if p, ok, err := d.Text([]byte(text[1:]), sio.Limits{}); ok && err == nil {
			s.answer(p)
		}
	}
}

func (s *session) answer(p sio.Packet) {
	say := func(b []byte) { s.out <- "4" + string(b) }
	if p.Type == sio.Connect {
		s.connect(p, say)
		return
	}
	name, args, _ := p.Event()
	list := sio.AppendArgs(nil, args)
	switch name {
	case "echo":
		say(sio.AppendEvent(nil, p.Namespace, "back", list))
		if p.HasID {
			say(sio.AppendAck(nil, p.Namespace, p.ID, list))
		}
	case "empty ack":
		say(sio.AppendAck(nil, p.Namespace, p.ID))
	case "wrong ack":
		say(sio.AppendAck(nil, p.Namespace, p.ID+100, list))
	case "raw":
		s.out <- string(list[2 : len(list)-2])
	case "count":
		for i := range 50 {
			say(sio.AppendEvent(nil, p.Namespace, "n", fmt.Append(nil, i)))
		}
	case "attach":
		say([]byte(`51-["file",{"_placeholder":true,"num":0}]`))
		s.out <- "binary|bytes"
	case "large":
		say(sio.AppendEvent(nil, p.Namespace, "large", []byte(`"`+strings.Repeat("x", 10_000)+`"`)))
	case "huge":
		say(sio.AppendEvent(nil, p.Namespace, "huge", []byte(`"`+strings.Repeat("x", 70_000)+`"`)))
	case "fragments":
		s.out <- `fragments|42["back",["whole"]]`
	case "bye":
		say(sio.AppendDisconnect(nil, p.Namespace))
	case "drop":
		s.close()
	}
}

func (s *session) connect(p sio.Packet, say func([]byte)) {
	token, _ := sio.Field(p.Data, "token")
	switch string(token) {
	case `"bad"`:
		say(sio.AppendConnectError(nil, p.Namespace, "Authentication failed", []byte(`{"code":"AUTH_FAILED"}`)))
	case `"plain"`:
		say(sio.AppendConnectError(nil, p.Namespace, "Invalid namespace", nil))
	case `"v2"`:
		say(sio.AppendConnect(nil, p.Namespace, nil))
	case `"mute"`:
	default:
		say(sio.AppendConnectSID(nil, p.Namespace, "public", "private"))
		if p.Data != nil {
			say(sio.AppendEvent(nil, p.Namespace, "auth", p.Data))
		}
	}
}
