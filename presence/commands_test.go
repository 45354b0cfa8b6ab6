package presence

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
)

// ask sends a request as an edge would and returns what the edge would apply.
func ask(t testing.TB, nc *nats.Conn, subject string, caller subjects.Caller, body string) (subjects.Reply, error) {
	t.Helper()
	m, err := subjects.Request(t.Context(), nc, subject, caller, []byte(body))
	if err != nil {
		return subjects.Reply{}, err
	}
	if got := m.Header.Get(subjects.HeaderService); got != name {
		t.Errorf("%s is answered by %q", subject, got)
	}
	return subjects.ParseReply(m)
}

func command(t testing.TB, nc *nats.Conn, event string, caller subjects.Caller, body string) (subjects.Reply, error) {
	t.Helper()
	subject, err := subjects.CommandSubject(event)
	if err != nil {
		t.Fatal(err)
	}
	return ask(t, nc, subject, caller, body)
}

// TestAcks is one user's session: what is sent, what the ack says of the user, and whether viewers are told.
func TestAcks(t *testing.T) {
	t.Parallel()
	_, nc := bus(t, natsd.Options{})
	replica(t, nc, short)
	l := listen(t, nc)
	e := newFakeEdge(t, nc, "e1", "x")
	e.open("u", "s1")
	l.want("u online 1")
	caller := subjects.Caller{User: "u", Socket: "s1", Edge: "e1"}
	for _, step := range []struct {
		event, body string
		ack         string // status connections "activity" 'custom', or the bare ack
		told        bool
	}{
		{"presence:heartbeat", `{"status":"online"}`, `{"success":true}`, false},
		{"presence:set-status", `{"status":"busy"}`, `busy 1 "" ''`, true},
		{"presence:set-status", `{"status":"busy"}`, `busy 1 "" ''`, false},
		{"presence:set-activity", `{"activity":"Reading \"Doe\" → p. 3\n"}`, `busy 1 "Reading \"Doe\" → p. 3\n" ''`, true},
		{"presence:set-custom-status", `{"customStatus":"in court"}`, `busy 1 "Reading \"Doe\" → p. 3\n" 'in court'`, true},
		{"presence:clear-activity", `{}`, `busy 1 "" 'in court'`, true},
		{"presence:clear-activity", ``, `busy 1 "" 'in court'`, false},
		{"presence:clear-custom-status", `null`, `busy 1 "" ''`, true},
		{"presence:heartbeat", `{"status":"online","activity":"x","customStatus":"y"}`, `{"success":true}`, false},
		{"presence:active", ``, `{"success":true}`, false},
		{"presence:idle", `{}`, `{"success":true}`, false},
		{"presence:set-status", `{"status":"away"}`, `away 1 "" ''`, true},
		{"presence:set-status", `{"status":"offline"}`, `offline 0 "" ''`, true},
		{"presence:set-status", `{"status":"online"}`, `online 1 "" ''`, true},
	} {
		reply, err := command(t, nc, step.event, caller, step.body)
		if err != nil {
			t.Fatalf("%s %s: %v", step.event, step.body, err)
		}
		got := string(reply.Ack)
		var ack subjects.PresenceAck
		if err := json.Unmarshal(reply.Ack, &ack); err != nil || !ack.Success {
			t.Fatalf("%s: ack %s, %v", step.event, reply.Ack, err)
		}
		if p := ack.Presence; p.UserID != "" {
			got = fmt.Sprintf("%s %d %q '%s'", p.Status, p.ActiveConnections, p.CurrentActivity, p.CustomStatus)
		}
		if got != step.ack {
			t.Errorf("%s %s: ack %s, want %s", step.event, step.body, got, step.ack)
		}
		if step.told {
			l.want(line(ack.Presence))
		}
	}
	if len(l.events) > 0 {
		t.Errorf("told besides: %s", line(<-l.events))
	}
}

