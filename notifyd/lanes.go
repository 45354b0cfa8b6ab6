package notifyd

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/lexiflow/realtime/subjects"
)

// lanes change records, one change per user at a time. What waits for one user is
// stored in one write: a burst to one user costs little more than one notification.
// Users do not wait for each other, but for a worker.
//
// A lane keeps its record after use, so that the next change need not read it. Being
// wrong about it costs a refused write, never a wrong one.
//
// do may be called concurrently.
type lanes struct {
	store   *store
	outbox  *outbox
	now     func() time.Time
	metrics *metrics
	idle    time.Duration // before a record says that it has announced everything
	cache   int           // lanes kept

	mu   sync.Mutex
	wake sync.Cond // on mu: ready or closed changed
	// Guarded by mu.
	byKey  map[string]*lane
	ready  []*lane
	closed bool
}

// lane is one user. The fields below are guarded by lanes.mu but for record, which
// belongs to the worker while running is set.
type lane struct {
	user, key string
	ops       []*op
	running   bool
	sweep     bool // look even if there is nothing to do
	settled   bool // the record is unsettled and waits
	since     time.Time
	record    *record // nil: to be read
}

// op is one change. apply may be called several times on different records, of which
// one is stored; done is called once, on a worker, and must not block. When it is
// called without an error, the change is stored and announced.
type op struct {
	apply   func(*record, time.Time) error
	done    func(error)
	until   time.Time // after which nobody wants it any more; zero for never
	current bool      // it wants to be right even when it changes nothing
	bytes   int       // it adds
}

const (
	batchOps   = 64
	batchBytes = 128 << 10
)

func newLanes(s *store, o *outbox, now func() time.Time, m *metrics, idle time.Duration, cache int) *lanes {
	l := &lanes{
		store: s, outbox: o, now: now, metrics: m, idle: idle, cache: cache,
		byKey: make(map[string]*lane),
	}
	l.wake.L = &l.mu
	return l
}

// do puts a change on its user's lane. It does not block.
func (l *lanes) do(user, key string, o *op) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		go o.done(errStopping)
		return
	}
	k := l.lane(user, key)
	k.ops = append(k.ops, o)
	l.start(k)
}

// look makes a user's record be read, and what it has to announce announced.
func (l *lanes) look(user, key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.lane(user, key)
	k.sweep = true
	l.start(k)
}

func (l *lanes) lane(user, key string) *lane {
	k := l.byKey[key]
	if k == nil {
		l.trim()
		k = &lane{user: user, key: key}
		l.byKey[key] = k
	}
	return k
}

func (l *lanes) start(k *lane) {
	if !k.running {
		k.running = true
		l.ready = append(l.ready, k)
		l.wake.Signal()
	}
}

// trim forgets a few lanes that nobody needs, by the map's own chance.
func (l *lanes) trim() {
	if len(l.byKey) < l.cache {
		return
	}
	tries := 16
	for key, k := range l.byKey {
		if !k.running && !k.settled {
			delete(l.byKey, key)
		}
		if tries--; tries == 0 {
			return
		}
	}
}

// work runs lanes until ctx ends; call it on as many goroutines as wanted.
func (l *lanes) work(ctx context.Context) {
	for {
		k, ops := l.take()
		if k == nil {
			return
		}
		l.run(ctx, k, ops)
		l.put(k)
	}
}

// take returns a lane with its next batch, nil when there will be none.
func (l *lanes) take() (*lane, []*op) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.ready) == 0 {
		if l.closed {
			return nil, nil
		}
		l.wake.Wait()
	}
	k := l.ready[0]
	l.ready = l.ready[1:]
	n, size := 0, 0
	for n < len(k.ops) && n < batchOps && (n == 0 || size+k.ops[n].bytes <= batchBytes) {
		size += k.ops[n].bytes
		n++
	}
	ops := k.ops[:n:n]
	if k.ops = k.ops[n:]; len(k.ops) == 0 {
		k.ops = nil
	}
	if k.sweep { // somebody else's outbox: what is kept here is old
		k.sweep = false
		k.record = nil
	}
	return k, ops
}

