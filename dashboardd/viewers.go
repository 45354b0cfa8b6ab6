package dashboardd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
)

// Two small kinds of record beside the snapshots in the bucket DASHBOARD, so that any replica can
// answer any socket and the pushing one knows for whom to count:
//
//	viewer.<hash>    a user and what the token says about cases, for a day after the last hello
//	socket.<sid>     the types that a socket has subscribed to, for a day after the last change
//
// A day is twice the age that an edge lets a session reach. The lease's holder sweeps what is older.
const (
	keyViewer = "viewer."
	keySocket = "socket."

	recordMemory = 24 * time.Hour
	sweepRecords = time.Hour
)

// viewers are the known viewers of this firm. Methods may be called concurrently.
type viewers struct {
	kv   jetstream.KeyValue
	now  func() time.Time
	open bool // Options.OpenCases

	mu sync.Mutex
	// Guarded by mu.
	known  map[string]knownViewer
	byUser map[string]map[string]struct{} // user → hashes
	byCase map[string]map[string]struct{} // case of a token → hashes
	all    map[string]struct{}            // hashes with case:*
}

type knownViewer struct {
	viewer

	since time.Time
}

func newViewers(kv jetstream.KeyValue, now func() time.Time, open bool) *viewers {
	return &viewers{
		kv: kv, now: now, open: open, known: make(map[string]knownViewer), byUser: make(map[string]map[string]struct{}),
		byCase: make(map[string]map[string]struct{}), all: make(map[string]struct{}),
	}
}

// watch keeps the list until ctx ends.
func (v *viewers) watch(ctx context.Context) error {
	w, err := v.kv.Watch(ctx, keyViewer+"*")
	if err != nil {
		return fmt.Errorf("watching the viewers: %w", err)
	}
	defer func() { _ = w.Stop() }() // fails only when it has ended already
	for {
		select {
		case <-ctx.Done():
			return nil
		case entry, ok := <-w.Updates():
			if !ok {
				return errors.New("watching the viewers has ended")
			}
			if entry == nil || entry.Operation() != jetstream.KeyValuePut {
				continue
			}
			var who viewer
			if err := json.Unmarshal(entry.Value(), &who); err != nil {
				continue // of a newer program
			}
			v.note(who, entry.Created())
		}
	}
}

func (v *viewers) note(who viewer, at time.Time) {
	hash := who.hash()
	who.open = v.open
	v.mu.Lock()
	defer v.mu.Unlock()
	_, known := v.known[hash]
	v.known[hash] = knownViewer{who, at}
	if known {
		return
	}
	addTo(v.byUser, who.User, hash)
	for _, id := range who.Cases {
		addTo(v.byCase, id, hash)
	}
	if who.All {
		v.all[hash] = struct{}{}
	}
}

// register makes a viewer known to all replicas.
func (v *viewers) register(ctx context.Context, who viewer) error {
	hash := who.hash()
	v.mu.Lock()
	known, ok := v.known[hash]
	v.mu.Unlock()
	if ok && v.now().Sub(known.since) < recordMemory/2 {
		return nil
	}
	body, err := json.Marshal(who)
	if err != nil {
		return err
	}
	if _, err := v.kv.Put(ctx, keyViewer+hash, body); err != nil {
		return fmt.Errorf("registering a viewer: %w", err)
	}
	v.note(who, v.now())
	return nil
}

// forget drops viewers that have not said hello for a day.
func (v *viewers) forget(now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for hash, k := range v.known {
		if now.Sub(k.since) <= recordMemory {
			continue
		}
		delete(v.known, hash)
		delete(v.all, hash)
		takeFrom(v.byUser, k.User, hash)
		for _, id := range k.Cases {
			takeFrom(v.byCase, id, hash)
		}
	}
}

func (v *viewers) get(hash string) (viewer, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	k, ok := v.known[hash]
	return k.viewer, ok
}

// everybody lists all viewers.
func (v *viewers) everybody() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	hashes := make([]string, 0, len(v.known))
	for hash := range v.known {
		hashes = append(hashes, hash)
	}
	return hashes
}

