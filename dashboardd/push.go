package dashboardd

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/subjects"
)

// pusher turns what the fold has touched into events, on the replica that holds the lease. Gauges go
// out from here; what goes to the log does so in announce.go.
type pusher struct {
	s *Service

	// Owned by run.
	queue   *coalescer
	touches []waitingTouch // in the order of their times
	slow    time.Time      // of the last look at what only time changes

	mu sync.Mutex
	// Guarded by mu.
	sent      map[push][]byte      // the gauges as they were pushed last, without their timestamps
	announced map[string]announced // what the log has taken and the fold has not read back yet, by book
}

// announced is how far a feed was announced, and when.
type announced struct {
	n  uint64
	at time.Time
}

// readBack is how long an announcement is given to come back from the log before it is tried again.
const readBack = 2 * time.Second

// touch says that a socket was just answered. What was pushed between the answer's state and the
// socket's joining is lost on it, so it is pushed again.
type touch struct {
	Scope  string `json:"scope"` // of metrics
	Viewer viewer `json:"viewer,omitzero"`
	Seq    uint64 `json:"seq"` // of the state that answered
}

type waitingTouch struct {
	touch

	at time.Time
}

// touchSubject carries touches to the replica that pushes. Losing one costs a number that is old until
// it changes again.
const touchSubject = subjects.ControlPrefix + "dashboard.touch"

// slowly is how often what only time changes is looked at: deadlines that pass, days that end.
const slowly = time.Minute

func newPusher(s *Service) *pusher {
	return &pusher{s: s, queue: newCoalescer(s.options.Interval), sent: make(map[push][]byte), announced: make(map[string]announced)}
}

// touched tells the pushing replica.
func (s *Service) touched(t touch) {
	body, err := json.Marshal(t)
	if err != nil || !s.nc.IsConnected() {
		return
	}
	if err := s.nc.Publish(touchSubject, body); err != nil {
		s.log.Debug("touch not sent", "error", err)
	}
}

// run pushes until ctx ends.
func (p *pusher) run(ctx context.Context) {
	stop := p.hear()
	defer stop()
	timer := time.NewTimer(p.queue.every)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.s.wake:
		case <-timer.C:
		case t := <-p.s.touches:
			p.touches = append(p.touches, waitingTouch{t, time.Now().Add(p.queue.every)})
		}
		p.round(ctx, time.Now())
		timer.Reset(p.pause(time.Now()))
	}
}

// hear listens for touches of all replicas.
func (p *pusher) hear() (stop func()) {
	sub, err := p.s.nc.Subscribe(touchSubject, touchHandler(p.s.touches))
	if err != nil {
		p.s.failed("touch", err)
		return func() {}
	}
	return func() { _ = sub.Unsubscribe() } // fails only when the connection is gone
}

// pause is how long there is nothing to do: at most an interval, so that what failed is tried again.
func (p *pusher) pause(now time.Time) time.Duration {
	next := now.Add(p.queue.every)
	if at, ok := p.queue.next(); ok && at.Before(next) {
		next = at
	}
	if len(p.touches) > 0 && p.touches[0].at.Before(next) {
		next = p.touches[0].at
	}
	return max(next.Sub(now), time.Millisecond)
}

func (p *pusher) round(ctx context.Context, now time.Time) {
	held := p.s.lease.held()
	p.s.metrics.holder.Set(map[bool]float64{true: 1}[held])
	if !held || p.s.Ready() != nil || !p.s.nc.IsConnected() {
		p.touches = nil
		return
	}
	p.gather(now)
	p.repeatTouched(now)
	if now.Sub(p.slow) >= slowly {
		p.slow = now
		p.markEverything(now)
	}
	p.send(ctx, p.queue.take(now))
	p.s.announceAlerts(ctx)
}

