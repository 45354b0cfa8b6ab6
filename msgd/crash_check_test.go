package msgd

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/lexiflow/realtime/subjects"
)

// check compares what is left with the model, through a fresh replica.
func (w *world) check() {
	w.f.start(Options{OutboxDelay: 100 * time.Millisecond})
	w.f.await("announcements are made up", w.announced)
	w.f.indexed()
	for _, conv := range w.convs {
		w.checkMessages(conv)
		w.checkLog(conv)
		w.checkReceipts(conv)
		w.checkUnread(conv)
		w.checkMembers(conv)
	}
}

// announced reports whether nothing is pending.
func (w *world) announced() bool {
	s := &store{nc: w.f.nc, js: w.f.js}
	quiet := true
	err := s.scan(w.t.Context(), conversationsStream, conversationsPrefix+">", 1, func(e entry) bool {
		var v struct {
			Pending []json.RawMessage `json:"pending"`
		}
		if json.Unmarshal(e.data, &v) == nil && len(v.Pending) > 0 {
			quiet = false
		}
		return true
	})
	return err == nil && quiet
}

// checkMessages: every acked message once, with its newest content, and nothing else.
func (w *world) checkMessages(conv string) {
	history := w.f.pages("bob", conv, 37)
	seen := map[string]int{}
	for i, m := range history {
		seen[m.ClientID]++
		p, ok := parseMessageID(m.ID)
		if !ok || p.number != int64(i+1) {
			w.t.Errorf("message %d of the history has the id %s", i+1, m.ID)
		}
		versions := w.said[m.ID]
		switch {
		case len(versions) == 0:
			w.t.Errorf("message %s in the history was never acked", m.ID)
		case w.deleted[m.ID]:
			if !m.IsDeleted || m.Content != "" || m.Version != int64(len(versions)+1) {
				w.t.Errorf("deleted message %s: %+v", m.ID, m)
			}
		case m.Content != versions[len(versions)-1] || m.Version != int64(len(versions)):
			w.t.Errorf("message %s says %q in version %d, acked were %q", m.ID, m.Content, m.Version, versions)
		}
	}
	if len(history) != len(w.ids[conv]) {
		w.t.Errorf("%d messages in the history, %d were acked", len(history), len(w.ids[conv]))
	}
	for clientID, n := range seen {
		if n != 1 || w.sent[clientID] == "" {
			w.t.Errorf("clientId %q is in the history %d times, acked as %q", clientID, n, w.sent[clientID])
		}
	}
}

// checkLog: no message twice, and every version of an edited one once and in order.
func (w *world) checkLog(conv string) {
	ids := map[string]bool{}
	for _, e := range w.f.logged(eventSubject(conv, "message:new")) {
		m, _ := decodeMessage(e.data)
		if ids[m.message.ID] {
			w.t.Errorf("message %s is in the log twice", m.message.ID)
		}
		ids[m.message.ID] = true
	}
	versions := map[string][]int64{}
	changes := w.f.logged(eventSubject(conv, "message:edited"))
	changes = append(changes, w.f.logged(eventSubject(conv, "message:deleted"))...)
	slices.SortFunc(changes, func(a, b entry) int { return cmp.Compare(a.seq, b.seq) })
	for _, e := range changes {
		c, err := subjects.MessageDeleted.Decode(e.data)
		if err != nil {
			w.t.Error(err)
		}
		versions[c.MessageID] = append(versions[c.MessageID], c.Version)
	}
	for _, id := range w.ids[conv] {
		last := len(w.said[id])
		if w.deleted[id] {
			last++
		}
		var want []int64
		for v := 2; v <= last; v++ {
			want = append(want, int64(v))
		}
		if !slices.Equal(versions[id], want) {
			w.t.Errorf("the log has the versions %v of message %s, want %v", versions[id], id, want)
		}
	}
}