// of adds the viewers of a case, and of the users named, to a set.
func (v *viewers) of(set map[string]struct{}, caseID string, users []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, user := range users {
		for hash := range v.byUser[user] {
			set[hash] = struct{}{}
		}
	}
	for hash := range v.byCase[caseID] {
		set[hash] = struct{}{}
	}
}

// ofAll adds the viewers of all cases to a set.
func (v *viewers) ofAll(set map[string]struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for hash := range v.all {
		set[hash] = struct{}{}
	}
}

// hasToken reports whether one of the user's tokens names the case.
func (v *viewers) hasToken(user, caseID string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for hash := range v.byUser[user] {
		if _, ok := v.byCase[caseID][hash]; ok {
			return true
		}
	}
	return false
}

func addTo(m map[string]map[string]struct{}, key, value string) {
	if m[key] == nil {
		m[key] = make(map[string]struct{})
	}
	m[key][value] = struct{}{}
}

func takeFrom(m map[string]map[string]struct{}, key, value string) {
	delete(m[key], value)
	if len(m[key]) == 0 {
		delete(m, key)
	}
}

// socketTypes is the record of one socket: the types it has subscribed to, in that order.
type socketTypes struct {
	Types []string `json:"types"`
}

// wanted reads a socket's types. Without a record it wants everything (contract 8, B26).
func (s *Service) wanted(ctx context.Context, socket string) (types []string, revision uint64, err error) {
	key, err := socketKey(socket)
	if err != nil {
		return nil, 0, err
	}
	data, revision, err := subjects.ValueFromLeader(ctx, s.js.Conn(), subjects.BucketDashboard, key)
	if err != nil {
		return nil, 0, fmt.Errorf("reading a socket's types: %w", err)
	}
	if data == nil {
		return allTypes, 0, nil
	}
	var record socketTypes
	if err := json.Unmarshal(data, &record); err != nil {
		return allTypes, revision, nil //nolint:nilerr // what is not understood is replaced by the next subscription
	}
	return record.Types, revision, nil
}

// changeTypes applies change to a socket's types by compare-and-set. first says that the socket has
// not subscribed to anything before.
func (s *Service) changeTypes(ctx context.Context, socket string, change func(types []string, first bool) []string) ([]string, error) {
	key, err := socketKey(socket)
	if err != nil {
		return nil, err
	}
	for {
		types, revision, err := s.wanted(ctx, socket)
		if err != nil {
			return nil, err
		}
		types = change(slices.Clone(types), revision == 0)
		body, err := json.Marshal(socketTypes{types})
		if err != nil {
			return nil, err
		}
		if err := subjects.InTime(ctx); err != nil {
			return nil, err
		}
		if revision == 0 {
			_, err = s.store.kv.Create(ctx, key, body)
		} else {
			_, err = s.store.kv.Update(ctx, key, body, revision)
		}
		if errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
			continue // another command of this socket; ctx bounds it
		}
		if err != nil {
			return nil, fmt.Errorf("writing a socket's types: %w", err)
		}
		return types, nil
	}
}

func socketKey(socket string) (string, error) {
	token, err := subjects.Escape(socket)
	return keySocket + token, err
}

// sweepOldRecords removes records that nobody can need any more.
func (s *Service) sweepOldRecords(ctx context.Context, now time.Time) error {
	for _, prefix := range []string{keyViewer, keySocket} {
		w, err := s.store.kv.Watch(ctx, prefix+"*", jetstream.MetaOnly())
		if err != nil {
			return fmt.Errorf("sweeping records: %w", err)
		}
		var old []string
		for entry := range w.Updates() {
			if entry == nil {
				break
			}
			if now.Sub(entry.Created()) > recordMemory {
				old = append(old, entry.Key())
			}
		}
		if err := w.Stop(); err != nil {
			return fmt.Errorf("sweeping records: %w", err)
		}
		for _, key := range old {
			if err := s.store.remove(ctx, key); err != nil {
				return fmt.Errorf("sweeping records: %w", err)
			}
		}
	}
	return nil
}
