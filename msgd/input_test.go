package msgd

import (
	"fmt"
	"strings"
	"testing"

	"github.com/lexiflow/realtime/subjects"
)

// TestBadInput sends what is wrong in every way to every command: each is refused with its code, and
// nothing of it is stored.
func TestBadInput(t *testing.T) {
	f := newFixture(t)
	f.start(Options{MaxMembers: 100})
	own := f.conversation("ann", "bob")
	foreign := f.conversation("eve")
	m := f.say("bob", own, "hello")
	there := f.say("eve", foreign, "secret")
	huge := strings.Repeat("x", 900_000)
	users := func(n int) []string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprint("u", i)
		}
		return list
	}
	object := func(kv ...any) []byte {
		o := map[string]any{}
		for i := 0; i < len(kv); i += 2 {
			o[kv[i].(string)] = kv[i+1]
		}
		return mustJSON(o)
	}
	const (
		input, message = subjects.CodeInvalidInput, subjects.CodeInvalidMessage
		forbidden      = subjects.CodeForbidden
		large          = subjects.CodeMessageTooLarge
		notFound       = subjects.CodeNotFound
	)
	before := f.stored()
	for name, c := range map[string]struct {
		command string
		body    []byte
		want    subjects.Code
	}{
		"send: nothing":                 {"message.send", nil, message},
		"send: not JSON":                {"message.send", []byte("{"), message},
		"send: an array":                {"message.send", []byte("[1,2]"), message},
		"send: a string":                {"message.send", []byte(`"hello"`), message},
		"send: no content":              {"message.send", object("conversationId", own), message},
		"send: blank":                   {"message.send", object("conversationId", own, "content", " \n\t "), message},
		"send: content is a number":     {"message.send", object("conversationId", own, "content", 7), message},
		"send: content is an object":    {"message.send", object("conversationId", own, "content", map[string]any{}), message},
		"send: no conversation":         {"message.send", object("content", "x"), message},
		"send: 10,001 characters":       {"message.send", object("conversationId", own, "content", strings.Repeat("ä", 10_001)), large},
		"send: 900 kB":                  {"message.send", object("conversationId", own, "content", huge), large},
		"send: 7 MB":                    {"message.send", object("conversationId", own, "content", strings.Repeat("x", 7_000_000)), large},
		"send: foreign":                 {"message.send", object("conversationId", foreign, "content", "x"), forbidden},
		"send: unknown":                 {"message.send", object("conversationId", "conv-none", "content", "x"), forbidden},
		"send: a wildcard":              {"message.send", object("conversationId", "*", "content", "x"), forbidden},
		"send: a subject":               {"message.send", object("conversationId", own+".message.new", "content", "x"), forbidden},
		"send: an id of 10 kB":          {"message.send", object("conversationId", strings.Repeat("c", 10_000), "content", "x"), forbidden},
		"send: attachments are objects": {"message.send", object("conversationId", own, "content", "x", "attachments", []any{map[string]any{}}), message},
		"send: 21 attachments":          {"message.send", object("conversationId", own, "content", "x", "attachments", users(21)), message},
		"send: a long attachment":       {"message.send", object("conversationId", own, "content", "x", "attachments", []string{strings.Repeat("a", 2049)}), message},
		"send: a long clientId":         {"message.send", object("conversationId", own, "content", "x", "clientId", strings.Repeat("a", 129)), message},

		"create: nothing":         {"conversation.create", nil, input},
		"create: members a text":  {"conversation.create", object("memberIds", "bob"), input},
		"create: members numbers": {"conversation.create", object("memberIds", []int{1}), input},
		"create: an empty member": {"conversation.create", object("memberIds", []string{""}), input},
		"create: a long member":   {"conversation.create", object("memberIds", []string{strings.Repeat("u", 129)}), input},
		"create: a long title":    {"conversation.create", object("memberIds", []string{"bob"}, "title", strings.Repeat("t", 201)), input},
		"create: 101 members":     {"conversation.create", object("memberIds", users(101)), input},
		"create: 100,000 members": {"conversation.create", object("memberIds", users(100_000)), input},
		"create: 600,000 members": {"conversation.create", object("memberIds", users(600_000)), large},

		"members: nothing":         {"conversation.members", nil, input},
		"members: foreign":         {"conversation.members", object("conversationId", foreign, "add", []string{"ann"}), forbidden},
		"members: foreign list":    {"conversation.members", object("conversationId", foreign), forbidden},
		"members: unknown":         {"conversation.members", object("conversationId", "conv-none", "add", []string{"ann"}), forbidden},
		"members: both ways":       {"conversation.members", object("conversationId", own, "add", []string{"x"}, "remove", []string{"x"}), input},
		"members: 100,000":         {"conversation.members", object("conversationId", own, "add", users(100_000)), input},
		"members: one too many":    {"conversation.members", object("conversationId", own, "add", users(99)), input},
		"members: an empty id":     {"conversation.members", object("conversationId", own, "add", []string{""}), input},
		"members: not a list":      {"conversation.members", object("conversationId", own, "add", true), input},
		"join: nothing":            {"conversation.join", nil, input},
		"join: foreign":            {"conversation.join", object("conversationId", foreign), forbidden},
		"join: unknown":            {"conversation.join", object("conversationId", "conversation-123"), forbidden},
		"join: a number":           {"conversation.join", object("conversationId", 5), input},
		"leave: nothing":           {"conversation.leave", nil, input},
		"list: a bad cursor":       {"conversation.list", object("cursor", "zzz"), input},
		"list: a forged cursor":    {"conversation.list", object("cursor", "zzz.*"), input},
		"list: a negative limit":   {"conversation.list", object("limit", -1), input},
		"list: a fraction":         {"conversation.list", object("limit", 1.5), input},
		"history: nothing":         {"message.history", nil, input},
		"history: foreign":         {"message.history", object("conversationId", foreign), forbidden},
		"history: bad before":      {"message.history", object("conversationId", own, "before", "msg-1"), input},
		"history: before a number": {"message.history", object("conversationId", own, "before", 3), input},
		"history: negative limit":  {"message.history", object("conversationId", own, "limit", -5), input},

		"read: nothing":             {"message.read", nil, input},
		"read: no message":          {"message.read", object("conversationId", own), input},
		"read: unknown message":     {"message.read", object("conversationId", own, "messageId", "msg-123"), notFound},
		"read: invented number":     {"message.read", object("conversationId", own, "messageId", newMessageID(position{number: 1 << 30})), notFound},
		"read: invented id":         {"message.read", object("conversationId", own, "messageId", newMessageID(position{number: 1})), notFound},
		"read: another's message":   {"message.read", object("conversationId", own, "messageId", there.ID), notFound},
		"read: foreign":             {"message.read", object("conversationId", foreign, "messageId", there.ID), forbidden},
		"delivered: nothing":        {"message.delivered", nil, input},
		"delivered: foreign":        {"message.delivered", object("conversationId", foreign, "messageId", there.ID), forbidden},
		"edit: nothing":             {"message.edit", nil, message},
		"edit: another author":      {"message.edit", object("conversationId", own, "messageId", m.ID, "content", "forged"), forbidden},
		"edit: too long":            {"message.edit", object("conversationId", own, "messageId", m.ID, "content", strings.Repeat("x", 10_001)), large},
		"edit: foreign":             {"message.edit", object("conversationId", foreign, "messageId", there.ID, "content", "forged"), forbidden},
		"edit: unknown":             {"message.edit", object("conversationId", own, "messageId", there.ID, "content", "x"), notFound},
		"delete: nothing":           {"message.delete", nil, input},
		"delete: another author":    {"message.delete", object("conversationId", own, "messageId", m.ID), forbidden},
		"versions: foreign":         {"message.versions", object("conversationId", foreign, "messageId", there.ID), forbidden},
		"typing:start: nothing":     {"typing.start", nil, input},
		"typing:start: foreign":     {"typing.start", object("conversationId", foreign), forbidden},
		"typing:stop: foreign":      {"typing.stop", object("conversationId", foreign), forbidden},
		"typing: nothing":           {"typing", nil, input},
		"typing: foreign":           {"typing", object("conversationId", foreign, "isTyping", true), forbidden},
		"typing: a text for a bool": {"typing", object("conversationId", own, "isTyping", "yes"), input},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.raw("cmd."+c.command, "ann", c.body)
			if got := subjects.CodeOf(err); got != c.want {
				t.Errorf("%q (%v), want %q", got, err, c.want)
			}
		})
	}
	if after := f.stored(); after != before {
		t.Errorf("something was stored: %d messages before, %d after", before, after)
	}
	_, err := subjects.Request(t.Context(), f.nc, "cmd.conversation.list", subjects.Caller{}, nil)
	if got := subjects.CodeOf(err); got != subjects.CodeAuthFailed {
		t.Errorf("without a user: %q", got)
	}
}

