package notifyd

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
)

func names(events []logged) string {
	var all []string
	for _, e := range events {
		name := strings.TrimPrefix(e.name, "notification:")
		if name == "count" {
			name = fmt.Sprint(e.data["count"])
		}
		all = append(all, name)
	}
	return strings.Join(all, " ")
}

func TestOneNotificationThroughItsLife(t *testing.T) {
	b := startBus(t, natsd.Options{}, 0)
	b.run(Options{})
	const user = "auth0|u@1" // has to be escaped
	if got := b.hello(user); got != 0 {
		t.Errorf("a new user has %d unread", got)
	}
	subject, err := subjects.NotifyUserSubject(user)
	if err != nil {
		t.Fatal(err)
	}
	b.queue(subject, []byte(`{"type":"document_uploaded","title":"Brief","message":"<b>é\n</b>","priority":"high",
		"metadata":{"big":12345678901234567890},"actionUrl":"/cases/1","relatedEntityId":"d1","relatedEntityType":"document"}`), "m1")
	b.drained()
	all, unread := b.list(user, false)
	if len(all) != 1 || unread != 1 || b.hello(user) != 1 {
		t.Fatalf("%+v, %d unread", all, unread)
	}
	n := all[0]
	if n.Title != "Brief" || n.Message != "<b>é\n</b>" || n.Type != "document_uploaded" || n.UserID != user || n.Read || n.ReadAt != "" ||
		n.CreatedAt == "" || n.RelatedEntityID != "d1" || !strings.HasPrefix(n.ID, "ntf-") {
		t.Errorf("%+v", n)
	}
	id := fmt.Sprintf(`{"notificationId":%q}`, n.ID)
	for i, step := range []struct {
		event, body string
		unread      float64
	}{
		{"notification:mark-read", id, 0},
		{"notification:mark-read", id, 0}, // twice is once
		{"notification:mark-unread", id, 1},
		{"notification:mark-unread", id, 1},
		{"notification:mark-all-read", "", 0},
		{"notification:mark-all-read", "{}", 0},
		{"notification:mark-unread", id, 1},
	} {
		if ack := b.must(user, step.event, step.body); ack["success"] != true || ack["unreadCount"] != step.unread {
			t.Errorf("step %d, %s: %v", i, step.event, ack)
		}
	}
	// wasUnread of a client is a lie here, and does not matter.
	for range 2 {
		if ack := b.must(user, "notification:delete", fmt.Sprintf(`{"notificationId":%q,"wasUnread":false}`, n.ID)); ack["success"] != true {
			t.Errorf("delete: %v", ack)
		}
	}
	if _, err := b.ask(user, "notification:mark-read", id); subjects.CodeOf(err) != subjects.CodeNotFound {
		t.Errorf("marking what is deleted: %v", err)
	}
	const want = "new 1 read 0 unread 1 all-read 0 unread 1 deleted 0"
	if got := names(b.log(user)); got != want {
		t.Errorf("the log says\n  %s, want\n  %s", got, want)
	}
	first := b.log(user)[0].data
	if first["id"] != n.ID || first["userId"] != user || first["priority"] != "high" || first["actionUrl"] != "/cases/1" {
		t.Errorf("notification:new is %v", first)
	}
}

func TestRepetitionsAreOne(t *testing.T) {
	b := startBus(t, natsd.Options{}, 100*time.Millisecond)
	b.run(Options{})
	for range 3 {
		b.queue("notify.user.u", noticeJSON("a"), "same")
		b.drained()
		b.until("the id is forgotten", func() bool {
			ack, err := b.js.Publish(b.ctx(), "notify.user.u", noticeJSON("a"), jsMsgID("same"))
			return err == nil && !ack.Duplicate
		})
		b.drained()
	}
	if all, unread := b.list("u", false); len(all) != 1 || unread != 1 {
		t.Errorf("%d stored, %d unread", len(all), unread)
	}
	if got := names(b.log("u")); got != "new 1" {
		t.Errorf("the log says %s", got)
	}
}