func (l *lanes) put(k *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k.settled = k.record != nil && k.record.unsettled
	k.since = l.now()
	if len(k.ops) > 0 || k.sweep || l.closed && k.settled {
		l.ready = append(l.ready, k)
		l.wake.Signal()
		return
	}
	k.running = false
}

// settle lets records that have announced everything say so, unless a change soon
// says it for them. At the end it is called with all set and waits for nobody.
func (l *lanes) settle(all bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for _, k := range l.byKey {
		if k.settled && !k.running && (all || now.Sub(k.since) >= l.idle) {
			l.start(k)
		}
	}
}

// close lets the workers finish what there is and return.
func (l *lanes) close() {
	l.settle(true)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.wake.Broadcast()
}

var errStopping = errors.New("the service is stopping")

// errStale says that an answer would come from a record that may be old.
var errStale = errors.New("the record is to be read again")

// attempts at a compare-and-set. Others change the same record too, but one of them
// succeeds each time.
const casAttempts = 50

// run does one batch: read, change, store, announce.
func (l *lanes) run(ctx context.Context, k *lane, ops []*op) {
	var err error
	for n := range casAttempts {
		swept := k.record == nil && len(ops) == 0 // what is left to announce is nobody else's to find
		if err = l.try(ctx, k, ops, n > 0 || swept); err == nil {
			return
		}
		k.record = nil // nobody knows what is stored
		if errors.Is(err, errConflict) {
			l.metrics.conflicts.Inc()
		} else if !errors.Is(err, errStale) {
			break
		}
	}
	for _, o := range ops {
		o.done(err)
	}
}

// try does it once, on a record that is read exactly, or else on the one that is kept, or as any replica has
// it. Without an error every op's done has been called.
func (l *lanes) try(ctx context.Context, k *lane, ops []*op, exactly bool) error {
	if exactly || k.record == nil {
		r, err := l.store.load(ctx, k.user, k.key, exactly)
		if err != nil {
			return err
		}
		k.record = r
	}
	r := k.record
	// What an earlier change announces comes before what this one does.
	if err := l.announce(ctx, r); err != nil {
		return err
	}
	if len(ops) > 0 {
		if err := l.cut(ctx, r); err != nil {
			return err
		}
	}
	current := false
	errs := make([]error, len(ops))
	for i, o := range ops {
		if errs[i] = subjects.Before(o.until); errs[i] != nil {
			continue
		}
		errs[i] = o.apply(r, l.now())
		current = current || o.current
	}
	switch {
	case r.changed:
		r.seal()
	case current && !exactly:
		return errStale
	case len(ops) > 0 || !r.unsettled:
		finish(ops, errs)
		return nil
	}
	if overdue(ops, errs) {
		return errStale
	}
	if err := l.store.save(ctx, r); err != nil {
		return err
	}
	if err := l.announce(ctx, r); err != nil {
		return err
	}
	finish(ops, errs)
	return nil
}

// overdue reports whether the record holds a change that nobody wants any more. Between this and what
// was read lies no gap in which somebody else could have changed it unnoticed: the write would fail.
func overdue(ops []*op, errs []error) bool {
	for i, o := range ops {
		if errs[i] == nil && subjects.Before(o.until) != nil {
			return true
		}
	}
	return false
}

// announce empties the outbox of a stored record. The stored record says so later.
func (l *lanes) announce(ctx context.Context, r *record) error {
	if !r.pending() {
		return nil
	}
	if err := l.outbox.flush(ctx, r); err != nil {
		return err
	}
	for _, page := range r.drop {
		if err := l.store.remove(ctx, r.pageKey(page)); err != nil {
			return err
		}
	}
	l.metrics.announced.Add(float64(len(r.out)))
	r.announced()
	return nil
}

// cut moves bodies to a page when there are many.
func (l *lanes) cut(ctx context.Context, r *record) error {
	page, data := r.cut()
	if page == 0 {
		return nil
	}
	return l.store.putPage(ctx, r.pageKey(page), data)
}

func finish(ops []*op, errs []error) {
	for i, o := range ops {
		o.done(errs[i])
	}
}