// stored counts everything that is kept of conversations.
func (f *fixture) stored() (n uint64) {
	f.t.Helper()
	f.indexed()
	for _, name := range []string{subjects.StreamLog, conversationsStream, receiptsStream, subjects.StreamDeadLetter} {
		s, err := f.js.Stream(f.t.Context(), name)
		if err != nil {
			f.t.Fatal(err)
		}
		n += s.CachedInfo().State.LastSeq
	}
	return n
}

// TestLimits covers the largest that is allowed.
func TestLimits(t *testing.T) {
	f := newFixture(t)
	f.start(Options{MaxConversations: 2})
	conv := f.conversation("ann", "bob")
	for _, text := range []string{strings.Repeat("ä", 10_000), strings.Repeat("😀", 10_000), "  a  ", "<script>"} {
		if got := f.say("ann", conv, text).Content; got != strings.TrimSpace(text) {
			t.Errorf("%.20q became %.20q", text, got)
		}
	}
	f.conversation("ann")
	refused(f, subjects.ConversationCreate, "ann", subjects.ConversationCreateRequest{MemberIDs: []string{}}, subjects.CodeRoomLimit)
	refused(f, subjects.ConversationCreate, "eve", subjects.ConversationCreateRequest{MemberIDs: []string{"ann"}}, subjects.CodeRoomLimit)
	// A page of the largest messages is shorter than asked for, and says so.
	for range 30 {
		f.say("bob", conv, strings.Repeat("😀", 10_000))
	}
	page := call(f, subjects.MessageHistory, "ann", subjects.MessageHistoryRequest{ConversationID: conv, Limit: 100})
	if n := len(page.Messages); n == 0 || n > 15 || !page.HasMore {
		t.Errorf("a page of %d messages, more: %v", n, page.HasMore)
	}
	if all := f.pages("ann", conv, 100); len(all) != 34 {
		t.Errorf("%d messages in all", len(all))
	}
}

