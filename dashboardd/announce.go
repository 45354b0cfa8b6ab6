package dashboardd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
)

// What goes to the log: activity and alerts. Each publish is a compare-and-set on the log itself, named
// by a subject and the sequence of the last message there:
//
//	in the room of the case or team   its own subject: whoever announced in between wins
//	to the viewers of all cases       the case's access:changed: the walls in Lex-Except are those that
//	                                  hold at the message's own place in the log
//	alerts                            their own subject
//
// The fold reads the message back by its mark and counts it as announced; until then nothing is. So a
// replica that was killed in between finds out from the log whether it had come that far, and one that
// was stopped for an hour and goes on is refused by the log. For the viewers of all cases the Msg-Id
// does the latter: it names where the announcement begins, so two replicas cannot make two of it within
// the duplicate window, and the message in the case's own room, published after it, ends its time.

// headerMark is on what this service publishes: how far it announces, and which book's activity.
const headerMark = "Lex-Dashboard"

// maxExcept bounds Lex-Except in bytes: headers of a stored message have 64 KiB in all.
const maxExcept = 48 << 10

// walls are who is in a room and must not get a case's events: Lex-Except, for the case's own room and
// for that of all cases.
type walls struct{ room, every string }

// walls needs the service's mu. Who was taken off the list may still be in the room until an edge or a
// reconnect takes the socket out; who sees the case by token stays.
func (b *book) walls(known *viewers) walls {
	if known.open {
		return walls{}
	}
	former := make([]string, 0, len(b.Access.Former))
	for user := range b.Access.Former {
		if !known.hasToken(user, b.id) {
			former = append(former, user)
		}
	}
	slices.Sort(former)
	return walls{room: except(b.Access.Deny, former), every: except(b.Access.Deny)}
}

func except(lists ...[]string) string {
	var names []string
	for _, users := range lists {
		for _, user := range users {
			if room, err := subjects.Room(subjects.KindUser, user); err == nil {
				names = append(names, room)
			}
		}
	}
	return strings.Join(names, ",")
}

// news is one announcement that is due.
type news struct {
	about  string // the book's key
	kind   subjects.Kind
	id     string
	feed   feed
	folded uint64 // the state's sequence
	wall   uint64 // sequence of the last access:changed
	walls  walls
	room   func(since uint64) any // the payload
}

// announce publishes what of a book's feed is not announced yet: the newest activity, which says how
// many others it stands for. It reports how far the log has taken it.
func (s *Service) announce(ctx context.Context, key string) (upTo uint64, ok bool) {
	n, ok := s.due(key)
	if !ok {
		return 0, false
	}
	if n.kind == subjects.KindCase && n.feed.ToldAll < n.feed.N && !s.announceEvery(ctx, n) {
		return 0, false
	}
	if n.feed.Told < n.feed.N && !s.announceRoom(ctx, n) {
		return 0, false
	}
	return n.feed.N, true
}

func (s *Service) due(key string) (n news, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.tally == nil || s.tally.books[key] == nil {
		return n, false
	}
	b := s.tally.books[key]
	n = news{about: key, kind: b.kind, id: b.id, feed: b.Feed, folded: s.tally.Seq, wall: b.Access.Seq, walls: b.walls(s.viewers)}
	latest := b.Feed.Ring[len(b.Feed.Ring)-1]
	shown := *b
	if b.kind == subjects.KindTeam {
		if !s.options.OpenCases {
			n.walls.room = s.tally.teamWalls(b)
		}
		n.room = func(since uint64) any { return shown.teamEvent(latest, n.feed.N-since-1) }
	} else {
		n.room = func(since uint64) any { return shown.activityEvent(latest, n.feed.N-since-1) }
	}
	return n, b.untold()
}

// teamWalls are the users denied any of the cases that a team is about to hear of.
func (t *tally) teamWalls(b *book) string {
	var lists [][]string
	for _, a := range b.Feed.since(b.Feed.Told) {
		if home := t.books[a.Case]; home != nil {
			lists = append(lists, home.Access.Deny)
		}
	}
	return except(slices.Compact(slices.Sorted(slices.Values(slices.Concat(lists...)))))
}

// announceEvery tells the viewers of all cases. It reports whether that is done.
func (s *Service) announceEvery(ctx context.Context, n news) bool {
	if len(n.walls.every) > maxExcept {
		s.metrics.failed.WithLabelValues("walls_too_long").Inc()
		return true // rather nobody than somebody who must not
	}
	access, err := subjects.AccessChanged.Subject(n.id)
	if err != nil {
		s.failed("announce", err)
		return false
	}
	event, _ := n.room(n.feed.ToldAll).(subjects.ActivityFeedEvent)
	return s.publish(ctx, announcement{
		what: typeActivity, subject: access, last: n.wall, folded: n.folded,
		send: func(options ...subjects.PublishOption) error {
			options = append(options,
				subjects.WithMsgID(fmt.Sprintf("dashboard.%s.every.%d", n.about, n.feed.ToldAll)),
				subjects.WithHeader(headerMark, fmt.Sprintf("%d %s", n.feed.N, n.about)),
				subjects.WithHeader(subjects.HeaderExcept, n.walls.every))
			_, err := subjects.DashboardActivity.To(subjects.KindDashboard).Publish(ctx, s.pub, roomEveryActivity, event, options...)
			return err
		},
	})
}

