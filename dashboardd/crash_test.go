package dashboardd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
)

// replicaVariable makes the test binary a replica instead: its value is the bus's URL.
const replicaVariable = "DASHBOARDD_REPLICA"

// runReplica is the process that is killed.
func runReplica(url string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		return err
	}
	defer nc.Close()
	o := quick()
	o.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	s, err := New(nc, o)
	if err != nil {
		return err
	}
	return s.Run(ctx)
}

// replica is a real process with the service in it.
type replica struct {
	t   *testing.T
	cmd *exec.Cmd
}

func startReplica(t *testing.T, url string) *replica {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), replicaVariable+"="+url)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := &replica{t, cmd}
	t.Cleanup(r.kill)
	return r
}

// kill is kill -9, and waits until the process is gone.
func (r *replica) kill() {
	if r.cmd.ProcessState != nil {
		return
	}
	_ = r.cmd.Process.Kill() // it is gone then, or was before
	_ = r.cmd.Wait()         // says that it was killed
}

// stall stops a process where it stands, and lets it go on after d, as a laptop or a hypervisor does.
func (r *replica) stall(d time.Duration) {
	for _, s := range []os.Signal{syscall.SIGSTOP, syscall.SIGCONT} {
		if err := r.cmd.Process.Signal(s); err != nil {
			r.t.Errorf("%v: %v", s, err)
		}
		if s == syscall.SIGSTOP {
			time.Sleep(d) // what is tested is that time passes for others
		}
	}
}

func rounds(t *testing.T) int {
	t.Helper()
	value := os.Getenv("CHAOS_ROUNDS")
	if value == "" {
		return 3
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		t.Fatalf("CHAOS_ROUNDS: %v", err)
	}
	return n
}

// The log's memory of Msg-Ids in these tests: so short that a replica which was down outlives it.
const shortWindow = time.Second

// Two replicas are killed with -9 at random moments under load, one of them stalled as well, and in
// every third round both are down for longer than the log remembers Msg-Ids. Afterwards the numbers are
// those of a fold that was never disturbed, and every activity and alert stands in the log once.
func TestKilledAtRandomEndsAsIfUndisturbed(t *testing.T) {
	b := startBus(t, natsd.Options{Listen: "127.0.0.1:0"}, &jetstream.StreamConfig{
		Name: subjects.StreamLog, Subjects: []string{subjects.AllLog}, Storage: jetstream.FileStorage,
		AllowDirect: true, Duplicates: shortWindow,
	})
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	replicas := []*replica{startReplica(t, b.srv.ClientURL()), startReplica(t, b.srv.ClientURL())}
	for round := range rounds(t) {
		load := startLoad(b, rand.New(rand.NewPCG(seed, uint64(round)+1)))
		for range 4 {
			time.Sleep(time.Duration(50+r.IntN(300)) * time.Millisecond) // the moment is what is random
			victim := r.IntN(len(replicas))
			if r.IntN(4) == 0 {
				replicas[victim].stall(time.Duration(r.IntN(400)) * time.Millisecond)
				continue
			}
			replicas[victim].kill()
			replicas[victim] = startReplica(t, b.srv.ClientURL())
		}
		if round%3 == 0 {
			for _, victim := range replicas {
				victim.kill()
			}
			time.Sleep(2 * shortWindow) // longer than the log remembers
			for i := range replicas {
				replicas[i] = startReplica(t, b.srv.ClientURL())
			}
		}
		load.stop()
		b.checkUndisturbed(load.last)
	}
	for _, victim := range replicas { // what they leave behind must do for a third that comes later
		victim.kill()
	}
	b.ready(quick())
	b.checkUndisturbed(0)
}

// load is a microservice that publishes all kinds of events until it is told to stop.
type load struct {
	cancel context.CancelFunc
	done   chan struct{}
	last   uint64
}

func startLoad(b *bus, r *rand.Rand) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		for ctx.Err() == nil {
			for _, e := range random(r, 50) {
				if strings.HasPrefix(e.Name, "dashboard:") {
					continue // those are the service's own
				}
				seq, err := b.pub.PublishLog(context.Background(), e.Kind, e.ID, e.Name, e.Data, subjects.WithMsgID(fmt.Sprintf("%d-%s", r.Uint64(), e.MsgID)))
				if err != nil {
					b.t.Errorf("load: %v", err)
					return
				}
				l.last = seq
				<-time.After(time.Duration(r.IntN(4)) * time.Millisecond)
			}
		}
	}()
	return l
}

func (l *load) stop() {
	l.cancel()
	<-l.done
}

