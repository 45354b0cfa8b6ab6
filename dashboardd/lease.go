package dashboardd

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// lease says which replica pushes and writes snapshots. It spares the others the work and is not what
// makes anything right: gauges are the same from whomever, what goes to the log is a compare-and-set
// there, and so is a snapshot. Two holders for a moment cost a push too many.
//
// The key `lease` of the bucket DASHBOARD is rewritten by its holder three times in a term. Who sees no
// change of it for a whole term, by its own clock, takes it by compare-and-set.
type lease struct {
	kv   jetstream.KeyValue
	term time.Duration
	self string

	// Owned by run.
	seen   uint64    // revision
	seenAt time.Time // when it was new

	mu sync.Mutex
	// Guarded by mu.
	until time.Time // held until then; zero: not held
}

const keyLease = "lease"

type leaseValue struct {
	Holder string `json:"holder"`
}

func newLease(kv jetstream.KeyValue, term time.Duration) *lease {
	return &lease{kv: kv, term: term, self: rand.Text()}
}

// held reports whether this replica is the one that pushes.
func (l *lease) held() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Before(l.until)
}

// run tries to get and keep it until ctx ends, then gives it up, and also while this replica is not
// able to do what the lease is for. got is called when it was got.
func (l *lease) run(ctx context.Context, able func() bool, got func()) {
	tick := time.NewTicker(l.term / 3)
	defer tick.Stop()
	for {
		before := l.held()
		if able() {
			l.attempt(ctx)
		} else {
			l.release() //nolint:contextcheck // giving up has a time of its own
		}
		if !before && l.held() {
			got()
		}
		select {
		case <-ctx.Done():
			l.release() //nolint:contextcheck // ctx has ended; giving up has a time of its own
			return
		case <-tick.C:
		}
	}
}

// attempt renews or takes the lease. The term is counted from before the write, so that it ends here
// before anybody else can take it.
func (l *lease) attempt(ctx context.Context) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, l.term/2)
	defer cancel()
	entry, err := l.kv.Get(ctx, keyLease)
	revision := uint64(0)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
	case err != nil:
		return // the bus is away: what is held runs out
	default:
		revision = entry.Revision()
		if !l.mayTake(entry, time.Now()) {
			l.hold(time.Time{})
			return
		}
	}
	if revision, err = l.write(ctx, revision); err != nil {
		return
	}
	l.seen, l.seenAt = revision, start
	l.hold(start.Add(l.term))
}

func (l *lease) mayTake(entry jetstream.KeyValueEntry, now time.Time) bool {
	var value leaseValue
	if err := json.Unmarshal(entry.Value(), &value); err == nil && value.Holder == l.self {
		return true
	}
	if entry.Revision() != l.seen {
		l.seen, l.seenAt = entry.Revision(), now
	}
	return value.Holder == "" || now.Sub(l.seenAt) > l.term
}

func (l *lease) write(ctx context.Context, revision uint64) (uint64, error) {
	body, err := json.Marshal(leaseValue{l.self})
	if err != nil {
		return 0, err
	}
	if revision == 0 {
		return l.kv.Create(ctx, keyLease, body)
	}
	return l.kv.Update(ctx, keyLease, body, revision)
}

func (l *lease) hold(until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = until
}

// release lets another replica take over at its next look instead of after a term.
func (l *lease) release() {
	if !l.held() {
		return
	}
	l.hold(time.Time{})
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	body := fmt.Appendf(nil, `{"holder":""}`)
	_, _ = l.kv.Update(ctx, keyLease, body, l.seen) // if it fails, the term runs out
}
