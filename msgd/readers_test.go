package msgd

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
)

// numbersRead lists the receipts in the log, "user number", in order.
func (f *fixture) numbersRead(conv string) (list []string) {
	f.t.Helper()
	for _, e := range f.logged(eventSubject(conv, "message:read")) {
		receipt, err := subjects.MessageRead.Decode(e.data)
		p, ok := parseMessageID(receipt.MessageID)
		if err != nil || !ok {
			f.t.Errorf("%s: %v", e.data, err)
		}
		list = append(list, fmt.Sprintf("%s %d", receipt.UserID, p.number))
	}
	return list
}

// TestReceiptOfADeadWriter: a writer published a receipt and died; nobody folded the log, and the log has
// forgotten the receipt's name. Whoever is asked again does not publish it again.
func TestReceiptOfADeadWriter(t *testing.T) {
	f := newFixture(t, func(js jetstream.JetStream) { withWindow(t, js, duplicates) })
	_, stop := f.start(Options{})
	conv := f.conversation("ann", "bob", "cyd")
	var ids []string
	for range 4 {
		ids = append(ids, f.say("ann", conv, "x").ID)
	}
	read := func(user string, i int) int64 {
		t.Helper()
		return call(f, subjects.MessageMarkRead, user, subjects.MessageRequest{ConversationID: conv, MessageID: ids[i-1]}).UnreadCount
	}
	read("bob", 1)
	f.indexed()
	stop()
	if _, err := f.js.PauseConsumer(t.Context(), subjects.StreamMessages, foldConsumer, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	_, err := subjects.MessageRead.Publish(t.Context(), subjects.NewPublisher(f.nc, f.js), conv, subjects.MessageReadEvent{
		MessageID: ids[2], ConversationID: conv, UserID: "bob", ReadAt: subjects.Now(),
	}, subjects.WithMsgID("read."+ids[2]+"."+digest("bob")))
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(duplicates + duplicates/4) // real time is what this is about
	f.start(Options{})
	f.start(Options{})
	for range 4 { // both replicas
		if n := read("bob", 3); n != 1 {
			t.Errorf("bob has %d unread, want 1", n)
		}
		read("bob", 2)
		read("cyd", 2)
	}
	read("bob", 4)
	want := []string{"bob 1", "bob 3", "cyd 2", "bob 4"}
	if got := f.numbersRead(conv); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the log has the receipts %v, want %v", got, want)
	}
}

// TestReceiptsTogether: a member's devices and all members at once, through two replicas: receipts rise,
// and none is there twice.
func TestReceiptsTogether(t *testing.T) {
	f := newFixture(t)
	f.start(Options{})
	f.start(Options{})
	users := []string{"ann", "bob", "cyd", "dan", "eve"}
	conv := f.conversation("ann", users[1:]...)
	var ids []string
	for range 12 {
		ids = append(ids, f.say("ann", conv, "x").ID)
	}
	var all sync.WaitGroup
	for _, user := range users {
		for i := range ids {
			all.Go(func() {
				call(f, subjects.MessageMarkRead, user, subjects.MessageRequest{ConversationID: conv, MessageID: ids[i]})
			})
		}
	}
	all.Wait()
	last := map[string]int64{}
	for _, e := range f.logged(eventSubject(conv, "message:read")) {
		receipt, _ := subjects.MessageRead.Decode(e.data)
		p, _ := parseMessageID(receipt.MessageID)
		if p.number <= last[receipt.UserID] {
			t.Errorf("%s has read %d, says the log, and then %d", receipt.UserID, last[receipt.UserID], p.number)
		}
		last[receipt.UserID] = p.number
	}
	for _, user := range users {
		if last[user] != int64(len(ids)) {
			t.Errorf("the last receipt of %s is for message %d of %d", user, last[user], len(ids))
		}
	}
}
