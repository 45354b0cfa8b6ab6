package subjects

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Until when the caller of a request waits.
//
// A caller that has given up asks again, perhaps another replica, and goes on. A replica that was
// stopped for a while and now takes the first request from its buffers would change what has been
// changed since: an old edit over a newer one. So a request says how long it is worth carrying out
// ([HeaderDeadline]), and a service keeps to three rules:
//
//   - What comes later is refused ([InTime]).
//   - The work is bounded by it ([WithDeadline]).
//   - Whatever is stored on somebody's behalf is a compare-and-set, and [InTime] is asked between
//     reading and storing. What was read is then older than the deadline, and so older than anything
//     the caller did after giving up: either nobody has changed it since, or the compare-and-set
//     fails. However long a process is stopped between any two steps, nothing late is stored.
//
// The two clocks that meet here are those of the caller's host and of the service's. The caller waits
// a tenth longer than it says ([SetDeadline]), so a service whose clock is behind by less than that,
// half a second for a client's command, still keeps the promise. A service whose clock is ahead has
// so much less time to answer.

// SetDeadline notes in the headers of a request that its caller waits for so long from now on. A
// tenth of it is kept back for clocks that differ.
func SetDeadline(h nats.Header, now time.Time, wait time.Duration) {
	h[HeaderDeadline] = []string{strconv.FormatInt(now.Add(wait-wait/10).UnixMilli(), 10)}
}

// DeadlineOf reads until when the caller of a request waits. A request that does not say so, or not
// in a way that is understood, has the zero time.
func DeadlineOf(h nats.Header) time.Time {
	ms, err := strconv.ParseInt(h.Get(HeaderDeadline), 10, 64)
	if err != nil || ms <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// WithDeadline bounds the work for a request: it ends with its caller's patience, and after most in
// any case.
func WithDeadline(ctx context.Context, h nats.Header, most time.Duration) (context.Context, context.CancelFunc) {
	until := time.Now().Add(most)
	if deadline := DeadlineOf(h); !deadline.IsZero() && deadline.Before(until) {
		until = deadline
	}
	return context.WithDeadline(ctx, until)
}

// InTime returns nil before ctx's deadline, and then TIMEOUT. It looks at the clock: in a process that
// was stopped, a context may not know yet that it has ended.
func InTime(ctx context.Context) error {
	deadline, _ := ctx.Deadline()
	return Before(deadline)
}

// Before is [InTime] for a deadline that does not travel in a context; the zero time is none.
func Before(deadline time.Time) error {
	if deadline.IsZero() {
		return nil
	}
	if late := time.Since(deadline.Round(0)); late >= 0 { // without the monotonic clock, which may stand still
		return Errorf(CodeTimeout, "too late by %v: %w", late.Round(time.Millisecond), errExpired)
	}
	return nil
}

var errExpired = errors.New("who asked has given up")

// Expired reports whether err comes from [InTime] or [Before].
func Expired(err error) bool { return errors.Is(err, errExpired) }

// A LateLog says in a log that requests expired, once a minute at most. The zero value is ready; its
// method may be called concurrently.
type LateLog struct {
	mu sync.Mutex
	// Guarded by mu.
	said   time.Time
	unsaid int
}

const lateLogEvery = time.Minute

// Note takes the error of a request that is refused, and reports whether it had expired.
func (l *LateLog) Note(log *slog.Logger, now time.Time, err error) bool {
	if !Expired(err) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unsaid++
	if now.Sub(l.said) >= lateLogEvery {
		log.Warn("requests came too late and were not carried out: this process or the bus is slow, or this host's clock is ahead of the callers'",
			"requests", l.unsaid, "error", err)
		l.said, l.unsaid = now, 0
	}
	return true
}
