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

	"github.com/lexiflow/realtime/edge/engine"
	"github.com/lexiflow/realtime/subjects"
)

// upgraded is a client's WebSocket for a session that began on polling.
type upgraded struct {
	t  testing.TB
	nc net.Conn
	rw io.ReadWriter // with what came together with the handshake's answer
}

// probe opens a WebSocket for the session at an edge and probes.
func (p *poller) probe(edge string) *upgraded {
	p.t.Helper()
	target := strings.Replace(edge, "http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket&sid=" + p.sid
	nc, early, _, err := ws.Dial(p.t.Context(), target)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(4 * patience))
	u := &upgraded{p.t, nc, nc}
	if early != nil {
		u.rw = struct {
			io.Reader
			io.Writer
		}{early, nc}
	}
	u.send("2probe")
	return u
}

// upgrade moves the session to a WebSocket of an edge, and sends packets right behind the commit.
func (p *poller) upgrade(edge string, behind ...string) *upgraded {
	p.t.Helper()
	u := p.probe(edge)
	if got := u.next(); got != "3probe" {
		p.t.Fatalf("probe answered with %q", got)
	}
	u.send("5")
	for _, packet := range behind {
		u.send(packet)
	}
	return u
}

func (u *upgraded) send(packet string) {
	u.t.Helper()
	if err := wsutil.WriteClientText(u.nc, []byte(packet)); err != nil {
		u.t.Fatal(err)
	}
}

func (u *upgraded) next() string {
	u.t.Helper()
	packet, err := wsutil.ReadServerText(u.rw)
	if err != nil {
		u.t.Fatal(err)
	}
	return string(packet)
}

// until reads until a packet holds what and returns all.
func (u *upgraded) until(what string) (packets []string) {
	u.t.Helper()
	for {
		packets = append(packets, u.next())
		if strings.Contains(packets[len(packets)-1], what) {
			return packets
		}
	}
}

// ends wants the connection to end.
func (u *upgraded) ends() {
	u.t.Helper()
	for {
		if _, err := wsutil.ReadServerText(u.rw); err != nil {
			if timeout, ok := err.(net.Error); ok && timeout.Timeout() { //nolint:errorlint // of the connection itself
				u.t.Fatal("the WebSocket stays open")
			}
			return
		}
	}
}

// checker takes the numbers of case:updated out of packets: each once, in order.
type checker struct {
	t    testing.TB
	want int
}

func (c *checker) take(packets ...string) {
	c.t.Helper()
	for _, packet := range packets {
		_, rest, ok := strings.Cut(packet, `["case:updated",`)
		if !ok {
			continue
		}
		var data struct{ N int }
		if err := json.NewDecoder(strings.NewReader(rest)).Decode(&data); err != nil {
			c.t.Fatalf("%s: %v", packet, err)
		}
		if data.N != c.want {
			c.t.Fatalf("got n=%d, want %d: %q", data.N, c.want, packets)
		}
		c.want++
	}
}

// The move, again and again, with events published all the time.
func TestUpgradeOnAnotherEdge(t *testing.T) {
	for _, mode := range []engine.Mode{engine.Auto, engine.Goroutines} {
		t.Run(mode.String(), func(t *testing.T) {
			_, nc := startBus(t)
			one, url1 := startEdge(t, nc, Options{Name: "one", Mode: mode})
			two, url2 := startEdge(t, nc, Options{Name: "two", Mode: mode})
			const rounds, events = 20, 60
			for round := range rounds {
				from, to, target := url1, url2, two
				if round%2 == 1 {
					from, to, target = url2, url1, one
				}
				p := openPoller(t, from, fmt.Sprintf("u%d", round))
				p.join(to)
				id := fmt.Sprintf("r%d", round) // the edges need not have read the last round's yet
				p.posts(from, `42/events,1["subscribe:case",{"caseId":"`+id+`"}]`)
				got := checker{t: t}
				got.take(p.until(from, "43/events,1")...)
				published := make(chan struct{})
				go func() {
					defer close(published)
					for n := range events {
						publish(t, nc, subjects.KindCase, id, "case:updated", fmt.Sprintf(`{"n":%d}`, n))
					}
				}()
				for got.want < 5 {
					got.take(p.until(to, "case:updated")...)
				}
				u := p.upgrade(to, `42/events,2["ping"]`)
				acked := false
				for got.want < events || !acked {
					packet := u.next()
					got.take(packet)
					acked = acked || strings.HasPrefix(packet, "43/events,2")
				}
				<-published
				if round == rounds-1 {
					// From here on it is the other edge's, with everything.
					eventually(t, "the sockets are there", func() bool {
						clients, _, _ := target.accounts.usage()
						return clients == rounds/2
					})
				}
			}
			if n := one.counted(t, "moves_total", "moved") + two.counted(t, "moves_total", "moved"); n != rounds {
				t.Errorf("%v moves counted, want %d", n, rounds)
			}
		})
	}
}

