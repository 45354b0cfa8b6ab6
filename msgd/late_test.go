package msgd

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/subjects"
)

// askLate sends a command whose caller has given up a minute ago, as a replica finds it that was stopped.
func (f *fixture) askLate(subject, user string, body any) error {
	f.t.Helper()
	m := &nats.Msg{Subject: subject, Header: nats.Header{}, Data: mustJSON(body)}
	as(user).SetHeaders(m.Header)
	subjects.SetDeadline(m.Header, time.Now().Add(-time.Minute), time.Second)
	reply, err := f.nc.RequestMsgWithContext(f.t.Context(), m)
	if err != nil {
		f.t.Fatal(err)
	}
	return subjects.ErrorOf(reply)
}

// figure reads one of a replica's metrics.
func (f *fixture) figure(s *Service, name string) (value float64) {
	f.t.Helper()
	families, err := s.options.Registry.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "lexiflow_msgd_"+name {
			return family.GetMetric()[0].GetCounter().GetValue() + family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	f.t.Fatalf("no metric %s", name)
	return 0
}

// TestTooLate: what comes after its caller has given up is not carried out, and counted.
func TestTooLate(t *testing.T) {
	f := newFixture(t)
	s, _ := f.start(Options{})
	conv := f.conversation("ann", "bob")
	m := f.say("ann", conv, "first")
	log := f.count(subjects.StreamLog)
	for i, late := range []struct {
		subject string
		body    any
	}{
		{subjects.MessageSend.Subject(), subjects.MessageSendRequest{ConversationID: conv, Content: "late"}},
		{subjects.MessageEdit.Subject(), subjects.MessageEditRequest{ConversationID: conv, MessageID: m.ID, Content: "late"}},
		{subjects.MessageDelete.Subject(), subjects.MessageRequest{ConversationID: conv, MessageID: m.ID}},
		{subjects.MessageMarkRead.Subject(), subjects.MessageRequest{ConversationID: conv, MessageID: m.ID}},
		{subjects.ConversationMembers.Subject(), subjects.ConversationMembersRequest{ConversationID: conv, Remove: []string{"bob"}}},
		{subjects.ConversationCreate.Subject(), subjects.ConversationCreateRequest{MemberIDs: []string{"bob"}}},
		{subjects.TypingStarted.Subject(), subjects.ConversationRequest{ConversationID: conv}},
	} {
		if err := f.askLate(late.subject, "ann", late.body); subjects.CodeOf(err) != subjects.CodeTimeout {
			t.Errorf("%s: %v", late.subject, err)
		}
		if got := f.figure(s, "expired_total"); got != float64(i+1) {
			t.Errorf("%s: %v expired commands are counted, want %d", late.subject, got, i+1)
		}
	}
	if got := texts(f.pages("bob", conv, 10)); got != "first" {
		t.Errorf("the history says %q", got)
	}
	if got := f.count(subjects.StreamLog); got != log {
		t.Errorf("the log has %d events, want %d", got, log)
	}
}

// stallTime is how long the caller of a command waits that is to be stopped. Nothing else has so little time.
const stallTime = 300 * time.Millisecond

// a gate stops the next command of a caller with so little time, once for every time it is armed. What goes on
// in the background passes.
type gate struct {
	armed   atomic.Bool
	arrived chan struct{}
	proceed chan struct{}
}

func (g *gate) pass(ctx context.Context) {
	until, ok := ctx.Deadline()
	if ok && time.Until(until) <= stallTime && g.armed.CompareAndSwap(true, false) {
		g.arrived <- struct{}{}
		<-g.proceed
	}
}

// TestStalled: a replica that stops between reading and storing, for longer than its caller waits, does
// not put what it was about to do over what the caller has done since.
func TestStalled(t *testing.T) {
	f := newFixture(t)
	g := &gate{arrived: make(chan struct{}), proceed: make(chan struct{})}
	s, _ := f.start(Options{}, func(s *Service) { s.dies = g.pass })
	conv := f.conversation("ann", "bob")
	m := f.say("ann", conv, "first")
	edit := func(content string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := subjects.MessageEdit.Call(ctx, f.nc, as("ann"), subjects.MessageEditRequest{
				ConversationID: conv, MessageID: m.ID, Content: content,
			})
			return err
		}
	}
	members := func(add, remove []string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := subjects.ConversationMembers.Call(ctx, f.nc, as("ann"), subjects.ConversationMembersRequest{
				ConversationID: conv, Add: add, Remove: remove,
			})
			return err
		}
	}
	for name, c := range map[string]struct {
		command, then func(context.Context) error // command stops, is repeated, and then comes back to life
	}{
		"edit":   {edit("second"), edit("third")},
		"member": {members([]string{"cyd"}, nil), members(nil, []string{"cyd"})},
	} {
		t.Run(name, func(t *testing.T) {
			g.armed.Store(true)
			gaveUp := make(chan error, 1)
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), stallTime)
				defer cancel()
				gaveUp <- c.command(ctx)
			}()
			<-g.arrived
			if err := <-gaveUp; subjects.CodeOf(err) != subjects.CodeTimeout {
				t.Fatalf("the caller of a command that is stopped: %v", err)
			}
			for _, command := range []func(context.Context) error{c.command, c.then} {
				if err := command(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			before := f.figure(s, "expired_total")
			g.proceed <- struct{}{}
			f.await("the late command is over", func() bool { return f.figure(s, "running") == 0 })
			if n := f.figure(s, "expired_total") - before; n != 1 {
				t.Errorf("%v commands are counted as expired, want 1", n)
			}
		})
	}
	if history := f.pages("bob", conv, 10); len(history) != 1 || history[0].Content != "third" || history[0].Version != 3 {
		t.Errorf("the history is %+v", history)
	}
	if n := len(f.logged(eventSubject(conv, "message:edited"))); n != 2 {
		t.Errorf("the log has %d edits, want 2", n)
	}
	ack := call(f, subjects.ConversationMembers, "ann", subjects.ConversationMembersRequest{ConversationID: conv})
	if got := ack.Conversation.MemberIDs; len(got) != 2 {
		t.Errorf("members are %v", got)
	}
}
