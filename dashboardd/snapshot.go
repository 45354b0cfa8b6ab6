package dashboardd

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"sync"

	"github.com/lexiflow/realtime/subjects"
)

// A snapshot is the tally at one sequence, in shards, so that writing it again costs what has changed
// since. store.go keeps it; this file is bytes only.

const (
	shards          = 128
	snapshotVersion = 1
)

// shardOf says in which shard a room key or a figure scope lives. It must never change: it is stored.
func shardOf(key string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key))
	return int(h.Sum32() % shards)
}

// manifest names the shards that make a snapshot. It is written last, by compare-and-set, so a
// snapshot is there as a whole or not at all.
type manifest struct {
	Version int        `json:"version"`
	Log     int64      `json:"log"` // when the stream LEX was created, ms: sequences of another log mean nothing
	Seq     uint64     `json:"seq"`
	At      int64      `json:"at"`
	Shards  []shardRef `json:"shards"` // by number
}

// shardRef is where a shard's content is: shard.<number>.<seq>.<part>. No parts is an empty shard.
type shardRef struct {
	Seq   uint64 `json:"seq"`
	Parts int    `json:"parts"`
}

// shard is the content of one.
type shard struct {
	Books  map[string]*book    `json:"books,omitempty"`
	Scopes map[string]*figures `json:"scopes,omitempty"`
	Alerts *alerts             `json:"alerts,omitempty"`
}

// collect returns the shards that changed behind a sequence. It shares memory with the tally, so it is
// to be encoded before the tally changes.
func (t *tally) collect(behind uint64) map[int]*shard {
	out := make(map[int]*shard)
	for n, at := range t.shardAt {
		if at > behind {
			out[n] = &shard{Books: make(map[string]*book), Scopes: make(map[string]*figures)}
		}
	}
	for key, b := range t.books {
		if s := out[shardOf(key)]; s != nil {
			s.Books[key] = b
		}
	}
	for scope, f := range t.scopes {
		if s := out[shardOf(scope)]; s != nil {
			s.Scopes[scope] = f
		}
	}
	if s := out[shardOf(scopeFirm)]; s != nil {
		s.Alerts = &t.alerts
	}
	return out
}

// add puts a decoded shard into a tally that is being loaded; rebuild follows.
func (t *tally) add(s *shard) error {
	for key, b := range s.Books {
		kind, id, err := subjects.ParseRoom(key)
		if err != nil {
			return err
		}
		b.kind, b.id, b.key = kind, id, key
		t.books[key] = b
	}
	maps.Copy(t.scopes, s.Scopes)
	if s.Alerts != nil {
		t.alerts = *s.Alerts
	}
	return nil
}

// encode returns a shard's bytes, the same for the same content.
func (s *shard) encode() ([]byte, error) {
	var out bytes.Buffer
	z, _ := compressors.Get().(*gzip.Writer)
	defer compressors.Put(z)
	z.Reset(&out)
	if err := json.NewEncoder(z).Encode(s); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// compressors are kept: a new one allocates 800 KB, more than most shards hold.
var compressors = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // fails for an unknown level only
	return z
}}

func decodeShard(data []byte) (*shard, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		return nil, err
	}
	var s shard
	if err := json.Unmarshal(plain, &s); err != nil {
		return nil, err
	}
	return &s, nil
}

func decodeManifest(data []byte) (manifest, error) {
	var m manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("the snapshot's manifest is not understood: %w", err)
	}
	if m.Version != snapshotVersion || len(m.Shards) != shards {
		return m, fmt.Errorf("the snapshot has version %d and %d shards, this program reads version %d and %d",
			m.Version, len(m.Shards), snapshotVersion, shards)
	}
	return m, nil
}
