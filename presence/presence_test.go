package presence

import (
	"slices"
	"testing"
	"time"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
	"github.com/lexiflow/realtime/subjects/natsd/natstest"
)

func TestOnlineAwayOffline(t *testing.T) {
	t.Parallel()
	_, nc := bus(t, natsd.Options{})
	replica(t, nc, short)
	l := listen(t, nc)
	e := newFakeEdge(t, nc, "e1", "x")

	e.open("auth0|7", "s1", "s2")
	l.want("auth0|7 online 2")
	e.turn("s1", true)
	e.turn("s2", true)
	l.want("auth0|7 away 2")
	e.turn("s2", false)
	l.want("auth0|7 online 2")
	e.leave("s2")
	l.want("auth0|7 away 1")
	start := time.Now()
	e.lose("s1")
	l.want("auth0|7 offline 0")
	if took := time.Since(start); took < short.Grace {
		t.Errorf("offline after %v, within the grace", took)
	}
	e.open("u2", "s3")
	l.want("u2 online 1")
	if got, want := get(t, nc, "u2", "auth0|7", "nobody"), []string{"u2 online 1", "auth0|7 offline 0", "nobody offline 0"}; !slices.Equal(got, want) {
		t.Errorf("svc.presence.get: %q, want %q", got, want)
	}
}

func TestResumeWithinGraceIsNoEvent(t *testing.T) {
	t.Parallel()
	_, nc := bus(t, natsd.Options{})
	replica(t, nc, short)
	l := listen(t, nc)
	one, two := newFakeEdge(t, nc, "e1", "x"), newFakeEdge(t, nc, "e2", "y")
	one.open("u", "s1")
	l.want("u online 1")
	one.lose("s1")
	two.open("u", "s1")
	l.silent(2 * short.Grace)
	one.kill() // it has nobody any more
	l.silent(2 * short.LeaseTTL)
	two.leave("s1")
	l.want("u offline 0")
}

func TestLostBatchIsRepaired(t *testing.T) {
	t.Parallel()
	_, nc := bus(t, natsd.Options{})
	s, _ := replica(t, nc, short)
	l := listen(t, nc)
	e := newFakeEdge(t, nc, "e1", "x")
	e.open("u1", "s1")
	e.open("u2", "s2")
	l.want("u1 online 1", "u2 online 1")
	e.says(false)
	e.open("u3", "s3")
	e.leave("s1")
	e.turn("s2", true)
	e.says(true)
	e.open("u4", "s4")
	l.want("u1 offline 0", "u2 away 1", "u3 online 1", "u4 online 1")
	e.leave("s3")
	l.want("u3 offline 0")
	s.mu.Lock()
	defer s.mu.Unlock()
	if got := s.edges["e1"]; got.seq != 8 || len(got.sockets) != 2 {
		t.Errorf("the edge is at %d with %d sockets", got.seq, len(got.sockets))
	}
}

func TestEdgeStartsAnew(t *testing.T) {
	t.Parallel()
	_, nc := bus(t, natsd.Options{})
	replica(t, nc, short)
	l := listen(t, nc)
	e := newFakeEdge(t, nc, "e1", "x")
	e.open("u1", "s1")
	e.open("u2", "s2")
	l.want("u1 online 1", "u2 online 1")
	e.kill()
	e = newFakeEdge(t, nc, "e1", "y")
	e.open("u2", "s9") // it came back, under a new sid
	l.want("u1 offline 0")
	e.leave("s9")
	l.want("u2 offline 0")
}

// TestEdgeKilled is the promise about kill -9: once, and within the lease.
func TestEdgeKilled(t *testing.T) {
	t.Parallel()
	server, nc := bus(t, natsd.Options{})
	replica(t, connect(t, server), short)
	replica(t, connect(t, server), short)
	l := listen(t, nc)
	one, two := newFakeEdge(t, nc, "e1", "x"), newFakeEdge(t, nc, "e2", "y")
	const users = 50
	var online, offline []string
	for i := range users {
		user := "u" + string(rune('A'+i))
		one.open(user, "s"+user)
		online = append(online, user+" online 1")
		offline = append(offline, user+" offline 0")
	}
	two.open("v", "v2")
	l.want(append(online, "v online 1")...)
	one.open("v", "v1")
	l.want("v online 2")
	// Leases must have been writable for a lease's time before anybody is taken for dead.
	l.silent(short.LeaseTTL)
	start := time.Now()
	one.kill()
	l.want(append(offline, "v online 1")...)
	if took := time.Since(start); took > short.LeaseTTL+short.Grace+500*time.Millisecond {
		t.Errorf("everybody offline after %v, the lease is %v and the grace %v", took, short.LeaseTTL, short.Grace)
	}
	l.silent(2 * backupAfter)
}

func TestEdgeThatAnswersIsAlive(t *testing.T) {
	t.Parallel()
	_, nc := bus(t, natsd.Options{})
	replica(t, nc, short)
	l := listen(t, nc)
	e := newFakeEdge(t, nc, "e1", "x")
	e.open("u", "s1")
	l.want("u online 1")
	e.noLease()
	l.silent(3 * short.LeaseTTL)
	e.kill()
	l.want("u offline 0")
}