// announceRoom tells the room of the case or team. It reports whether that is done.
func (s *Service) announceRoom(ctx context.Context, n news) bool {
	own, err := subjects.DashboardActivity.Subject(n.id)
	what := typeActivity
	if n.kind == subjects.KindTeam {
		own, err = subjects.DashboardTeamActivity.Subject(n.id)
		what = typeTeamActivity
	}
	if err != nil {
		s.failed("announce", err)
		return false
	}
	walls := n.walls.room
	if len(walls) > maxExcept && n.kind == subjects.KindCase {
		walls = "" // the edge takes out of a case's room who is denied
	}
	return s.publish(ctx, announcement{
		what: what, subject: own, last: n.feed.ToldAt, folded: n.folded,
		send: func(options ...subjects.PublishOption) error {
			options = append(options,
				subjects.WithMsgID(fmt.Sprintf("dashboard.%s.%d", n.about, n.feed.Told)),
				subjects.WithHeader(headerMark, strconv.FormatUint(n.feed.N, 10)),
				subjects.WithHeader(subjects.HeaderExcept, walls))
			var err error
			switch event := n.room(n.feed.Told).(type) {
			case subjects.ActivityFeedEvent:
				_, err = subjects.DashboardActivity.Publish(ctx, s.pub, n.id, event, options...)
			case subjects.TeamActivityEvent:
				_, err = subjects.DashboardTeamActivity.Publish(ctx, s.pub, n.id, event, options...)
			}
			return err
		},
	})
}

// announcement is one compare-and-set publish: send must be stored only if the last message on subject
// still has the sequence last.
type announcement struct {
	what    string
	subject string
	last    uint64
	folded  uint64
	send    func(...subjects.PublishOption) error
}

// publish tries an announcement. When the log refuses it, either somebody was faster, which the fold
// will see, or the log no longer has the message that the state remembers: then it is tried again with
// what the log has, provided that the state has seen that.
func (s *Service) publish(ctx context.Context, a announcement) bool {
	err := a.send(expect(a.subject, a.last)...)
	if subjects.IsConflict(err) {
		last, lookErr := s.lastOn(ctx, a.subject)
		if lookErr != nil || last == a.last || last > a.folded {
			s.metrics.lost.WithLabelValues(a.what).Inc()
			return false
		}
		err = a.send(expect(a.subject, last)...)
	}
	switch {
	case err == nil:
		s.metrics.pushes.WithLabelValues(a.what).Inc()
	case subjects.IsConflict(err):
		s.metrics.lost.WithLabelValues(a.what).Inc()
	case ctx.Err() == nil:
		s.failed("announce", err)
	}
	return err == nil
}

func expect(subject string, last uint64) []subjects.PublishOption {
	return []subjects.PublishOption{
		subjects.WithHeader(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(last, 10)),
		subjects.WithHeader(jetstream.ExpectedLastSubjSeqSubjHeader, subject),
	}
}

// lastOn asks the log for the last sequence on a subject, 0 if it has none.
func (s *Service) lastOn(ctx context.Context, subject string) (uint64, error) {
	m, err := subjects.FromLeader(ctx, s.js.Conn(), subjects.StreamLog, subjects.LeaderQuery{Last: subject})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return m.Sequence, nil
}

// announceAlerts publishes the alerts that wait, oldest first. They are not coalesced: each is worth
// the interruption, or nobody would have sent it.
func (s *Service) announceAlerts(ctx context.Context) {
	s.mu.RLock()
	if s.tally == nil || len(s.tally.alerts.Waiting) == 0 || time.Now().Before(s.alertsAgain) {
		s.mu.RUnlock()
		return
	}
	a := s.tally.alerts.Waiting[0]
	a.Users = slices.Clone(a.Users)
	last, folded := s.tally.alerts.ToldAt, s.tally.Seq
	s.mu.RUnlock()
	s.alertsAgain = time.Now().Add(alertsRetry) // the fold reading it back is what makes it done
	mark := subjects.WithHeader(headerMark, strconv.FormatUint(a.Seq, 10))
	if a.Users == nil {
		s.alertEverybody(ctx, a.Event, last, folded, fmt.Sprintf("dashboard.alert.%d", a.Seq), mark)
		return
	}
	for _, user := range a.Users {
		s.alertUser(ctx, a, user, folded, mark)
	}
}

// alertsRetry is how long an alert is given to come back from the log.
const alertsRetry = 50 * time.Millisecond

func (s *Service) alertEverybody(ctx context.Context, event subjects.DashboardAlertEvent, last, folded uint64, msgID string, mark subjects.PublishOption) {
	everybody := subjects.DashboardAlert.To(subjects.KindAll)
	subject, err := everybody.Subject(subjects.AllID)
	if err != nil {
		s.failed("alert", err)
		return
	}
	s.publish(ctx, announcement{
		what: typeAlert, subject: subject, last: last, folded: folded,
		send: func(options ...subjects.PublishOption) error {
			_, err := everybody.Publish(ctx, s.pub, subjects.AllID, event, append(options, mark, subjects.WithMsgID(msgID))...)
			return err
		},
	})
}

func (s *Service) alertUser(ctx context.Context, a alert, user string, folded uint64, mark subjects.PublishOption) {
	subject, err := subjects.DashboardAlert.Subject(user)
	if err != nil {
		s.failed("alert", err)
		return
	}
	last, err := s.lastOn(ctx, subject)
	if err != nil || last > folded {
		return // the fold has not seen it: perhaps it is this alert
	}
	s.publish(ctx, announcement{
		what: typeAlert, subject: subject, last: last, folded: folded,
		send: func(options ...subjects.PublishOption) error {
			id := subjects.WithMsgID(fmt.Sprintf("dashboard.alert.%d.%s", a.Seq, user))
			_, err := subjects.DashboardAlert.Publish(ctx, s.pub, user, a.Event, append(options, mark, id)...)
			return err
		},
	})
}
