package presence

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
	"github.com/lexiflow/realtime/subjects/natsd/natstest"
)

// replicaURL makes the test binary a replica: a real process that can be killed.
const replicaURL = "PRESENCE_TEST_NATS"

func TestMain(m *testing.M) {
	natstest.Main()
	if url := os.Getenv(replicaURL); url != "" {
		if err := beReplica(url); err != nil {
			slog.Error("replica failed", "error", err)
			os.Exit(1) //nolint:forbidigo // this process is the replica, there is no caller
		}
		return
	}
	m.Run()
}

func beReplica(url string) error {
	ctx := context.Background()
	nc, err := subjects.Connect(ctx, subjects.ConnectOptions{URL: url, Logger: quiet})
	if err != nil {
		return err
	}
	o := short
	o.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := New(nc, o)
	if err != nil {
		return err
	}
	go func() {
		for s.Ready() != nil {
			time.Sleep(5 * time.Millisecond) // of the helper process; the test waits for the line
		}
		_, _ = os.Stdout.WriteString("ready\n")
	}()
	return s.Run(ctx)
}

// worker is a replica in a process of its own.
type worker struct {
	t   *testing.T
	url string
	cmd *exec.Cmd
}

func startWorker(t *testing.T, url string) *worker {
	t.Helper()
	w := &worker{t: t, url: url}
	w.start()
	t.Cleanup(w.kill)
	return w
}

func (w *worker) start() {
	w.t.Helper()
	executable, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	w.cmd = exec.CommandContext(context.WithoutCancel(w.t.Context()), executable)
	w.cmd.Env = append(os.Environ(), replicaURL+"="+w.url)
	w.cmd.Stderr = os.Stderr
	stdout, err := w.cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() { _, _ = bufio.NewReader(stdout).ReadString('\n') }() // does not wait: half a start is worth killing too
}

func (w *worker) kill() {
	_ = w.cmd.Process.Kill() // it may have ended
	_ = w.cmd.Wait()
}

// world is the model: sockets on fake edges, and what each user said.
type world struct {
	t       *testing.T
	nc      *nats.Conn
	random  *rand.Rand
	edges   []*fakeEdge
	status  map[string]subjects.PresenceStatus
	steady  map[string]string // users who are never away from every edge for the grace: user → sid
	slow    map[string]bool   // steady users who were not, because this machine was busy
	next    int
	history map[string][]string
}

const (
	crashUsers  = 40
	steadyUsers = 10
)

func (w *world) edge() *fakeEdge {
	w.next++
	return newFakeEdge(w.t, w.nc, fmt.Sprintf("edge-%d", w.next), fmt.Sprintf("inc-%d", w.next))
}

func (w *world) anyEdge() *fakeEdge { return w.edges[w.random.IntN(len(w.edges))] }

// anySocket returns an open socket of an edge that is not a steady user's.
func (w *world) anySocket(e *fakeEdge) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var sids []string
	for sid, k := range e.sockets {
		if w.steady[k.User] == "" {
			sids = append(sids, sid)
		}
	}
	if len(sids) == 0 {
		return ""
	}
	slices.Sort(sids)
	return sids[w.random.IntN(len(sids))]
}

// step does one thing that people do.
func (w *world) step() {
	e := w.anyEdge()
	user := fmt.Sprintf("user-%d", w.random.IntN(crashUsers))
	w.next++
	sid := w.anySocket(e)
	switch n := w.random.IntN(10); {
	case n < 4 || sid == "":
		e.open(user, fmt.Sprintf("sid-%d", w.next))
	case n < 6:
		e.leave(sid)
	case n < 7:
		e.lose(sid)
	case n < 8:
		e.turn(sid, w.random.IntN(2) == 0)
	case n < 9:
		w.move()
	default:
		w.say()
	}
}

// move lets a steady user resume on another edge.
func (w *world) move() {
	user := fmt.Sprintf("steady-%d", w.random.IntN(steadyUsers))
	sid := w.steady[user]
	from := slices.IndexFunc(w.edges, func(e *fakeEdge) bool { return e.has(sid) })
	to := w.random.IntN(len(w.edges))
	if from == to {
		return
	}
	start := time.Now()
	w.edges[from].lose(sid)
	w.edges[to].open(user, sid)
	w.resumed(user, start)
}

// resumed notes a steady user whom this machine was too slow to keep steady.
func (w *world) resumed(user string, lost time.Time) {
	if time.Since(lost) > short.Grace/2 {
		w.t.Logf("%s took %v to resume", user, time.Since(lost))
		w.slow[user] = true
	}
}

func (e *fakeEdge) has(sid string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, ok := e.sockets[sid]
	return ok
}

// say lets a steady user set a status. No answer is no answer: it says so again later.
func (w *world) say() {
	user := fmt.Sprintf("steady-%d", w.random.IntN(steadyUsers))
	w.status[user] = []subjects.PresenceStatus{"online", "busy", "away"}[w.random.IntN(3)]
	w.repeat(user, 100*time.Millisecond)
}

func (w *world) repeat(user string, d time.Duration) bool {
	ctx, cancel := context.WithTimeout(w.t.Context(), d)
	defer cancel()
	_, err := subjects.PresenceSetStatus.Call(ctx, w.nc, subjects.Caller{User: user, Socket: w.steady[user]},
		subjects.PresenceStatusRequest{Status: w.status[user]})
	return err == nil
}

// killEdge ends an edge; steady users resume on another one at once.
func (w *world) killEdge() {
	i := w.random.IntN(len(w.edges))
	gone := w.edges[i]
	w.edges[i] = w.edge()
	start := time.Now()
	gone.kill()
	for user, sid := range w.steady {
		if gone.has(sid) {
			w.anyEdge().open(user, sid)
			w.resumed(user, start)
		}
	}
}