// checkUndisturbed waits until all is announced and compares with a fold of the whole log.
func (b *bus) checkUndisturbed(seq uint64) {
	b.t.Helper()
	var model *tally
	b.eventually("everything is announced", func() error {
		model = newTally()
		eachOfLog(b.t, b, func(m jetstream.Msg) { _ = model.apply(eventOf(b.t, m)) }) // refused ones are part of the load
		switch {
		case model.Seq < seq:
			return fmt.Errorf("the log was read to %d of %d", model.Seq, seq)
		case len(model.untold) > 0:
			return fmt.Errorf("%d feeds are not announced", len(model.untold))
		case len(model.alerts.Waiting) > 0:
			return fmt.Errorf("%d alerts wait", len(model.alerts.Waiting))
		}
		return nil
	})
	coverage(b.t, b) // fails if anything is announced twice
	now := time.Now().UnixMilli()
	for _, caller := range []subjects.Caller{
		{User: "boss", Scope: "dashboard:firm"}, {User: "head", Scope: "team:t1"}, {User: "u1"}, {User: "u2", Scope: "case:3"}, {User: "u3", Scope: "case:*"},
	} {
		a := audienceOf(caller)
		c := b.nobody(caller.User, caller.Scope)
		for range 6 { // both replicas get their turn
			b.eventually("the numbers of "+caller.User, func() error {
				c.forget()
				if _, err := c.ask(cmdRefresh, ""); err != nil {
					return err
				}
				return sameNumbers(b.t, c, model, a, now)
			})
		}
	}
}

// sameNumbers compares what a client was shown with a model.
func sameNumbers(t testing.TB, c *client, model *tally, a audience, now int64) error {
	t.Helper()
	shown := c.events("dashboard:metrics")
	if len(shown) != 1 {
		return fmt.Errorf("%d sets of numbers", len(shown))
	}
	if got, want := shown[0].data, plain(t, model.metricsOf(a, now)); !reflect.DeepEqual(untimed(got), want) {
		return fmt.Errorf("shown %v, undisturbed %v", got, want)
	}
	stats := c.events("dashboard:case-stats")
	cases := model.newestCases(a.viewer)
	if len(stats) != len(cases) {
		return fmt.Errorf("%d cases, undisturbed %d", len(stats), len(cases))
	}
	for i, b := range cases {
		if got, want := stats[i].data, plain(t, b.stats(now)); !reflect.DeepEqual(untimed(got), want) {
			return fmt.Errorf("shown %v, undisturbed %v", got, want)
		}
	}
	return nil
}

func plain(t testing.TB, payload any) (out map[string]any) {
	t.Helper()
	body, err := json.Marshal(payload)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &out); err != nil {
		t.Fatal(err)
	}
	return untimed(out)
}

// untimed takes out the time at which something was shown.
func untimed(m map[string]any) map[string]any {
	delete(m, "timestamp")
	return m
}

func eventOf(t testing.TB, m jetstream.Msg) event {
	t.Helper()
	meta, err := m.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	s, err := subjects.Parse(m.Subject())
	if err != nil {
		t.Fatal(err)
	}
	return event{
		Seq: meta.Sequence.Stream, At: meta.Timestamp.UnixMilli(), Kind: s.Kind, ID: s.ID, Name: s.Event,
		MsgID: m.Headers().Get(subjects.HeaderMsgID), Mark: m.Headers().Get(headerMark), Data: m.Data(),
	}
}

// eachOfLog reads the log to its end.
func eachOfLog(t testing.TB, b *bus, f func(jetstream.Msg)) {
	t.Helper()
	consumer, err := b.js.CreateConsumer(t.Context(), subjects.StreamLog, jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.js.DeleteConsumer(t.Context(), subjects.StreamLog, consumer.CachedInfo().Name) }()
	for left := int(consumer.CachedInfo().NumPending); left > 0; {
		batch, err := consumer.Fetch(min(left, 5000))
		if err != nil {
			t.Fatal(err)
		}
		for m := range batch.Messages() {
			f(m)
			left--
		}
		if err := batch.Error(); err != nil && !errors.Is(err, nats.ErrTimeout) {
			t.Fatal(err)
		}
	}
}

// everyRoom stands for the room of all cases in a coverage.
const everyRoom = "every"

// coverage says for how many activities each room was told, and fails if any was told twice, or an
// alert to the same audience.
func coverage(t testing.TB, b *bus) map[string]uint64 {
	t.Helper()
	told := make(map[string]uint64)
	alerts := make(map[string]bool)
	eachOfLog(t, b, func(m jetstream.Msg) {
		e := eventOf(t, m)
		what, about, _ := strings.Cut(e.Mark, " ")
		n, err := strconv.ParseUint(what, 10, 64)
		room, _ := subjects.Room(e.Kind, e.ID)
		if e.Kind == subjects.KindDashboard {
			room += " " + about
		}
		switch {
		case e.Mark == "":
		case e.Name == alertName:
			if key := room + what; alerts[key] && err == nil {
				t.Errorf("the alert %s went to %s twice", what, room)
			} else {
				alerts[key] = true
			}
		case n <= told[room] || err != nil:
			t.Errorf("%s was told up to %d, and at %d again up to %d", room, told[room], e.Seq, n)
		default:
			told[room] = n
		}
	})
	for room, n := range told {
		if strings.HasPrefix(room, string(subjects.KindDashboard)+".") {
			told[everyRoom] += n
		}
	}
	return told
}