// gather marks what the fold has touched since the last round.
func (p *pusher) gather(now time.Time) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	t := p.s.tally
	if t == nil {
		return
	}
	changed := t.drain()
	readers, cases := make(map[string]struct{}), false
	for key := range changed.books {
		b := t.books[key]
		switch b.kind {
		case subjects.KindCase:
			p.queue.mark(push{typeCaseStats, key}, now)
			p.s.viewers.of(readers, b.id, b.Access.Allow)
			cases = true
			if b.Team != "" {
				p.queue.mark(push{typeMetrics, scopeTeam + b.Team}, now)
			}
		case subjects.KindTeam:
			p.queue.mark(push{typeMetrics, scopeTeam + b.id}, now)
		case subjects.KindUser:
			p.s.viewers.of(readers, "", []string{b.id})
		}
		p.queue.mark(push{typeMetrics, scopeFirm}, now)
	}
	if cases {
		p.s.viewers.ofAll(readers)
	}
	for user := range changed.users {
		p.s.viewers.of(readers, "", []string{user})
	}
	for user, at := range changed.moved {
		p.s.greetAgain(user, now.Sub(time.UnixMilli(at)))
	}
	for scope := range changed.scopes {
		if user, ok := strings.CutPrefix(scope, scopeUser); ok {
			p.s.viewers.of(readers, "", []string{user})
			continue
		}
		p.queue.mark(push{typeMetrics, scope}, now)
	}
	for hash := range readers {
		p.queue.mark(push{typeMetrics, scopeUser + hash}, now)
	}
	p.markUntold(t, now)
}

// greetAgain has a user's sockets greeted again whose cases have changed, so that they enter and leave
// rooms. What changed long ago was read while this replica started or did not push.
func (s *Service) greetAgain(user string, ago time.Duration) {
	if ago > greetWithin {
		return
	}
	if room, err := subjects.Room(subjects.KindUser, user); err == nil {
		s.greeter.Again(room, 0)
	}
}

// greetWithin is longer than the lease of a pushing replica that died, and what the clocks of the log and
// of this host may differ.
const greetWithin = 15 * time.Second

func (p *pusher) markUntold(t *tally, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, a := range p.announced {
		if _, waits := t.untold[key]; !waits || now.Sub(a.at) > readBack {
			delete(p.announced, key)
		}
	}
	for key := range t.untold {
		b := t.books[key]
		switch {
		case p.announced[key].n >= b.Feed.N: // it is on its way back
		case b.kind == subjects.KindTeam:
			p.queue.mark(push{typeTeamActivity, key}, now)
		default:
			p.queue.mark(push{typeActivity, key}, now)
		}
	}
}

// repeatTouched pushes again what changed since a socket was answered; by now it is in its rooms.
func (p *pusher) repeatTouched(now time.Time) {
	p.s.mu.RLock()
	defer p.s.mu.RUnlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	again := func(what push) {
		delete(p.sent, what)
		p.queue.mark(what, now)
	}
	for len(p.touches) > 0 && !p.touches[0].at.After(now) {
		t := p.touches[0]
		p.touches = p.touches[1:]
		if p.s.tally == nil || p.s.tally.Seq <= t.Seq {
			continue
		}
		again(push{typeMetrics, t.Scope})
		t.Viewer.open = p.s.options.OpenCases
		for _, b := range p.s.tally.newestCases(t.Viewer) {
			if b.Last > t.Seq {
				again(push{typeCaseStats, b.key})
			}
		}
	}
}

// markEverything marks all gauges that time changes.
func (p *pusher) markEverything(now time.Time) {
	p.s.mu.RLock()
	defer p.s.mu.RUnlock()
	if p.s.tally == nil {
		return
	}
	for key, b := range p.s.tally.books {
		switch {
		case b.kind == subjects.KindTeam:
			p.queue.mark(push{typeMetrics, scopeTeam + b.id}, now)
		case b.kind == subjects.KindCase && (len(b.Recent) > 0 || len(b.Deadlines) > 0):
			p.queue.mark(push{typeCaseStats, key}, now)
		}
	}
	p.queue.mark(push{typeMetrics, scopeFirm}, now)
	for _, hash := range p.s.viewers.everybody() {
		p.queue.mark(push{typeMetrics, scopeUser + hash}, now)
	}
}

// announcers bounds the publishes to the log that are waited for at once.
const announcers = 8

