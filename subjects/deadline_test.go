package subjects

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

func TestDeadlineOf(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	h := nats.Header{}
	SetDeadline(h, now, 5*time.Second)
	if got := DeadlineOf(h); !got.Equal(now.Add(4500 * time.Millisecond)) {
		t.Errorf("a caller that waits 5 s says %v", got.Sub(now))
	}
	for _, value := range []string{"", "soon", "-1", "0", "1e3", "99999999999999999999"} {
		if got := DeadlineOf(nats.Header{HeaderDeadline: {value}}); !got.IsZero() {
			t.Errorf("%q is the deadline %v", value, got)
		}
	}
}

func TestWithDeadline(t *testing.T) {
	for name, c := range map[string]struct {
		wait, want time.Duration // from now; 0 for no header
	}{
		"the service's bound":  {time.Hour, time.Minute},
		"no header":            {0, time.Minute},
		"the caller's":         {10 * time.Second, 9 * time.Second},
		"a caller that is off": {-time.Hour, -54 * time.Minute},
	} {
		h, now := nats.Header{}, time.Now()
		if c.wait != 0 {
			SetDeadline(h, now, c.wait)
		}
		ctx, cancel := WithDeadline(t.Context(), h, time.Minute)
		deadline, _ := ctx.Deadline()
		if d := deadline.Sub(now) - c.want; d.Abs() > time.Second {
			t.Errorf("%s: bounded by %v, want %v", name, deadline.Sub(now), c.want)
		}
		err := InTime(ctx)
		if late := c.want < 0; Expired(err) != late || late && CodeOf(err) != CodeTimeout {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
	if err := InTime(t.Context()); err != nil {
		t.Errorf("a context without a deadline: %v", err)
	}
}

// TestRequestSaysItsDeadline: who answers sees until when the caller waits.
func TestRequestSaysItsDeadline(t *testing.T) {
	nc, _ := busWithStreams(t)
	seen := make(chan time.Time, 1)
	sub, err := nc.Subscribe("svc.test", func(m *nats.Msg) {
		seen <- DeadlineOf(m.Header)
		_ = m.Respond(nil) // the test fails if it is lost
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	for _, wait := range []time.Duration{0, 20 * time.Second} {
		ctx, cancel := context.WithCancel(t.Context())
		if wait > 0 {
			ctx, cancel = context.WithTimeout(t.Context(), wait)
		}
		start := time.Now()
		if _, err := Request(ctx, nc, "svc.test", Caller{}, nil); err != nil {
			t.Fatal(err)
		}
		cancel()
		want := max(wait, DefaultTimeout) * 9 / 10
		if got := (<-seen).Sub(start); (got - want).Abs() > time.Second {
			t.Errorf("a caller that waits %v says %v", wait, got)
		}
	}
}

func TestLateLog(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	late := fmt.Errorf("writing: %w", Before(time.UnixMilli(1)))
	var l LateLog
	now := time.Now()
	for i, c := range []struct {
		after time.Duration
		err   error
		lines int
	}{
		{0, errors.New("another"), 0},
		{0, context.DeadlineExceeded, 0},
		{0, late, 1},
		{time.Second, late, 1},
		{time.Minute, late, 2},
	} {
		if got := l.Note(log, now.Add(c.after), c.err); got != Expired(c.err) {
			t.Errorf("%d: %v", i, got)
		}
		if got := strings.Count(out.String(), "clock"); got != c.lines {
			t.Errorf("%d: %d lines, want %d:\n%s", i, got, c.lines, out.String())
		}
	}
	if !strings.Contains(out.String(), "requests=2") {
		t.Errorf("the second line does not count what the first left out:\n%s", out.String())
	}
}
