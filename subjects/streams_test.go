package subjects

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects/natsd"
)

// bus starts a real server of its own for a test.
func bus(t testing.TB) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	server, err := natsd.Start(t.Context(), natsd.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	nc, err := server.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}

// busWithStreams has all streams too.
func busWithStreams(t testing.TB) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, js := bus(t)
	if err := EnsureStreams(t.Context(), js, StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	return nc, js
}

func info(t *testing.T, js jetstream.JetStream, name string) *jetstream.StreamInfo {
	t.Helper()
	stream, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return stream.CachedInfo()
}

// TestStreamsAsDesigned is the table of names, storage and retention a second
// time, in words an operator would use.
func TestStreamsAsDesigned(t *testing.T) {
	_, js := busWithStreams(t)
	const file, memory = jetstream.FileStorage, jetstream.MemoryStorage
	type kept struct {
		subjects string
		storage  jetstream.StorageType
		maxAge   time.Duration
		keyTTL   bool
	}
	want := map[string]kept{
		"LEX":              {"lex.>", file, 72 * time.Hour, false},
		"MESSAGES":         {"", file, 0, false},
		"NOTIFY":           {"notify.user.* notify.many", file, 0, false},
		"DEADLETTER":       {"deadletter.*", file, 720 * time.Hour, false},
		"KV_ACCESS":        {"", file, 0, false},
		"KV_NOTIFICATIONS": {"$KV.NOTIFICATIONS.>", file, 0, false},
		"KV_PREFERENCES":   {"$KV.PREFERENCES.>", file, 0, false},
		"KV_FOLLOWS":       {"$KV.FOLLOWS.>", file, 0, false},
		"KV_CONVERSATIONS": {"$KV.CONVERSATIONS.>", file, 0, false},
		"KV_RECEIPTS":      {"$KV.RECEIPTS.>", file, 0, false},
		"KV_DASHBOARD":     {"$KV.DASHBOARD.>", file, 0, false},
		"KV_PRESENCE":      {"$KV.PRESENCE.>", file, 0, true},
		"KV_EDGES":         {"$KV.EDGES.>", memory, 0, true},
		"KV_SESSIONS":      {"$KV.SESSIONS.>", file, 15 * time.Minute, false},
		"KV_REVOKED":       {"$KV.REVOKED.>", file, 0, true},
	}
	for found := range js.ListStreams(t.Context()).Info() {
		c := found.Config
		got := kept{strings.Join(c.Subjects, " "), c.Storage, c.MaxAge, c.AllowMsgTTL}
		if w, ok := want[c.Name]; !ok || got != w {
			t.Errorf("%s is %+v, want %+v", c.Name, got, w)
		}
		if !c.AllowDirect {
			t.Errorf("%s cannot be read directly", c.Name)
		}
		if c.MaxMsgsPerSubject != 1 && strings.HasPrefix(c.Name, bucketPrefix) {
			t.Errorf("%s keeps a history", c.Name)
		}
		delete(want, c.Name)
	}
	if len(want) != 0 {
		t.Errorf("missing: %v", want)
	}
	if r := info(t, js, StreamNotify).Config.Retention; r != jetstream.WorkQueuePolicy {
		t.Errorf("NOTIFY has the retention %v", r)
	}
}