func TestPoisonBecomesDeadLetters(t *testing.T) {
	b := startBus(t, natsd.Options{}, 0)
	b.run(Options{})
	long := strings.Repeat("x", 300)
	for reason, bodies := range map[string][]string{
		"not-a-notice":       {``, `null x`, `[]`, `{"type":5,"title":"t"}`, `{"type":"a","title":["t"]}`, "\xff\xfe"},
		"invalid-type":       {`{}`, `null`, `{"title":"t","message":"m"}`, `{"type":"Bad Type","title":"t"}`},
		"invalid-title":      {`{"type":"a","message":"m"}`, `{"type":"a","title":"` + long + `"}`, `{"type":"a","title":"  "}`},
		"invalid-priority":   {`{"type":"a","title":"t","priority":"huge"}`},
		"invalid-metadata":   {`{"type":"a","title":"t","metadata":[1]}`, `{"type":"a","title":"t","metadata":{"k":"` + strings.Repeat("x", 9000) + `"}}`},
		"invalid-action-url": {`{"type":"a","title":"t","actionUrl":"javascript:alert(1)"}`, `{"type":"a","title":"t","actionUrl":"//evil"}`, `{"type":"a","title":"t","actionUrl":"/\\evil"}`},
		"invalid-message":    {`{"type":"a","title":"t","message":"` + strings.Repeat("y", 4001) + `"}`},
		"invalid-entity":     {`{"type":"a","title":"t","relatedEntityId":"` + long + `"}`},
		"too-large":          {`{"type":"a","title":"t","more":"` + strings.Repeat("y", maxNotice) + `"}`},
	} {
		before := b.letters()[reason]
		for _, body := range bodies {
			b.queue("notify.user.u", []byte(body), "")
		}
		b.drained()
		if got := b.letters()[reason] - before; got != len(bodies) {
			t.Errorf("%s: %d dead letters, want %d; all: %v", reason, got, len(bodies), b.letters())
		}
	}
	for reason, body := range map[string]string{
		"no-audience":        `{"type":"a","title":"t"}`,
		"invalid-audience":   `{"type":"a","title":"t","audience":{"userIds":["` + long + `"]}}`,
		"audience-too-large": `{"type":"a","title":"t","audience":{"userIds":["` + strings.Repeat(`u","`, 200_000) + `"]}}`,
		"too-large":          `{"type":"a","title":"t","audience":{"userIds":["` + strings.Repeat(`u","`, 1_000_000) + `"]}}`,
	} {
		before := b.letters()[reason]
		b.queue(subjects.NotifyMany, []byte(body), "")
		b.drained()
		if got := b.letters()[reason] - before; got != 1 {
			t.Errorf("%s: %d dead letters", reason, got)
		}
	}
	b.queue("notify.user.=61", noticeJSON("t"), "") // not canonical
	b.queue("notify.user.u", noticeJSON("good"), "")
	b.drained()
	if b.letters()["invalid-user"] != 1 {
		t.Error("a user that is none")
	}
	if all, _ := b.list("u", false); len(all) != 1 || all[0].Title != "good" {
		t.Errorf("stored: %+v", all)
	}
}

func TestBadCommandsStoreNothing(t *testing.T) {
	b := startBus(t, natsd.Options{}, 0)
	s, _ := b.run(Options{})
	b.queue("notify.user.other", noticeJSON("t"), "")
	b.drained()
	foreign, _ := b.list("other", false)
	for _, step := range []struct {
		event, body string
		code        subjects.Code
	}{
		{"notification:mark-read", "", subjects.CodeInvalidInput},
		{"notification:mark-read", "{}", subjects.CodeInvalidInput},
		{"notification:mark-read", `{"notificationId":5}`, subjects.CodeInvalidInput},
		{"notification:mark-read", `"x"`, subjects.CodeInvalidInput},
		{"notification:mark-read", `{"notificationId":"` + strings.Repeat("x", 5<<20) + `"}`, subjects.CodeInvalidInput},
		{"notification:mark-read", `{"notificationId":"nope"}`, subjects.CodeNotFound},
		{"notification:mark-read", fmt.Sprintf(`{"notificationId":%q}`, foreign[0].ID), subjects.CodeNotFound},
		{"notification:mark-unread", `{"notificationId":"ntf-0000000001-zzz"}`, subjects.CodeNotFound},
		{"notification:delete", `{"notificationId":"nope"}`, subjects.CodeNotFound},
		{"notification:delete", `[]`, subjects.CodeInvalidInput},
		{"notification:list", `{"limit":-1}`, subjects.CodeInvalidInput},
		{"notification:list", `{"limit":"x"}`, subjects.CodeInvalidInput},
		{"notification:list", `{"cursor":"x"}`, subjects.CodeInvalidInput},
		{"notification:preferences", `{"set":{"muted":["NOT A TYPE"]}}`, subjects.CodeInvalidInput},
		{"notification:preferences", `{"set":{"muted":[` + strings.Repeat(`"a",`, 100) + `"a"]}}`, subjects.CodeInvalidInput},
		{"notification:preferences", `{"set":{"quietHours":{"enabled":true,"start":"25:00","end":"07:00"}}}`, subjects.CodeInvalidInput},
		{"notification:preferences", `{"set":{"quietHours":{"enabled":true,"start":"22:00","end":"07:00","timeZone":"Mars/Base"}}}`, subjects.CodeInvalidInput},
		{"notification:follow", `{}`, subjects.CodeInvalidInput},
		{"notification:follow", `{"caseId":"` + strings.Repeat("c", 200) + `"}`, subjects.CodeInvalidInput},
		{"notification:follow", `{"caseId":"walled"}`, subjects.CodeForbidden},
	} {
		if _, err := b.ask("u", step.event, step.body); subjects.CodeOf(err) != step.code {
			t.Errorf("%s %.60s: %v, want %s", step.event, step.body, err, step.code)
		}
	}
	if _, err := b.ask("", "notification:mark-all-read", ""); subjects.CodeOf(err) != subjects.CodeAuthFailed {
		t.Errorf("nobody asks: %v", err)
	}
	b.must("u", "notification:mark-all-read", "")
	b.must("u", "notifications:subscribe", "")
	b.must("u", "notifications:unsubscribe", "")
	keys, err := s.store.kv.Keys(t.Context())
	if err != nil || len(keys) != 2 {
		t.Errorf("the bucket has %v, %v", keys, err)
	}
	if got := b.log("u"); len(got) != 0 {
		t.Errorf("the log has %v", got)
	}
}

