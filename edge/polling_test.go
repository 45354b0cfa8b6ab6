package edge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/edge/sioclient"
	"github.com/lexiflow/realtime/subjects"
)

// startBalancer gives each request, not each connection, to an edge at random: the worst that a balancer
// without stickiness does.
func startBalancer(t testing.TB, edges ...string) string {
	t.Helper()
	var targets []*url.URL
	for _, edge := range edges {
		u, err := url.Parse(edge)
		if err != nil {
			t.Fatal(err)
		}
		targets = append(targets, u)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(targets[rand.IntN(len(targets))]) },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	return server.URL
}

// poller is a polling client that chooses the edge of each request, and may break any rule.
type poller struct {
	t    testing.TB
	user string
	sid  string
}

func openPoller(t testing.TB, edge, user string) *poller {
	t.Helper()
	p := &poller{t: t, user: user}
	status, body := p.get(edge)
	_, rest, ok := strings.Cut(body, `"sid":"`)
	if status != http.StatusOK || !ok {
		t.Fatalf("handshake: %d %s", status, body)
	}
	p.sid = rest[:20]
	return p
}

// join connects to /events through an edge and reads until `connected`.
func (p *poller) join(edge string) {
	p.t.Helper()
	p.posts(edge, `40/events,{"token":"`+tokenFor(p.t, p.user, "case:*")+`"}`)
	p.until(edge, `"connected"`)
}

// until GETs until a packet holds what, and returns all packets.
func (p *poller) until(edge, what string) (packets []string) {
	p.t.Helper()
	for late := time.Now().Add(patience); time.Now().Before(late); {
		status, body := p.get(edge)
		if status != http.StatusOK {
			p.t.Fatalf("GET: %d %s after %q", status, body, packets)
		}
		packets = append(packets, strings.Split(body, "\x1e")...)
		if strings.Contains(body, what) {
			return packets
		}
	}
	p.t.Fatalf("no %s in %q", what, packets)
	return nil
}

