package msgd

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/subjects"
)

func (f *fixture) joined(subject, user string) []string {
	f.t.Helper()
	reply, err := f.raw(subject, user, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	if reply.Header.Get(subjects.HeaderService) != Name {
		f.t.Error("hello does not say who answered")
	}
	rooms := reply.Header.Get(subjects.HeaderJoin)
	if rooms == "" {
		return nil
	}
	return strings.Split(rooms, ",")
}

// TestMembership: a change is announced before it is acked, and holds from then on everywhere.
func TestMembership(t *testing.T) {
	f := newFixture(t)
	f.start(Options{})
	f.start(Options{})
	conv := f.conversation("ann", "bob")
	f.say("ann", conv, "before cyd")
	access := f.listen(eventSubject(conv, "access:changed"))
	news := f.listen("lex.*.*.conversation.updated")
	change := func(user string, add, remove []string, members ...string) {
		t.Helper()
		ack := call(f, subjects.ConversationMembers, user, subjects.ConversationMembersRequest{ConversationID: conv, Add: add, Remove: remove})
		change, err := subjects.AccessChanged.Decode(f.event(access).Data)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(change.Allow, members) || change.Revision != ack.Conversation.Revision {
			t.Errorf("announced %+v, want %v at revision %d", change, members, ack.Conversation.Revision)
		}
		if got, err := subjects.ConversationUpdated.Decode(f.event(news).Data); err != nil || !slices.Equal(got.MemberIDs, members) {
			t.Errorf("clients hear %+v", got)
		}
	}
	change("bob", []string{"cyd"}, nil, "ann", "bob", "cyd")
	if got := f.joined("hello.messaging", "cyd"); !slices.Equal(got, []string{"conversation." + conv}) {
		t.Errorf("hello of cyd joins %v", got)
	}
	if got := texts(f.pages("cyd", conv, 5)); got != "before cyd" {
		t.Errorf("cyd reads %q", got)
	}
	if n := call(f, subjects.ConversationList, "cyd", subjects.ConversationListRequest{}).UnreadCount; n != 0 {
		t.Errorf("what was said before cyd came counts as unread: %d", n)
	}
	refused(f, subjects.ConversationMembers, "cyd", subjects.ConversationMembersRequest{ConversationID: conv, Remove: []string{"bob"}}, subjects.CodeForbidden)
	change("ann", nil, []string{"cyd"}, "ann", "bob")
	if m := f.event(news); m.Subject != "lex.user.cyd.conversation.updated" {
		t.Errorf("the note to cyd came on %s", m.Subject)
	}
	if got := f.joined("hello.ws", "cyd"); got != nil {
		t.Errorf("hello of cyd joins %v", got)
	}
	for range 4 { // both replicas
		refused(f, subjects.MessageSend, "cyd", subjects.MessageSendRequest{ConversationID: conv, Content: "x"}, subjects.CodeForbidden)
		refused(f, subjects.MessageHistory, "cyd", subjects.MessageHistoryRequest{ConversationID: conv}, subjects.CodeForbidden)
		refused(f, subjects.TypingStarted, "cyd", subjects.ConversationRequest{ConversationID: conv}, subjects.CodeForbidden)
	}
	change("ann", nil, []string{"ann"}, "bob") // out by oneself
	f.event(news)                              // the note
	change("bob", []string{"dan"}, nil, "bob", "dan")
	change("dan", nil, []string{"bob"}, "dan") // who made it is gone: any member may
	f.silent(access)
}

// TestRepeatedChanges change nothing and announce nothing.
func TestRepeatedChanges(t *testing.T) {
	f := newFixture(t)
	f.start(Options{})
	req := subjects.ConversationCreateRequest{Title: "case 7", MemberIDs: []string{"bob", "bob", "ann"}, ClientID: "c1"}
	first := call(f, subjects.ConversationCreate, "ann", req)
	if !slices.Equal(first.Conversation.MemberIDs, []string{"ann", "bob"}) || first.Conversation.Title != "case 7" {
		t.Errorf("%+v", first.Conversation)
	}
	access := f.listen("lex.conversation.*.access.changed")
	if again := call(f, subjects.ConversationCreate, "ann", req); again.ConversationID != first.ConversationID {
		t.Error("created twice")
	}
	members := subjects.ConversationMembersRequest{ConversationID: first.ConversationID, Add: []string{"bob"}, Remove: []string{"cyd"}}
	call(f, subjects.ConversationMembers, "ann", members)
	f.silent(access)
	if other := call(f, subjects.ConversationCreate, "bob", req); other.ConversationID == first.ConversationID {
		t.Error("another user's clientId gives the same conversation")
	}
}

// TestJoinAndLeaveAreTheSockets: rooms, not membership.
func TestJoinAndLeaveAreTheSockets(t *testing.T) {
	f := newFixture(t)
	f.start(Options{})
	conv := f.conversation("ann", "bob")
	body := mustJSON(subjects.ConversationRequest{ConversationID: conv})
	for command, header := range map[string]string{"join": subjects.HeaderJoin, "leave": subjects.HeaderLeave} {
		reply, err := f.raw("cmd.conversation."+command, "bob", body)
		if err != nil {
			t.Fatal(err)
		}
		if got := reply.Header.Get(header); got != "conversation."+conv {
			t.Errorf("%s: %s is %q", command, header, got)
		}
		if want := `{"success":true,"conversationId":"` + conv + `"}`; string(reply.Data) != want {
			t.Errorf("%s: %s", command, reply.Data)
		}
	}
	f.say("bob", conv, "still a member")
}

func TestListPages(t *testing.T) {
	f := newFixture(t)
	f.start(Options{HelloRooms: 3})
	var convs []string
	for range 7 {
		convs = append(convs, f.conversation("ann", "bob"))
	}
	for _, i := range []int{4, 1, 6, 0, 2, 5, 3} {
		f.say("bob", convs[i], fmt.Sprint(i))
	}
	want := []string{"3", "5", "2", "0", "6", "1", "4"}
	var got []string
	req := subjects.ConversationListRequest{Limit: 3}
	for {
		page := call(f, subjects.ConversationList, "ann", req)
		for _, c := range page.Conversations {
			got = append(got, c.LastMessage.Content)
			if c.UnreadCount != 1 {
				t.Errorf("%d unread in %s", c.UnreadCount, c.LastMessage.Content)
			}
		}
		if req.Cursor = page.Cursor; req.Cursor == "" {
			break
		}
	}
	slices.Sort(got) // messages of one millisecond have no order among conversations
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("listed %v", got)
	}
	if rooms := f.joined("hello.messaging", "ann"); len(rooms) != 3 {
		t.Errorf("hello joins %v, the cap is 3", rooms)
	}
	if rooms := f.joined("hello.root", "eve"); rooms != nil {
		t.Errorf("hello of a stranger joins %v", rooms)
	}
}

