package dashboardd

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/lexiflow/realtime/subjects"
)

// What clients ask: hello at a fresh or resumed socket, and the three commands of contract 1.3. Every
// replica answers from its own fold.

type endpoint struct {
	name    string
	subject string
	handle  func(ctx context.Context, c subjects.Caller, data []byte) (subjects.Reply, error)
}

func (s *Service) endpoints() []endpoint {
	return []endpoint{
		{"hello", subjects.HelloSubject(subjects.NamespaceDashboard), s.hello},
		{"subscribe", subjects.DashboardSubscribe.Subject(), s.subscribe},
		{"unsubscribe", subjects.DashboardUnsubscribe.Subject(), s.unsubscribe},
		{"refresh", subjects.DashboardRefresh.Subject(), s.refresh},
	}
}

// Bounds of one endpoint's queue; beyond, the connection drops requests and the edge says TIMEOUT.
const (
	pendingRequests = 8192
	pendingBytes    = 32 << 20
)

// serve opens the endpoints, unless they are open.
func (s *Service) serve(ctx context.Context) error {
	if s.service != nil {
		return nil
	}
	closing := new(atomic.Bool)
	service, err := micro.AddService(s.nc, micro.Config{
		Name: Name, Version: s.options.Version, QueueGroup: Name,
		Description: "folds the log into dashboards",
		DoneHandler: func(micro.Service) {
			if closing.Load() {
				return
			}
			select {
			case s.micro <- errStopped:
			default:
			}
		},
		ErrorHandler: func(_ micro.Service, e *micro.NATSError) {
			s.metrics.failed.WithLabelValues("endpoint").Inc()
			s.log.Warn("endpoint", "subject", e.Subject, "error", e.Description)
		},
	})
	if err != nil {
		return fmt.Errorf("endpoints: %w", err)
	}
	for _, e := range s.endpoints() {
		err := service.AddEndpoint(e.name, micro.HandlerFunc(func(r micro.Request) { s.receive(ctx, e, r) }),
			micro.WithEndpointSubject(e.subject), micro.WithEndpointPendingLimits(pendingRequests, pendingBytes))
		if err != nil {
			return fmt.Errorf("endpoint %s: %w", e.subject, err)
		}
	}
	s.service, s.closing = service, closing
	flush, cancel := context.WithTimeout(ctx, subjects.DefaultTimeout)
	defer cancel()
	return s.nc.FlushWithContext(flush)
}

var errStopped = fmt.Errorf("the micro service %s stopped", Name)

// unserve closes the endpoints, so that other replicas get all requests.
func (s *Service) unserve() {
	if s.service == nil {
		return
	}
	s.closing.Store(true)
	if err := s.service.Stop(); err != nil {
		s.log.Debug("closing the endpoints", "error", err)
	}
	s.service = nil
}

// receive hands a request to a goroutine of its own, of which there are a bounded number: an endpoint's
// handlers run one after another (nats-facts 5).
func (s *Service) receive(ctx context.Context, e endpoint, r micro.Request) {
	select {
	case s.workers <- struct{}{}:
	case <-ctx.Done():
		return
	}
	s.goDo(func() {
		defer func() { <-s.workers }()
		s.respond(ctx, e, r)
	})
}

func (s *Service) respond(ctx context.Context, e endpoint, r micro.Request) {
	ctx, cancel := subjects.WithDeadline(ctx, nats.Header(r.Headers()), subjects.DefaultTimeout-time.Second)
	defer cancel()
	var reply subjects.Reply
	err := subjects.InTime(ctx)
	if err == nil {
		reply, err = e.handle(ctx, subjects.CallerOf(nats.Header(r.Headers())), r.Data())
	}
	answer, err := subjects.Answer(r.Reply(), Name, reply, err)
	if s.late.Note(s.log, time.Now(), err) {
		s.metrics.expired.Inc()
	}
	code := subjects.CodeOf(err)
	s.metrics.commands.WithLabelValues(e.name, cmp.Or(string(code), "ok")).Inc()
	if code == subjects.CodeInternal {
		s.log.Error("request failed", "subject", e.subject, "error", err)
	}
	if err := s.nc.PublishMsg(answer); err != nil {
		s.log.Debug("reply not sent", "subject", e.subject, "error", err)
	}
}

var (
	errNoUser   = subjects.Errorf(subjects.CodeForbidden, "User not found")         // contract 1.3
	errRequest  = subjects.Errorf(subjects.CodeInvalidInput, "Invalid request")     // contract 1.3
	errNotReady = subjects.Errorf(subjects.CodeUnavailable, "not ready, try again") // only while it stops
)