// TestNobodyDiesWhileLeasesCannotBeWritten covers a change of leader, as far as it is seen from here: no
// lease can be renewed, and an edge may be cut off too.
func TestNobodyDiesWhileLeasesCannotBeWritten(t *testing.T) {
	t.Parallel()
	_, nc := bus(t, natsd.Options{})
	s, _ := replica(t, nc, short)
	l := listen(t, nc)
	e := newFakeEdge(t, nc, "e1", "x")
	e.open("u", "s1")
	l.want("u online 1")
	l.silent(short.LeaseTTL)
	js := jetStream(t, nc)
	stream, err := js.Stream(t.Context(), "KV_EDGES")
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	refusing := config
	refusing.MaxMsgSize = 1
	if _, err := js.UpdateStream(t.Context(), refusing); err != nil {
		t.Fatal(err)
	}
	e.kill()
	l.silent(3 * short.LeaseTTL)
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	// Now every edge that lives has the time of a lease to say so; this one is dead.
	start := time.Now()
	l.want("u offline 0")
	if took := time.Since(start); took < short.LeaseTTL*8/10 {
		t.Errorf("taken for dead %v after leases could be written again", took)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if got := s.edges["e1"].standing; got != dead {
		t.Errorf("the edge's standing is %v", got)
	}
}

// TestEdgeComesBack covers an edge that was cut off so long that it was taken for dead.
func TestEdgeComesBack(t *testing.T) {
	t.Parallel()
	_, nc := bus(t, natsd.Options{})
	replica(t, nc, short)
	l := listen(t, nc)
	e := newFakeEdge(t, nc, "e1", "x")
	e.open("u", "s1")
	l.want("u online 1")
	e.kill()
	l.want("u offline 0")
	back := newFakeEdge(t, nc, "e2", "z") // another one does not bring u back
	back.open("w", "w1")
	l.want("w online 1")
	again := &fakeEdge{t: t, nc: nc, name: "e1", incarnation: "x", ttl: time.Second, sockets: e.sockets, seq: e.seq}
	again.answer(subjects.EdgeConnectionsSubject, func() any { return again.snapshot() })
	again.open("u3", "s3")
	l.want("u online 1", "u3 online 1")
}

func TestRestart(t *testing.T) {
	t.Parallel()
	server, nc := bus(t, natsd.Options{})
	_, stop := replica(t, connect(t, server), short)
	l := listen(t, nc)
	one, two := newFakeEdge(t, nc, "e1", "x"), newFakeEdge(t, nc, "e2", "y")
	one.open("u1", "s1")
	one.open("u2", "s2")
	two.open("u3", "s3")
	two.open("u4", "s4")
	l.want("u1 online 1", "u2 online 1", "u3 online 1", "u4 online 1")
	caller := subjects.Caller{User: "u1", Socket: "s1"}
	if _, err := subjects.PresenceSetStatus.Call(t.Context(), nc, caller, subjects.PresenceStatusRequest{Status: "busy"}); err != nil {
		t.Fatal(err)
	}
	l.want("u1 busy 1")
	stop()
	one.leave("s2")     // nobody hears it
	one.open("u5", "t") // nor this
	two.kill()          // nor this
	replica(t, connect(t, server), short)
	l.want("u2 offline 0", "u5 online 1", "u3 offline 0", "u4 offline 0")
	if got, want := get(t, nc, "u1", "u2", "u5"), []string{"u1 busy 1", "u2 offline 0", "u5 online 1"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	l.silent(time.Second)
}

// TestBusRestarts covers a NATS server that goes and comes back with what is on disk: leases and batches
// are lost, people are not.
func TestBusRestarts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server, first := bus(t, natsd.Options{DataDir: dir, Listen: natstest.FreeAddress(t)})
	url, address := server.ClientURL(), server.Addr().String()
	first.Close()
	nc, err := subjects.Connect(t.Context(), subjects.ConnectOptions{URL: url, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	s, _ := replica(t, nc, short)
	l := listen(t, nc)
	e := newFakeEdge(t, nc, "e1", "x")
	e.open("u1", "s1")
	e.open("u2", "s2")
	l.want("u1 online 1", "u2 online 1")
	server.Close()
	eventually(t, "the connection is lost", func() bool { return !nc.IsConnected() })
	again, err := natsd.Start(t.Context(), natsd.Options{DataDir: dir, Listen: address, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Close)
	eventually(t, "the connection is back", nc.IsConnected)
	e.leave("s2")
	l.want("u2 offline 0")
	l.silent(3 * short.LeaseTTL)
	if err := s.Ready(); err != nil {
		t.Error(err)
	}
	e.kill()
	l.want("u1 offline 0")
}

func TestRecordsExpire(t *testing.T) {
	t.Parallel()
	_, nc := bus(t, natsd.Options{})
	o := short
	o.Keep = time.Second
	s, _ := replica(t, nc, o)
	l := listen(t, nc)
	e := newFakeEdge(t, nc, "e1", "x")
	e.open("u", "s1")
	l.want("u online 1")
	caller := subjects.Caller{User: "u", Socket: "s1"}
	if _, err := subjects.PresenceSetCustomStatus.Call(t.Context(), nc, caller, subjects.PresenceCustomStatusRequest{CustomStatus: "→ court"}); err != nil {
		t.Fatal(err)
	}
	l.want("u online 1")
	e.leave("s1")
	l.want("u offline 0")
	eventually(t, "the record is gone", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.users.all["u"] == nil
	})
	e.open("u", "s2")
	l.want("u online 1")
	beat := subjects.PresenceHeartbeatRequest{Status: "busy", CustomStatus: "→ court"}
	if _, err := subjects.PresenceHeartbeat.Call(t.Context(), nc, subjects.Caller{User: "u", Socket: "s2"}, beat); err != nil {
		t.Fatal(err)
	}
	l.want("u busy 1")
	kv, err := jetStream(t, nc).KeyValue(t.Context(), subjects.BucketPresence)
	if err != nil {
		t.Fatal(err)
	}
	// Longer than Keep: a record of who is there does not expire.
	l.silent(2500 * time.Millisecond)
	if _, err := kv.Get(t.Context(), "u"); err != nil {
		t.Errorf("the record of who is there: %v", err)
	}
}