// TestPoison puts what nobody understands where only msgd may write: it is set aside and counted, and
// what is behind it goes on.
func TestPoison(t *testing.T) {
	f := newFixture(t)
	f.start(Options{})
	conv := f.conversation("ann", "bob")
	first := f.say("ann", conv, "first")
	for event, body := range map[string]string{
		"message:new":    `{"id":"msg-1","content":"by an operator"}`,
		"message:read":   `{"messageId":"` + first.ID + `","userId":""}`,
		"message:edited": `{}`,
	} {
		p := subjects.NewPublisher(f.nc, f.js)
		if _, err := p.PublishLog(t.Context(), subjects.KindConversation, conv, event, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.js.Publish(t.Context(), eventSubject(conv, "message:new"), []byte("not JSON")); err != nil {
		t.Fatal(err)
	}
	// The newest message on the subject is not msgd's: the number comes from behind it.
	second := f.say("bob", conv, "second")
	if p, _ := parseMessageID(second.ID); p.number != 2 {
		t.Errorf("the second message has the number %d", p.number)
	}
	f.indexed()
	if got := texts(f.pages("ann", conv, 1)); got != "first second" {
		t.Errorf("history %q", got)
	}
	f.await("the dead letters", func() bool {
		dead, err := f.js.Stream(t.Context(), subjects.StreamDeadLetter)
		return err == nil && dead.CachedInfo().State.Msgs == 3
	})
	refused(f, subjects.MessageHistory, "eve", subjects.MessageHistoryRequest{ConversationID: conv}, subjects.CodeForbidden)
}
