package msgd

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
)

// replicaURL makes the test binary a replica: a real process that can be killed.
const replicaURL = "MSGD_TEST_REPLICA"

func TestMain(m *testing.M) {
	if url := os.Getenv(replicaURL); url != "" {
		replica(url)
		return
	}
	m.Run()
}

func replica(url string) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	nc, err := subjects.Connect(ctx, subjects.ConnectOptions{URL: url, Name: "replica", Logger: log})
	if err != nil {
		panic(err)
	}
	defer nc.Close()
	s, err := New(nc, Options{Logger: log, OutboxDelay: 200 * time.Millisecond})
	if err != nil {
		panic(err)
	}
	// Death comes from outside at any time, and from inside between any two steps; so does sleep that
	// outlasts the caller.
	s.dies = func(context.Context) {
		switch rand.IntN(240) {
		case 0, 1, 2, 3:
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		case 4:
			time.Sleep(2 * firstWait)
		}
	}
	if err := s.Run(ctx); err != nil {
		panic(err)
	}
}

// duplicates is the log's duplicate window here: short, so that a repeated publish is not saved by it.
const duplicates = time.Second

// withWindow makes the log with a duplicate window, which EnsureStreams leaves as it is.
func withWindow(t *testing.T, js jetstream.JetStream, window time.Duration) {
	t.Helper()
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: subjects.StreamLog, Subjects: []string{subjects.AllLog}, Duplicates: window, AllowDirect: true,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestCrash kills replicas (-9) at random moments under load and compares what is left with what was
// acked. CHAOS_ROUNDS sets the number of rounds; every third has all of them down for longer than the
// duplicate window, every third one stopped in the middle and continued after it.
func TestCrash(t *testing.T) {
	rounds := 3
	if n, err := strconv.Atoi(os.Getenv("CHAOS_ROUNDS")); err == nil {
		rounds = n
	}
	for round := range rounds {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			f := newFixture(t, func(js jetstream.JetStream) { withWindow(t, js, duplicates) })
			w := newWorld(f)
			switch round % 3 {
			case 0:
				w.run(func(r *rand.Rand, replicas []*process) { pick(r, replicas).kill() })
			case 1:
				w.run(func(r *rand.Rand, replicas []*process) {
					if w.harms%5 != 2 {
						pick(r, replicas).kill()
						return
					}
					for _, p := range replicas {
						p.stay()
					}
					time.Sleep(duplicates + duplicates/4) // real time is what this is about
					for _, p := range replicas {
						p.start()
					}
				})
			case 2:
				w.run(func(r *rand.Rand, replicas []*process) {
					if w.harms%5 != 2 {
						pick(r, replicas).kill()
						return
					}
					p := pick(r, replicas)
					p.signal(syscall.SIGSTOP)
					time.Sleep(duplicates + duplicates/4) // as above
					p.signal(syscall.SIGCONT)
				})
			}
			loaded := time.Now()
			w.check()
			t.Logf("%d commands acked, %d deaths; checked in %v", w.acked.Load(), w.deaths(), time.Since(loaded).Round(time.Millisecond))
		})
	}
}

func pick(r *rand.Rand, replicas []*process) *process { return replicas[r.IntN(len(replicas))] }

// process is one replica, which is started again whenever it dies, unless it was told to stay down.
type process struct {
	t   *testing.T
	url string

	mu sync.Mutex
	// Guarded by mu.
	cmd    *exec.Cmd
	gone   chan struct{} // closed when cmd has ended
	down   bool
	deaths int
}

func (p *process) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
	p.spawn()
}

