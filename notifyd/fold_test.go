package notifyd

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

func jsMsgID(id string) jetstream.PublishOpt { return jetstream.WithMsgID(id) }

// folded is what a client makes of the events it sees.
type folded struct {
	unread map[string]bool // by id: kept, and whether unread
	ever   map[string]bool
	titles map[string]int
	count  int
}

// checkFold replays the log as a client sees it: nothing is announced twice, and each
// count is the number of unread notifications at that place. It returns what clients
// know in the end. Users not in final may end as they like.
func checkFold(t testing.TB, b *bus, final map[string]int) map[string]*folded {
	t.Helper()
	users := map[string]*folded{}
	b.eachLogged("lex.user.>", func(user string, l logged) {
		f := users[user]
		if f == nil {
			f = &folded{unread: map[string]bool{}, ever: map[string]bool{}, titles: map[string]int{}}
			users[user] = f
		}
		f.see(t, user, l)
	})
	for user, want := range final {
		if f := users[user]; f == nil || f.count != want {
			t.Errorf("%s: the last count in the log is %+v, want %d", user, f, want)
		}
	}
	return users
}

func (f *folded) see(t testing.TB, user string, l logged) {
	t.Helper()
	id, _ := l.data["notificationId"].(string)
	if l.name == "notification:new" {
		id, _ = l.data["id"].(string)
		title, _ := l.data["title"].(string)
		if f.ever[id] {
			t.Errorf("%s: %s is announced twice, the second time at %d", user, id, l.seq)
		}
		f.ever[id], f.unread[id] = true, true
		f.titles[title]++
		return
	}
	switch l.name {
	case "notification:read", "notification:unread":
		if _, ok := f.unread[id]; !ok {
			t.Errorf("%s: %v of an unknown one at %d", user, l, l.seq)
		}
		f.unread[id] = l.name == "notification:unread"
	case "notification:deleted":
		if _, ok := f.unread[id]; !ok {
			t.Errorf("%s: %v of an unknown one at %d", user, l, l.seq)
		}
		delete(f.unread, id)
	case "notification:all-read":
		for id := range f.unread {
			f.unread[id] = false
		}
	case "notification:count":
		n, _ := l.data["count"].(float64)
		f.count = int(n)
		open := 0
		for _, unread := range f.unread {
			if unread {
				open++
			}
		}
		if open != f.count && len(f.ever) <= leastKeep {
			t.Errorf("%s: the count at %d is %d, but %d are unread there", user, l.seq, f.count, open)
		}
	default:
		t.Errorf("%s: %v in the log", user, l)
	}
}
