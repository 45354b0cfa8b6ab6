package notifyd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
)

// The crash test runs two replicas as processes of their own and kills them with
// SIGKILL at random moments, while notices, audiences, events of a followed case,
// repetitions, poison and commands come in. In the end everything must be as if
// nobody had been killed.

const childVariable = "NOTIFYD_TEST_CHILD" // the bus's URL; this process is a replica then

func TestMain(m *testing.M) {
	if url := os.Getenv(childVariable); url != "" {
		if err := replica(url); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		return
	}
	m.Run()
}

func replica(url string) error {
	ctx := context.Background() // it ends by being killed
	nc, err := nats.Connect(url, nats.MaxReconnects(0))
	if err != nil {
		return err
	}
	s, err := New(nc, Options{
		AckWait: time.Second, SweepEvery: 250 * time.Millisecond, DigestWindow: 100 * time.Millisecond, AudiencePage: 3, OpenCases: true,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return err
	}
	go func() {
		for s.Ready() != nil {
			<-time.After(5 * time.Millisecond) // nothing else says it
		}
		_ = os.Stdout.Close() // what start waits for
	}()
	return s.Run(ctx)
}

// duplicateWindow of the streams. The gap in which no replica runs is longer.
const duplicateWindow = time.Second

func TestKilledAtAnyMoment(t *testing.T) {
	rounds := 3
	if n, err := strconv.Atoi(os.Getenv("CHAOS_ROUNDS")); err == nil {
		rounds = n
	}
	for round := range rounds {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			c := newChaos(t, uint64(round))
			c.run(round%3 == 1)
			c.check()
		})
	}
}

const (
	chaosUsers   = 12
	markers      = 3   // of them only mark everything read; the others' state is known exactly
	chaosNotices = 900 // to single users
	chaosMany    = 12
	chaosEvents  = 60
	chaosPoison  = 20
	chaosGap     = duplicateWindow + 1500*time.Millisecond
)

type chaos struct {
	*bus
	rng *rand.Rand

	mu sync.Mutex
	// Guarded by mu.
	told  map[string]map[string]bool // user → titles that were published
	state map[string]map[string]int  // user → title → what its commands made of it
	kills int
}

const (
	isUnread = iota
	isRead
	isDeleted
)

func newChaos(t *testing.T, seed uint64) *chaos {
	c := &chaos{
		bus: startBus(t, natsd.Options{Listen: "127.0.0.1:0"}, duplicateWindow),
		rng: rand.New(rand.NewPCG(seed, 4711)), told: map[string]map[string]bool{}, state: map[string]map[string]int{},
	}
	for i := range chaosUsers {
		c.told[user(i)], c.state[user(i)] = map[string]bool{}, map[string]int{}
	}
	return c
}

func user(i int) string { return fmt.Sprintf("u@%d", i) }

// run does one round; gap lets both replicas be away for longer than the streams
// remember message ids.
func (c *chaos) run(gap bool) {
	var replicas, load sync.WaitGroup
	loading := make(chan struct{})
	for i := range 2 {
		seed := c.rng.Uint64()
		replicas.Go(func() { c.keepKilling(rand.New(rand.NewPCG(seed, uint64(i))), loading, gap) })
	}
	c.follow()
	order := rand.New(rand.NewPCG(c.rng.Uint64(), 1))
	load.Go(func() { c.publish(order) })
	for i := range chaosUsers {
		rng := rand.New(rand.NewPCG(c.rng.Uint64(), uint64(i)))
		load.Go(func() { c.command(rng, i) })
	}
	begun := time.Now()
	load.Wait()
	close(loading)
	replicas.Wait() // both are started a last time, by settle
	loaded := time.Now()
	c.settle()
	c.t.Logf("%v of load, %v to settle", loaded.Sub(begun).Round(time.Millisecond), time.Since(loaded).Round(time.Millisecond))
}

// keepKilling runs a replica again and again until the load is over. Every other one works before it is killed,
// for longer than it took to begin: on a slow machine nothing would get done else.
func (c *chaos) keepKilling(rng *rand.Rand, over <-chan struct{}, gap bool) {
	for n := 0; ; n++ {
		begun := time.Now()
		child := c.start()
		life := time.Duration(150+rng.IntN(700)) * time.Millisecond
		if gap && n == 1 {
			life = 400 * time.Millisecond // so that both go at about the same time
		}
		if n%2 == 1 {
			child.awaitReady()
			life += time.Since(begun)
		}
		select {
		case <-over:
			c.kill(child)
			return
		case <-time.After(life):
		}
		c.kill(child)
		if gap && n == 1 {
			<-time.After(chaosGap)
		}
	}
}

// child is a replica. It closes its standard output when it works, or ends.
type child struct {
	*exec.Cmd
	out io.Reader
}