func TestSendAnswersWithErrors(t *testing.T) {
	b := startBus(t, natsd.Options{}, 0)
	b.run(Options{})
	send := func(body string) error {
		_, err := subjects.Request(b.ctx(), b.nc, subjects.NotifySend, subjects.Caller{}, []byte(body))
		return err
	}
	for _, body := range []string{
		`{"type":"a","title":"t"}`,
		`{"userId":"u","type":"a"}`,
		`{"userId":"u","audience":{"firm":true},"type":"a","title":"t"}`,
		`{"audience":{},"type":"a","title":"t"}`,
		`{"userId":"` + strings.Repeat("u", 200) + `","type":"a","title":"t"}`,
		`{"type":"a","title":"t","audience":{"userIds":["` + strings.Repeat(`u","`, 200_000) + `"]}}`,
	} {
		if err := send(body); subjects.CodeOf(err) != subjects.CodeInvalidInput {
			t.Errorf("%.60s: %v", body, err)
		}
	}
	if err := send(`{"type":"a","title":"t","audience":{"userIds":["` + strings.Repeat(`u","`, 1_000_000) + `"]}}`); subjects.CodeOf(err) != subjects.CodeMessageTooLarge {
		t.Errorf("a million users: %v", err)
	}
	for _, body := range []string{
		`{"userId":"u","type":"a","title":"t"}`,
		`{"audience":{"userIds":["u","v"]},"type":"a","title":"t"}`,
	} {
		if err := send(body); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
	b.drained()
	if n := b.hello("u"); n != 2 {
		t.Errorf("u has %d unread", n)
	}
	if n := b.hello("v"); n != 1 {
		t.Errorf("v has %d unread", n)
	}
	if len(b.letters()) != 0 {
		t.Errorf("dead letters: %v", b.letters())
	}
}

// TestManyForOne covers bursts, pages, the cap and deleting across pages.
func TestManyForOne(t *testing.T) {
	b := startBus(t, natsd.Options{}, 0)
	s, stop := b.run(Options{Keep: 150})
	const total = 400
	for i := range total {
		b.queue("notify.user.u", noticeJSON(fmt.Sprint(i)), "")
		if i%7 == 0 {
			b.drained() // so that bodies go to pages a few at a time
		}
	}
	b.drained()
	all, unread := b.list("u", false)
	if len(all) != 150 || unread != 150 {
		t.Fatalf("%d kept, %d unread", len(all), unread)
	}
	for i, n := range all {
		if want := fmt.Sprint(total - 1 - i); n.Title != want {
			t.Fatalf("place %d has %s, want %s", i, n.Title, want)
		}
	}
	for i, n := range all {
		if i%3 == 0 {
			b.must("u", "notification:mark-read", fmt.Sprintf(`{"notificationId":%q}`, n.ID))
		}
	}
	if open, unread := b.list("u", true); len(open) != 100 || unread != 100 {
		t.Errorf("%d listed as unread, %d unread", len(open), unread)
	}
	for _, n := range all {
		b.must("u", "notification:delete", fmt.Sprintf(`{"notificationId":%q}`, n.ID))
	}
	if all, unread := b.list("u", false); len(all)+unread != 0 {
		t.Errorf("%d kept, %d unread", len(all), unread)
	}
	stop()
	keys, err := s.store.kv.Keys(t.Context())
	if err != nil || len(keys) != 2 {
		t.Errorf("the bucket has %v, %v", keys, err)
	}
	checkFold(t, b, map[string]int{"u": 0})
}
