package edge

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/edge/engine"
	"github.com/lexiflow/realtime/subjects"
)

func publisher(t testing.TB, nc *nats.Conn) *subjects.Publisher {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return subjects.NewPublisher(nc, js)
}

func bucketOf(t testing.TB, nc *nats.Conn, name string) jetstream.KeyValue {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := js.KeyValue(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return bucket
}

func publish(t testing.TB, nc *nats.Conn, kind subjects.Kind, id, event, payload string) {
	t.Helper()
	if _, err := publisher(t, nc).PublishLog(t.Context(), kind, id, event, []byte(payload)); err != nil {
		t.Fatal(err)
	}
}

// serve answers requests on a subject, in a queue group as services do.
func serve(t testing.TB, nc *nats.Conn, subject, group string, f func(m *nats.Msg) (subjects.Reply, error)) {
	t.Helper()
	sub, err := nc.QueueSubscribe(subject, group, func(m *nats.Msg) {
		reply, err := f(m)
		if err != nil {
			_ = m.RespondMsg(&nats.Msg{Header: nats.Header{
				subjects.HeaderErrorCode: {string(subjects.CodeOf(err))}, subjects.HeaderError: {subjects.MessageOf(err)},
			}})
			return
		}
		body, header, err := reply.Encode()
		if err != nil {
			t.Error(err)
		}
		if header == nil {
			header = nats.Header{}
		}
		header.Set(subjects.HeaderService, group)
		_ = m.RespondMsg(&nats.Msg{Header: header, Data: body})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Unsubscribe() })
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

func TestEventReachesTheRoomInBothModes(t *testing.T) {
	for _, mode := range []engine.Mode{engine.Auto, engine.Goroutines} {
		t.Run(mode.String(), func(t *testing.T) {
			_, nc := startBus(t)
			_, url := startEdge(t, nc, Options{Mode: mode})
			in := connect(t, url, "/events", "u1", "case:*")
			out := connect(t, url, "/events", "u2", "case:*")
			if ack := in.ack("subscribe:case", case123); ack["status"] != "subscribed" || ack["caseId"] != "123" {
				t.Fatalf("ack %v", ack)
			}
			out.ack("subscribe:case", map[string]string{"caseId": "124"})
			publish(t, nc, subjects.KindCase, "123", "invoice:sent", `{"n":1}`)
			publish(t, nc, subjects.KindCase, "124", "invoice:sent", `{"n":2}`)
			if e := in.next("invoice:sent"); e["n"] != 1.0 || e["caseId"] != "123" || e["timestamp"] == nil {
				t.Fatalf("event %v", e)
			}
			if e := out.next("invoice:sent"); e["n"] != 2.0 {
				t.Fatalf("the other case's event %v", e)
			}
		})
	}
}

func TestExceptLeavesOut(t *testing.T) {
	_, nc := startBus(t)
	_, url := startEdge(t, nc, Options{})
	u1 := connect(t, url, "/events", "u1", "case:*")
	u2 := connect(t, url, "/events", "u2", "case:*")
	for _, b := range []*browser{u1, u2} {
		b.ack("subscribe:case", case123)
	}
	pub := publisher(t, nc)
	for n, opt := range []subjects.PublishOption{subjects.WithoutUser("u1"), subjects.WithoutSocket(u2.SID()), nil} {
		opts := []subjects.PublishOption{opt}
		if opt == nil {
			opts = nil
		}
		payload := fmt.Sprintf(`{"n":%d}`, n)
		if _, err := pub.PublishLog(t.Context(), subjects.KindCase, "123", "case:updated", []byte(payload), opts...); err != nil {
			t.Fatal(err)
		}
	}
	for b, want := range map[*browser][]float64{u1: {1, 2}, u2: {0, 2}} {
		for _, n := range want {
			if e := b.next("case:updated"); e["n"] != n {
				t.Fatalf("got %v, want n=%v", e, n)
			}
		}
	}
}

func TestCommandReplyIsTheAck(t *testing.T) {
	_, nc := startBus(t)
	_, url := startEdge(t, nc, Options{CommandTimeout: 300 * time.Millisecond})
	serve(t, nc, "cmd.invoice.approve", "billing", func(m *nats.Msg) (subjects.Reply, error) {
		who := subjects.CallerOf(m.Header)
		if left := time.Until(subjects.DeadlineOf(m.Header)); left > 300*time.Millisecond || left < -time.Minute {
			t.Errorf("the client waits 300 ms, the service is told of %v", left)
		}
		return subjects.Reply{
			Ack:    []byte(fmt.Sprintf(`{"user":%q,"got":%s}`, who.User, m.Data)),
			Join:   []string{"team.t1"},
			Events: []subjects.Emit{{Event: "invoice:approved", Data: []byte(`{"ok":true}`)}},
		}, nil
	})
	serve(t, nc, "cmd.invoice.refuse", "billing", func(*nats.Msg) (subjects.Reply, error) {
		return subjects.Reply{}, subjects.Errorf(subjects.CodeConflict, "somebody was faster")
	})
	silent, err := nc.QueueSubscribe("cmd.invoice.hang", "billing", func(*nats.Msg) {})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Unsubscribe() }()

	b := connect(t, url, "/events", "u1", "")
	ack := b.ack("invoice:approve", map[string]any{"id": 7, "userId": "admin"})
	if ack["user"] != "u1" {
		t.Fatalf("the service saw %v, not the token's user", ack["user"])
	}
	if got, _ := ack["got"].(map[string]any); got["id"] != 7.0 {
		t.Fatalf("the service got %v", ack["got"])
	}
	if e := b.next("invoice:approved"); e["ok"] != true {
		t.Fatalf("the reply's event %v", e)
	}
	publish(t, nc, subjects.KindTeam, "t1", "invoice:paid", `{}`)
	b.next("invoice:paid") // Lex-Join has let it in

	for event, code := range map[string]string{
		"invoice:refuse": "CONFLICT", "invoice:nobody": "UNAVAILABLE", "invoice:hang": "TIMEOUT",
		"notification:list": "INVALID_EVENT", "in valid": "INVALID_EVENT",
	} {
		if ack := b.ack(event, map[string]any{}); ack["code"] != code || ack["success"] != false || ack["error"] == "" {
			t.Errorf("%s: ack %v, want code %s", event, ack, code)
		}
	}
}

func TestCommandsOfOneTokenKeepTheirOrder(t *testing.T) {
	_, nc := startBus(t)
	_, url := startEdge(t, nc, Options{})
	type request struct {
		body string
		done chan struct{}
	}
	arrived := make(chan request, 10)
	// Each request is answered on a goroutine of its own, so only the edge can keep the order.
	for _, subject := range []string{"cmd.x.one", "cmd.y.two"} {
		sub, err := nc.Subscribe(subject, func(m *nats.Msg) {
			done := make(chan struct{})
			arrived <- request{string(m.Data), done}
			go func() {
				<-done
				_ = m.Respond([]byte(`{}`))
			}()
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sub.Unsubscribe() }()
	}
	b := connect(t, url, "/events", "u1", "")
	for _, body := range []string{"1", "2", "3"} {
		if err := b.Emit(t.Context(), "x:one", body); err != nil {
			t.Fatal(err)
		}
	}
	first := <-arrived
	if err := b.Emit(t.Context(), "y:two", "other"); err != nil {
		t.Fatal(err)
	}
	// Another lane goes on while the first waits, and nothing of the first has overtaken.
	if other := <-arrived; other.body != `"other"` {
		t.Fatalf("%s came while 1 was not answered", other.body)
	}
	close(first.done)
	for _, want := range []string{`"2"`, `"3"`} {
		r := <-arrived
		if r.body != want {
			t.Fatalf("got %s, want %s", r.body, want)
		}
		close(r.done)
	}
}

func TestHelloComesBeforeConnected(t *testing.T) {
	_, nc := startBus(t)
	_, url := startEdge(t, nc, Options{})
	for _, service := range []string{"presence", "msgd"} {
		serve(t, nc, "hello.messaging", service, func(*nats.Msg) (subjects.Reply, error) {
			return subjects.Reply{
				Join:   []string{"team." + service},
				Events: []subjects.Emit{{Event: service + ":hello", Data: []byte(`{}`)}},
			}, nil
		})
	}
	// The first socket teaches the edge who answers; from then on all answers come before connected.
	for _, user := range []string{"u1", "u2"} {
		b := connect(t, url, "/messaging", user, "")
		names := b.until("connected")
		if user == "u2" && (len(names) != 3 || !slices.Contains(names, "presence:hello") || !slices.Contains(names, "msgd:hello")) {
			t.Fatalf("before connected came %v", names)
		}
	}
	late := connect(t, url, "/messaging", "u3", "")
	for _, service := range []string{"presence", "msgd"} {
		publish(t, nc, subjects.KindTeam, service, "message:x", `{}`)
		late.next("message:x")
	}
}

func TestAccessIsScopeAndList(t *testing.T) {
	_, nc := startBus(t)
	_, url := startEdge(t, nc, Options{})
	change := func(list subjects.AccessChangedEvent) {
		if _, err := subjects.AccessChanged.Publish(t.Context(), publisher(t, nc), "123", list); err != nil {
			t.Fatal(err)
		}
	}
	listed := connect(t, url, "/events", "listed", "")
	scoped := connect(t, url, "/events", "scoped", "case:123")
	if ack := listed.ack("subscribe:case", case123); ack["code"] != "FORBIDDEN" || ack["status"] != "error" {
		t.Fatalf("without scope and list: %v", ack)
	}
	if ack := scoped.ack("subscribe:case", case123); ack["status"] != "subscribed" {
		t.Fatalf("with scope: %v", ack)
	}
	change(subjects.AccessChangedEvent{Allow: []string{"listed"}, Revision: 1})
	publish(t, nc, subjects.KindCase, "123", "case:updated", `{"n":1}`)
	if e := scoped.next("case:updated"); e["n"] != 1.0 {
		t.Fatalf("event %v", e)
	}
	if ack := listed.ack("subscribe:case", case123); ack["status"] != "subscribed" {
		t.Fatalf("on the list: %v", ack)
	}
	// Deny beats allow, from its place in the log on.
	change(subjects.AccessChangedEvent{Allow: []string{"listed"}, Deny: []string{"scoped"}, Revision: 2})
	publish(t, nc, subjects.KindCase, "123", "case:updated", `{"n":2}`)
	if e := listed.next("case:updated"); e["n"] != 2.0 {
		t.Fatalf("event %v", e)
	}
	if e := scoped.next("error"); e["code"] != "FORBIDDEN" {
		t.Fatalf("eviction %v", e)
	}
	if ack := scoped.ack("subscribe:case", case123); ack["code"] != "FORBIDDEN" {
		t.Fatalf("denied: %v", ack)
	}
	if len(scoped.events) != 0 {
		t.Fatalf("who was taken out got %v", <-scoped.events)
	}
}

func TestConversationListIsItsMembership(t *testing.T) {
	_, nc := startBus(t)
	_, url := startEdge(t, nc, Options{})
	u1 := connect(t, url, "/messaging", "u1", "")
	u2 := connect(t, url, "/messaging", "u2", "")
	list := subjects.AccessChanged.To(subjects.KindConversation)
	say := func(n string) {
		publish(t, nc, subjects.KindConversation, "c1", "message:new", `{"n":"`+n+`"}`)
	}
	for revision, members := range [][]string{{"u1"}, {"u1", "u2"}, {"u2"}} {
		change := subjects.AccessChangedEvent{Allow: members, Revision: int64(revision)}
		if _, err := list.Publish(t.Context(), publisher(t, nc), "c1", change); err != nil {
			t.Fatal(err)
		}
		say(strings.Join(members, "+"))
	}
	for b, want := range map[*browser][]string{u1: {"u1", "u1+u2"}, u2: {"u1+u2", "u2"}} {
		for _, n := range want {
			if e := b.next("message:new"); e["n"] != n {
				t.Fatalf("got %v, want %s", e, n)
			}
		}
	}
	if ack := u1.ack("ping"); ack["success"] != true {
		t.Fatal(ack)
	}
	if names := u1.until("pong"); slices.Contains(names, "message:new") {
		t.Fatal("who was taken out still gets messages")
	}
}

// eventually waits for what nothing announces.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for !f() {
		select {
		case <-deadline:
			t.Fatal("never: " + what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestUndeliverableGoesToDeadLetter(t *testing.T) {
	_, nc := startBus(t)
	startEdge(t, nc, Options{Name: "one"})
	_, url := startEdge(t, nc, Options{Name: "two"})
	b := connect(t, url, "/events", "u1", "case:*")
	b.ack("subscribe:case", case123)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	bad := map[string]string{
		"lex.case.123.x.array":   `[1]`,
		"lex.case.123.x.utf":     "{\"a\":\"\xff\"}",
		"lex.case.*.x.wild":      `{}`,
		"lex.nothing.1.x.y":      `{}`,
		"lex.case.123.x.cut":     `{"a":`,
		"lex.case.123.x.notjson": `hello`,
	}
	for subject, payload := range bad {
		if _, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: subject, Data: []byte(payload)}); err != nil {
			t.Fatal(err)
		}
	}
	publish(t, nc, subjects.KindCase, "123", "case:updated", `{"after":true}`)
	if e := b.next("case:updated"); e["after"] != true {
		t.Fatalf("event %v", e)
	}
	stream, err := js.Stream(t.Context(), subjects.StreamDeadLetter)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "all bad events are dead letters", func() bool {
		info, err := stream.Info(t.Context())
		return err == nil && info.State.Msgs == uint64(len(bad))
	})
	if info, _ := stream.Info(t.Context()); info.State.Msgs != uint64(len(bad)) {
		t.Fatalf("%d dead letters of %d events on two edges", info.State.Msgs, len(bad))
	}
}

func TestNewRefusesASmallBus(t *testing.T) {
	_, nc := startBus(t)
	keys, err := LoadKeys(t.Context(), KeyOptions{Secret: testSecret})
	if err != nil {
		t.Fatal(err)
	}
	_, err = New(nc, Options{Keys: keys, Limits: Limits{MaxPayload: 16 << 20}})
	if err == nil || !strings.Contains(err.Error(), "8388608") || !strings.Contains(err.Error(), "16777216") {
		t.Fatalf("error %v does not name both numbers", err)
	}
	if _, err := New(nc, Options{}); err == nil {
		t.Fatal("an edge without a key starts")
	}
}