// A command that is in flight at the commit is acked, and one behind it in the same lane waits for it.
func TestCommandsInFlightMove(t *testing.T) {
	_, nc := startBus(t)
	_, owner := startEdge(t, nc, Options{})
	s, other := startEdge(t, nc, Options{})
	arrived := make(chan *nats.Msg, 10)
	sub, err := nc.Subscribe("cmd.x.slow", func(m *nats.Msg) { arrived <- m })
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	p := openPoller(t, owner, "u1")
	p.join(other)
	p.posts(owner, `42/events,1["x:slow",{"n":1}]`+"\x1e"+`42/events,2["x:slow",{"n":2}]`)
	first := <-arrived
	u := p.upgrade(other, `42/events,3["x:slow",{"n":3}]`, `42/events,4["ping"]`)
	answer := func(m *nats.Msg, n int) {
		t.Helper()
		if got := string(m.Data); got != fmt.Sprintf(`{"n":%d}`, n) {
			t.Fatalf("the service was asked %s, want n=%d", got, n)
		}
		body, header, err := (subjects.Reply{Ack: m.Data, Join: []string{fmt.Sprintf("team.t%d", n)}}).Encode()
		if err == nil {
			err = m.RespondMsg(&nats.Msg{Header: header, Data: body})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	select {
	case m := <-arrived:
		t.Fatalf("%s came while 1 was not answered", m.Data)
	case <-time.After(50 * time.Millisecond):
	}
	answer(first, 1)
	answer(<-arrived, 2)
	answer(<-arrived, 3)
	var acks []string
	for len(acks) < 4 {
		if packet := u.next(); strings.HasPrefix(packet, "43/events,") {
			acks = append(acks, packet[:len("43/events,0")])
		}
	}
	if got := strings.Join(acks[:2], " "); got != "43/events,1 43/events,2" {
		t.Errorf("acks %q", acks)
	}
	// The rooms that the replies gave are the socket's there.
	for n := range 3 {
		publish(t, nc, subjects.KindTeam, fmt.Sprintf("t%d", n+1), "x:said", `{}`)
		u.until(`"x:said"`)
	}
	if s.accounts.clients != 1 {
		t.Errorf("%d clients", s.accounts.clients)
	}
}

// What a socket has used up, who is in its rooms and what services see of it are the same behind a move,
// and nobody hears of a member that left.
func TestMoveKeepsEverything(t *testing.T) {
	_, nc := startBus(t)
	a, owner := startEdge(t, nc, Options{Limits: Limits{EventsPerMinute: 20}})
	b, other := startEdge(t, nc, Options{Limits: Limits{EventsPerMinute: 20}})
	_, third := startEdge(t, nc, Options{})
	serve(t, nc, "cmd.x.who", "x", func(m *nats.Msg) (subjects.Reply, error) {
		who := subjects.CallerOf(m.Header)
		return subjects.Reply{Ack: []byte(fmt.Sprintf(`{"user":%q,"socket":%q,"edge":%q,"scope":%q}`, who.User, who.Socket, who.Edge, who.Scope))}, nil
	})
	var news []string
	heard, err := nc.SubscribeSync("live.room.>")
	if err != nil {
		t.Fatal(err)
	}
	p := openPoller(t, owner, "u1")
	p.posts(other, `40/events,{"token":"`+tokenFor(t, "u1", "case:*")+`"}`)
	var connect string
	for _, packet := range p.until(owner, `"connected"`) {
		if strings.HasPrefix(packet, "40/events,") {
			connect = packet
		}
	}
	var ids struct{ SID, PID string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(connect, "40/events,")), &ids); err != nil {
		t.Fatal(err)
	}
	p.posts(owner, `42/events,1["join_room",{"room":"lobby"}]`+"\x1e"+`42/events,2["subscribe:case",{"caseId":"123"}]`)
	p.until(owner, "43/events,2")
	p.posts(owner, strings.TrimSuffix(strings.Repeat(`42/events,["x:nothing"]`+"\x1e", 10), "\x1e"))
	u := p.upgrade(other)
	u.send(`42/events,3["x:who"]`)
	packets := u.until("43/events,3")
	ack := packets[len(packets)-1]
	if want := fmt.Sprintf(`43/events,3[{"user":"u1","socket":%q,"edge":%q,"scope":"case:*"}]`, ids.SID, b.options.Name); ack != want {
		t.Errorf("the service sees %s, want %s", ack, want)
	}
	for n := 4; ; n++ { // 13 of 20 are used up
		u.send(fmt.Sprintf(`42/events,%d["x:who"]`, n))
		packets := u.until(fmt.Sprintf("43/events,%d", n))
		if strings.Contains(packets[len(packets)-1], "RATE_LIMIT_EXCEEDED") {
			if n != 4+7 {
				t.Errorf("refused at %d", n)
			}
			break
		}
	}
	eventually(t, "both edges know one participant", func() bool {
		return a.roster.participants("room.lobby") == 1 && b.roster.participants("room.lobby") == 1
	})
	for {
		m, err := heard.NextMsg(50 * time.Millisecond)
		if err != nil {
			break
		}
		news = append(news, m.Subject)
	}
	if len(news) != 1 || news[0] != "live.room.lobby.user_joined" {
		t.Errorf("members heard %q", news)
	}
	eventually(t, "the old edge has nobody", func() bool {
		clients, users, rooms := a.accounts.usage()
		return clients == 0 && users == 0 && rooms == 0 && a.engine.Stats().Polling == 0
	})
	if a.healthReport(time.Now()).Leaks.Detected || b.healthReport(time.Now()).Leaks.Detected {
		t.Error("a leak is reported")
	}
	// It is resumable like any other, from wherever.
	numbers(t, nc, 0, 3)
	packets = u.until(`{"n":2`)
	_ = u.nc.Close()
	last := strings.Split(packets[len(packets)-1], `"`)
	numbers(t, nc, 3, 6)
	back := dialWith(t, third, "/events", tokenFor(t, "u1", "case:*"), map[string]any{"pid": ids.PID, "offset": last[len(last)-2]})
	if back.SID() != ids.SID {
		t.Error("a fresh session")
	}
	back.expectConnected(3, 6)
}

// Whatever stands in the way of a move before the commit leaves the session on polling; after it the client
// comes back by itself.
func TestMoveFails(t *testing.T) {
	server, nc := startBus(t)
	s, other := startEdge(t, nc, Options{})
	open := func(t *testing.T, edge string) (*poller, string) {
		p := openPoller(t, edge, "u1")
		p.posts(edge, `40/events,{"token":"`+tokenFor(t, "u1", "case:*")+`"}`)
		packets := p.until(edge, `"connected"`)
		_, pid, _ := strings.Cut(strings.Join(packets, ""), `"pid":"`)
		return p, pid[:20]
	}
	alive := func(t *testing.T, p *poller, edge string) {
		t.Helper()
		p.posts(edge, `42/events,1["ping"]`)
		p.until(edge, "43/events,1")
	}
	_, owner := startEdge(t, nc, Options{Name: "owner"})
	t.Run("draining here", func(t *testing.T) {
		p, _ := open(t, owner)
		s.draining.Store(true)
		defer s.draining.Store(false)
		p.probe(other).ends()
		alive(t, p, owner)
		alive(t, p, other)
	})
	t.Run("promised already", func(t *testing.T) {
		p, _ := open(t, owner)
		first := p.probe(other)
		first.next()
		p.probe(other).ends()
		p.probe(owner).ends()
		first.send("4x") // no commit
		first.ends()
		alive(t, p, owner)
		u := p.upgrade(other, `42/events,2["ping"]`)
		u.until("43/events,2")
	})
	t.Run("unknown", func(t *testing.T) {
		(&poller{t: t, sid: newSocketID().String()}).probe(other).ends()
		p, _ := open(t, owner)
		p.sid = p.sid[:engine.PrefixSize] + newSocketID().String()[engine.PrefixSize:]
		p.probe(other).ends()
	})
	t.Run("taken over meanwhile", func(t *testing.T) {
		p, pid := open(t, owner)
		u := p.probe(other)
		u.next()
		rewrite(t, s, pid, func(r *sessionRecord) { r.Owner = "elsewhere" })
		u.send("5")
		u.ends()
		if n := s.counted(t, "moves_total", "taken_over"); n != 1 {
			t.Errorf("%v counted", n)
		}
	})
	t.Run("refreshed meanwhile", func(t *testing.T) {
		p, pid := open(t, owner)
		u := p.probe(other)
		u.next()
		rewrite(t, s, pid, func(r *sessionRecord) {})
		u.send("5")
		u.send(`42/events,2["ping"]`)
		u.until("43/events,2")
	})
	t.Run("far behind", func(t *testing.T) {
		p, _ := open(t, owner)
		p.posts(owner, `42/events,1["subscribe:case",{"caseId":"123"}]`)
		p.until(owner, "43/events,1")
		u := p.probe(other)
		u.next()
		// The new edge begins behind what it would have to give.
		done := make(chan struct{})
		s.mailbox.post(func() { s.ring = newRing(s.fanned.Load() + 10); s.fanned.Add(10); close(done) })
		<-done
		u.send("5")
		u.ends()
		if n := s.counted(t, "moves_total", "too_far"); n != 1 {
			t.Errorf("%v counted", n)
		}
	})
	t.Run("the owner dies", func(t *testing.T) {
		theirs, err := server.Connect()
		if err != nil {
			t.Fatal(err)
		}
		_, dying := startEdge(t, theirs, Options{Name: "dying"})
		p, pid := open(t, dying)
		u := p.probe(other)
		u.next()
		theirs.Close()
		u.send("5")
		u.ends()
		back := dialWith(t, other, "/events", tokenFor(t, "u1", "case:*"), map[string]any{"pid": pid})
		if back.PID() != pid {
			t.Error("a fresh session")
		}
	})
}

// rewrite changes a session's record behind its owner's back.
func rewrite(t testing.TB, s *Server, pid string, f func(*sessionRecord)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	bucket, err := s.js.KeyValue(ctx, subjects.BucketSessions)
	if err != nil {
		t.Fatal(err)
	}
	entry, err := bucket.Get(ctx, pid)
	if err != nil {
		t.Fatal(err)
	}
	var record sessionRecord
	if err := json.Unmarshal(entry.Value(), &record); err != nil {
		t.Fatal(err)
	}
	f(&record)
	if _, err := bucket.Put(ctx, pid, mustJSON(record)); err != nil {
		t.Fatal(err)
	}
}

func FuzzMovedClient(f *testing.F) {
	f.Add([]byte(`{"departure":{"established":true},"sockets":[{"session":{"user":"u1","namespace":"/events","sid":"AAAAAAAAAAAAAAAAAAAA","rooms":[{"room":"case.1","joined":3}]},"pid":"BBBBBBBBBBBBBBBBBBBB"}]}`))
	f.Add([]byte(`{"departure":{"frames":[{"payload":"NDIvZXZlbnRz"}]},"form":1}`))
	f.Add([]byte(`{"sockets":[{"session":{"namespace":"/events","rooms":[{"room":"*.>"}]}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		moved, err := decodeMoved(data)
		if err != nil {
			return
		}
		again, err := decodeMoved(mustJSON(moved))
		if err != nil || string(mustJSON(again)) != string(mustJSON(moved)) {
			t.Fatalf("%s does not survive: %v", data, err)
		}
		for _, k := range moved.Sockets {
			for _, in := range k.Session.Rooms {
				if strings.ContainsAny(in.Room, "*> \t") {
					t.Errorf("room %q", in.Room)
				}
			}
		}
	})
}
