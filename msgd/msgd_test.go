package msgd

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lexiflow/realtime/subjects"
)

func TestConversationFromEndToEnd(t *testing.T) {
	f := newFixture(t)
	f.start(Options{})
	conv := f.conversation("ann", "bob", "cyd")
	var want []string
	for i := range 10 {
		text := fmt.Sprint(i)
		want = append(want, text)
		f.say([]string{"ann", "bob"}[i%2], conv, text)
		if got := texts(f.pages("cyd", conv, 3)); got != strings.Join(want, " ") {
			t.Fatalf("history after %d messages: %q", i+1, got)
		}
	}
	f.indexed()
	if got := texts(f.pages("cyd", conv, 4)); got != strings.Join(want, " ") {
		t.Errorf("history from the index: %q", got)
	}
	messages := f.pages("cyd", conv, 100)
	if !slices.IsSortedFunc(messages, func(a, b subjects.Message) int { return strings.Compare(a.ID, b.ID) }) {
		t.Error("ids do not sort by time")
	}
	for user, unread := range map[string]int64{"ann": 5, "bob": 5, "cyd": 10} {
		page := call(f, subjects.ConversationList, user, subjects.ConversationListRequest{})
		if len(page.Conversations) != 1 || page.Conversations[0].UnreadCount != unread || page.UnreadCount != unread {
			t.Errorf("%s: %+v, want %d unread", user, page, unread)
		}
		if last := page.Conversations[0].LastMessage; last == nil || last.Content != "9" {
			t.Errorf("last message %+v", last)
		}
	}
	ack := call(f, subjects.MessageMarkRead, "cyd", subjects.MessageRequest{ConversationID: conv, MessageID: messages[6].ID})
	if ack.UnreadCount != 3 {
		t.Errorf("unread after reading the seventh: %d", ack.UnreadCount)
	}
}