func TestEnsureStreamsTogether(t *testing.T) {
	_, js := bus(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := EnsureStreams(t.Context(), js, StreamOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestEnsureStreamsLeavesWhatIsNotAskedFor(t *testing.T) {
	_, js := busWithStreams(t)
	tuned := info(t, js, StreamLog).Config
	tuned.MaxBytes, tuned.Description = 123<<20, "tuned by hand"
	if _, err := js.UpdateStream(t.Context(), tuned); err != nil {
		t.Fatal(err)
	}
	o := StreamOptions{LogMaxAge: time.Minute, SessionMaxAge: time.Hour}
	if err := EnsureStreams(t.Context(), js, o); err != nil {
		t.Fatal(err)
	}
	if err := EnsureStreams(t.Context(), js, StreamOptions{}); err != nil { // a process with the defaults starts later
		t.Fatal(err)
	}
	got := info(t, js, StreamLog).Config
	if got.MaxAge != time.Minute || got.MaxBytes != 123<<20 || got.Description != "tuned by hand" {
		t.Errorf("LEX has max age %v, max bytes %d, description %q", got.MaxAge, got.MaxBytes, got.Description)
	}
	if age := info(t, js, "KV_SESSIONS").Config.MaxAge; age != time.Hour {
		t.Errorf("SESSIONS has max age %v", age)
	}
	if err := EnsureStreams(t.Context(), js, StreamOptions{LogMaxBytes: 200 << 20}); err != nil {
		t.Fatal(err)
	}
	if got := info(t, js, StreamLog).Config.MaxBytes; got != 200<<20 {
		t.Errorf("LEX has max bytes %d", got)
	}
}

func TestEnsureStreamsRefusesAnotherStorage(t *testing.T) {
	_, js := bus(t)
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: StreamLog, Subjects: []string{AllLog}, Storage: jetstream.MemoryStorage,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := EnsureStreams(t.Context(), js, StreamOptions{}); err == nil || !strings.Contains(err.Error(), StreamLog) {
		t.Errorf("got %v", err)
	}
}

// TestAccessIsFedFromTheLog covers the road of every access decision: an event in
// the log becomes the bucket's value, and there is no other road.
func TestAccessIsFedFromTheLog(t *testing.T) {
	nc, js := busWithStreams(t)
	pub := NewPublisher(nc, js)
	kv, err := js.KeyValue(t.Context(), BucketAccess)
	if err != nil {
		t.Fatal(err)
	}
	watcher, err := kv.WatchAll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for revision, payload := range []AccessChangedEvent{
		{Allow: List[string]{"u1"}, Revision: 1}, {Allow: List[string]{"u1", "u2"}, Deny: List[string]{"u3"}, Revision: 2},
	} {
		if _, err := AccessChanged.Publish(t.Context(), pub, "1", payload); err != nil {
			t.Fatalf("revision %d: %v", revision, err)
		}
	}
	if _, err := AccessChanged.To(KindConversation).Publish(t.Context(), pub, "c@1", AccessChangedEvent{Revision: 7}); err != nil {
		t.Fatal(err)
	}
	if _, err := pub.PublishLog(t.Context(), KindCase, "1", "case:updated", []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	for arrived := range watcher.Updates() {
		if arrived != nil && arrived.Key() == "conversation.c=401" {
			break
		}
	}
	entry, err := kv.Get(t.Context(), "case.1")
	if err != nil {
		t.Fatal(err)
	}
	state, err := AccessChanged.Decode(entry.Value())
	if err != nil || state.Revision != 2 || len(state.Allow) != 2 || state.Deny[0] != "u3" {
		t.Errorf("case.1 is %s, %v", entry.Value(), err)
	}
	if keys, err := kv.Keys(t.Context()); err != nil || len(keys) != 2 {
		t.Errorf("keys %v, %v", keys, err)
	}
	if _, err := kv.Put(t.Context(), "case.1", []byte(`{"allow":["intruder"]}`)); err == nil {
		t.Error("the bucket can be written past the log")
	}
}

// TestPresenceAnnouncesItself covers a bucket of today and one from before it did so.
func TestPresenceAnnouncesItself(t *testing.T) {
	nc, js := bus(t)
	old := withKeyTTL(bucket(BucketPresence, "who is here", jetstream.FileStorage))
	old.AllowDirect = true
	if _, err := js.CreateStream(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := EnsureStreams(t.Context(), js, StreamOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	sub, err := nc.SubscribeSync(AllState)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"watch.socket", "auth0=7C7"} {
		if _, err := js.Publish(t.Context(), "$KV."+BucketPresence+"."+key, []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
	}
	msg, err := sub.NextMsg(5 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(msg.Subject)
	if want := (Subject{State, KindPresence, "auth0|7", "presence:update"}); err != nil || got != want {
		t.Errorf("announced %+v, %v, want %+v", got, err, want)
	}
}

func TestMessagesKeepConversations(t *testing.T) {
	nc, js := busWithStreams(t)
	pub := NewPublisher(nc, js)
	for _, id := range []string{"c1", "c2", "c1"} {
		if _, err := MessageNew.Publish(t.Context(), pub, id, MessageEvent{ID: "m", ConversationID: id, CreatedAt: Now()}); err != nil {
			t.Fatal(err)
		}
		if _, err := pub.PublishLog(t.Context(), KindCase, id, "case:updated", []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
	}
	consumer, err := js.OrderedConsumer(t.Context(), StreamMessages, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer messages.Stop()
	for _, want := range []string{"c1", "c2", "c1"} {
		msg, err := messages.Next()
		if err != nil {
			t.Fatal(err)
		}
		if got := "lex.conversation." + want + ".message.new"; msg.Subject() != got {
			t.Errorf("%s, want %s", msg.Subject(), got)
		}
	}
}

func TestKeysExpire(t *testing.T) {
	_, js := busWithStreams(t)
	var watchers []jetstream.KeyWatcher
	for _, name := range []string{BucketPresence, BucketEdges, BucketRevoked} {
		kv, err := js.KeyValue(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		watcher, err := kv.WatchAll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := kv.Create(t.Context(), "k", []byte(`{}`), jetstream.KeyTTL(time.Second)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		watchers = append(watchers, watcher)
	}
	for _, watcher := range watchers { // each is told that its key expired
		for entry := range watcher.Updates() {
			if entry != nil && entry.Operation() != jetstream.KeyValuePut {
				break
			}
		}
	}
}

func BenchmarkPublishLog(b *testing.B) {
	nc, js := busWithStreams(b)
	pub := NewPublisher(nc, js)
	payload := []byte(`{"documentId":"d1","fileName":"brief.pdf"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := pub.PublishLog(b.Context(), KindCase, "123", "document:uploaded", payload); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEnsureStreams(b *testing.B) {
	_, js := busWithStreams(b)
	for b.Loop() {
		if err := EnsureStreams(b.Context(), js, StreamOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