func (c *chaos) start() *child {
	c.t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childVariable+"="+c.server.ClientURL())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		c.t.Error(err)
	}
	if err := cmd.Start(); err != nil {
		c.t.Error(err)
	}
	return &child{cmd, out}
}

func (p *child) awaitReady() { _, _ = io.Copy(io.Discard, p.out) }

func (c *chaos) kill(p *child) {
	_ = p.Process.Kill() // it may have ended
	_ = p.Wait()         // says that it was killed
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kills++
}

// follow makes two users followers of a case, through whichever replica lives.
func (c *chaos) follow() {
	for _, f := range []string{"f1", "f2"} {
		c.insist(f, "notification:follow", `{"caseId":"c1"}`)
	}
}

// insist repeats a command until it is answered. They are idempotent.
func (c *chaos) insist(user, event, body string) map[string]any {
	subject, err := subjects.CommandSubject(event)
	if err != nil {
		panic(err)
	}
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		reply, err := subjects.Request(ctx, c.nc, subject, subjects.Caller{User: user}, []byte(body))
		cancel()
		switch subjects.CodeOf(err) {
		case "":
			var ack map[string]any
			if err := json.Unmarshal(reply.Data, &ack); err != nil {
				c.t.Errorf("%s: %s: %v", event, reply.Data, err)
			}
			return ack
		case subjects.CodeUnavailable, subjects.CodeTimeout:
			<-time.After(20 * time.Millisecond)
		default:
			c.t.Errorf("%s %s of %s: %v", event, body, user, err)
			return nil
		}
	}
}

func (c *chaos) put(subject string, data []byte, id string) {
	msg := &nats.Msg{Subject: subject, Data: data, Header: nats.Header{subjects.HeaderMsgID: {id}}}
	if _, err := c.js.PublishMsg(context.Background(), msg); err != nil {
		c.t.Errorf("publishing %s: %v", subject, err)
	}
}

// publish is the load: a few seconds of it.
func (c *chaos) publish(rng *rand.Rand) {
	total := chaosNotices + chaosMany + chaosEvents + chaosPoison
	var order []int
	for i := range total {
		order = append(order, i)
	}
	rng.Shuffle(total, func(i, j int) { order[i], order[j] = order[j], order[i] })
	type sent struct {
		subject, id string
		data        []byte
	}
	var again []sent
	for k, i := range order {
		id := fmt.Sprintf("m%d", i)
		data := noticeJSON(id)
		var subject string
		switch {
		case i < chaosNotices:
			u := user(i % chaosUsers)
			subject = "notify.user." + escaped(u)
			c.expect(id, u)
		case i < chaosNotices+chaosMany:
			subject = subjects.NotifyMany
			ids := make([]string, chaosUsers)
			for j := range ids {
				ids[j] = user(j)
			}
			c.expect(id, ids...)
			list, _ := json.Marshal(ids) // strings
			data = fmt.Appendf(nil, `{"audience":{"userIds":%s},%s`, list, data[1:])
		case i < chaosNotices+chaosMany+chaosEvents:
			subject, data = "lex.case.c1.document.uploaded", fmt.Appendf(nil, `{"documentId":%q,"fileName":"f"}`, id)
		default:
			subject, data = "notify.user."+escaped(user(0)), []byte(`{"type":1}`)
		}
		c.put(subject, data, id)
		if i < chaosNotices+chaosMany && rng.IntN(20) == 0 {
			again = append(again, sent{subject, id, data})
		}
		if k%10 == 9 {
			<-time.After(time.Duration(rng.IntN(50)) * time.Millisecond)
		}
	}
	<-time.After(duplicateWindow + 200*time.Millisecond) // the queue has forgotten their ids
	for _, s := range again {
		c.put(s.subject, s.data, s.id)
	}
}

func escaped(u string) string {
	key, err := subjects.Escape(u)
	if err != nil {
		panic(err)
	}
	return key
}

func (c *chaos) expect(title string, users ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, u := range users {
		c.told[u][title] = true
	}
}

// command is one user's device: it lists, and does something to one of the list.
func (c *chaos) command(rng *rand.Rand, i int) {
	u := user(i)
	for range 20 {
		<-time.After(time.Duration(rng.IntN(150)) * time.Millisecond)
		if i < markers {
			c.insist(u, "notification:mark-all-read", "")
			continue
		}
		ack := c.insist(u, "notification:list", `{"limit":30}`)
		list, _ := ack["notifications"].([]any)
		if len(list) == 0 {
			continue
		}
		n, _ := list[rng.IntN(len(list))].(map[string]any)
		title, _ := n["title"].(string)
		body := fmt.Sprintf(`{"notificationId":%q}`, n["id"])
		to := []int{isUnread, isRead, isRead, isDeleted}[rng.IntN(4)]
		c.insist(u, []string{"notification:mark-unread", "notification:mark-read", "notification:delete"}[to], body)
		c.mu.Lock()
		c.state[u][title] = to
		c.mu.Unlock()
	}
}

