package notifyd

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"hash/fnv"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
)

// Events of a followed case are collected for a while and told as one. The state is
// the key digest.<case>: events come in by compare-and-set, each once by its sequence
// in the log; a batch that is due is told to the followers, whose records know it as
// a cause by its name; then it goes. Any replica may do any of it.
type digests struct {
	s      *Service
	window time.Duration
	floor  atomic.Uint64 // events up to it are acknowledged
	epoch  int64         // of the log

	stripes [64]sync.Mutex // by case: so that one replica does not race itself

	mu sync.Mutex
	// Guarded by mu.
	due map[string]time.Time // by key of the case: when its next batch is due
}

type digest struct {
	Epoch   int64   `json:"epoch"`
	Seen    []byte  `json:"seen"`
	Batches []batch `json:"batches,omitempty"`
}

// batch is a burst. It is told under the sequence of its first event, which is certain from when somebody
// claims it: nothing comes in any more.
type batch struct {
	Due    int64          `json:"due"` // ms since 1970
	Alone  bool           `json:"alone,omitempty"`
	Total  int            `json:"total"`
	Events []happening    `json:"events"`
	Actors map[string]int `json:"actors,omitempty"` // how many events by whom

	// Whoever tells it says so, to spare the others the work. It is no lock.
	By    string `json:"by,omitempty"`
	Until int64  `json:"until,omitempty"`
}

const (
	maxDetails = 20  // events of a batch that are told one by one
	maxActors  = 200 // whose own events are counted
)

func (d *digests) stripe(key string) *sync.Mutex {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key)) // a hash takes everything
	return &d.stripes[h.Sum32()%uint32(len(d.stripes))]
}

// collect takes an event in, if somebody follows its case.
func (d *digests) collect(ctx context.Context, subject subjects.Subject, seq uint64, at time.Time, payload []byte) error {
	key, err := subjects.Escape(subject.ID)
	if err != nil {
		return err
	}
	mu := d.stripe(key)
	mu.Lock()
	defer mu.Unlock()
	who, err := d.s.follows.of(ctx, subject.ID)
	if err != nil || len(who) == 0 {
		return err
	}
	h := tellOf(subject.Event, seq, at, payload)
	return update(ctx, d.s.follows, digestPrefix+key, noDigest, func(g *digest) (bool, error) {
		return g.take(h, d.epoch, d.floor.Load(), d.s.now(), d.window)
	})
}

func noDigest() digest { return digest{} }

// take puts an event into the batch that is open, or begins one.
func (g *digest) take(h happening, epoch int64, floor uint64, now time.Time, window time.Duration) (changed bool, err error) {
	var seen seqset
	if g.Epoch == epoch {
		if seen, err = parseSeqset(g.Seen); err != nil {
			return false, err
		}
	}
	if h.Seq <= floor || seen.has(h.Seq) {
		return false, nil
	}
	seen.raise(floor)
	seen.add(h.Seq)
	g.Epoch, g.Seen = epoch, seen.encode()
	alone := h.urgent() || window <= 0
	n := len(g.Batches)
	if n == 0 || alone || g.Batches[n-1].closed(now) {
		due := now
		if !alone {
			due = now.Add(window)
		}
		g.Batches = append(g.Batches, batch{Due: due.UnixMilli(), Alone: alone})
	}
	b := &g.Batches[len(g.Batches)-1]
	b.Total++
	b.detail(h)
	if _, known := b.Actors[h.By]; h.By != "" && (known || len(b.Actors) < maxActors) {
		if b.Actors == nil {
			b.Actors = map[string]int{}
		}
		b.Actors[h.By]++
	}
	return true, nil
}

// detail puts an event where the log has it, for replicas and goroutines overtake each other, and lets go
// of what is more than maxDetails.
func (b *batch) detail(h happening) {
	i, _ := slices.BinarySearchFunc(b.Events, h.Seq, func(e happening, seq uint64) int { return cmp.Compare(e.Seq, seq) })
	b.Events = slices.Insert(b.Events, i, h)
	b.Events = b.Events[:min(len(b.Events), maxDetails)]
}

// next returns the batch to be told now, −1 for none.
func (g *digest) next(now time.Time, me string) int {
	for i := range g.Batches {
		b := &g.Batches[i]
		if b.Due <= now.UnixMilli() && (b.By == "" || b.By == me || b.Until <= now.UnixMilli()) {
			return i
		}
	}
	return -1
}

// waits returns when next has something, 0 for never.
func (g *digest) waits() (first int64) {
	for i := range g.Batches {
		b := &g.Batches[i]
		at := b.Due
		if b.By != "" {
			at = max(at, b.Until)
		}
		if first == 0 || at < first {
			first = at
		}
	}
	return first
}

