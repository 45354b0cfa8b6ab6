package notifyd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
)

// preferences are how users want to be notified: the bucket PREFERENCES, key <user>,
// and a copy of it in memory, because every notification asks. A change reaches the
// copies of other replicas within milliseconds, not at once.
//
// Its methods may be called concurrently.
type preferences struct {
	store *store

	mu sync.RWMutex
	// Guarded by mu.
	byKey map[string]wishes
}

// wishes are one user's preferences, made ready to be asked.
type wishes struct {
	muted []subjects.NotificationType
	hours quietHours
}

const maxMuted = 64

// watch keeps the copy up to date until ctx ends. It returns when the copy is
// complete for the first time; ended then gets the error with which it ended.
func (p *preferences) watch(ctx context.Context, ended chan<- error) error {
	w, err := p.store.kv.WatchAll(ctx)
	if err != nil {
		return fmt.Errorf("watching %s: %w", subjects.BucketPreferences, err)
	}
	complete := make(chan struct{})
	go func() {
		defer func() { _ = w.Stop() }() // ctx has ended, or nothing comes any more
		ended <- p.follow(ctx, w.Updates(), complete)
	}()
	select {
	case <-complete:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *preferences) follow(ctx context.Context, updates <-chan jetstream.KeyValueEntry, complete chan<- struct{}) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case entry, ok := <-updates:
			switch {
			case !ok && ctx.Err() != nil:
				return nil
			case !ok:
				return errors.New("watching " + subjects.BucketPreferences + " ended")
			case entry == nil:
				close(complete)
			default:
				p.learn(entry)
			}
		}
	}
}

func (p *preferences) learn(entry jetstream.KeyValueEntry) {
	if entry.Operation() != jetstream.KeyValuePut {
		p.set(entry.Key(), wishes{})
		return
	}
	var stored subjects.NotifyPreferences
	if json.Unmarshal(entry.Value(), &stored) != nil {
		return // better the wishes known before
	}
	if w, err := newWishes(stored); err == nil {
		p.set(entry.Key(), w)
	}
}

func (p *preferences) set(key string, w wishes) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(w.muted) == 0 && !w.hours.enabled {
		delete(p.byKey, key)
		return
	}
	p.byKey[key] = w
}

func newWishes(s subjects.NotifyPreferences) (wishes, error) {
	for _, t := range s.Muted {
		if !validType(string(t)) {
			return wishes{}, fmt.Errorf("muted has types of 1 to %d characters of a-z, 0-9 and _", maxType)
		}
	}
	hours, err := newQuietHours(s.QuietHours)
	if err != nil {
		return wishes{}, fmt.Errorf("quietHours: %w", err)
	}
	return wishes{muted: s.Muted, hours: hours}, nil
}

// quiet reports whether a notice is only stored. What is urgent never is.
func (p *preferences) quiet(key string, n notice, now time.Time) bool {
	if n.urgent {
		return false
	}
	p.mu.RLock()
	w, ok := p.byKey[key]
	p.mu.RUnlock()
	return ok && (slices.Contains(w.muted, n.kind) || w.hours.at(now))
}

// get reads what is stored.
func (p *preferences) get(ctx context.Context, key string) (stored subjects.NotifyPreferences, rev uint64, err error) {
	data, rev, err := p.store.get(ctx, key)
	if err != nil || data == nil {
		return stored, rev, err
	}
	if err := json.Unmarshal(data, &stored); err != nil {
		return stored, 0, fmt.Errorf("%w: preferences: %w", errRecord, err)
	}
	return stored, rev, nil
}

// change replaces what is named and keeps the rest.
func (p *preferences) change(ctx context.Context, key string, c subjects.NotifyPreferencesChange) (subjects.NotifyPreferences, error) {
	if c.Muted != nil && len(*c.Muted) > maxMuted {
		return subjects.NotifyPreferences{}, subjects.Errorf(subjects.CodeInvalidInput, "muted has %d types at most", maxMuted)
	}
	for range casAttempts {
		next, rev, err := p.get(ctx, key)
		if err != nil {
			return next, err
		}
		if c.Muted != nil {
			next.Muted = unique(*c.Muted)
		}
		if c.QuietHours != nil {
			next.QuietHours = *c.QuietHours
		}
		w, err := newWishes(next)
		if err != nil {
			return next, subjects.Errorf(subjects.CodeInvalidInput, "%w", err)
		}
		data, err := json.Marshal(next)
		if err != nil {
			return next, err
		}
		_, err = p.store.put(ctx, key, data, nats.Header{}, rev)
		if errors.Is(err, errConflict) {
			continue
		}
		if err == nil {
			p.set(key, w) // this replica keeps to it at once
		}
		return next, err
	}
	return subjects.NotifyPreferences{}, subjects.Errorf(subjects.CodeConflict, "the preferences are being changed elsewhere")
}

func unique[T comparable](list []T) []T {
	var out []T
	for _, v := range list {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}