// spawn needs mu.
func (p *process) spawn() {
	self, err := os.Executable()
	if err != nil {
		p.t.Error(err)
		return
	}
	cmd, gone := exec.Command(self), make(chan struct{})
	cmd.Env = append(os.Environ(), replicaURL+"="+p.url)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		p.t.Error(err)
		return
	}
	p.cmd, p.gone = cmd, gone
	go func() {
		err := cmd.Wait() // it was killed, which is an error to Wait; what else ended it is a failure
		close(gone)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.deaths++
		if cmd.ProcessState.Exited() {
			p.t.Errorf("a replica ended by itself: %v", err)
		}
		if !p.down {
			p.spawn()
		}
	}()
}

func (p *process) signal(s os.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.cmd.Process.Signal(s) // it may just have died, and then is another process already
}

// kill ends the process; it is started again.
func (p *process) kill() { p.signal(syscall.SIGKILL) }

// stay ends the process until it is started.
func (p *process) stay() {
	p.mu.Lock()
	p.down = true
	gone := p.gone
	p.mu.Unlock()
	p.kill()
	<-gone
}

// world is the load, and the model of what must be left.
type world struct {
	f     *fixture
	t     *testing.T
	convs []string
	acked atomic.Int64
	harms int

	replicas []*process

	mu sync.Mutex
	// Guarded by mu.
	sent    map[string]string   // clientId → message id
	said    map[string][]string // message id → its versions, as acked
	deleted map[string]bool     // message id
	read    map[[2]string]int64 // conversation, user → highest number acked as read
	guests  map[string]bool     // conversation → whether the guest is in
	left    map[string]int      // conversation → how often the guest was taken out
	ids     map[string][]string // conversation → acked message ids
}

var crashUsers = []string{"ann", "bob", "cyd", "dan"}

const opsPerUser = 80

func newWorld(f *fixture) *world {
	return &world{
		f: f, t: f.t.(*testing.T), sent: map[string]string{}, said: map[string][]string{}, deleted: map[string]bool{},
		read: map[[2]string]int64{}, guests: map[string]bool{}, left: map[string]int{}, ids: map[string][]string{},
	}
}

// run loads two replicas while harm is done to them, until every command was acked.
func (w *world) run(harm func(*rand.Rand, []*process)) {
	seed := rand.Uint64()
	w.t.Logf("seed %d", seed)
	for range 2 {
		p := &process{t: w.t, url: w.f.server.ClientURL()}
		p.start()
		w.replicas = append(w.replicas, p)
		w.t.Cleanup(p.stay)
	}
	for i := range 3 {
		ack := retry(w, subjects.ConversationCreate, "ann", subjects.ConversationCreateRequest{
			MemberIDs: crashUsers, ClientID: fmt.Sprintf("conversation %d", i),
		})
		w.convs = append(w.convs, ack.ConversationID)
	}
	var load sync.WaitGroup
	for i, user := range crashUsers {
		load.Go(func() { w.load(rand.New(rand.NewPCG(seed, uint64(i))), user) })
	}
	load.Go(func() { w.invite(rand.New(rand.NewPCG(seed, 99))) })
	done := make(chan struct{})
	go func() { load.Wait(); close(done) }()
	r := rand.New(rand.NewPCG(seed, 1000))
	for next := int64(20); ; next = w.acked.Load() + 10 + r.Int64N(40) {
		for w.acked.Load() < next {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
		}
		w.harms++
		harm(r, w.replicas)
	}
}

func (w *world) deaths() (n int) {
	for _, p := range w.replicas {
		p.mu.Lock()
		n += p.deaths
		p.mu.Unlock()
	}
	return n
}

// firstWait is how long a client waits for its first answer, and mostWait, after doubling it each time,
// for its last: a slow machine gets there too.
const (
	firstWait = 200 * time.Millisecond
	mostWait  = 2 * time.Second
)

