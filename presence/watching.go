package presence

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/subjects"
)

// What a socket subscribed to is kept under watch.<sid>, because hello asks for a snapshot again after
// every resume, and nobody else remembers. It goes some time after the socket, when that can no longer be
// resumed.

const watchPrefix = recordPrefix + "watch."

// A watch is what one socket asked for. It always has somebody in it, or the dialect.
type watch struct {
	User    string   `json:"user"`
	Users   []string `json:"users,omitempty"`   // explicit subscriptions, sorted
	Dialect bool     `json:"dialect,omitempty"` // it is told user:presence
	Closed  bool     `json:"closed,omitempty"`  // its socket is gone and the key expires
}

// watchers are all watches. Methods may be called concurrently.
type watchers struct {
	mu sync.Mutex
	// Guarded by mu.
	all      map[string]watching // sid → what it watches
	dialects int                 // how many of them use the dialect
}

type watching struct {
	watch
	revision uint64
}

const (
	sweepEvery = 5 * time.Second
	// keepWatch is longer than a session can be resumed.
	keepWatch = 15 * time.Minute
)

func newWatchers() *watchers { return &watchers{all: make(map[string]watching)} }

// get returns what a socket watches; the zero watching is nothing.
func (w *watchers) get(sid string) watching {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all[sid]
}

// anyDialect reports whether somebody is told user:presence.
func (w *watchers) anyDialect() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dialects > 0
}

func (w *watchers) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.all)
}

// set takes a stored watch over, unless a newer one is known. A watch without a user removes it.
func (w *watchers) set(sid string, next watching) {
	w.mu.Lock()
	defer w.mu.Unlock()
	old, ok := w.all[sid]
	if ok && next.revision <= old.revision {
		return
	}
	if old.Dialect {
		w.dialects--
	}
	if next.User == "" {
		delete(w.all, sid)
		return
	}
	if next.Dialect {
		w.dialects++
	}
	w.all[sid] = next
}

// watchStored follows the bucket.
func (s *Service) watchStored(m stored) {
	sid, w, err := m.watch()
	if err != nil {
		s.metrics.failed.WithLabelValues("watch").Inc()
		s.log.Warn("what a socket watches is not understood", "error", err)
		return
	}
	s.watchers.set(sid, watching{w, m.revision})
}

// watch reads a watch. A key that is gone is the zero watch.
func (m stored) watch() (sid string, w watch, err error) {
	if sid, err = subjects.Unescape(strings.TrimPrefix(m.subject, watchPrefix)); err != nil || len(m.data) == 0 {
		return sid, watch{}, err
	}
	err = json.Unmarshal(m.data, &w)
	return sid, w, err
}

// rewatch changes what a socket watches, by compare-and-set. edit returns false to leave it.
func (s *Service) rewatch(ctx context.Context, sid string, edit func(*watch) (bool, error)) (watch, error) {
	key, err := subjects.Escape(sid)
	if err != nil {
		return watch{}, err
	}
	subject := watchPrefix + key
	now := s.watchers.get(sid)
	for range conflicts {
		next := now.watch
		next.Users = slices.Clone(now.Users)
		change, err := edit(&next)
		if err != nil || !change {
			return next, err
		}
		ttl := time.Duration(0)
		if next.Closed || len(next.Users) == 0 && !next.Dialect {
			ttl = keepWatch
		}
		body, err := json.Marshal(next)
		if err != nil {
			return watch{}, err
		}
		revision, err := s.store.save(ctx, &nats.Msg{Subject: subject, Data: body}, now.revision, ttl)
		if err == nil {
			s.watchers.set(sid, watching{next, revision})
			return next, nil
		}
		if !errors.Is(err, errConflict) {
			return watch{}, subjects.AsError(err)
		}
		s.metrics.conflicts.Inc()
		m, err := s.store.load(ctx, subject)
		if err != nil {
			return watch{}, subjects.AsError(err)
		}
		if _, now.watch, err = m.watch(); err != nil {
			return watch{}, err
		}
		now.revision = m.revision
	}
	return watch{}, subjects.Errorf(subjects.CodeConflict, "subscriptions are being changed too often at once")
}

// sweepWatches lets the keys of closed sockets expire and keeps those of sockets that came back, until ctx
// ends.
func (s *Service) sweepWatches(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s.sweep(ctx, now)
		}
	}
}

func (s *Service) sweep(ctx context.Context, now time.Time) {
	for sid, closed := range s.unswept(now) {
		_, err := s.rewatch(ctx, sid, func(w *watch) (bool, error) {
			change := w.User != "" && w.Closed != closed
			w.Closed = closed
			return change, nil
		})
		if err != nil && ctx.Err() == nil {
			s.log.Warn("what a socket watched is not swept", "error", err)
			return
		}
	}
}

// unswept returns the sockets whose keys say closed and are open, or the reverse, and that are for this
// replica to sweep: sid → is closed.
func (s *Service) unswept(now time.Time) map[string]bool {
	s.watchers.mu.Lock()
	all := maps.Clone(s.watchers.all)
	s.watchers.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	unswept := make(map[string]bool)
	for sid, w := range all {
		open := false
		for _, e := range s.edges {
			if e.standing == unheard {
				return nil // not now: nobody knows
			}
			_, has := e.sockets[sid]
			open = open || has
		}
		if w.Closed == open && s.replicas.rank(sid, now) == 0 {
			unswept[sid] = !open
		}
	}
	return unswept
}