// hello joins a socket to the rooms of its types and gives it the numbers as they are. The feed is not
// among them: the original's hook appends whatever comes, and it is greeted after every reconnect.
func (s *Service) hello(ctx context.Context, c subjects.Caller, _ []byte) (subjects.Reply, error) {
	a := s.audience(c)
	if a.User == "" {
		return subjects.Reply{}, errNoUser
	}
	types, _, err := s.wanted(ctx, c.Socket)
	if err != nil {
		s.failed("types", err)
		types = allTypes // rather too much than a dead page
	}
	s.register(ctx, a)
	return s.answer(ctx, a, answer{join: withAlert(types), show: types, gaugesOnly: true})
}

// subscribe narrows a socket to the types it has named, now and before, and shows them.
func (s *Service) subscribe(ctx context.Context, c subjects.Caller, data []byte) (subjects.Reply, error) {
	a, named, err := s.typesRequest(subjects.DashboardSubscribe.Decode, c, data)
	if err != nil {
		return subjects.Reply{}, err
	}
	types, err := s.changeTypes(ctx, c.Socket, func(types []string, first bool) []string {
		if first {
			types = nil
		}
		for _, kind := range named {
			if !slices.Contains(types, kind) {
				types = append(types, kind)
			}
		}
		return types
	})
	if err != nil {
		return subjects.Reply{}, err
	}
	s.register(ctx, a)
	return s.answer(ctx, a, answer{join: withAlert(types), leave: without(types), show: named, ack: subscriptions(types)})
}

// unsubscribe takes types away, of all if the socket has never subscribed.
func (s *Service) unsubscribe(ctx context.Context, c subjects.Caller, data []byte) (subjects.Reply, error) {
	a, named, err := s.typesRequest(subjects.DashboardUnsubscribe.Decode, c, data)
	if err != nil {
		return subjects.Reply{}, err
	}
	types, err := s.changeTypes(ctx, c.Socket, func(types []string, _ bool) []string {
		return slices.DeleteFunc(types, func(kind string) bool { return slices.Contains(named, kind) })
	})
	if err != nil {
		return subjects.Reply{}, err
	}
	return s.answer(ctx, a, answer{leave: without(types), ack: subscriptions(types)})
}

// refresh shows the numbers again, and lets the socket into cases that were opened to it meanwhile.
func (s *Service) refresh(ctx context.Context, c subjects.Caller, _ []byte) (subjects.Reply, error) {
	a := s.audience(c)
	if a.User == "" {
		return subjects.Reply{}, errNoUser
	}
	types, _, err := s.wanted(ctx, c.Socket)
	if err != nil {
		return subjects.Reply{}, err
	}
	s.register(ctx, a)
	return s.answer(ctx, a, answer{join: withAlert(types), show: types, gaugesOnly: true})
}

const maxNamed = 100 // types of one request

// typesRequest reads {types}. Unknown types are ignored: a newer client may know more.
func (s *Service) typesRequest(decode func([]byte) (subjects.DashboardTypes, error), c subjects.Caller, data []byte) (a audience, named []string, err error) {
	if a = s.audience(c); a.User == "" || c.Socket == "" {
		return a, nil, errNoUser
	}
	req, err := decode(data)
	if err != nil || req.Types == nil || len(req.Types) > maxNamed {
		return a, nil, errRequest
	}
	for _, kind := range req.Types {
		if slices.Contains(allTypes, kind) && !slices.Contains(named, kind) {
			named = append(named, kind)
		}
	}
	return a, named, nil
}

func withAlert(types []string) []string {
	if slices.Contains(types, typeAlert) {
		return types
	}
	return append(slices.Clone(types), typeAlert)
}

// without lists the types that a socket does not want; alerts it always gets.
func without(types []string) (others []string) {
	for _, kind := range allTypes {
		if kind != typeAlert && !slices.Contains(types, kind) {
			others = append(others, kind)
		}
	}
	return others
}

func subscriptions(types []string) any {
	return subjects.DashboardSubscriptions{Success: true, Subscriptions: types}
}

// register makes the viewer known, so that its numbers are pushed.
func (s *Service) register(ctx context.Context, a audience) {
	if a.metricsScope() != scopeUser+a.hash() && len(a.Cases) == 0 {
		return // only the wide scopes are shown, which need no register
	}
	if err := s.viewers.register(ctx, a.viewer); err != nil {
		s.failed("register", err)
	}
}

// answer says what goes into a reply: the types whose rooms are joined and left, and those shown.
type answer struct {
	join, leave, show []string
	gaugesOnly        bool
	ack               any
}

