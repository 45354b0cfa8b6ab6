package msgd

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
)

// clock is a time that a test moves.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

// sendTo sends through one replica, past the queue group.
func sendTo(t *testing.T, s *Service, user string, req subjects.MessageSendRequest) subjects.MessageEvent {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	a, err := s.send(ctx, as(user), req)
	if err != nil {
		t.Fatalf("send: %v", err)
	}
	return a.ack.Message
}

func TestEventAndAckOfAMessage(t *testing.T) {
	f := newFixture(t)
	f.start(Options{})
	conv := f.conversation("ann", "bob")
	ack := call(f, subjects.MessageSend, "ann", subjects.MessageSendRequest{
		ConversationID: conv, Content: " a <b> & c ", Attachments: []string{"doc-1"}, ClientID: "c1",
	})
	if !ack.Success || ack.MessageID != ack.Message.ID || ack.Message.Content != "a <b> & c" || ack.Message.SenderID != "ann" {
		t.Errorf("ack %+v", ack)
	}
	if empty := f.say("ann", conv, "x"); empty.Attachments == nil {
		t.Error("attachments are null, not an empty list")
	}
	log := f.logged(eventSubject(conv, "message:new"))
	if len(log) != 2 {
		t.Fatalf("%d messages in the log", len(log))
	}
	want := `{"id":"` + ack.MessageID + `","conversationId":"` + conv + `","content":"a <b> & c","senderId":"ann",` +
		`"attachments":["doc-1"],"clientId":"c1","createdAt":"` + ack.Message.CreatedAt.String() + `"}`
	if got := string(log[0].data); got != want {
		t.Errorf("event\n  %s, want\n  %s", got, want)
	}
}

// TestClientID: one message per clientId and sender, whichever replica is asked, and for a day.
func TestClientID(t *testing.T) {
	f := newFixture(t)
	var now clock
	a, stop := f.start(Options{Now: now.now})
	b, _ := f.start(Options{Now: now.now})
	conv := f.conversation("ann", "bob")
	req := subjects.MessageSendRequest{ConversationID: conv, Content: "once", ClientID: "c1"}
	first := sendTo(t, a, "ann", req)
	for range 3 {
		if again := sendTo(t, a, "ann", req); again.ID != first.ID {
			t.Error("the same replica sent it again")
		}
		if again := sendTo(t, b, "ann", req); again.ID != first.ID {
			t.Error("another replica sent it again")
		}
	}
	req.Content = "something else"
	if again := sendTo(t, b, "ann", req); again.ID != first.ID || again.Content != "once" {
		t.Errorf("with another content: %+v", again)
	}
	other := sendTo(t, b, "bob", req)
	if other.ID == first.ID {
		t.Error("another sender's clientId is taken for the first one's")
	}
	if elsewhere := sendTo(t, b, "ann", subjects.MessageSendRequest{
		ConversationID: f.conversation("ann"), Content: "x", ClientID: "c1",
	}); elsewhere.ID == first.ID {
		t.Error("another conversation's clientId is taken for this one's")
	}
	// Behind both caches: a replica that has never seen this conversation, a day later.
	stop()
	now.advance(24 * time.Hour)
	fresh, _ := f.start(Options{Now: now.now})
	if again := sendTo(t, fresh, "ann", req); again.ID != first.ID {
		t.Error("forgotten within a day")
	}
	if again := sendTo(t, b, "ann", req); again.ID != first.ID {
		t.Error("forgotten within a day by a replica that ran all the time")
	}
	if n := len(f.pages("ann", conv, 10)); n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
}

// TestClientIDOfAChangedMessage: the first message comes back as it is now.
func TestClientIDOfAChangedMessage(t *testing.T) {
	f := newFixture(t)
	f.start(Options{})
	conv := f.conversation("ann")
	req := subjects.MessageSendRequest{ConversationID: conv, Content: "first", ClientID: "c1"}
	m := call(f, subjects.MessageSend, "ann", req).Message
	call(f, subjects.MessageEdit, "ann", subjects.MessageEditRequest{ConversationID: conv, MessageID: m.ID, Content: "second"})
	if again := call(f, subjects.MessageSend, "ann", req).Message; again.ID != m.ID || again.Content != "second" {
		t.Errorf("after an edit: %+v", again)
	}
	call(f, subjects.MessageDelete, "ann", subjects.MessageRequest{ConversationID: conv, MessageID: m.ID})
	if again := call(f, subjects.MessageSend, "ann", req).Message; again.ID != m.ID || again.Content != "" {
		t.Errorf("after a deletion: %+v", again)
	}
}

// TestReplicasRace lets many senders of two replicas write into one conversation, each message offered to
// both at once.
func TestReplicasRace(t *testing.T) {
	f := newFixture(t)
	a, _ := f.start(Options{})
	b, _ := f.start(Options{})
	conv := f.conversation("u0", "u1", "u2", "u3")
	const each = 25
	var all sync.WaitGroup
	for u := range 4 {
		all.Go(func() {
			for i := range each {
				req := subjects.MessageSendRequest{ConversationID: conv, Content: fmt.Sprint(u, ".", i), ClientID: fmt.Sprint(i)}
				var ids [2]string
				var pair sync.WaitGroup
				for k, s := range []*Service{a, b} {
					pair.Go(func() { ids[k] = sendTo(t, s, fmt.Sprint("u", u), req).ID })
				}
				pair.Wait()
				if ids[0] != ids[1] {
					t.Errorf("one clientId, two messages: %v", ids)
				}
			}
		})
	}
	all.Wait()
	history := f.pages("u0", conv, 100)
	if len(history) != 4*each {
		t.Errorf("%d messages, want %d", len(history), 4*each)
	}
	for i, m := range history {
		if p, _ := parseMessageID(m.ID); p.number != int64(i+1) {
			t.Errorf("message %d has the number %d", i+1, p.number)
		}
	}
}

