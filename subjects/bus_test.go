package subjects

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
)

// stored returns a message of the log.
func stored(t *testing.T, js jetstream.JetStream, seq uint64) *jetstream.RawStreamMsg {
	t.Helper()
	stream, err := js.Stream(t.Context(), StreamLog)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := stream.GetMsg(t.Context(), seq)
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

func TestPublishTyped(t *testing.T) {
	nc, js := busWithStreams(t)
	pub := NewPublisher(nc, js)
	payload := DocumentUploadedEvent{DocumentID: "d1", FileName: "brief.pdf", UploadedAt: Now()}

	seq, err := DocumentUploaded.Publish(t.Context(), pub, "12/3", payload,
		WithExtra(map[string]any{"matter": "A v B"}), WithoutUser("auth0|7"), WithTrace("00-1-2-01"))
	if err != nil || seq != 1 {
		t.Fatalf("sequence %d, %v", seq, err)
	}
	msg := stored(t, js, seq)
	if msg.Subject != "lex.case.12=2F3.document.uploaded" {
		t.Errorf("subject %s", msg.Subject)
	}
	var got map[string]any
	if err := json.Unmarshal(msg.Data, &got); err != nil || got["documentId"] != "d1" || got["matter"] != "A v B" {
		t.Errorf("payload %s, %v", msg.Data, err)
	}
	if msg.Header.Get(HeaderMsgID) == "" || msg.Header.Get(HeaderExcept) != "user.auth0=7C7" || msg.Header.Get(HeaderTrace) != "00-1-2-01" {
		t.Errorf("headers %v", msg.Header)
	}

	seq, err = SystemAlert.To(KindUser).Publish(t.Context(), pub, "u1", SystemAlertEvent{ID: "a"}, WithoutSocket("sid1"))
	if err != nil {
		t.Fatal(err)
	}
	if msg := stored(t, js, seq); msg.Subject != "lex.user.u1.system.alert" || msg.Header.Get(HeaderExcept) != "sid1" {
		t.Errorf("%s %v", msg.Subject, msg.Header)
	}
	if _, err := CaseDeleted.Publish(t.Context(), pub, "1", CaseDeletedEvent{CaseID: "1"}); CodeOf(err) != CodeInvalidInput {
		t.Errorf("a forgotten time: %v", err)
	}
}

func TestPublishStoresAMessageIDOnce(t *testing.T) {
	nc, js := busWithStreams(t)
	pub := NewPublisher(nc, js)
	for _, want := range []uint64{1, 1} {
		seq, err := pub.PublishLog(t.Context(), KindCase, "1", "invoice:sent", []byte(`{"n":1}`), WithMsgID("cause-1"))
		if err != nil || seq != want {
			t.Fatalf("sequence %d, %v, want %d", seq, err, want)
		}
	}
	first, err := pub.PublishLog(t.Context(), KindCase, "1", "invoice:sent", []byte(`{"n":1}`))
	if err != nil {
		t.Fatal(err)
	}
	second, err := pub.PublishLog(t.Context(), KindCase, "1", "invoice:sent", []byte(`{"n":1}`))
	if err != nil || second != first+1 {
		t.Errorf("without a name the same payload is stored at %d and %d, %v", first, second, err)
	}
}

func TestPublishPassing(t *testing.T) {
	nc, js := busWithStreams(t)
	pub := NewPublisher(nc, js)
	received := make(chan *nats.Msg, 2)
	for _, subject := range []string{AllState, AllLive} {
		if _, err := nc.ChanSubscribe(subject, received); err != nil {
			t.Fatal(err)
		}
	}
	if err := pub.PublishState(t.Context(), KindPresence, "u1", "presence:update", []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	if err := pub.PublishLive(t.Context(), KindConversation, "c1", "typing:start", []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"state.presence.u1.presence.update", "live.conversation.c1.typing.start"} {
		select {
		case msg := <-received:
			if msg.Subject != want || msg.Header.Get(HeaderMsgID) == "" {
				t.Errorf("%s %v", msg.Subject, msg.Header)
			}
		case <-t.Context().Done():
			t.Fatal("nothing came")
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := pub.PublishLive(ended, KindCase, "1", "x", []byte(`{}`)); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: %v", err)
	}
}

func TestPublishRefuses(t *testing.T) {
	nc, js := busWithStreams(t)
	pub := NewPublisher(nc, js)
	for name, c := range map[string]struct {
		kind    Kind
		id      string
		event   string
		payload string
		opts    []PublishOption
		code    Code
	}{
		"a list":         {KindCase, "1", "x", `[1]`, nil, CodeInvalidInput},
		"a text":         {KindCase, "1", "x", `"x"`, nil, CodeInvalidInput},
		"nothing":        {KindCase, "1", "x", ``, nil, CodeInvalidInput},
		"half an object": {KindCase, "1", "x", `{"a":`, nil, CodeInvalidInput},
		"two objects":    {KindCase, "1", "x", `{}{}`, nil, CodeInvalidInput},
		"too much":       {KindCase, "1", "x", `{"a":"` + strings.Repeat("x", MaxPayload) + `"}`, nil, CodeMessageTooLarge},
		"a taken key":    {KindCase, "1", "x", `{"a":1}`, []PublishOption{WithExtra(map[string]any{"a": 2})}, CodeInvalidInput},
		"a key of no JSON": {
			KindCase, "1", "x", `{"a":1}`, []PublishOption{WithExtra(map[string]any{"f": func() {}})}, CodeInvalidInput,
		},
		"a wildcard event": {KindCase, "1", "*", `{}`, nil, CodeInvalidEvent},
		"no id":            {KindCase, "", "x", `{}`, nil, CodeInvalidInput},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := pub.PublishLog(t.Context(), c.kind, c.id, c.event, []byte(c.payload), c.opts...)
			if CodeOf(err) != c.code {
				t.Errorf("code %s, want %s: %.200v", CodeOf(err), c.code, err)
			}
		})
	}
	stream, err := js.Stream(t.Context(), StreamLog)
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.LastSeq; n != 0 {
		t.Errorf("the log has %d messages", n)
	}
}

func TestPublishWithoutLog(t *testing.T) {
	nc, js := bus(t)
	_, err := NewPublisher(nc, js).PublishLog(t.Context(), KindCase, "1", "x", []byte(`{}`))
	if CodeOf(err) != CodeUnavailable {
		t.Errorf("got %v", err)
	}
}

func TestRequest(t *testing.T) {
	nc, _ := bus(t)
	service, err := micro.AddService(nc, micro.Config{Name: "test", Version: "0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	endpoint := func(name, subject string, f micro.HandlerFunc) {
		if err := service.AddEndpoint(name, f, micro.WithEndpointSubject(subject)); err != nil {
			t.Fatal(err)
		}
	}
	endpoint("who", "cmd.who", func(r micro.Request) {
		caller := CallerOf(nats.Header(r.Headers()))
		if err := r.RespondJSON(caller); err != nil {
			t.Error(err)
		}
	})
	endpoint("refuse", "cmd.refuse", func(r micro.Request) {
		if err := r.Error(string(CodeForbidden), "not yours", nil); err != nil {
			t.Error(err)
		}
	})
	endpoint("silent", "cmd.silent", func(micro.Request) {})

	soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	ended, end := context.WithCancel(t.Context())
	end()
	for name, c := range map[string]struct {
		ctx     context.Context
		subject string
		code    Code
	}{
		"an answer":        {t.Context(), "cmd.who", ""},
		"no responder":     {t.Context(), "cmd.nobody", CodeUnavailable},
		"a micro error":    {t.Context(), "cmd.refuse", CodeForbidden},
		"no answer":        {soon, "cmd.silent", CodeTimeout},
		"an ended context": {ended, "cmd.who", CodeInternal},
	} {
		t.Run(name, func(t *testing.T) {
			msg, err := Request(c.ctx, nc, c.subject, Caller{User: "auth0|7", Socket: "s", Edge: "e", Scope: "case:*"}, []byte(`{}`))
			if CodeOf(err) != c.code {
				t.Fatalf("code %s, want %s: %v", CodeOf(err), c.code, err)
			}
			if _, ours := errors.AsType[*Error](err); err != nil && !ours {
				t.Errorf("%T is not an *Error", err)
			}
			if err == nil && string(msg.Data) != `{"User":"auth0|7","Socket":"s","Edge":"e","Scope":"case:*"}` {
				t.Errorf("the service saw %s", msg.Data)
			}
		})
	}

	nc.Close()
	if _, err := Request(t.Context(), nc, "cmd.who", Caller{}, nil); CodeOf(err) != CodeUnavailable {
		t.Errorf("a closed connection: %v", err)
	}
}

func TestCommandCall(t *testing.T) {
	nc, _ := bus(t)
	var answer func(*nats.Msg)
	if _, err := nc.Subscribe(NotificationMarkRead.Subject(), func(m *nats.Msg) { answer(m) }); err != nil {
		t.Fatal(err)
	}
	call := func() (UnreadCount, error) {
		return NotificationMarkRead.Call(t.Context(), nc, Caller{User: "u"}, NotificationRequest{NotificationID: "n1"})
	}
	answer = func(m *nats.Msg) {
		request, err := NotificationMarkRead.Decode(m.Data)
		if err != nil || request.NotificationID != "n1" || CallerOf(m.Header).User != "u" {
			t.Errorf("request %s %v, %v", m.Data, m.Header, err)
		}
		count, err := NotificationCount.Emit(NotificationCountEvent{Count: 4, UserID: "u"})
		if err != nil {
			t.Error(err)
		}
		body, header, err := Reply{Ack: []byte(`{"success":true,"unreadCount":4}`), Events: []Emit{count}}.Encode()
		if err != nil {
			t.Error(err)
		}
		if err := m.RespondMsg(&nats.Msg{Data: body, Header: header}); err != nil {
			t.Error(err)
		}
	}
	if got, err := call(); err != nil || got.UnreadCount != 4 || !got.Success {
		t.Errorf("got %+v, %v", got, err)
	}
	answer = func(m *nats.Msg) {
		if err := m.Respond([]byte(`["what"]`)); err != nil {
			t.Error(err)
		}
	}
	if got, err := call(); CodeOf(err) != CodeInternal {
		t.Errorf("an ack of another shape: %+v, %v", got, err)
	}
}
