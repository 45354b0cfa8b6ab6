package edge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lexiflow/realtime/edge/sioclient"
	"github.com/lexiflow/realtime/subjects"
)

// The limits per user over several edges on one bus (shares.go).

// soon is within what the limits over edges promise, with some slack for a busy machine.
const soon = 2*time.Second + 500*time.Millisecond

// inTime fails when what began at start has taken longer than promised.
func inTime(t testing.TB, what string, start time.Time) {
	t.Helper()
	if took := time.Since(start); took > soon {
		t.Errorf("%s took %v, promised are %v", what, took, soon)
	}
}

// knows waits until an edge counts this many sockets of u1 on the others.
func (s *Server) knows(t testing.TB, want int) {
	t.Helper()
	start := time.Now()
	eventually(t, fmt.Sprintf("%s knows of %d sockets", s.options.Name, want), func() bool {
		now := time.Now()
		return s.accounts.elsewhere.sockets(hashOf("u1"), nsEvents, 0, attempt{now, now}).counted == want
	})
	inTime(t, "the news", start)
}

// knowsRooms waits until an edge counts this many rooms of a user on the others.
func (s *Server) knowsRooms(t testing.TB, user string, want int) {
	t.Helper()
	start := time.Now()
	eventually(t, fmt.Sprintf("%s knows of %d rooms", s.options.Name, want), func() bool {
		now := time.Now()
		held, _ := s.accounts.elsewhere.rooms(hashOf(user), 0, nil, attempt{now, now})
		return held.counted == want
	})
	inTime(t, "the news", start)
}

// tooMany wants CONNECT_ERROR for u1 for the limit per user, with the count.
func tooMany(t testing.TB, url string, count int) {
	t.Helper()
	start := time.Now()
	c, err := sioclient.Dial(t.Context(), sioclient.Options{URL: url, Namespace: "/events", Token: tokenFor(t, "u1", "")})
	if err == nil {
		c.Close()
		t.Fatal("one too many is admitted")
	}
	var data struct{ CurrentConnections int }
	no, ok := errors.AsType[*sioclient.ConnectError](err)
	if !ok || no.Code != string(subjects.CodeUserConnectionLimit) || json.Unmarshal(no.Data, &data) != nil || data.CurrentConnections != count {
		t.Fatalf("refused with %v %+v, want %d connections", err, data, count)
	}
	inTime(t, "the refusal", start)
}

func TestConnectionLimitOverThreeEdges(t *testing.T) {
	_, nc := startBus(t)
	var edges []*Server
	var urls []string
	for _, name := range []string{"one", "two", "e@3"} {
		s, url := startEdge(t, nc, Options{Name: name})
		edges, urls = append(edges, s), append(urls, url)
	}
	clients := make([]*browser, 5)
	for i := range clients {
		clients[i] = connect(t, urls[i%3], "/events", "u1", "")
	}
	for i, here := range []int{2, 2, 1} {
		edges[i].knows(t, 5-here)
	}
	for _, url := range urls {
		tooMany(t, url, 5)
		connect(t, url, "/notifications", "u1", "") // counts apart
		connect(t, url, "/events", "u2", "")
	}
	// A page that is loaded again on another edge, at the limit: its old socket may still count there, and
	// that is no reason to turn it away.
	for i, leave := range []func(){clients[0].Close, clients[1].Abort, clients[2].Close} {
		leave()
		start := time.Now()
		connect(t, urls[(i+1)%3], "/events", "u1", "")
		inTime(t, "the place that was free", start)
	}
	for i, here := range []int{2, 2, 1} {
		edges[i].knows(t, 5-here)
	}
	tooMany(t, urls[2], 5)
	// An edge that starts now learns what there is.
	late, url := startEdge(t, nc, Options{})
	late.knows(t, 5)
	tooMany(t, url, 5)
}

func TestSharesOfASilentEdgeDoNotCount(t *testing.T) {
	server, nc := startBus(t)
	own, err := server.Connect()
	if err != nil {
		t.Fatal(err)
	}
	_, one := startEdge(t, own, Options{Name: "one"})
	s, two := startEdge(t, nc, Options{Name: "two"})
	for range 5 {
		connect(t, one, "/events", "u1", "")
	}
	s.knows(t, 5)
	own.Close() // nobody hears of it any more
	start := time.Now()
	var group sync.WaitGroup
	for range 5 {
		// They ask while the dead edge counts, are not refused, and are in when it does not any more.
		group.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			c, err := sioclient.Dial(ctx, sioclient.Options{URL: two, Namespace: "/events", Token: tokenFor(t, "u1", "")})
			if err != nil {
				t.Errorf("turned away because of an edge that died: %v", err)
				return
			}
			t.Cleanup(c.Close)
		})
	}
	group.Wait()
	inTime(t, "admission", start)
	tooMany(t, two, 5)
}

