package presence

import (
	"context"
	"encoding/json"
	"hash/fnv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/subjects"
)

// Every replica hears every edge and comes to the same conclusions, so one of them has to act. Each user
// has an order of the replicas; the first acts at once, the next only when the record is still not as it
// should be a while later. That spares conflicts and nothing depends on it: two that both think to be the
// first meet at the compare-and-set.

const (
	replicaPrefix = subjects.ControlPrefix + "presence."
	beaconEvery   = 500 * time.Millisecond
	beaconForget  = 2 * time.Second
	// backupAfter is how much later each further replica acts. Longer than a replica is remembered, and
	// than two replicas may differ in taking an edge for dead.
	backupAfter = 2500 * time.Millisecond
)

// replicas are those that are alive. Their methods may be called concurrently.
type replicas struct {
	self string

	mu sync.Mutex
	// Guarded by mu.
	others map[string]time.Time // when each was last heard
}

// beacon is what a replica says of itself twice a second, and at once when it has found an edge dead.
type beacon struct {
	Leaving bool   `json:"leaving,omitempty"`
	Dead    string `json:"dead,omitempty"` // an edge
	Was     string `json:"was,omitempty"`  // its incarnation
}

func newReplicas(self string) *replicas {
	return &replicas{self: self, others: make(map[string]time.Time)}
}

// note records a beacon.
func (r *replicas) note(from string, b beacon, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b.Leaving {
		delete(r.others, from)
		return
	}
	r.others[from] = now
}

// rank returns how many replicas go before this one for a user.
func (r *replicas) rank(user string, now time.Time) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.others) == 0 {
		return 0
	}
	own, before := weight(user, r.self), 0
	for id, heard := range r.others {
		if now.Sub(heard) > beaconForget {
			delete(r.others, id)
			continue
		}
		if w := weight(user, id); w > own || w == own && id > r.self {
			before++
		}
	}
	return before
}

// weight orders replicas differently for each user (rendezvous hashing).
func weight(user, replica string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(user))
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(replica))
	// FNV alone differs too little in its high bits for names that end differently.
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return x
}

// patience is how long this replica lets others go first for a user.
func (s *Service) patience(user string) time.Duration {
	return time.Duration(s.replicas.rank(user, time.Now())) * backupAfter
}

// say publishes a beacon. What is lost is said again.
func (s *Service) say(b beacon) {
	body, err := json.Marshal(b)
	if err == nil && s.nc.IsConnected() {
		err = s.nc.Publish(replicaPrefix+s.id, body)
	}
	if err != nil {
		s.log.Warn("the other replicas are not told", "error", err)
	}
}

// heardReplica takes another replica's beacon.
func (s *Service) heardReplica(m *nats.Msg) {
	from := strings.TrimPrefix(m.Subject, replicaPrefix)
	var b beacon
	if from == s.id || json.Unmarshal(m.Data, &b) != nil {
		return
	}
	s.replicas.note(from, b, time.Now())
	if b.Dead != "" {
		s.toldDead(b.Dead, b.Was)
	}
}

// beacons says that this replica is there until ctx ends.
func (s *Service) beacons(ctx context.Context) {
	tick := time.NewTicker(beaconEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.say(beacon{Leaving: true})
			return
		case <-tick.C:
			s.say(beacon{})
		}
	}
}