func TestReceipts(t *testing.T) {
	f := newFixture(t)
	f.start(Options{})
	conv := f.conversation("ann", "bob")
	var ids []string
	for i := range 5 {
		ids = append(ids, f.say("ann", conv, fmt.Sprint(i)).ID)
	}
	events := f.listen(eventSubject(conv, "message:read"))
	read := func(i int) int64 {
		return call(f, subjects.MessageMarkRead, "bob", subjects.MessageRequest{ConversationID: conv, MessageID: ids[i]}).UnreadCount
	}
	for _, step := range []struct {
		message int
		unread  int64
	}{{2, 2}, {2, 2}, {0, 2}, {4, 0}} {
		if got := read(step.message); got != step.unread {
			t.Errorf("after reading %d: %d unread, want %d", step.message, got, step.unread)
		}
	}
	for _, i := range []int{2, 4} {
		e, err := subjects.MessageRead.Decode(f.event(events).Data)
		if err != nil || e.MessageID != ids[i] || e.UserID != "bob" || e.ConversationID != conv || e.ReadAt.IsZero() {
			t.Errorf("event %+v", e)
		}
	}
	f.silent(events) // reading again, or less, is no news
	call(f, subjects.MessageMarkDelivered, "bob", subjects.MessageRequest{ConversationID: conv, MessageID: ids[3]})
	receipts := call(f, subjects.ConversationMembers, "ann", subjects.ConversationMembersRequest{ConversationID: conv}).Receipts
	want := []subjects.Receipt{{UserID: "ann"}, {UserID: "bob", ReadMessageID: ids[4], DeliveredMessageID: ids[3]}}
	if !slices.Equal(receipts, want) {
		t.Errorf("receipts %+v", receipts)
	}
}