func (s *Service) answer(_ context.Context, a audience, want answer) (subjects.Reply, error) {
	var reply subjects.Reply
	if want.ack != nil {
		ack, err := json.Marshal(want.ack)
		if err != nil {
			return reply, err
		}
		reply.Ack = ack
	}
	now := s.nowMillis()
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.tally == nil {
		return reply, errNotReady
	}
	for _, kind := range want.join {
		reply.Join = append(reply.Join, s.tally.roomsFor(a, kind, roomsOfCases)...)
	}
	for _, kind := range want.leave {
		// More than are joined: which ones those were may have changed since.
		reply.Leave = append(reply.Leave, s.tally.roomsFor(a, kind, 2*roomsOfCases)...)
	}
	if len(want.join) > 0 {
		reply.Leave = append(reply.Leave, s.tally.roomsOfOthers(a.viewer)...)
	}
	for _, kind := range want.show {
		events, err := s.tally.show(a, kind, want.gaugesOnly, now)
		if err != nil {
			return reply, err
		}
		reply.Events = append(reply.Events, events...)
	}
	s.touched(touch{Scope: a.metricsScope(), Viewer: a.viewer, Seq: s.tally.Seq})
	return reply, nil
}

// show returns the snapshot of one type.
func (t *tally) show(a audience, kind string, gaugesOnly bool, now int64) (events []subjects.Emit, err error) {
	add := func(e subjects.Emit, failure error) {
		events = append(events, e)
		err = cmp.Or(err, failure)
	}
	switch {
	case kind == typeMetrics:
		body, failure := json.Marshal(t.metricsOf(a, now).at(now))
		add(subjects.Emit{Event: subjects.DashboardMetrics.Name(), Data: body}, failure)
	case kind == typeCaseStats:
		for _, b := range t.newestCases(a.viewer) {
			stats := b.stats(now)
			stats.Timestamp = timeOf(now)
			add(subjects.DashboardCaseStats.Emit(stats))
		}
	case kind == typeActivity && !gaugesOnly:
		for _, item := range t.newestActivity(a.viewer) {
			add(subjects.DashboardActivity.Emit(item.of.activityEvent(item.activity, 0)))
		}
	case kind == typeTeamActivity && !gaugesOnly:
		for _, item := range t.newestTeamActivity(a) {
			add(subjects.DashboardTeamActivity.Emit(item.of.teamEvent(item.activity, 0)))
		}
	}
	return events, err
}

// shownMetrics is dashboard:metrics with the scope that it is of, which the contract does not have.
type shownMetrics struct {
	subjects.DashboardMetricsEvent

	Scope string `json:"scope"`
}

func (m shownMetrics) at(now int64) shownMetrics {
	m.Timestamp = timeOf(now)
	return m
}

func (t *tally) metricsOf(a audience, now int64) shownMetrics {
	switch {
	case a.firm:
		return shownMetrics{t.firm(now), scopeFirm}
	case len(a.teams) > 0:
		return shownMetrics{t.team(a.teams[0], now), scopeTeam + a.teams[0]}
	}
	return shownMetrics{t.viewer(a.viewer, now), scopeUser + a.User}
}

const shownCases = 100 // case-stats of one snapshot, those with the newest activity

// newestCases lists the viewer's cases, those with the newest activity first.
func (t *tally) newestCases(v viewer) []*book {
	var found []*book
	if v.All {
		t.recency.each(func(b *book) bool {
			if v.maySee(b) {
				found = append(found, b)
			}
			return len(found) < shownCases
		})
		return found
	}
	t.eachVisible(v, func(b *book) { found = append(found, b) })
	slices.SortFunc(found, func(a, b *book) int { return cmp.Compare(b.Feed.newest(), a.Feed.newest()) })
	return found[:min(len(found), shownCases)]
}

// item is an activity and whose feed it stands in.
type item struct {
	activity

	of *book
}

// newestActivity is the viewer's feed, the oldest first, as it would have arrived. The newest hundred
// activities are in the hundred cases that are newest.
func (t *tally) newestActivity(v viewer) []item {
	var items []item
	for _, b := range t.newestCases(v) {
		for _, a := range b.Feed.Ring {
			items = append(items, item{a, b})
		}
	}
	return newest(items)
}

func (t *tally) newestTeamActivity(a audience) []item {
	var items []item
	for _, team := range a.teams {
		key, err := subjects.Room(subjects.KindTeam, team)
		b := t.books[key]
		if err != nil || b == nil {
			continue
		}
		for _, entry := range b.Feed.Ring {
			if home := t.books[entry.Case]; home == nil || a.open || !home.Access.denies(a.User) {
				items = append(items, item{entry, b})
			}
		}
	}
	return newest(items)
}

func newest(items []item) []item {
	slices.SortFunc(items, func(a, b item) int { return cmp.Compare(a.Seq, b.Seq) })
	return items[len(items)-min(len(items), feedSize):]
}
