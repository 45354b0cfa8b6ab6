package edge

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/edge/engine"
	"github.com/lexiflow/realtime/subjects"
)

// revocations are the tokens and users that must not be served although their signature is good
// (contract 8, B7): a copy of the bucket REVOKED, kept by a watcher, so that a CONNECT asks nobody.
// Keys are jti.<escaped id> and user.<escaped id>. Methods may be called concurrently.
type revocations struct {
	mu sync.Mutex
	// Guarded by mu.
	keys map[string]revocation
}

// revocation is a key's value; an empty one revokes without an end.
type revocation struct {
	// Before spares tokens that were issued at or after this time (Unix seconds), so that a user who
	// was thrown out can log in again. 0 spares none.
	Before int64 `json:"before"`
}

func newRevocations() *revocations { return &revocations{keys: make(map[string]revocation)} }

// covers reports whether an identity is revoked.
func (r *revocations) covers(who *identity) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.keys) == 0 {
		return false
	}
	user, token := revokedKeys(who)
	return r.matches(user, who) || r.matches(token, who)
}

// matches needs mu.
func (r *revocations) matches(key string, who *identity) bool {
	rule, ok := r.keys[key]
	return ok && (rule.Before == 0 || who.issued.Unix() < rule.Before)
}

// revokedKeys are the bucket's keys for an identity; a token without an id has no key.
func revokedKeys(who *identity) (user, token string) {
	if id, err := subjects.Escape(who.user); err == nil {
		user = "user." + id
	}
	if id, err := subjects.Escape(who.tokenID); err == nil {
		token = "jti." + id
	}
	return user, token
}

// note takes over one entry of the bucket.
func (r *revocations) note(entry jetstream.KeyValueEntry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	noteRevoked(r.keys, entry)
}

func noteRevoked(keys map[string]revocation, entry jetstream.KeyValueEntry) {
	if entry.Operation() != jetstream.KeyValuePut {
		delete(keys, entry.Key())
		return
	}
	var rule revocation
	// What is not understood revokes without an end: the safe side.
	_ = json.Unmarshal(entry.Value(), &rule)
	keys[entry.Key()] = rule
}

func (r *revocations) replace(keys map[string]revocation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = keys
}

// loadRevocations reads the whole bucket and returns the watcher that goes on from there.
func (s *Server) loadRevocations(ctx context.Context) (jetstream.KeyWatcher, error) {
	bucket, err := s.js.KeyValue(ctx, subjects.BucketRevoked)
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", subjects.BucketRevoked, err)
	}
	watcher, err := bucket.WatchAll(ctx)
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", subjects.BucketRevoked, err)
	}
	keys := make(map[string]revocation)
	late := time.After(revokedLoad)
	for {
		select {
		case entry, open := <-watcher.Updates():
			switch {
			case !open:
				return nil, fmt.Errorf("watch %s: it has ended", subjects.BucketRevoked)
			case entry != nil:
				noteRevoked(keys, entry)
				continue
			}
			s.revocations.replace(keys) // all that was there
			return watcher, nil
		case <-late:
			_ = watcher.Stop()
			return nil, fmt.Errorf("bucket %s is not read within %v", subjects.BucketRevoked, revokedLoad)
		}
	}
}

const (
	revokedLoad  = 5 * time.Second
	revokedRetry = 250 * time.Millisecond
)

// followRevocations applies what comes until ctx ends. After a reconnect it reads everything anew: the
// server may have lost the watcher, or the bucket may be another. Until that succeeds, what was revoked
// stays revoked.
func (s *Server) followRevocations(ctx context.Context, watcher jetstream.KeyWatcher) {
	status := s.nc.StatusChanged(nats.CONNECTED)
	defer s.nc.RemoveStatusListener(status)
	updates, stale := watcher.Updates(), false
	for {
		var retry <-chan time.Time
		if stale {
			retry = time.After(revokedRetry)
		}
		select {
		case <-ctx.Done():
			return
		case entry, open := <-updates:
			switch {
			case !open:
				updates, stale = nil, true
			case entry != nil:
				s.revocations.note(entry)
				if entry.Operation() == jetstream.KeyValuePut {
					s.evictRevoked(entry.Key())
				}
			}
			continue
		case <-status:
			stale = true
		case <-retry:
		}
		if next, err := s.loadRevocations(ctx); err == nil {
			_ = watcher.Stop() // its consumer may be gone
			watcher, updates, stale = next, next.Updates(), false
			s.hub.eachSocket(func(k *socket) { s.revokedMeanwhile(k) })
		} else if ctx.Err() == nil {
			s.log.Warn("revocations cannot be read after a reconnect, trying again", "error", err)
		}
	}
}

// evictRevoked closes the transports of whom a new entry covers. The client comes back by itself and
// is then refused for good.
func (s *Server) evictRevoked(key string) {
	if strings.HasPrefix(key, "user.") {
		for n := range nsCount {
			for _, k := range s.hub.members(roomKey{n, key}) {
				s.revokedMeanwhile(k)
			}
		}
		return
	}
	s.hub.eachSocket(func(k *socket) { s.revokedMeanwhile(k) })
}

// revokedMeanwhile ends a socket whose identity is revoked, and its session: a revocation may be
// forgotten before a token that is only expired stops being good for resuming. It is asked of all members
// when an entry comes, and of each socket when it has become a member or has got a new token, so that an
// entry that comes between the check and the membership is not missed.
func (s *Server) revokedMeanwhile(k *socket) bool {
	if !s.revocations.covers(k.who.Load()) {
		return false
	}
	s.metrics.refused(reasonRevoked)
	s.forget(k)
	k.client.session.Close(engine.ReasonKicked)
	return true
}