// checkReceipts: those of one member rise, none is there twice, and the last one says what was acked.
func (w *world) checkReceipts(conv string) {
	last := map[string]int64{}
	for _, e := range w.f.logged(eventSubject(conv, "message:read")) {
		receipt, err := subjects.MessageRead.Decode(e.data)
		p, ok := parseMessageID(receipt.MessageID)
		if err != nil || !ok {
			w.t.Errorf("a receipt for %q: %v", receipt.MessageID, err)
		}
		if p.number <= last[receipt.UserID] {
			w.t.Errorf("%s has read message %d, says the log, and then %d", receipt.UserID, last[receipt.UserID], p.number)
		}
		last[receipt.UserID] = p.number
	}
	for _, user := range crashUsers {
		if want := w.read[[2]string{conv, user}]; last[user] != want {
			w.t.Errorf("the last receipt of %s in the log is for message %d, acked was %d", user, last[user], want)
		}
	}
}

func (w *world) checkUnread(conv string) {
	history := w.f.pages("bob", conv, 100)
	for _, user := range crashUsers {
		want := int64(0)
		for i, m := range history {
			if m.SenderID != user && int64(i+1) > w.read[[2]string{conv, user}] {
				want++
			}
		}
		for _, c := range call(w.f, subjects.ConversationList, user, subjects.ConversationListRequest{}).Conversations {
			if c.ID == conv && c.UnreadCount != want {
				w.t.Errorf("%s has %d unread, the model %d", user, c.UnreadCount, want)
			}
		}
	}
}

// checkMembers: the conversation, the log, the bucket ACCESS and every user's hello agree.
func (w *world) checkMembers(conv string) {
	want := slices.Clone(crashUsers)
	if w.guests[conv] {
		want = append(want, "guest")
	}
	ack := call(w.f, subjects.ConversationMembers, "ann", subjects.ConversationMembersRequest{ConversationID: conv})
	got := slices.Sorted(slices.Values(ack.Conversation.MemberIDs))
	if !slices.Equal(got, want) {
		w.t.Errorf("members %v, want %v", got, want)
	}
	notes := 0
	for _, e := range w.f.logged("lex.user.guest.conversation.updated") {
		if note, err := subjects.ConversationUpdated.Decode(e.data); err != nil || note.ConversationID == conv {
			notes++
		}
	}
	if notes != w.left[conv] {
		w.t.Errorf("the guest was taken out %d times and told so %d times", w.left[conv], notes)
	}
	revision := int64(0)
	var access subjects.AccessChangedEvent
	for _, e := range w.f.logged(eventSubject(conv, "access:changed")) {
		var err error
		if access, err = subjects.AccessChanged.Decode(e.data); err != nil {
			w.t.Error(err)
		}
		if access.Revision <= revision {
			w.t.Errorf("access.changed of revision %d follows %d", access.Revision, revision)
		}
		revision = access.Revision
	}
	if allow := slices.Sorted(slices.Values(access.Allow)); !slices.Equal(allow, want) || revision != ack.Conversation.Revision {
		w.t.Errorf("the log allows %v at revision %d, want %v at %d", allow, revision, want, ack.Conversation.Revision)
	}
	kv, err := w.f.js.KeyValue(w.t.Context(), subjects.BucketAccess)
	if err != nil {
		w.t.Fatal(err)
	}
	kept, err := kv.Get(w.t.Context(), "conversation."+conv)
	if err != nil {
		w.t.Fatal(err)
	}
	if access, err = subjects.AccessChanged.Decode(kept.Value()); err != nil || access.Revision != revision {
		w.t.Errorf("the bucket has revision %d (%v), the log %d", access.Revision, err, revision)
	}
	for _, user := range append([]string{"guest"}, crashUsers...) {
		reply, err := w.f.raw(subjects.HelloSubject(subjects.NamespaceMessaging), user, nil)
		if err != nil {
			w.t.Fatal(err)
		}
		joined := slices.Contains(strings.Split(reply.Header.Get(subjects.HeaderJoin), ","), "conversation."+conv)
		if joined != slices.Contains(want, user) {
			w.t.Errorf("hello joins %s: %v", user, joined)
		}
	}
}
