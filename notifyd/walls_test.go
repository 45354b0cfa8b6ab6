package notifyd

import (
	"strings"
	"testing"
	"time"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
)

// TestWalledOffAtOnce: who is taken out of a case is told nothing of what the log has behind that, though the
// bucket of access lists, which is filled from the log, has not heard of it; and who is let in may follow.
func TestWalledOffAtOnce(t *testing.T) {
	b := startBus(t, natsd.Options{}, 0)
	s, _ := b.run(Options{DigestWindow: 10 * time.Millisecond})
	b.admit(s, subjects.KindCase, "1", []string{"out", "in"}, nil, 1)
	follow := func(user string) error {
		_, err := subjects.NotificationFollow.Call(b.ctx(), b.nc, subjects.Caller{User: user}, subjects.CaseRequest{CaseID: "1"})
		return err
	}
	for _, user := range []string{"out", "in"} {
		if err := follow(user); err != nil {
			t.Fatal(err)
		}
	}
	stream, err := b.js.Stream(b.ctx(), "KV_"+subjects.BucketAccess)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.Sources = nil // what a source is that has lost its leader
	if _, err := b.js.UpdateStream(b.ctx(), config); err != nil {
		t.Fatal(err)
	}
	b.event("1", "access:changed", `{"allow":["in","new"],"revision":2}`)
	if err := follow("new"); err != nil {
		t.Errorf("who was let in cannot follow: %v", err)
	}
	b.event("1", "deadline:missed", `{"description":"Reply"}`)
	b.event("1", "task:created", `{"title":"File it"}`)
	b.until("they are told", func() bool { return b.hello("in") == 2 && b.hello("new") == 2 })
	if got := b.titles("out"); got != "" {
		t.Errorf("who was taken out was told %s", got)
	}
	if err := follow("out"); subjects.CodeOf(err) != subjects.CodeForbidden {
		t.Errorf("who was taken out follows: %v", err)
	}
}

// TestLeadersAreAsked: what decides is asked of a stream's leader, unless a compare-and-set follows. Another
// replica may be behind, and would let the service pass over an event whose follower it does not know yet.
func TestLeadersAreAsked(t *testing.T) {
	b := startBus(t, natsd.Options{}, 0)
	spy := b.runSpied(Options{DigestWindow: 10 * time.Millisecond, OpenCases: true})
	b.must("u", "notification:follow", `{"caseId":"c1"}`)
	before := len(spy.said())
	b.event("c1", "task:created", `{"title":"File it"}`)
	b.queue("notify.many", []byte(`{"type":"a","title":"t","message":"m","audience":{"userIds":["u"],"case":"c1"}}`), "")
	b.until("both are there", func() bool { return b.hello("u") == 2 })
	all, _ := b.list("u", false)
	b.must("u", "notification:mark-read", `{"notificationId":"`+all[0].ID+`"}`)
	said := spy.said()[before:]
	if n := strings.Count(said, "$JS.API.STREAM.MSG.GET."); n < 5 {
		t.Errorf("leaders were asked %d times: this test sees nothing", n)
	}
	for _, read := range []string{"KV_FOLLOWS.$KV.FOLLOWS.case.", "KV_ACCESS.", "LEX.lex."} {
		if strings.Contains(said, "$JS.API.DIRECT.GET."+read) {
			t.Errorf("any replica is asked for %s", read)
		}
	}
}
