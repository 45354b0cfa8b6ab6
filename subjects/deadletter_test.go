package subjects

import (
	"bytes"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestDeadLetter(t *testing.T) {
	nc, js := busWithStreams(t)
	bad := &nats.Msg{
		Subject: "lex.case.*.x", Data: bytes.Repeat([]byte("x"), maxDeadPayload+1),
		Header: nats.Header{HeaderTrace: {"00-1-2-01"}, "Nats-Expected-Stream": {"OTHER"}},
	}
	if err := DeadLetter(t.Context(), js, "not-an-object", bad); err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), StreamDeadLetter)
	if err != nil {
		t.Fatal(err)
	}
	letter, err := stream.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if letter.Subject != "deadletter.not-an-object" || len(letter.Data) != maxDeadPayload {
		t.Errorf("%s with %d bytes", letter.Subject, len(letter.Data))
	}
	for key, want := range map[string]string{
		HeaderSubject: "lex.case.*.x", HeaderSize: "65537", HeaderTrace: "00-1-2-01", HeaderOrigin: "", "Nats-Expected-Stream": "",
	} {
		if got := letter.Header.Get(key); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}

	t.Run("two readers of one message leave one letter", func(t *testing.T) {
		if _, err := js.Publish(t.Context(), "lex.case.1.x", []byte("no object")); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := DeadLetter(t.Context(), js, "not-an-object", firstOfLog(t, nc)); err != nil {
				t.Fatal(err)
			}
		}
		info, err := stream.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if info.State.LastSeq != 2 {
			t.Errorf("there are %d letters", info.State.LastSeq)
		}
		letter, err := stream.GetMsg(t.Context(), 2)
		if err != nil || letter.Header.Get(HeaderOrigin) != "LEX.1" {
			t.Errorf("%v, %v", letter, err)
		}
	})

	t.Run("without an origin each is a letter of its own", func(t *testing.T) {
		for range 2 {
			if err := DeadLetterFrom(t.Context(), js, "too-large", bad, ""); err != nil {
				t.Fatal(err)
			}
		}
		info, err := stream.Info(t.Context())
		if err != nil || info.State.LastSeq != 4 {
			t.Errorf("there are %d letters, %v", info.State.LastSeq, err)
		}
	})

	for _, reason := range []string{"", "a.b", "a:b", "*", ">", "a b", strings.Repeat("x", 200)} {
		if err := DeadLetter(t.Context(), js, reason, bad); CodeOf(err) != CodeInvalidInput {
			t.Errorf("reason %q: %v", reason, err)
		}
	}
}

// firstOfLog reads the first message of the log as a consumer does, so that it
// knows where it comes from.
func firstOfLog(t *testing.T, nc *nats.Conn) *nats.Msg {
	t.Helper()
	got := make(chan *nats.Msg, 1)
	inbox := nc.NewInbox()
	sub, err := nc.ChanSubscribe(inbox, got)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := sub.Unsubscribe(); err != nil {
			t.Error(err)
		}
	}()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	_, err = js.CreatePushConsumer(t.Context(), StreamLog, jetstream.ConsumerConfig{
		DeliverSubject: inbox, AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case msg := <-got:
		return msg
	case <-t.Context().Done():
		t.Fatal("the log delivers nothing")
		return nil
	}
}