func TestAdmittedAtOnceOnTwoEdges(t *testing.T) {
	_, nc := startBus(t)
	one, url1 := startEdge(t, nc, Options{Name: "one"})
	two, url2 := startEdge(t, nc, Options{Name: "two"})
	var mu sync.Mutex
	var in []*sioclient.Client
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			c, err := sioclient.Dial(t.Context(), sioclient.Options{
				URL: []string{url1, url2}[i%2], Namespace: "/events", Token: tokenFor(t, "u1", ""),
			})
			if err == nil {
				t.Cleanup(c.Close)
				mu.Lock()
				defer mu.Unlock()
				in = append(in, c)
			}
		})
	}
	group.Wait()
	total := func() int {
		now := time.Now()
		q := attempt{now, now}
		return one.accounts.elsewhere.sockets(hashOf("u1"), nsEvents, 0, q).counted + two.accounts.elsewhere.sockets(hashOf("u1"), nsEvents, 0, q).counted
	}
	eventually(t, "both edges know", func() bool { return total() == len(in) })
	if len(in) < 5 || len(in) > 10 {
		t.Fatalf("%d are in; the limit is 5, and two edges that do not know of each other yet admit 10 at most", len(in))
	}
	tooMany(t, url1, len(in))
	for len(in) > 4 {
		in[0].Close()
		in = in[1:]
	}
	connect(t, url2, "/events", "u1", "")
	eventually(t, "both edges know", func() bool { return total() == 5 })
	tooMany(t, url1, 5)
}

func TestRoomLimitOverEdges(t *testing.T) {
	_, nc := startBus(t)
	limits := Limits{RoomsPerUser: 2}
	one, url1 := startEdge(t, nc, Options{Name: "one", Limits: limits})
	two, url2 := startEdge(t, nc, Options{Name: "two", Limits: limits})
	a, b := connect(t, url1, "/events", "u1", "case:*"), connect(t, url2, "/events", "u1", "case:*")
	subscribe := func(b *browser, id string) map[string]any {
		return b.ack("subscribe:case", map[string]string{"caseId": id})
	}
	full := func(b *browser, what string) {
		t.Helper()
		start := time.Now()
		if ack := subscribe(b, "third"); ack["code"] != "ROOM_LIMIT_EXCEEDED" || ack["currentRoomCount"] != 2.0 || ack["status"] != "error" {
			t.Fatalf("%s: %v", what, ack)
		}
		inTime(t, what, start)
	}
	in := func(b *browser, id, what string) {
		t.Helper()
		start := time.Now()
		if ack := subscribe(b, id); ack["status"] != "subscribed" {
			t.Fatalf("%s: %v", what, ack)
		}
		inTime(t, what, start)
	}
	in(a, "1", "the first")
	in(a, "2", "the second")
	two.knowsRooms(t, "u1", 2)
	full(b, "the other device")
	in(b, "1", "a room that the user is in on another edge")
	in(b, "2", "and the second")
	one.knowsRooms(t, "u1", 2)
	a.ack("unsubscribe:case", map[string]string{"caseId": "1"})
	full(a, "the other device watches still")
	b.ack("unsubscribe:case", map[string]string{"caseId": "1"})
	in(a, "third", "a place that was freed on the other edge")
	two.knowsRooms(t, "u1", 2)
	if ack := b.ack("join_room", map[string]string{"room": "hall"}); ack["code"] != "ROOM_LIMIT_EXCEEDED" {
		t.Fatalf("join_room: %v", ack)
	}
	if e := b.next("error"); e["code"] != "ROOM_LIMIT_EXCEEDED" || e["currentRoomCount"] != 2.0 {
		t.Fatalf("error %v", e)
	}
	a.Close()
	b.Close()
	c := connect(t, url2, "/events", "u1", "case:*")
	in(c, "8", "all have left")
	in(c, "9", "all have left")
}

func TestResumptionMovesThePlace(t *testing.T) {
	_, nc := startBus(t)
	limits := Limits{ConnectionsPerUser: 1, RoomsPerUser: 1}
	one, url1 := startEdge(t, nc, Options{Name: "one", Limits: limits})
	two, url2 := startEdge(t, nc, Options{Name: "two", Limits: limits})
	b := connect(t, url1, "/events", "u1", "case:*")
	b.ack("subscribe:case", case123)
	two.knows(t, 1)
	// Its transport hangs: it is open on the first edge when the client comes back on the second.
	start := time.Now()
	again := b.again(url2, "/events", tokenFor(t, "u1", "case:*"))
	if again.PID() != b.PID() {
		t.Fatal("a fresh session")
	}
	eventually(t, "the place on the old edge is free", func() bool { return len(one.accounts.all()) == 0 })
	inTime(t, "freeing it", start)
	one.knows(t, 1)
	two.knows(t, 0)
	if held := two.accounts.all(); len(held) != 1 || !slices.Equal(held[0].rooms, []hash{hashOf("case.123")}) {
		t.Fatalf("on the new edge: %+v", held)
	}
	tooMany(t, url1, 1)
	tooMany(t, url2, 1)
	again.Close()
	connect(t, url1, "/events", "u1", "")
}
