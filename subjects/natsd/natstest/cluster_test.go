package natstest_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd/natstest"
)

func TestMain(m *testing.M) {
	natstest.Main()
	m.Run()
}

// TestReplicasSurviveTheirLeader: with three replicas, what the log has acknowledged is there after its
// leader was killed, the log goes on without it, and the dead one catches up.
func TestReplicasSurviveTheirLeader(t *testing.T) {
	c := natstest.Start(t, 3)
	nc := c.Connect()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	slow, cancel := context.WithTimeout(t.Context(), time.Minute) // a cluster that has just begun
	defer cancel()
	if err := subjects.AwaitStreams(slow, js, subjects.StreamOptions{Replicas: 3}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	pub := subjects.NewPublisher(nc, js)
	publish := func(n int) {
		t.Helper()
		for {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			seq, err := pub.PublishLog(ctx, subjects.KindCase, "1", "document:uploaded", []byte(`{}`), subjects.WithMsgID(string(rune('a'+n))))
			cancel()
			if err == nil {
				if seq != uint64(n) {
					t.Errorf("event %d has the sequence %d", n, seq)
				}
				return
			}
			if t.Context().Err() != nil {
				t.Fatal(err)
			}
		}
	}
	publish(1)
	publish(2)
	_, err = js.Publish(t.Context(), "lex.case.1.document.uploaded", []byte(`{}`), jetstream.WithExpectLastSequencePerSubject(1))
	if !subjects.IsConflict(err) {
		t.Errorf("a lost compare-and-set on a replicated stream: %v", err)
	}
	leader := c.AwaitLeader(js, subjects.StreamLog)
	c.Kill(leader)
	publish(3)
	if next := c.AwaitLeader(js, subjects.StreamLog); next == leader {
		t.Errorf("the dead node %d leads", leader)
	}
	c.Restart(leader)
	others := c.Others(leader)
	c.AwaitMeta()
	// The dead one is needed now: without it there is no majority.
	c.AwaitCurrent(js, subjects.StreamLog)
	c.Kill(others[0])
	publish(4)
}
