package edge

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lexiflow/realtime/edge/sio"
	"github.com/lexiflow/realtime/subjects"
)

// packed is a client that speaks MessagePack, packet by packet.
type packed struct {
	net.Conn

	t    testing.TB
	rest io.Reader // what came with the handshake's answer, then the connection
}

// Read makes wsutil begin with the rest.
func (c *packed) Read(b []byte) (int, error) { return c.rest.Read(b) }

func dialPacked(t testing.TB, url string) *packed {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, early, _, err := ws.Dial(ctx, strings.Replace(url, "http", "ws", 1)+"/socket.io/?EIO=4&transport=websocket")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	c := &packed{Conn: conn, t: t, rest: conn}
	if early != nil {
		c.rest = early
	}
	if op, open := c.message(); op != ws.OpText || open[0] != '0' {
		t.Fatalf("handshake %s", open)
	}
	return c
}

// joinPacked joins /events and waits for `connected`.
func joinPacked(t testing.TB, url, user, scope string) *packed {
	t.Helper()
	c := dialPacked(t, url)
	c.send(sio.Packet{Type: sio.Connect, Namespace: "/events", Data: mustJSON(map[string]string{"token": tokenFor(t, user, scope)})})
	if p := c.next(); p.Type != sio.Connect || !strings.HasPrefix(string(p.Data), `{"sid":"`) {
		t.Fatalf("answer to CONNECT %d %s", p.Type, p.Data)
	}
	c.event("connected")
	return c
}

func (c *packed) send(p sio.Packet) {
	c.t.Helper()
	if err := wsutil.WriteClientBinary(c.Conn, sio.AppendMsgpack(nil, p)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *packed) message() (ws.OpCode, []byte) {
	c.t.Helper()
	data, op, err := wsutil.ReadServerData(c)
	if err != nil {
		c.t.Fatal(err)
	}
	return op, data
}

// next is the next packet, which must be MessagePack.
func (c *packed) next() sio.Packet {
	c.t.Helper()
	op, data := c.message()
	p, err := sio.DecodeMsgpack(data, sio.Limits{})
	if op != ws.OpBinary || err != nil {
		c.t.Fatalf("opcode %d, %q: %v", op, data, err)
	}
	return p
}

// event is the payload of the next packet, an event of this name.
func (c *packed) event(name string) (data map[string]any) {
	c.t.Helper()
	p := c.next()
	got, args, err := p.Event()
	raw, _, _ := args.Next()
	if err != nil || got != name || json.Unmarshal(raw, &data) != nil {
		c.t.Fatalf("%d %s instead of %s", p.Type, p.Data, name)
	}
	return data
}

// ask sends an event with an ack id and returns the ack, which must come next.
func (c *packed) ask(id uint64, data string) string {
	c.t.Helper()
	c.send(sio.Packet{Type: sio.Event, Namespace: "/events", ID: id, HasID: true, Data: []byte(data)})
	p := c.next()
	if p.Type != sio.Ack || p.ID != id {
		c.t.Fatalf("%d %d %s instead of ack %d", p.Type, p.ID, p.Data, id)
	}
	return string(p.Data)
}

func TestBothFormsShareRoomsAndServices(t *testing.T) {
	_, nc := startBus(t)
	_, url := startEdge(t, nc, Options{})
	serve(t, nc, "cmd.task.create", "tasks", func(m *nats.Msg) (subjects.Reply, error) {
		return subjects.Reply{Ack: json.RawMessage(`{"got":` + string(m.Data) + `}`), Events: []subjects.Emit{{Event: "task:created", Data: json.RawMessage(`{"n":1.5}`)}}}, nil
	})
	text := connect(t, url, "/events", "u1", "case:*")
	text.ack("subscribe:case", case123)
	binary := joinPacked(t, url, "u2", "case:*")
	if ack := binary.ask(0, `["subscribe:case",{"caseId":"123"}]`); ack != `[{"status":"subscribed","caseId":"123","offset":"0"}]` {
		t.Fatalf("ack %s", ack)
	}
	for n := range 3 {
		publish(t, nc, subjects.KindCase, "123", "document:uploaded", fmt.Sprintf(`{"n":%d,"name":"\u00e9"}`, n))
		for _, e := range []map[string]any{text.next("document:uploaded"), binary.event("document:uploaded")} {
			if e["n"] != float64(n) || e["name"] != "é" || e["caseId"] != "123" || e["timestamp"] == nil {
				t.Fatalf("event %v", e)
			}
		}
	}
	if ack := binary.ask(300, `["task:create",{"a":[1,-2.5,null]}]`); ack != `[{"got":{"a":[1,-2.5,null]}}]` {
		t.Fatalf("ack %s", ack)
	}
	if e := binary.event("task:created"); e["n"] != 1.5 {
		t.Fatalf("event of a reply %v", e)
	}
	if ack := binary.ask(1, `["a.b",{}]`); !strings.Contains(ack, `"code":"INVALID_EVENT"`) {
		t.Fatalf("ack %s", ack)
	}
}

// TestFirstMessageDecidesTheForm leaves no way from one form to the other, and counts who tries.
func TestFirstMessageDecidesTheForm(t *testing.T) {
	_, nc := startBus(t)
	registry := prometheus.NewRegistry()
	_, url := startEdge(t, nc, Options{Registry: registry})
	tests := map[string]struct {
		first, second []byte // the first is a binary message, the second text
		reason        string
	}{
		"text after MessagePack": {
			sio.AppendMsgpack(nil, sio.Packet{Type: sio.Connect, Namespace: "/nowhere"}), []byte(`40/events,`), "malformed_unexpected_text",
		},
		"no map":    {[]byte{1, 2, 3}, nil, "malformed_msgpack_packet"},
		"cut short": {[]byte{0x83, 0xa4, 't'}, nil, "malformed_msgpack_truncated"},
		"JSON in a binary message": {
			[]byte(`0{"token":"t"}`), nil, "malformed_msgpack_packet",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			before := refusalsCounted(t, registry, tt.reason)
			c := dialPacked(t, url)
			if err := wsutil.WriteClientBinary(c.Conn, tt.first); err != nil {
				t.Fatal(err)
			}
			if tt.second != nil {
				if p := c.next(); p.Type != sio.ConnectError || string(p.Data) != `{"message":"Invalid namespace"}` {
					t.Fatalf("answer %d %s", p.Type, p.Data)
				}
				if err := wsutil.WriteClientText(c.Conn, tt.second); err != nil {
					t.Fatal(err)
				}
			}
			if data, _, err := wsutil.ReadServerData(c); err == nil {
				t.Fatalf("still open: %q", data)
			}
			if got := refusalsCounted(t, registry, tt.reason); got != before+1 {
				t.Errorf("%s counted %v times, before %v", tt.reason, got, before)
			}
		})
	}
}

// refusalsCounted reads lexiflow_edge_refusals_total for one reason.
func refusalsCounted(t testing.TB, r *prometheus.Registry, reason string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == metricPrefix+"refusals_total" && m.GetLabel()[0].GetValue() == reason {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}