// closed reports whether nothing more may come into a batch. One that somebody tells is
// closed, whatever the clocks say.
func (b *batch) closed(now time.Time) bool {
	return b.Alone || b.By != "" || b.Due <= now.UnixMilli()
}

func (b *batch) no() uint64 { return b.Events[0].Seq }

// watch keeps due up to date until ctx ends. It begins with what is there.
func (d *digests) watch(ctx context.Context, ended chan<- error) error {
	w, err := d.s.follows.store.kv.Watch(ctx, digestPrefix+"*")
	if err != nil {
		return err
	}
	go func() {
		defer func() { _ = w.Stop() }() // ctx has ended, or nothing comes any more
		for {
			select {
			case <-ctx.Done():
				ended <- nil
				return
			case entry, ok := <-w.Updates():
				switch {
				case !ok && ctx.Err() == nil:
					ended <- errors.New("watching " + subjects.BucketFollows + " ended")
					return
				case !ok:
					ended <- nil
					return
				case entry != nil:
					d.learn(entry)
				}
			}
		}
	}()
	return nil
}

func (d *digests) learn(entry jetstream.KeyValueEntry) {
	var g digest
	if err := json.Unmarshal(entry.Value(), &g); err != nil && entry.Operation() == jetstream.KeyValuePut {
		d.s.log.Error("a digest is not understood", "error", err)
	}
	d.schedule(strings.TrimPrefix(entry.Key(), digestPrefix), g.waits())
}

func (d *digests) schedule(key string, at int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if at == 0 {
		delete(d.due, key)
		return
	}
	d.due[key] = time.UnixMilli(at)
}

// tick tells what is due.
func (d *digests) tick() {
	now := d.s.now()
	var keys []string
	d.mu.Lock()
	for key, at := range d.due {
		if !at.After(now) {
			keys = append(keys, key)
			d.due[key] = now.Add(d.claimTime()) // a try that fails is repeated; one that works is learnt
		}
	}
	d.mu.Unlock()
	for _, key := range keys {
		d.s.background(func(ctx context.Context) {
			if err := d.fire(ctx, key); err != nil && ctx.Err() == nil {
				level := slog.LevelWarn
				if errors.Is(err, errRecord) {
					level = slog.LevelError
				}
				d.s.log.Log(ctx, level, "a digest is told later", "error", err)
				d.schedule(key, d.s.now().Add(time.Second).UnixMilli())
			}
		})
	}
}

// fire tells the due batches of one case.
func (d *digests) fire(ctx context.Context, key string) error {
	caseID, err := subjects.Unescape(key)
	if err != nil {
		return err
	}
	for {
		b, err := d.claim(ctx, key)
		if b == nil || err != nil {
			return err
		}
		if err := d.tell(ctx, key, caseID, b); err != nil {
			return err
		}
		err = update(ctx, d.s.follows, digestPrefix+key, noDigest, func(g *digest) (bool, error) {
			for i := range g.Batches {
				if g.Batches[i].no() == b.no() {
					g.Batches = append(g.Batches[:i], g.Batches[i+1:]...)
					return true, nil
				}
			}
			return false, nil
		})
		if err != nil {
			return err
		}
		d.s.metrics.processed.WithLabelValues("digest").Inc()
	}
}

// claimTime is how long the others leave a batch to who has claimed it: half of what
// they leave a message.
func (d *digests) claimTime() time.Duration { return d.s.options.AckWait / 2 }

// claim closes a batch that is due: nothing comes in behind its time.
func (d *digests) claim(ctx context.Context, key string) (claimed *batch, err error) {
	mu := d.stripe(key)
	mu.Lock()
	defer mu.Unlock()
	err = update(ctx, d.s.follows, digestPrefix+key, noDigest, func(g *digest) (bool, error) {
		claimed = nil
		now := d.s.now()
		i := g.next(now, d.s.options.Instance)
		if i < 0 {
			return false, nil
		}
		claimed = &g.Batches[i]
		claimed.By, claimed.Until = d.s.options.Instance, now.Add(d.claimTime()).UnixMilli()
		return true, nil
	})
	return claimed, err
}

// tell gives a batch to all followers who may still see the case.
func (d *digests) tell(ctx context.Context, key, caseID string, b *batch) error {
	who, err := d.s.follows.of(ctx, caseID)
	if err != nil {
		return err
	}
	list, err := d.s.access(ctx, subjects.KindCase, caseID)
	if err != nil {
		return err
	}
	c := cause{name: nameOf("digest." + key + "." + strconv.FormatUint(b.no(), 10))}
	return d.s.each(ctx, who.admitted(list, d.s.options.OpenCases), func(user string) (notice, cause, bool) {
		n, ok := digestFor(user, caseID, b)
		return n, c, ok
	})
}

func itoa(n int) string { return strconv.Itoa(n) }
