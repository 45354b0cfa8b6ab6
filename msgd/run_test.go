package msgd

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
	"github.com/lexiflow/realtime/subjects/natsd/natstest"
)

func TestNewRefuses(t *testing.T) {
	if _, err := New(nil, Options{}); err == nil {
		t.Error("without a connection")
	}
	f := newFixture(t)
	if _, err := New(f.nc, Options{TypingThrottle: 5 * time.Second}); err == nil || !strings.Contains(err.Error(), "5s") {
		t.Errorf("a throttle that outlasts the expiry: %v", err)
	}
}

// TestAnyStartOrder starts the service before its streams exist, and takes its consumers away later.
func TestAnyStartOrder(t *testing.T) {
	f := &fixture{t: t}
	f.server, f.nc, f.js = natstest.Server(t, natsd.Options{})
	s, err := New(f.nc, Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "streams") {
		t.Errorf("ready without streams: %v", err)
	}
	if _, err := f.raw("cmd.conversation.list", "ann", nil); subjects.CodeOf(err) != subjects.CodeUnavailable {
		t.Errorf("a command before the service is there: %v", err)
	}
	if err := subjects.EnsureStreams(t.Context(), f.js, subjects.StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	f.await("the service is ready", func() bool { return s.Ready() == nil })
	f.await("commands are answered", func() bool {
		_, err := f.raw("cmd.conversation.list", "ann", nil)
		return err == nil
	})
	if err := f.js.DeleteConsumer(t.Context(), subjects.StreamMessages, foldConsumer); err != nil {
		t.Fatal(err)
	}
	conv := f.conversation("ann")
	f.say("ann", conv, "x")
	f.await("the consumer is made again", func() bool {
		_, err := f.js.Consumer(t.Context(), subjects.StreamMessages, foldConsumer)
		return err == nil
	})
	f.indexed()
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if s.Ready() == nil {
		t.Error("ready after the end")
	}
	if _, err := f.raw("cmd.conversation.list", "ann", nil); subjects.CodeOf(err) != subjects.CodeUnavailable {
		t.Errorf("a command after the end: %v", err)
	}
}

// TestEndWhileWaiting ends a service that never found its streams.
func TestEndWhileWaiting(t *testing.T) {
	_, nc, _ := natstest.Server(t, natsd.Options{})
	s, err := New(nc, Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestVisible looks at the service as an operator does.
func TestVisible(t *testing.T) {
	f := newFixture(t)
	registry := prometheus.NewRegistry()
	s, _ := f.start(Options{Version: "1.2.3", Registry: registry})
	conv := f.conversation("ann")
	f.say("ann", conv, "x")
	refused(f, subjects.MessageHistory, "eve", subjects.MessageHistoryRequest{ConversationID: conv}, subjects.CodeForbidden)
	f.await("ready", func() bool { return s.Ready() == nil })

	reply, err := f.nc.Request("$SRV.STATS."+Name, nil, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var stats micro.Stats
	if err := json.Unmarshal(reply.Data, &stats); err != nil {
		t.Fatal(err)
	}
	if stats.Name != Name || stats.Version != "1.2.3" || len(stats.Endpoints) != 18 {
		t.Errorf("%s %s with %d endpoints", stats.Name, stats.Version, len(stats.Endpoints))
	}
	for _, e := range stats.Endpoints {
		if e.QueueGroup != Name {
			t.Errorf("%s has the queue group %q", e.Name, e.QueueGroup)
		}
		if e.Name == "message-history" && string(e.Data) != `{"processed":0,"failed":{"FORBIDDEN":1}}` {
			t.Errorf("%s: %s", e.Name, e.Data)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, family := range families {
		names[family.GetName()] = true
	}
	for _, want := range []string{"lexiflow_msgd_processed_total", "lexiflow_msgd_failed_total", "lexiflow_msgd_lag", "lexiflow_msgd_command_seconds"} {
		if !names[want] {
			t.Errorf("no metric %s", want)
		}
	}
}

// TestPanicIsOneCommands: what a bug does to one request it does to no other.
func TestPanicIsOneCommands(t *testing.T) {
	f := newFixture(t)
	s, _ := f.start(Options{})
	_, err := s.call(t.Context(), "test", func(context.Context, subjects.Caller, []byte) (subjects.Reply, error) { panic("bug") }, request{})
	if subjects.CodeOf(err) != subjects.CodeInternal {
		t.Errorf("%v", err)
	}
}

// request is a micro.Request of ann's.
type request struct{ micro.Request }

func (request) Headers() micro.Headers {
	h := nats.Header{}
	as("ann").SetHeaders(h)
	return micro.Headers(h)
}
func (request) Data() []byte { return nil }

// TestOutboxMakesUp announces for a writer that died between the change and its announcement.
func TestOutboxMakesUp(t *testing.T) {
	f := newFixture(t)
	s, _ := f.start(Options{OutboxDelay: 20 * time.Millisecond})
	conv := f.conversation("ann", "bob")
	m := f.say("ann", conv, "one")
	c, revision, err := s.conversation(t.Context(), conv)
	if err != nil {
		t.Fatal(err)
	}
	access := f.listen(eventSubject(conv, "access:changed"))
	if _, err := s.changed(t.Context(), as("ann"), c, []string{"cyd"}, []string{"bob"}); err != nil {
		t.Fatal(err)
	}
	if err := s.store.save(t.Context(), conversationValue(conv), revision, c); err != nil {
		t.Fatal(err)
	}
	change, err := subjects.AccessChanged.Decode(f.event(access).Data)
	if err != nil || strings.Join(change.Allow, " ") != "ann cyd" || change.Revision != 2 {
		t.Errorf("announced %+v, %v", change, err)
	}
	f.await("the indexes", func() bool {
		return f.joined("hello.messaging", "cyd") != nil && f.joined("hello.messaging", "bob") == nil
	})

	edited := f.listen(eventSubject(conv, "message:edited"))
	stored, _ := decodeMessage(mustJSON(m))
	if err := s.record(t.Context(), conv, stored, change2("two")); err != nil {
		t.Fatal(err)
	}
	if e, err := subjects.MessageEdited.Decode(f.event(edited).Data); err != nil || e.Content != "two" || e.Version != 2 {
		t.Errorf("announced %+v, %v", e, err)
	}
	f.await("nothing is pending", func() bool {
		var r editRecord
		_, err := s.store.load(t.Context(), editValue(conv, 1), &r)
		return err == nil && len(r.Pending) == 0
	})
	f.silent(edited)
}

func change2(content string) change { return change{Content: content, By: "ann"} }

// TestStalledWriters continue where they were stopped, long after others have finished their work and
// the duplicate window has passed: nothing is published twice, and nothing old behind something newer.
func TestStalledWriters(t *testing.T) {
	f := newFixture(t, func(js jetstream.JetStream) { withWindow(t, js, 100*time.Millisecond) })
	s, _ := f.start(Options{})
	conv := f.conversation("ann")
	m := f.say("ann", conv, "one")
	stored, _ := decodeMessage(mustJSON(m))

	stale, _, err := s.conversation(t.Context(), conv) // what a stopped writer holds in its hands
	if err != nil {
		t.Fatal(err)
	}
	stale.Pending = []string{"ann"}
	call(f, subjects.ConversationMembers, "ann", subjects.ConversationMembersRequest{ConversationID: conv, Add: []string{"bob"}})
	call(f, subjects.ConversationMembers, "ann", subjects.ConversationMembersRequest{ConversationID: conv, Remove: []string{"bob"}})
	stale.Members["bob"] = member{}
	stale.Pending = append(stale.Pending, "bob")
	stale.Revision = 2 // the one with bob in it

	call(f, subjects.MessageEdit, "ann", subjects.MessageEditRequest{ConversationID: conv, MessageID: m.ID, Content: "two"})
	late := editRecord{MessageID: m.ID, Version: 1, Content: "one"}
	late.add(change{Version: 2, Content: "two", By: "ann"}) // the same change, at its place behind 0

	position := stored.next(time.Now())
	unsent := subjects.MessageEvent{ID: newMessageID(position), ConversationID: conv, SenderID: "ann", Content: "late", CreatedAt: subjects.Now()}
	behind := f.logged(eventSubject(conv, "message:new"))[0].seq
	f.say("ann", conv, "meanwhile")

	f.windowOver()
	before := f.count(subjects.StreamLog)
	if err := s.tell(t.Context(), stale); err != nil {
		t.Fatal(err)
	}
	if published, err := s.publishChange(t.Context(), conv, &late); err != nil || !published {
		t.Errorf("the change counts as not published: %v", err)
	}
	if _, err := s.store.publish(t.Context(), eventSubject(conv, "message:new"), unsent.ID, behind, unsent); err == nil {
		t.Error("a message was published at a place that was taken")
	}
	if after := f.count(subjects.StreamLog); after != before {
		t.Errorf("%d messages were published late", after-before)
	}
	if rooms := f.joined("hello.messaging", "bob"); rooms != nil {
		t.Errorf("bob is back in %v", rooms)
	}
}

// windowOver waits until the log has forgotten every Msg-Id: a repetition of one is stored again.
func (f *fixture) windowOver() {
	f.t.Helper()
	send := func() *jetstream.PubAck {
		ack, err := f.js.Publish(f.t.Context(), "lex.room.window.probe", []byte("{}"), jetstream.WithMsgID("probe"))
		if err != nil {
			f.t.Fatal(err)
		}
		return ack
	}
	send()
	f.await("the duplicate window is over", func() bool { return !send().Duplicate })
}