func (p *poller) get(edge string) (int, string) {
	p.t.Helper()
	status, body, err := p.do(p.t.Context(), edge, http.MethodGet, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return status, body
}

func (p *poller) post(edge, body string) (int, string) {
	p.t.Helper()
	status, answer, err := p.do(p.t.Context(), edge, http.MethodPost, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	return status, answer
}

// hold GETs by way of an edge that has to pass it on, and returns when it is held.
func (p *poller) hold(edge string) (answered chan string) {
	p.t.Helper()
	answered = make(chan string, 1)
	go func() {
		status, body, err := p.do(p.t.Context(), edge, http.MethodGet, nil)
		answered <- fmt.Sprint(status, body, err)
	}()
	eventually(p.t, "the GET is held", func() bool { return heldFor(edge, p.t) == 1 })
	return answered
}

// posts wants ok.
func (p *poller) posts(edge, body string) {
	p.t.Helper()
	if status, answer := p.post(edge, body); status != http.StatusOK || answer != "ok" {
		p.t.Fatalf("POST: %d %s", status, answer)
	}
}

func (p *poller) do(ctx context.Context, edge, method string, body io.Reader) (int, string, error) {
	target := edge + "/socket.io/?EIO=4&transport=polling"
	if p.sid != "" {
		target += "&sid=" + url.QueryEscape(p.sid)
	}
	r, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return 0, "", err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	return res.StatusCode, string(answer), err
}

const sessionUnknown = `{"code":1,"message":"Session ID unknown"}`

// counted is how often a forwarded request had this outcome.
func (s *Server) counted(t testing.TB, name, outcome string) float64 {
	t.Helper()
	families, err := s.options.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != metricPrefix+name {
			continue
		}
		for _, m := range family.GetMetric() {
			if m.GetLabel()[0].GetValue() == outcome {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func TestPollingBehindARandomBalancer(t *testing.T) {
	_, nc := startBus(t)
	one, url1 := startEdge(t, nc, Options{})
	two, url2 := startEdge(t, nc, Options{})
	_, url3 := startEdge(t, nc, Options{})
	balancer := startBalancer(t, url1, url2, url3)
	serve(t, nc, "cmd.invoice.echo", "billing", func(m *nats.Msg) (subjects.Reply, error) {
		return subjects.Reply{Ack: bytes.Clone(m.Data)}, nil
	})
	const clients, events = 5, 100
	var group sync.WaitGroup
	for c := range clients {
		b := dialPolling(t, balancer, fmt.Sprintf("u%d", c))
		b.ack("subscribe:case", case123)
		group.Go(func() {
			for n := range events {
				if e := b.next("case:updated"); e["n"] != float64(n) {
					t.Errorf("client %d got %v, want n=%d", c, e["n"], n)
					return
				}
			}
		})
		group.Go(func() {
			for n := range 20 {
				if ack := b.ack("invoice:echo", map[string]int{"n": n}); ack["n"] != float64(n) {
					t.Errorf("client %d: ack %v, want n=%d", c, ack, n)
				}
			}
		})
	}
	numbers(t, nc, 0, events)
	group.Wait()
	if n := one.counted(t, "forwarded_polls_total", "200") + two.counted(t, "forwarded_polls_total", "200"); n < 10 {
		t.Errorf("%v requests were forwarded: the balancer does not balance", n)
	}
}

func dialPolling(t testing.TB, url, user string) *browser {
	t.Helper()
	b := &browser{t: t, events: make(chan arrival, 1000)}
	var err error
	b.Client, err = sioclient.Dial(t.Context(), sioclient.Options{
		URL: url, Namespace: "/events", Token: tokenFor(t, user, "case:*"), Transport: "polling",
		OnEvent: func(name string, args []json.RawMessage) {
			var data map[string]any
			if err := json.Unmarshal(args[0], &data); err != nil {
				t.Errorf("%s %s: %v", name, args, err)
			}
			b.events <- arrival{name: name, data: data}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	b.next("connected")
	return b
}

// Bodies of a mebibyte pass in both directions, in messages of a quarter of that.
func TestLargePollsAreForwarded(t *testing.T) {
	_, nc := startBus(t)
	_, owner := startEdge(t, nc, Options{})
	_, other := startEdge(t, nc, Options{})
	var largest atomic.Int64 // message between the edges
	for _, subject := range []string{"_INBOX.>", "ctl.edge.*.poll"} {
		if _, err := nc.Subscribe(subject, func(m *nats.Msg) {
			if m.Header.Get(headerSession) != "" || m.Header.Get(headerStatus) != "" || len(m.Header) == 0 {
				largest.Store(max(largest.Load(), int64(len(m.Data))))
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	serve(t, nc, "cmd.invoice.echo", "billing", func(m *nats.Msg) (subjects.Reply, error) {
		return subjects.Reply{Ack: []byte(fmt.Sprintf(`{"size":%d,"text":"%s"}`, len(m.Data), strings.Repeat("y", 900<<10)))}, nil
	})
	p := openPoller(t, owner, "u1")
	p.join(other)
	text := strings.Repeat("x", 1<<20-100)
	packet := `42/events,7["invoice:echo",{"text":"` + text + `"}]`
	p.posts(other, packet)
	packets := p.until(other, "43/events,7")
	ack := packets[len(packets)-1]
	if want := fmt.Sprintf(`43/events,7[{"size":%d,`, len(text)+len(`{"text":""}`)); !strings.HasPrefix(ack, want) || len(ack) < 900<<10 {
		t.Fatalf("ack of %d bytes: %.60s", len(ack), ack)
	}
	if n := largest.Load(); n > maxChunk || n < maxChunk/2 {
		t.Errorf("the largest message between the edges had %d bytes", n)
	}
	// Above the limit is above the limit, and the session stays.
	if status, _ := p.post(other, "4"+strings.Repeat("x", 1<<20)); status != http.StatusRequestEntityTooLarge {
		t.Errorf("a POST that is too large: %d", status)
	}
	// So it is where the size is not said beforehand; a part of it has gone over by then.
	status, _, err := p.do(t.Context(), other, http.MethodPost, io.MultiReader(strings.NewReader("4"), strings.NewReader(strings.Repeat("x", 1<<20))))
	if err == nil && status != http.StatusRequestEntityTooLarge {
		t.Errorf("a POST that turns out too large: %d", status)
	}
	p.posts(other, `42/events,8["ping"]`)
	p.until(owner, "43/events,8")
}

// Answers are those of a single edge, whichever way they came.
func TestForwardedAnswersAreTheEngines(t *testing.T) {
	_, nc := startBus(t)
	a, owner := startEdge(t, nc, Options{})
	_, other := startEdge(t, nc, Options{})
	for name, misbehave := range map[string]func(p *poller) (int, string){
		"malformed": func(p *poller) (int, string) { return p.post(other, "9") },
		"empty":     func(p *poller) (int, string) { return p.post(other, "") },
	} {
		p := openPoller(t, owner, "u1")
		if status, body := misbehave(p); status != http.StatusBadRequest || body != "" {
			t.Errorf("%s: %d %s", name, status, body)
		}
		if status, body := p.get(other); status != http.StatusBadRequest || body != sessionUnknown {
			t.Errorf("after %s: %d %s", name, status, body)
		}
	}
	p := openPoller(t, owner, "u1")
	p.join(other)
	p.posts(other, "1")
	if status, body := p.get(other); status != http.StatusOK || body != "6" {
		t.Errorf("GET after the farewell: %d %s", status, body)
	}
	if status, body := p.get(other); status != http.StatusBadRequest || body != sessionUnknown {
		t.Errorf("GET behind it: %d %s", status, body)
	}
	// A GET that the client gives up ends the session, as it would on its own edge.
	p = openPoller(t, owner, "u1")
	p.join(owner)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, _, err := p.do(ctx, other, http.MethodGet, nil)
		gone <- err
	}()
	closed := a.engine.Stats().Closed["transport_error"]
	eventually(t, "the GET is held", func() bool { return a.host.s.engine.Stats().Polling == 1 && heldFor(other, t) == 1 })
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	eventually(t, "the session has ended", func() bool { return a.engine.Stats().Closed["transport_error"] == closed+1 })
	// So does a POST that breaks off.
	p = openPoller(t, owner, "u1")
	p.join(owner)
	broken := io.MultiReader(strings.NewReader(strings.Repeat("4", 300<<10)), failing{})
	if _, _, err := p.do(t.Context(), other, http.MethodPost, broken); err == nil {
		t.Fatal("a POST that broke off was answered")
	}
	eventually(t, "the session has ended", func() bool { return a.engine.Stats().Closed["transport_error"] == closed+2 })
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("broken off") }

// heldFor reads the gauge as an operator does.
func heldFor(edge string, t testing.TB) (n int) {
	t.Helper()
	res, err := http.Get(edge + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n"+metricPrefix+"forwarded_polls_held ")
	_, _ = fmt.Sscan(rest, &n)
	return n
}

// Ids of edges that do not exist are refused at once and counted, however many come.
func TestPollsForDeadEdges(t *testing.T) {
	_, nc := startBus(t)
	live, url := startEdge(t, nc, Options{})
	other, _ := startEdge(t, nc, Options{})
	const flood = 500
	start := time.Now()
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			for range flood / 10 {
				p := &poller{t: t, sid: newSocketID().String()}
				if status, body := p.get(url); status != http.StatusBadRequest || body != sessionUnknown {
					t.Errorf("GET: %d %s", status, body)
				}
			}
		})
	}
	group.Wait()
	if took := time.Since(start); took > patience {
		t.Errorf("%d polls for dead edges took %v", flood, took)
	}
	if n := live.counted(t, "forwarded_polls_total", forwardOwnerGone); n != flood {
		t.Errorf("%v counted", n)
	}
	// A huge POST for one costs the edge a chunk; a forged id of a live edge is its owner's to refuse.
	before := nc.Stats().OutBytes
	for _, sid := range []string{newSocketID().String(), other.mark + newSocketID().String()[len(other.mark):]} {
		p := &poller{t: t, sid: sid}
		if status, body := p.post(url, strings.Repeat("4", 1<<20)); status != http.StatusBadRequest || body != sessionUnknown {
			t.Errorf("POST: %d %s", status, body)
		}
	}
	if sent := nc.Stats().OutBytes - before; sent > 3*maxChunk {
		t.Errorf("%d bytes went over the bus", sent)
	}
	// Nothing that a subject could take for more than a token goes out.
	watched := make(chan string, 10_000)
	_, err := nc.Subscribe("ctl.edge.>", func(m *nats.Msg) {
		if !strings.HasSuffix(m.Subject, ".shares") { // edges that have just begun ask each other
			watched <- m.Subject
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, sid := range []string{"*>*>*>AAAAAAAAAAAAAA", ">.....AAAAAAAAAAAAAA", "ctl.edAAAAAAAAAAAAAA", "\x00\r\n\tAAAAAAAAAAAAAAAA"} {
		p := &poller{t: t, sid: sid}
		if status, body := p.get(url); status != http.StatusBadRequest || body != sessionUnknown {
			t.Errorf("GET %q: %d %s", sid, status, body)
		}
	}
	_ = nc.Flush()
	if len(watched) > 0 {
		t.Errorf("went out on %q", <-watched)
	}
}

// An owner that ends while another edge waits for it is missed at once, and the client is told so.
func TestOwnerGoesAway(t *testing.T) {
	server, nc := startBus(t)
	_, other := startEdge(t, nc, Options{})
	theirs, err := server.Connect()
	if err != nil {
		t.Fatal(err)
	}
	_, owner := startEdge(t, theirs, Options{})
	p := openPoller(t, owner, "u1")
	p.join(other)
	answered := p.hold(other)
	start := time.Now()
	theirs.Close() // as seen from here, a killed edge
	select {
	case got := <-answered:
		if want := "400" + sessionUnknown + "<nil>"; got != want {
			t.Errorf("the GET was answered %s", got)
		}
	case <-time.After(patience):
		t.Fatal("the GET is held for nobody")
	}
	if took := time.Since(start); took > 4*ownerEvery {
		t.Errorf("it took %v to miss the owner", took)
	}
}

// An edge that drains gives back what it holds for clients of other edges, who do not notice.
func TestForwarderDrains(t *testing.T) {
	_, nc := startBus(t)
	_, owner := startEdge(t, nc, Options{})
	s, other := startEdge(t, nc, Options{})
	p := openPoller(t, owner, "u1")
	p.join(other)
	answered := p.hold(other)
	s.forwarder.drain()
	if got := <-answered; got != "2006<nil>" {
		t.Errorf("the GET was answered %s", got)
	}
	if status, body := p.get(other); status != http.StatusOK || body != "6" {
		t.Errorf("the next one: %d %s", status, body)
	}
	p.posts(owner, `42/events,1["ping"]`)
	p.until(owner, "43/events,1")
}

func FuzzForwardedReply(f *testing.F) {
	f.Add("200", "5", "text/plain", []byte("hello"), []byte(""))
	f.Add("100", "0", "", []byte(""), []byte(""))
	f.Add("200", "9", "", []byte("hel"), []byte("lo, you"))
	f.Add("-1", "99999999999999999999", "", []byte(""), []byte("x"))
	f.Fuzz(func(t *testing.T, status, size, kind string, first, second []byte) {
		x := &exchange{done: make(chan struct{}), limit: 1 << 10}
		m := &nats.Msg{Header: nats.Header{headerStatus: {status}, headerSize: {size}, headerType: {kind}}, Data: first}
		if x.answer(m, nil) > 0 {
			x.answer(&nats.Msg{Data: second}, nil)
		}
		x.giveUp(errOwnerGone)
		a, err := x.result()
		if err == nil && (a.status < 100 || a.status > 599 || fmt.Sprint(len(a.body)) != strings.TrimLeft(size, "+0") && len(a.body) != 0 || len(a.body) > x.limit) {
			t.Errorf("%q %q: %+v", status, size, a)
		}
	})
}