func TestAckBeforeTheEdgeSaysSo(t *testing.T) {
	t.Parallel()
	_, nc := bus(t, natsd.Options{})
	replica(t, nc, short)
	l := listen(t, nc)
	ack, err := subjects.PresenceSetStatus.Call(t.Context(), nc, subjects.Caller{User: "u", Socket: "s1"}, subjects.PresenceStatusRequest{Status: "busy"})
	if err != nil || ack.Presence.Status != "busy" || ack.Presence.ActiveConnections != 1 || ack.Presence.LastSeen.IsZero() {
		t.Errorf("%+v, %v", ack, err)
	}
	l.want("u offline 0") // no edge says so: stored, and storing announces
	e := newFakeEdge(t, nc, "e1", "x")
	e.open("u", "s1")
	l.want("u busy 1")
	var said sync.WaitGroup
	said.Go(func() {
		if _, err := command(t, nc, "presence:set-status", subjects.Caller{User: "v", Socket: "v1"}, `{"status":"away"}`); err != nil {
			t.Error(err)
		}
	})
	l.silent(100 * time.Millisecond) // the edge has time for its batch
	e.open("v", "v1")
	for p := range l.events { // perhaps online in between, never offline
		if p.Status == subjects.PresenceOffline {
			t.Errorf("announced %s", line(p))
		}
		if p.Status == subjects.PresenceAway {
			break
		}
	}
	said.Wait()
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	_, nc := bus(t, natsd.Options{})
	s, _ := replica(t, nc, short)
	caller := subjects.Caller{User: "u", Socket: "s1"}
	many := func(n int) string {
		ids := make([]string, n)
		for i := range ids {
			ids[i] = fmt.Sprintf("user-%d", i)
		}
		return string(marshal(map[string]any{"userIds": ids}))
	}
	for name, c := range map[string]struct {
		event, body string
		caller      subjects.Caller
		code        subjects.Code
	}{
		"no user":               {"presence:set-status", `{"status":"busy"}`, subjects.Caller{Socket: "s1"}, subjects.CodeAuthFailed},
		"no socket":             {"presence:subscribe", `{"userIds":["v"]}`, subjects.Caller{User: "u"}, subjects.CodeAuthFailed},
		"another status":        {"presence:set-status", `{"status":"dancing"}`, caller, subjects.CodeInvalidInput},
		"no status":             {"presence:set-status", `{}`, caller, subjects.CodeInvalidInput},
		"no payload":            {"presence:set-status", ``, caller, subjects.CodeInvalidInput},
		"a status of a number":  {"presence:set-status", `{"status":7}`, caller, subjects.CodeInvalidInput},
		"not JSON":              {"presence:set-status", `{"status`, caller, subjects.CodeInvalidInput},
		"an array":              {"presence:set-activity", `[1]`, caller, subjects.CodeInvalidInput},
		"a long activity":       {"presence:set-activity", string(marshal(map[string]string{"activity": strings.Repeat("ü", 201)})), caller, subjects.CodeInvalidInput},
		"7 MB of activity":      {"presence:set-activity", string(marshal(map[string]string{"activity": strings.Repeat("a", 7<<20)})), caller, subjects.CodeInvalidInput},
		"a long custom status":  {"presence:set-custom-status", string(marshal(map[string]string{"customStatus": strings.Repeat("a", 141)})), caller, subjects.CodeInvalidInput},
		"no list":               {"presence:subscribe", `{"userIds":"v"}`, caller, subjects.CodeInvalidInput},
		"an empty id":           {"presence:subscribe", `{"userIds":[""]}`, caller, subjects.CodeInvalidInput},
		"a long id":             {"presence:subscribe", `{"userIds":["` + strings.Repeat("a", 129) + `"]}`, caller, subjects.CodeInvalidInput},
		"100,000 ids":           {"presence:subscribe", many(100_000), caller, subjects.CodeInvalidInput},
		"too many to forget":    {"presence:unsubscribe", many(401), caller, subjects.CodeInvalidInput},
		"the dialect's wrong":   {"presence:update", `{"isOnline":"yes"}`, caller, subjects.CodeInvalidInput},
		"a heartbeat of digits": {"presence:heartbeat", `{"status":1}`, caller, subjects.CodeInvalidInput},
		"somebody else's words": {"presence:set-status", `{"status":"busy"}`, subjects.Caller{User: strings.Repeat("a", 129), Socket: "s1"}, subjects.CodeInvalidInput},
	} {
		if _, err := command(t, nc, c.event, c.caller, c.body); subjects.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	if _, err := ask(t, nc, subjects.PresenceGet, subjects.Caller{}, many(1001)); subjects.CodeOf(err) != subjects.CodeInvalidInput {
		t.Errorf("svc.presence.get of too many: %v", err)
	}
	stream, err := s.js.Stream(t.Context(), recordStream)
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Msgs; n != 0 {
		t.Errorf("%d messages are stored", n)
	}
	// A heartbeat with a long text is still one: refused, every further one would cross the bus.
	long := string(marshal(map[string]string{"status": "busy", "activity": strings.Repeat("a", 300)}))
	if _, err := command(t, nc, "presence:heartbeat", caller, long); err != nil {
		t.Error(err)
	}
}

// TestReplicasTogether lets two replicas decide about one user at once.
func TestReplicasTogether(t *testing.T) {
	t.Parallel()
	server, nc := bus(t, natsd.Options{})
	replica(t, connect(t, server), short)
	replica(t, connect(t, server), short)
	l := listen(t, nc)
	e := newFakeEdge(t, nc, "e1", "x")
	e.open("u", "s1")
	l.want("u online 1")
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			body := fmt.Sprintf(`{"customStatus":"%d"}`, i)
			if _, err := command(t, nc, "presence:set-custom-status", subjects.Caller{User: "u", Socket: "s1"}, body); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	seen := map[string]bool{}
	for range 20 {
		p := <-l.events
		seen[p.CustomStatus] = true
	}
	if len(seen) != 20 {
		t.Errorf("%d of 20 changes were announced", len(seen))
	}
	l.silent(backupAfter)
}

func grant(t testing.TB, nc *nats.Conn, kind subjects.Kind, id string, allow, deny []string) {
	t.Helper()
	pub := subjects.NewPublisher(nc, jetStream(t, nc))
	if _, err := subjects.AccessChanged.To(kind).Publish(t.Context(), pub, id, subjects.AccessChangedEvent{Allow: allow, Deny: deny}); err != nil {
		t.Fatal(err)
	}
}

// hello returns the rooms and the snapshot, "user status", that a socket gets.
func hello(t testing.TB, nc *nats.Conn, namespace string, caller subjects.Caller) (rooms, snapshot []string, reply subjects.Reply) {
	t.Helper()
	reply, err := ask(t, nc, subjects.HelloSubject(namespace), caller, "")
	if err != nil {
		t.Fatal(err)
	}
	rooms = slices.Sorted(slices.Values(reply.Join))
	return rooms, bulkOf(t, reply), reply
}

func bulkOf(t testing.TB, reply subjects.Reply) (snapshot []string) {
	t.Helper()
	for _, e := range reply.Events {
		if e.Event != "presence:bulk-update" {
			continue
		}
		var bulk subjects.PresenceBulkUpdateEvent
		if err := json.Unmarshal(e.Data, &bulk); err != nil {
			t.Fatal(err)
		}
		for _, u := range bulk.Users {
			if u.LastSeen.IsZero() || bulk.Timestamp.IsZero() {
				t.Errorf("incomplete: %+v", bulk)
			}
			snapshot = append(snapshot, u.UserID+" "+string(u.Status))
		}
	}
	slices.Sort(snapshot)
	return snapshot
}

func equal(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// TestHello covers who sees whom (contract 3.4; 8, B11).
func TestHello(t *testing.T) {
	t.Parallel()
	_, nc := bus(t, natsd.Options{})
	grant(t, nc, subjects.KindCase, "1", []string{"u", "friend", "walled"}, []string{"walled"})
	s, _ := replica(t, nc, short)
	l := listen(t, nc)
	e := newFakeEdge(t, nc, "e1", "x")
	e.open("friend", "f1")
	e.open("stranger", "x1")
	l.want("friend online 1", "stranger online 1")
	u := subjects.Caller{User: "u", Socket: "s1"}
	for _, namespace := range []string{"/events", "/messaging", "/", "/ws"} {
		rooms, snapshot, _ := hello(t, nc, namespace, u)
		equal(t, namespace, rooms, "presence.friend", "presence.u")
		equal(t, namespace, snapshot, "friend online", "u online")
	}
	for _, namespace := range []string{"/notifications", "/dashboard"} {
		if _, err := ask(t, nc, subjects.HelloSubject(namespace), u, ""); subjects.CodeOf(err) != subjects.CodeUnavailable {
			t.Errorf("%s: %v", namespace, err)
		}
	}
	rooms, snapshot, _ := hello(t, nc, "/events", subjects.Caller{User: "walled", Socket: "w1"})
	equal(t, "walled", rooms, "presence.walled")
	equal(t, "walled", snapshot, "walled online")

	// A conversation is shared too; what changes is seen at the next hello.
	grant(t, nc, subjects.KindConversation, "c", []string{"u", "auth0|9"}, nil)
	grant(t, nc, subjects.KindCase, "1", []string{"u"}, nil)
	eventually(t, "the entries are known", func() bool { return slices.Equal(s.audience.around("u"), []string{"auth0|9"}) })
	rooms, snapshot, _ = hello(t, nc, "/messaging", u)
	equal(t, "later", rooms, "presence.auth0=7C9", "presence.u")
	equal(t, "later", snapshot, "auth0|9 offline", "u online")
}

func TestSubscriptions(t *testing.T) {
	t.Parallel()
	_, nc := bus(t, natsd.Options{})
	o := short
	o.MaxSubscriptions = 3
	s, stop := replica(t, nc, o)
	l := listen(t, nc)
	e := newFakeEdge(t, nc, "e1", "x")
	e.open("v", "v1")
	e.open("u", "s1")
	l.want("u online 1", "v online 1")
	grant(t, nc, subjects.KindCase, "1", []string{"u", "w"}, nil)
	u := subjects.Caller{User: "u", Socket: "s1"}
	for range 2 { // idempotent, with a snapshot each time
		reply, err := command(t, nc, "presence:subscribe", u, `{"userIds":["v","w","v"]}`)
		if err != nil || string(reply.Ack) != `{"success":true}` {
			t.Fatalf("%s, %v", reply.Ack, err)
		}
		equal(t, "rooms", reply.Join, "presence.v", "presence.w")
		equal(t, "snapshot", bulkOf(t, reply), "v online", "w offline")
	}
	if _, err := command(t, nc, "presence:subscribe", u, `{"userIds":["x","y"]}`); subjects.CodeOf(err) != subjects.CodeRoomLimit {
		t.Errorf("too many: %v", err)
	}
	check := func(when string) {
		t.Helper()
		rooms, snapshot, _ := hello(t, nc, "/events", u)
		equal(t, when, rooms, "presence.u", "presence.v", "presence.w")
		equal(t, when, snapshot, "u online", "v online", "w offline")
	}
	eventually(t, "the entry is known", func() bool { return len(s.audience.around("u")) == 1 })
	check("after a resume")
	rooms, _, _ := hello(t, nc, "/events", subjects.Caller{User: "x", Socket: "s1"})
	equal(t, "another user's claim to the socket", rooms, "presence.x")
	stop()
	s, _ = replica(t, nc, o)
	check("of another replica")
	reply, err := command(t, nc, "presence:unsubscribe", u, `{"userIds":["v","w","never"]}`)
	if err != nil {
		t.Fatal(err)
	}
	// w shares a case with u and stays.
	equal(t, "left", slices.Sorted(slices.Values(reply.Leave)), "presence.=0Anever", "presence.=0Av", "presence.never", "presence.v")
	rooms, _, _ = hello(t, nc, "/events", u)
	equal(t, "unsubscribed", rooms, "presence.u", "presence.w")

	// What a socket watched goes after it.
	if _, err := command(t, nc, "presence:subscribe", u, `{"userIds":["v"]}`); err != nil {
		t.Fatal(err)
	}
	e.lose("s1")
	l.want("u offline 0")
	s.sweep(t.Context(), time.Now())
	if w := s.watchers.get("s1"); !w.Closed {
		t.Errorf("%+v is not closed", w)
	}
	e.open("u", "s1")
	l.want("u online 1")
	s.sweep(t.Context(), time.Now())
	if w := s.watchers.get("s1"); w.Closed || len(w.Users) != 1 {
		t.Errorf("%+v is not open again", w)
	}
}

// TestChangeDuringHello covers a change between a snapshot and the rooms it stands for.
func TestChangeDuringHello(t *testing.T) {
	t.Parallel()
	_, nc := bus(t, natsd.Options{})
	grant(t, nc, subjects.KindCase, "1", []string{"u", "v"}, nil)
	replica(t, nc, short)
	e := newFakeEdge(t, nc, "e1", "x")
	inbox := nc.NewInbox()
	answers, err := nc.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	request := &nats.Msg{Subject: "hello.events", Reply: inbox, Header: nats.Header{}}
	subjects.Caller{User: "u", Socket: "s1"}.SetHeaders(request.Header)
	if err := nc.PublishMsg(request); err != nil {
		t.Fatal(err)
	}
	for _, want := range [][]string{{"u online", "v offline"}, {"v online"}} {
		m, err := answers.NextMsg(patience)
		if err != nil {
			t.Fatalf("no answer with %q: %v", want, err)
		}
		reply, err := subjects.ParseReply(m)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "answer", bulkOf(t, reply), want...)
		e.open("v", "v1")
	}
}

func TestDialect(t *testing.T) {
	t.Parallel()
	_, nc := bus(t, natsd.Options{})
	grant(t, nc, subjects.KindCase, "1", []string{"u", "v", "w"}, nil)
	replica(t, nc, short)
	l := listen(t, nc)
	said := make(chan string, 100)
	subscribe(t, nc, subjects.UserPresence.Filter(), func(m *nats.Msg) {
		p, err := subjects.UserPresence.Decode(m.Data)
		s, err2 := subjects.Parse(m.Subject)
		if err != nil || err2 != nil || s.ID != "\n"+p.UserID || p.LastSeen.IsZero() {
			t.Errorf("%s %s: %v, %v", m.Subject, m.Data, err, err2)
		}
		said <- fmt.Sprint(p.UserID, p.IsOnline)
	})
	e := newFakeEdge(t, nc, "e1", "x")
	e.open("u", "s1")
	e.open("v", "v1")
	l.want("u online 1", "v online 1")
	if len(said) > 0 {
		t.Errorf("%s was said before anybody used the dialect", <-said)
	}
	u := subjects.Caller{User: "u", Socket: "s1"}
	_, _, reply := hello(t, nc, "/ws", u)
	if len(reply.Events) != 1 || len(reply.Join) != 3 {
		t.Errorf("a socket that does not use it gets %+v", reply)
	}
	reply, err := command(t, nc, "presence:update", u, `{"isOnline":true}`)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "rooms", reply.Join, "presence.=0Av", "presence.=0Aw")
	if len(reply.Events) != 1 || reply.Events[0].Event != "user:presence" || !strings.Contains(string(reply.Events[0].Data), `"userId":"v","isOnline":true`) {
		t.Errorf("snapshot %+v", reply.Events)
	}
	_, _, reply = hello(t, nc, "/ws", u)
	if len(reply.Events) != 2 || len(reply.Join) != 5 {
		t.Errorf("resumed, it gets %+v", reply)
	}
	want := func(line string) {
		t.Helper()
		if got := <-said; got != line {
			t.Errorf("said %s, want %s", got, line)
		}
	}
	e.open("w", "w1")
	want("wtrue")
	e.open("w", "w2") // still online
	e.leave("w1")
	e.leave("w2")
	want("wfalse")
	// The phone closes its application: that alone is not the user's absence.
	e.open("u", "s2")
	if _, err := command(t, nc, "presence:update", u, `{"isOnline":false}`); err != nil {
		t.Fatal(err)
	}
	e.leave("s2")
	want("ufalse")
	if _, err := command(t, nc, "presence:update", u, `{"isOnline":true}`); err != nil {
		t.Fatal(err)
	}
	want("utrue")
}