// want is what everybody's presence has to be.
func (w *world) want() (lines []string) {
	open, idle := map[string]int{}, map[string]int{}
	for _, e := range w.edges {
		for _, k := range e.snapshot().Sockets {
			open[k.User]++
			if k.Idle {
				idle[k.User]++
			}
		}
	}
	for _, user := range w.users() {
		status := subjects.PresenceOnline
		switch said := w.status[user]; {
		case open[user] == 0:
			status = subjects.PresenceOffline
		case said != "" && said != subjects.PresenceOnline:
			status = said
		case idle[user] == open[user]:
			status = subjects.PresenceAway
		}
		lines = append(lines, fmt.Sprintf("%s %s %d", user, status, open[user]))
	}
	return lines
}

func (w *world) users() (all []string) {
	for i := range crashUsers {
		all = append(all, fmt.Sprintf("user-%d", i))
	}
	for i := range steadyUsers {
		all = append(all, fmt.Sprintf("steady-%d", i))
	}
	return all
}

// have is what the service answers; nil while nobody does.
func (w *world) have() (lines []string) {
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
	defer cancel()
	m, err := subjects.Request(ctx, w.nc, subjects.PresenceGet, subjects.Caller{}, marshal(subjects.PresenceGetRequest{UserIDs: w.users()}))
	if err != nil {
		return nil
	}
	reply, err := decodeGet(m.Data)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range reply.Users {
		lines = append(lines, line(p))
	}
	return lines
}

// TestCrash kills replicas and edges at random moments while people come, go, move and say things. In the
// end presence is who is connected; nobody was announced offline twice in a row, and those who were never
// away for longer than the grace not at all.
func TestCrash(t *testing.T) {
	t.Parallel()
	rounds := 3
	if n, err := strconv.Atoi(os.Getenv("CHAOS_ROUNDS")); err == nil {
		rounds = n
	}
	server, nc := bus(t, natsd.Options{Listen: "127.0.0.1:0"})
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	w := &world{
		t: t, nc: nc, random: rand.New(rand.NewPCG(seed, 0)),
		status: map[string]subjects.PresenceStatus{}, steady: map[string]string{}, slow: map[string]bool{}, history: map[string][]string{},
	}
	l := listen(t, nc)
	for range 3 {
		w.edges = append(w.edges, w.edge())
	}
	for i := range steadyUsers {
		user := fmt.Sprintf("steady-%d", i)
		w.steady[user] = "sid-of-" + user
		w.anyEdge().open(user, w.steady[user])
	}
	workers := []*worker{startWorker(t, server.ClientURL()), startWorker(t, server.ClientURL())}
	for round := range rounds {
		w.round(workers, round%3 == 2)
		w.converge(round)
		w.judge(l)
	}
}

// converge waits until what is answered is what is so.
func (w *world) converge(round int) {
	w.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(3 * patience); ; { // a busy machine writes no leases, and then no edge is taken for dead
		said := true
		for user := range w.status {
			said = said && w.repeat(user, time.Second)
		}
		have, want := w.have(), w.want()
		if said && slices.Equal(have, want) {
			return
		}
		select {
		case <-tick.C:
			continue
		case <-late:
		}
		for i := range have {
			if have[i] != want[i] {
				w.t.Errorf("round %d: %s, and not %s", round, have[i], want[i])
			}
		}
		w.t.Fatalf("round %d: presence is not who is connected; everybody was heard: %v", round, said)
	}
}

// round is one to two seconds of people, with both replicas killed in turn, or together for longer than
// their lease and any window of duplicates, and one edge killed in between.
func (w *world) round(workers []*worker, together bool) {
	const steps = 300
	pause := time.NewTicker(4 * time.Millisecond)
	defer pause.Stop()
	killAt := []int{w.random.IntN(steps), w.random.IntN(steps)}
	edgeAt := w.random.IntN(steps)
	if together {
		killAt[0], killAt[1] = 0, 0
	}
	for step := range steps {
		<-pause.C
		for i, at := range killAt {
			switch {
			case step == at:
				workers[i].kill()
				if !together {
					workers[i].start()
				}
			case together && step == steps-1:
				workers[i].start()
			}
		}
		if step == edgeAt {
			w.killEdge()
		}
		w.step()
	}
}

// judge reads what was announced, to the end.
func (w *world) judge(l *listener) {
	w.t.Helper()
	want, users := w.want(), w.users()
	ended := func() bool {
		return !slices.ContainsFunc(users, func(user string) bool {
			past := w.history[user]
			return len(past) > 0 && !slices.Contains(want, past[len(past)-1])
		})
	}
	for late := time.After(patience); len(l.events) > 0 || !ended(); {
		select {
		case p := <-l.events:
			w.announced(p)
		case <-late:
			w.t.Fatalf("what was announced last is not what is so: %q", want)
		}
	}
}

func (w *world) announced(p subjects.PresenceUpdateEvent) {
	w.t.Helper()
	past := w.history[p.UserID]
	w.history[p.UserID] = append(past, line(p))
	if p.Status != subjects.PresenceOffline {
		return
	}
	recent := past[max(0, len(past)-5):]
	if w.steady[p.UserID] != "" && !w.slow[p.UserID] {
		w.t.Errorf("%s was announced offline after %q", p.UserID, recent)
	}
	if len(past) > 0 && strings.Contains(past[len(past)-1], "offline") {
		w.t.Errorf("%s was announced offline twice: %q", p.UserID, recent)
	}
}