// retry sends a command until it is acked, as a client does that wants to be sure.
func retry[Req, Resp any](w *world, c subjects.Command[Req, Resp], user string, req Req) Resp {
	deadline := time.Now().Add(60 * time.Second)
	for wait := firstWait; ; wait = min(2*wait, mostWait) {
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		resp, err := c.Call(ctx, w.f.nc, as(user), req)
		cancel()
		if err == nil {
			w.acked.Add(1)
			return resp
		}
		code := subjects.CodeOf(err)
		if code != subjects.CodeTimeout && code != subjects.CodeUnavailable || time.Now().After(deadline) {
			w.t.Errorf("%s by %s: %v", c.Name(), user, err)
			return resp
		}
		if code == subjects.CodeUnavailable {
			time.Sleep(10 * time.Millisecond) // nobody is there: a client waits too
		}
	}
}

func (w *world) load(r *rand.Rand, user string) {
	var own []string // message ids of this user, with their conversation
	where := map[string]string{}
	for i := range opsPerUser {
		conv := w.convs[r.IntN(len(w.convs))]
		switch op := r.IntN(100); {
		case op < 70 || len(own) == 0:
			id := w.send(conv, user, fmt.Sprintf("%s %d", user, i))
			own, where[id] = append(own, id), conv
		case op < 85:
			w.markRead(r, conv, user)
		case op < 95:
			id := own[r.IntN(len(own))]
			w.edit(where[id], user, id, fmt.Sprintf("edit %d", i))
		default:
			id := own[r.IntN(len(own))]
			w.remove(where[id], user, id)
		}
	}
}

func (w *world) send(conv, user, clientID string) string {
	ack := retry(w, subjects.MessageSend, user, subjects.MessageSendRequest{ConversationID: conv, Content: clientID, ClientID: clientID})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent[clientID] = ack.MessageID
	w.said[ack.MessageID] = []string{clientID}
	w.ids[conv] = append(w.ids[conv], ack.MessageID)
	return ack.MessageID
}

func (w *world) markRead(r *rand.Rand, conv, user string) {
	w.mu.Lock()
	ids := w.ids[conv]
	w.mu.Unlock()
	if len(ids) == 0 {
		return
	}
	id := ids[r.IntN(len(ids))]
	retry(w, subjects.MessageMarkRead, user, subjects.MessageRequest{ConversationID: conv, MessageID: id})
	p, _ := parseMessageID(id)
	w.mu.Lock()
	defer w.mu.Unlock()
	key := [2]string{conv, user}
	w.read[key] = max(w.read[key], p.number)
}

func (w *world) edit(conv, user, id, content string) {
	w.mu.Lock()
	gone := w.deleted[id]
	w.mu.Unlock()
	if gone {
		return
	}
	retry(w, subjects.MessageEdit, user, subjects.MessageEditRequest{ConversationID: conv, MessageID: id, Content: content})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said[id] = append(w.said[id], content)
}

func (w *world) remove(conv, user, id string) {
	retry(w, subjects.MessageDelete, user, subjects.MessageRequest{ConversationID: conv, MessageID: id})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deleted[id] = true
}

// invite adds and removes a guest, one change after another.
func (w *world) invite(r *rand.Rand) {
	for range 40 {
		conv := w.convs[r.IntN(len(w.convs))]
		in := !w.guests[conv]
		req := subjects.ConversationMembersRequest{ConversationID: conv, Remove: []string{"guest"}}
		if in {
			req.Add, req.Remove = req.Remove, nil
		}
		retry(w, subjects.ConversationMembers, "ann", req)
		w.guests[conv] = in
		if !in {
			w.left[conv]++
		}
		// The ack means that it is true: a guest who was taken out is refused from now on.
		_, err := subjects.MessageHistory.Call(w.t.Context(), w.f.nc, as("guest"), subjects.MessageHistoryRequest{ConversationID: conv})
		switch code := subjects.CodeOf(err); code {
		case subjects.CodeTimeout, subjects.CodeUnavailable:
		case subjects.CodeForbidden:
			if in {
				w.t.Error("a member is refused")
			}
		case "":
			if !in {
				w.t.Error("a guest who was taken out reads on")
			}
		default:
			w.t.Errorf("guest: %v", err)
		}
	}
}