// TestReadIsTheLogs: a read receipt that was logged counts, also when its writer died before it wrote
// the watermark.
func TestReadIsTheLogs(t *testing.T) {
	f := newFixture(t)
	f.start(Options{})
	conv := f.conversation("ann", "bob")
	m := f.say("ann", conv, "x")
	p := subjects.NewPublisher(f.nc, f.js)
	if _, err := subjects.MessageRead.Publish(t.Context(), p, conv, subjects.MessageReadEvent{
		MessageID: m.ID, ConversationID: conv, UserID: "bob", ReadAt: subjects.Now(),
	}); err != nil {
		t.Fatal(err)
	}
	f.await("the watermark", func() bool {
		return call(f, subjects.ConversationList, "bob", subjects.ConversationListRequest{}).UnreadCount == 0
	})
}

func TestEditing(t *testing.T) {
	f := newFixture(t)
	f.start(Options{MaxVersions: 3})
	conv := f.conversation("ann", "bob")
	m := f.say("ann", conv, "one")
	f.say("bob", conv, "other")
	events := f.listen("lex.conversation." + conv + ".message.*")
	edit := subjects.MessageEditRequest{ConversationID: conv, MessageID: m.ID, Content: "two"}
	for range 2 { // a repetition is no version
		if got := call(f, subjects.MessageEdit, "ann", edit).Message; got.Content != "two" || got.Version != 2 || !got.IsEdited {
			t.Errorf("%+v", got)
		}
	}
	edit.Content = "three"
	call(f, subjects.MessageEdit, "ann", edit)
	edit.Content = "four"
	refused(f, subjects.MessageEdit, "ann", edit, subjects.CodeConflict)
	request := subjects.MessageRequest{ConversationID: conv, MessageID: m.ID}
	var said []string
	for _, v := range call(f, subjects.MessageVersions, "bob", request).Versions {
		said = append(said, fmt.Sprint(v.Version, v.Content))
	}
	if got := strings.Join(said, " "); got != "1one 2two 3three" {
		t.Errorf("versions %s", got)
	}
	if got := texts(f.pages("bob", conv, 10)); got != "three other" {
		t.Errorf("history %q", got)
	}
	for range 2 {
		if got := call(f, subjects.MessageDelete, "ann", request).Message; !got.IsDeleted || got.Content != "" || got.Version != 4 {
			t.Errorf("%+v", got)
		}
	}
	refused(f, subjects.MessageEdit, "ann", edit, subjects.CodeConflict)
	refused(f, subjects.MessageVersions, "bob", request, subjects.CodeNotFound)
	var heard []string
	for range 3 {
		m := f.event(events)
		c, err := subjects.MessageEdited.Decode(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		heard = append(heard, fmt.Sprint(lastToken(m), c.Version, c.Content))
	}
	if got := strings.Join(heard, " "); got != "edited2two edited3three deleted4" {
		t.Errorf("events %s", got)
	}
	f.silent(events)
	if page := call(f, subjects.ConversationList, "bob", subjects.ConversationListRequest{}); page.UnreadCount != 1 {
		t.Errorf("%d unread: a deleted message counts until it is passed", page.UnreadCount)
	}
}

func lastToken(m *nats.Msg) string { return m.Subject[strings.LastIndexByte(m.Subject, '.')+1:] }