// settle lets two replicas live until everything is done.
func (c *chaos) settle() {
	for range 2 {
		child := c.start()
		c.t.Cleanup(func() { c.kill(child) })
		child.awaitReady() // check asks once
	}
	c.drained()
	b, err := openStore(c.ctx(), c.js, subjects.BucketNotifications)
	if err != nil {
		c.t.Fatal(err)
	}
	f, err := openStore(c.ctx(), c.js, subjects.BucketFollows)
	if err != nil {
		c.t.Fatal(err)
	}
	cases, err := c.js.Consumer(c.ctx(), subjects.StreamLog, durableCases)
	if err != nil {
		c.t.Fatal(err)
	}
	c.until("the events of cases are read", func() bool {
		info, err := cases.Info(c.ctx())
		return err == nil && info.NumPending == 0 && info.NumAckPending == 0
	})
	c.until("no digest waits", func() bool {
		var g digest
		_, err := (&follows{store: f}).read(c.ctx(), digestPrefix+"c1", true, &g)
		return err == nil && len(g.Batches) == 0
	})
	c.until("nothing is left to announce", func() bool {
		pending := 0
		_, err := b.headers(c.ctx(), headPrefix, 1, func(_ string, m jetstream.Msg, _ uint64, _ time.Time) bool {
			if m.Headers().Get(headerPending) != "" {
				pending++
			}
			return true
		})
		return err == nil && pending == 0
	})
}

// check compares with the model.
func (c *chaos) check() {
	seen := checkFold(c.t, c.bus, nil)
	total := 0
	for i := range chaosUsers {
		u := user(i)
		all, unread := c.list(u, false)
		total += len(all)
		c.checkUser(u, all, i < markers)
		if f := seen[u]; f != nil {
			c.checkSeen(u, f, all, unread)
		}
		if n := c.hello(u); n != unread {
			c.t.Errorf("%s: hello says %d, the list %d", u, n, unread)
		}
	}
	for _, f := range []string{"f1", "f2"} {
		c.checkFollower(f)
	}
	if got := c.letters(); got["not-a-notice"] != chaosPoison || len(got) != 1 {
		c.t.Errorf("dead letters: %v", got)
	}
	c.t.Logf("%d processes killed, %d notifications kept", c.kills, total)
}

func (c *chaos) checkUser(u string, all []stored, marked bool) {
	has := map[string]bool{}
	for _, n := range all {
		if has[n.Title] {
			c.t.Errorf("%s has %s twice", u, n.Title)
		}
		has[n.Title] = true
		if want := c.state[u][n.Title] == isRead; !marked && n.Read != want {
			c.t.Errorf("%s: %s has read %t, want %t", u, n.Title, n.Read, want)
		}
	}
	for title := range c.told[u] {
		if deleted := c.state[u][title] == isDeleted; has[title] == deleted {
			c.t.Errorf("%s: %s is there %t, deleted %t", u, title, has[title], deleted)
		}
	}
	if len(has) > len(c.told[u]) {
		c.t.Errorf("%s has %d, was told %d", u, len(has), len(c.told[u]))
	}
}

// checkSeen compares with what a client made of the log alone.
func (c *chaos) checkSeen(u string, f *folded, all []stored, unread int) {
	if f.count != unread {
		c.t.Errorf("%s: the log's last count is %d, the list says %d", u, f.count, unread)
	}
	if len(f.unread) != len(all) {
		c.t.Errorf("%s: a client knows %d, the list has %d", u, len(f.unread), len(all))
	}
	for _, n := range all {
		if open, ok := f.unread[n.ID]; !ok || open == n.Read {
			c.t.Errorf("%s: a client has %s as unread %t (known %t), the list as read %t", u, n.ID, open, ok, n.Read)
		}
	}
	for title, times := range f.titles {
		if times != 1 {
			c.t.Errorf("%s: %s was announced %d times", u, title, times)
		}
	}
}

// checkFollower asserts that every event of the case was told once, in whatever
// digests.
func (c *chaos) checkFollower(f string) {
	all, _ := c.list(f, false)
	events, told := map[float64]int{}, 0
	for _, n := range all {
		count, _ := n.Metadata["count"].(float64)
		told += int(count)
		list, _ := n.Metadata["events"].([]any)
		for _, e := range list {
			one, _ := e.(map[string]any)
			seq, _ := one["seq"].(float64)
			if events[seq]++; events[seq] > 1 {
				c.t.Errorf("%s was told of %v twice", f, seq)
			}
		}
	}
	if told != chaosEvents {
		c.t.Errorf("%s was told of %d events in %d notifications, want %d", f, told, len(all), chaosEvents)
	}
}
