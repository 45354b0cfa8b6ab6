package dashboardd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
)

// store keeps snapshots in the bucket DASHBOARD.
//
//	snapshot                     the manifest: compare-and-set, and only forward
//	shard.<n>.<seq>.<part>       written once, before the manifest that names it
//
// A shard's content is a function of its number and sequence, so two replicas that write the same key
// write the same bytes. What no manifest names any more is removed after the manifest is replaced: only
// keys of an older sequence, so that a snapshot under way on another replica is not pulled from under
// it; if that one was based on the replaced manifest, its compare-and-set fails.
type store struct {
	kv     jetstream.KeyValue
	stream jetstream.Stream // of the bucket, to remove keys without leaving a marker for each
}

const (
	bucketSubject = "$KV." + subjects.BucketDashboard + "."
	keySnapshot   = "snapshot"
	keyShard      = "shard."
	partSize      = 512 << 10
)

var errMissing = errors.New("the snapshot misses a part")

func openStore(ctx context.Context, js jetstream.JetStream) (*store, error) {
	kv, err := js.KeyValue(ctx, subjects.BucketDashboard)
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", subjects.BucketDashboard, err)
	}
	stream, err := js.Stream(ctx, "KV_"+subjects.BucketDashboard)
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", subjects.BucketDashboard, err)
	}
	return &store{kv, stream}, nil
}

// manifest returns the current one and its revision; without one, the revision is 0.
func (s *store) manifest(ctx context.Context) (manifest, uint64, error) {
	entry, err := s.kv.Get(ctx, keySnapshot)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return manifest{Shards: make([]shardRef, shards)}, 0, nil
	}
	if err != nil {
		return manifest{}, 0, fmt.Errorf("reading the snapshot: %w", err)
	}
	m, err := decodeManifest(entry.Value())
	return m, entry.Revision(), err
}

// load reads the newest snapshot into a tally of its own. Without one it returns an empty tally.
func (s *store) load(ctx context.Context) (*tally, manifest, error) {
	const races = 5 // against a replica that replaces the snapshot meanwhile
	for try := 0; ; try++ {
		m, revision, err := s.manifest(ctx)
		if err != nil {
			return nil, m, err
		}
		t := newTally()
		if revision == 0 {
			return t, m, nil
		}
		err = s.read(ctx, t, m)
		if err == nil {
			t.Seq, t.At = m.Seq, m.At
			t.rebuild()
			return t, m, nil
		}
		if try == races || !errors.Is(err, errMissing) {
			return nil, m, err
		}
	}
}

func (s *store) read(ctx context.Context, t *tally, m manifest) error {
	for n, ref := range m.Shards {
		if ref.Parts == 0 {
			continue
		}
		var data []byte
		for part := range ref.Parts {
			entry, err := s.kv.Get(ctx, shardKey(n, ref.Seq, part))
			if errors.Is(err, jetstream.ErrKeyNotFound) {
				return fmt.Errorf("%w: %s", errMissing, shardKey(n, ref.Seq, part))
			}
			if err != nil {
				return fmt.Errorf("reading the snapshot: %w", err)
			}
			data = append(data, entry.Value()...)
		}
		content, err := decodeShard(data)
		if err != nil {
			return fmt.Errorf("shard %d of the snapshot at %d is damaged: %w", n, ref.Seq, err)
		}
		if err := t.add(content); err != nil {
			return fmt.Errorf("shard %d of the snapshot at %d is damaged: %w", n, ref.Seq, err)
		}
	}
	return nil
}

// saved is what a save did.
type saved struct {
	seq    uint64
	shards int
	bytes  int
}

// freezer hands out the shards that changed behind a sequence, encoded, and where the tally stands.
type freezer func(behind uint64) (seq uint64, at int64, content map[int][]byte, err error)

// save writes a snapshot if the tally is ahead of the newest one. Losing the compare-and-set is no
// error: then another replica has just written one.
func (s *store) save(ctx context.Context, logCreated int64, freeze freezer) (saved, error) {
	old, revision, err := s.manifest(ctx)
	if err != nil {
		return saved{}, err
	}
	seq, at, content, err := freeze(old.Seq)
	if err != nil || seq <= old.Seq {
		return saved{}, err
	}
	next := manifest{Version: snapshotVersion, Log: logCreated, Seq: seq, At: at, Shards: append([]shardRef(nil), old.Shards...)}
	done := saved{seq: seq, shards: len(content)}
	for n, data := range content {
		done.bytes += len(data)
		next.Shards[n] = shardRef{Seq: seq, Parts: (len(data) + partSize - 1) / partSize}
		for part := range next.Shards[n].Parts {
			piece := data[part*partSize : min(len(data), (part+1)*partSize)]
			if _, err := s.kv.Put(ctx, shardKey(n, seq, part), piece); err != nil {
				return saved{}, fmt.Errorf("writing a snapshot: %w", err)
			}
		}
	}
	value, err := json.Marshal(next)
	if err != nil {
		return saved{}, err
	}
	if revision == 0 {
		_, err = s.kv.Create(ctx, keySnapshot, value)
	} else {
		_, err = s.kv.Update(ctx, keySnapshot, value, revision)
	}
	if errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		return saved{}, nil
	}
	if err != nil {
		return saved{}, fmt.Errorf("writing a snapshot: %w", err)
	}
	return done, s.sweep(ctx, next)
}

// sweep removes shards that are older than a committed manifest and not named by it: those it
// replaced, and what writers that were killed have left.
func (s *store) sweep(ctx context.Context, m manifest) error {
	info, err := s.stream.Info(ctx, jetstream.WithSubjectFilter(bucketSubject+keyShard+">"))
	if err != nil {
		return fmt.Errorf("sweeping old snapshots: %w", err)
	}
	for subject := range info.State.Subjects {
		var n, part int
		var seq uint64
		key := strings.TrimPrefix(subject, bucketSubject)
		if _, err := fmt.Sscanf(key, keyShard+"%d.%d.%d", &n, &seq, &part); err != nil || n < 0 || n >= shards {
			continue
		}
		if seq >= m.Seq || m.Shards[n].Seq == seq {
			continue
		}
		if err := s.remove(ctx, key); err != nil {
			return fmt.Errorf("sweeping old snapshots: %w", err)
		}
	}
	return nil
}

// remove takes a key away without a trace.
func (s *store) remove(ctx context.Context, key string) error {
	return s.stream.Purge(ctx, jetstream.WithPurgeSubject(bucketSubject+key))
}

func shardKey(n int, seq uint64, part int) string {
	return fmt.Sprintf("%s%d.%d.%d", keyShard, n, seq, part)
}