// TestTheLogForgets takes everything out of the log, as its age does after three days.
func TestTheLogForgets(t *testing.T) {
	f := newFixture(t)
	s, _ := f.start(Options{})
	conv := f.conversation("ann", "bob")
	m := sendTo(t, s, "ann", subjects.MessageSendRequest{ConversationID: conv, Content: "1", ClientID: "c1"})
	f.say("ann", conv, "2")
	call(f, subjects.MessageEdit, "ann", subjects.MessageEditRequest{ConversationID: conv, MessageID: m.ID, Content: "one"})
	f.indexed()
	log, err := f.js.Stream(t.Context(), subjects.StreamLog)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	fresh, _ := f.start(Options{})
	for name, replica := range map[string]*Service{"the same replica": s, "a fresh replica": fresh} {
		if got := sendTo(t, replica, "ann", subjects.MessageSendRequest{ConversationID: conv, Content: "1", ClientID: "c1"}); got.ID != m.ID {
			t.Errorf("%s sent a clientId again", name)
		}
		sendTo(t, replica, "ann", subjects.MessageSendRequest{ConversationID: conv, Content: "more"})
	}
	call(f, subjects.MessageEdit, "ann", subjects.MessageEditRequest{ConversationID: conv, MessageID: m.ID, Content: "uno"})
	call(f, subjects.ConversationMembers, "ann", subjects.ConversationMembersRequest{ConversationID: conv, Add: []string{"cyd"}})
	if got := texts(f.pages("bob", conv, 3)); got != "uno 2 more more" {
		t.Errorf("history %q", got)
	}
	if page := call(f, subjects.ConversationList, "bob", subjects.ConversationListRequest{}); page.UnreadCount != 4 {
		t.Errorf("%d unread", page.UnreadCount)
	}
}

// TestHistoryAheadOfItsCopy stops the copying into MESSAGES: what is acked is in the history at once.
func TestHistoryAheadOfItsCopy(t *testing.T) {
	f := newFixture(t)
	f.start(Options{})
	conv := f.conversation("ann", "bob")
	f.fill(conv, 200, "ann")
	f.indexed()
	f.source(false)
	var ids []string
	for i := range 60 { // more than are read one by one
		ids = append(ids, f.say("ann", conv, fmt.Sprint(i)).ID)
		page := call(f, subjects.MessageHistory, "bob", subjects.MessageHistoryRequest{ConversationID: conv, Limit: 1})
		if len(page.Messages) != 1 || page.Messages[0].ID != ids[i] {
			t.Fatalf("message %d is not in the history", i)
		}
	}
	if all := f.pages("bob", conv, 100); len(all) != 260 {
		t.Errorf("%d messages in all", len(all))
	}
	ack := call(f, subjects.MessageMarkRead, "bob", subjects.MessageRequest{ConversationID: conv, MessageID: ids[10]})
	if ack.UnreadCount != 49 {
		t.Errorf("%d unread, want 49", ack.UnreadCount)
	}
	f.source(true)
	f.indexed()
	if all := f.pages("bob", conv, 100); len(all) != 260 {
		t.Errorf("%d messages after copying went on", len(all))
	}
}

// source switches the copying into MESSAGES off and on.
func (f *fixture) source(on bool) {
	f.t.Helper()
	s, err := f.js.Stream(f.t.Context(), subjects.StreamMessages)
	if err != nil {
		f.t.Fatal(err)
	}
	config := s.CachedInfo().Config
	config.Sources = nil
	if on {
		config.Sources = []*jetstream.StreamSource{{Name: subjects.StreamLog, FilterSubject: "lex.conversation.>"}}
	}
	if _, err := f.js.UpdateStream(f.t.Context(), config); err != nil {
		f.t.Fatal(err)
	}
}

// TestErasedMessage: what an operator erases is gone, and the rest stays readable.
func TestErasedMessage(t *testing.T) {
	f := newFixture(t)
	f.start(Options{})
	conv := f.conversation("ann", "bob")
	f.fill(conv, 10, "ann")
	f.indexed()
	s, err := f.js.Stream(t.Context(), subjects.StreamMessages)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range f.messages(conv)[3:5] {
		if err := s.SecureDeleteMsg(t.Context(), e.seq); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(f.pages("bob", conv, 4)); n != 8 {
		t.Errorf("%d messages, want 8", n)
	}
}

// messages returns what MESSAGES has of a conversation.
func (f *fixture) messages(conv string) (all []entry) {
	f.t.Helper()
	s := &store{nc: f.nc, js: f.js}
	err := s.scan(f.t.Context(), subjects.StreamMessages, eventSubject(conv, "message:new"), 1, func(e entry) bool {
		all = append(all, e)
		return true
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return all
}
