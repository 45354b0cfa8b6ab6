package subjects

import (
	"context"
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

func TestReadingFromTheLeader(t *testing.T) {
	nc, js := busWithStreams(t)
	pub := NewPublisher(nc, js)
	var seqs []uint64
	for _, body := range []string{`{"n":1}`, `{"n":2}`} {
		seq, err := pub.PublishLog(t.Context(), KindCase, "1", "case:updated", []byte(body), WithMsgID(body))
		if err != nil {
			t.Fatal(err)
		}
		seqs = append(seqs, seq)
	}
	const subject = "lex.case.1.case.updated"
	for name, c := range map[string]struct {
		query LeaderQuery
		seq   uint64 // 0: not there
	}{
		"by its sequence":      {LeaderQuery{Seq: seqs[0]}, seqs[0]},
		"the last":             {LeaderQuery{Last: subject}, seqs[1]},
		"the first from there": {LeaderQuery{Seq: seqs[0] + 1, Next: subject}, seqs[1]},
		"none behind":          {LeaderQuery{Seq: seqs[1] + 1, Next: subject}, 0},
		"no such subject":      {LeaderQuery{Last: "lex.case.2.case.updated"}, 0},
		"no such sequence":     {LeaderQuery{Seq: 99}, 0},
	} {
		m, err := FromLeader(t.Context(), nc, StreamLog, c.query)
		switch {
		case c.seq == 0 && !errors.Is(err, jetstream.ErrMsgNotFound):
			t.Errorf("%s: %v", name, err)
		case c.seq == 0:
		case err != nil || m.Sequence != c.seq || m.Subject != subject || m.Header.Get(HeaderMsgID) != string(m.Data):
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
	if _, err := FromLeader(t.Context(), nc, "NONE", LeaderQuery{Seq: 1}); err == nil || errors.Is(err, jetstream.ErrMsgNotFound) {
		t.Errorf("a stream that is not there: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := FromLeader(gone, nc, StreamLog, LeaderQuery{Seq: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that has gone: %v", err)
	}
}

func TestValueFromTheLeader(t *testing.T) {
	nc, js := busWithStreams(t)
	kv, err := js.KeyValue(t.Context(), BucketFollows)
	if err != nil {
		t.Fatal(err)
	}
	read := func(want string, wantRevision uint64) {
		t.Helper()
		data, revision, err := ValueFromLeader(t.Context(), nc, BucketFollows, "k")
		if err != nil || string(data) != want || (data == nil) != (want == "") || revision != wantRevision {
			t.Errorf("%q at %d, %v; want %q at %d", data, revision, err, want, wantRevision)
		}
	}
	read("", 0)
	revision, err := kv.PutString(t.Context(), "k", "v")
	if err != nil {
		t.Fatal(err)
	}
	read("v", revision)
	if err := kv.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	read("", revision+1)
}