func (p *pusher) send(ctx context.Context, ready []push) {
	slots := make(chan struct{}, announcers)
	var done sync.WaitGroup
	defer done.Wait()
	for _, what := range ready {
		switch what.what {
		case typeMetrics:
			p.sendMetrics(ctx, what)
		case typeCaseStats:
			p.sendStats(ctx, what)
		default:
			slots <- struct{}{}
			done.Go(func() {
				defer func() { <-slots }()
				if n, ok := p.s.announce(ctx, what.about); ok {
					p.mu.Lock()
					p.announced[what.about] = announced{n, time.Now()}
					p.mu.Unlock()
				}
			})
		}
	}
}

// sendMetrics pushes one scope's numbers, if they are not what was pushed last.
func (p *pusher) sendMetrics(ctx context.Context, what push) {
	now := p.s.nowMillis()
	p.s.mu.RLock()
	m, ok := p.s.metricsOfScope(what.about, now)
	p.s.mu.RUnlock()
	if !ok {
		return
	}
	if !p.news(what, m) {
		return
	}
	body, err := json.Marshal(m.at(now))
	if err == nil {
		err = p.s.pub.PublishState(ctx, subjects.KindDashboard, metricsRoom(what.about), subjects.DashboardMetrics.Name(), body)
	}
	p.pushed(what, err)
}

// metricsOfScope needs mu. A viewer's scope is "user:" and the viewer's hash.
func (s *Service) metricsOfScope(scope string, now int64) (shownMetrics, bool) {
	if s.tally == nil {
		return shownMetrics{}, false
	}
	if scope == scopeFirm {
		return shownMetrics{s.tally.firm(now), scopeFirm}, true
	}
	if team, ok := strings.CutPrefix(scope, scopeTeam); ok {
		return shownMetrics{s.tally.team(team, now), scope}, true
	}
	v, ok := s.viewers.get(strings.TrimPrefix(scope, scopeUser))
	if !ok {
		return shownMetrics{}, false
	}
	return shownMetrics{s.tally.viewer(v, now), scopeUser + v.User}, true
}

// sendStats pushes one case's numbers to its two rooms.
func (p *pusher) sendStats(ctx context.Context, what push) {
	now := p.s.nowMillis()
	p.s.mu.RLock()
	var stats subjects.CaseStatsEvent
	var walls walls
	found := p.s.tally != nil && p.s.tally.books[what.about] != nil
	if found {
		b := p.s.tally.books[what.about]
		stats, walls = b.stats(now), b.walls(p.s.viewers)
	}
	p.s.mu.RUnlock()
	if !found || !p.news(what, stats) {
		return
	}
	stats.Timestamp = timeOf(now)
	event := subjects.DashboardCaseStats.To(subjects.KindDashboard)
	for room, except := range map[string]string{caseStatsRoom(stats.CaseID): walls.room, roomEveryStats: walls.every} {
		if len(except) > maxExcept {
			p.s.metrics.failed.WithLabelValues("walls_too_long").Inc()
			continue
		}
		_, err := event.Publish(ctx, p.s.pub, room, stats, subjects.WithHeader(subjects.HeaderExcept, except))
		p.pushed(what, err)
	}
}

// news reports whether a gauge differs from what was pushed last, and holds it to be pushed.
func (p *pusher) news(what push, payload any) bool {
	body, err := json.Marshal(payload)
	if err != nil {
		p.s.failed("push", err)
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if bytes.Equal(p.sent[what], body) {
		return false
	}
	p.sent[what] = body
	return true
}

// pushed counts a push; what was not sent is not held to have been.
func (p *pusher) pushed(what push, err error) {
	if err == nil {
		p.s.metrics.pushes.WithLabelValues(what.what).Inc()
		return
	}
	p.s.failed("push", err)
	p.mu.Lock()
	delete(p.sent, what)
	p.mu.Unlock()
	p.queue.mark(what, time.Now())
}

func touchHandler(out chan<- touch) func(*nats.Msg) {
	return func(m *nats.Msg) {
		var t touch
		if err := json.Unmarshal(m.Data, &t); err != nil {
			return
		}
		select {
		case out <- t:
		default: // as if it were lost
		}
	}
}
