package notifyd

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
)

// admit writes who may enter a room, and waits until ACCESS has it.
func (b *bus) admit(s *Service, kind subjects.Kind, id string, allow, deny []string, revision int64) {
	b.t.Helper()
	_, err := subjects.AccessChanged.To(kind).Publish(b.ctx(), subjects.NewPublisher(b.nc, b.js), id,
		subjects.AccessChangedEvent{Allow: allow, Deny: deny, Revision: revision})
	if err != nil {
		b.t.Fatal(err)
	}
	b.until("ACCESS has it", func() bool {
		list, err := s.access(b.ctx(), kind, id)
		return err == nil && list.Revision == revision
	})
}

func TestAudiences(t *testing.T) {
	b := startBus(t, natsd.Options{}, 0)
	s, _ := b.run(Options{AudiencePage: 2})
	b.admit(s, subjects.KindCase, "c1", []string{"a", "b", "x@y"}, []string{"b", "f2"}, 1)
	b.admit(s, subjects.KindConversation, "k1", []string{"c", "d"}, nil, 1)
	b.admit(s, subjects.KindTeam, "t1", []string{"d", "e"}, nil, 1)
	b.must("f1", "notification:follow", `{"caseId":"c1"}`) // by the scope of its token
	everybody := []string{"a", "b", "c", "d", "e", "f1", "x@y", "new"}
	b.hello("new") // is met by connecting
	total := map[string]int{}
	for i, step := range []struct {
		audience string
		users    []string
	}{
		{`{"userIds":["a","b","a"]}`, []string{"a", "b"}},
		{`{"case":"c1"}`, []string{"a", "x@y", "f1"}},
		{`{"conversation":"k1"}`, []string{"c", "d"}},
		{`{"team":"t1"}`, []string{"d", "e"}},
		{`{"userIds":["a"],"case":"c1","conversation":"k1","team":"t1"}`, []string{"a", "x@y", "f1", "c", "d", "e"}},
		{`{"case":"nobody","conversation":"nobody"}`, nil},
		{`{"firm":true}`, everybody},
		{`{"firm":true,"userIds":["a","unmet"]}`, append(slices.Clone(everybody), "unmet")},
	} {
		title := fmt.Sprint("step ", i)
		b.queue(subjects.NotifyMany, fmt.Appendf(nil, `{"type":"a","title":%q,"audience":%s}`, title, step.audience), title)
		b.drained()
		for _, u := range step.users {
			total[u]++
			if all, _ := b.list(u, false); len(all) != total[u] || all[0].Title != title {
				t.Errorf("%s: %s has %d, the last is %+v", step.audience, u, len(all), all[:min(1, len(all))])
			}
		}
		for _, u := range append(everybody, "f2", "unmet") {
			if n := b.hello(u); n != total[u] {
				t.Errorf("%s: %s has %d unread, want %d", step.audience, u, n, total[u])
				total[u] = n
			}
			if u == "f2" || u == "unmet" {
				// Greeting them made them known, which a later step would tell.
				_ = s.store.remove(b.ctx(), knownPrefix+u)
			}
		}
	}
	if len(b.letters()) != 0 {
		t.Errorf("dead letters: %v", b.letters())
	}
	if keys, err := s.store.kv.ListKeysFiltered(b.ctx(), manyPrefix+"*"); err != nil {
		t.Error(err)
	} else if key, ok := <-keys.Keys(); ok {
		t.Errorf("progress of what is done is kept: %s", key)
	}
}

// TestAnAudienceGoesOnWhereItWasLeft with what a killed process has noted, and tells
// again the page it was at.
func TestAnAudienceGoesOnWhereItWasLeft(t *testing.T) {
	b := startBus(t, natsd.Options{}, 0)
	s, stop := b.run(Options{AudiencePage: 100})
	var users []string
	for i := range 1000 {
		users = append(users, fmt.Sprintf("u%03d", i))
	}
	list, err := json.Marshal(users)
	if err != nil {
		t.Fatal(err)
	}
	stop()
	b.queue(subjects.NotifyMany, fmt.Appendf(nil, `{"type":"a","title":"t","audience":{"userIds":%s}}`, list), "")
	// Killed behind u449: four pages are noted, half of the fifth is told.
	if _, err := s.store.kv.Put(b.ctx(), manyPrefix+"1", []byte(`{"after":"u399"}`)); err != nil {
		t.Fatal(err)
	}
	if err := s.queue.look(b.ctx()); err != nil {
		t.Fatal(err)
	}
	for i := 400; i < 450; i++ {
		r := newRecord(users[i], users[i])
		r.add(s.queue.cause(1, ""), []byte(`{"title":"t","type":"a"}`), false, 500)
		r.seal()
		if err := s.store.save(b.ctx(), r); err != nil {
			t.Fatal(err)
		}
	}
	b.run(Options{AudiencePage: 100})
	b.drained()
	for i, u := range users {
		want := 1
		if i < 400 {
			want = 0 // told before, says the progress
		}
		if n := b.hello(u); n != want {
			t.Errorf("%s has %d", u, n)
		}
	}
	seen := map[string]string{}
	b.eachLogged("lex.user.>", func(user string, l logged) { seen[user] += " " + names([]logged{l}) })
	for _, u := range users[400:] {
		if seen[u] != " new 1" {
			t.Errorf("%s: the log says%s", u, seen[u])
		}
	}
}
