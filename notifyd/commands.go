package notifyd

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/lexiflow/realtime/subjects"
)

// What clients ask, through the edge: cmd.notification.* and hello.notifications; and
// what services ask: svc.notify.send. Who asks is in the headers that the edge took
// from a verified token.

// Limits of the NATS micro service.
const (
	pendingRequests = 16384
	pendingBytes    = 64 << 20
	inFlight        = 2048 // requests being answered; beyond that they are refused
	requestTime     = 4 * time.Second
)

// serve answers requests until the micro service is stopped.
func (s *Service) serve() (micro.Service, error) {
	m, err := micro.AddService(s.nc, micro.Config{
		Name: serviceName, Version: serviceVersion, QueueGroup: serviceName,
		Description: "stores, counts and pushes notifications",
		DoneHandler: func(micro.Service) { close(s.unserved) },
		ErrorHandler: func(_ micro.Service, err *micro.NATSError) {
			s.log.Error("answering requests", "subject", err.Subject, "error", err.Description)
		},
	})
	if err != nil {
		return nil, err
	}
	for _, e := range s.endpoints() {
		name := strings.NewReplacer(".", "-").Replace(e.subject)
		err := m.AddEndpoint(name, micro.HandlerFunc(e.handle), micro.WithEndpointSubject(e.subject),
			micro.WithEndpointPendingLimits(pendingRequests, pendingBytes))
		if err != nil {
			return nil, errors.Join(err, m.Stop())
		}
	}
	return m, nil
}

type endpoint struct {
	subject string
	handle  func(micro.Request)
}

func (s *Service) endpoints() []endpoint {
	return []endpoint{
		{subjects.NotificationMarkRead.Subject(), s.change(s.markRead)},
		{subjects.NotificationMarkUnread.Subject(), s.change(s.markUnread)},
		{subjects.NotificationMarkAllRead.Subject(), s.change(s.markAllRead)},
		{subjects.NotificationDelete.Subject(), s.change(s.deleteOne)},
		{subjects.NotificationList.Subject(), s.answer(s.list)},
		{subjects.NotificationPreferences.Subject(), s.answer(s.setPreferences)},
		{subjects.NotificationFollow.Subject(), s.answer(s.follow)},
		{subjects.NotificationUnfollow.Subject(), s.answer(s.unfollow)},
		{subjects.NotificationsSubscribe.Subject(), s.answer(s.oldSubscribe)},
		{subjects.NotificationsUnsubscribe.Subject(), s.answer(s.oldSubscribe)},
		{subjects.HelloSubject(subjects.NamespaceNotifications), s.answer(s.hello)},
		{subjects.NotifySend, s.answer(s.send)},
	}
}

// caller is who asks.
type caller struct {
	subjects.Caller
	key string // the user, escaped
}

func callerOf(req micro.Request) (caller, error) {
	c := caller{Caller: subjects.CallerOf(nats.Header(req.Headers()))}
	var err error
	if c.key, err = subjects.Escape(c.User); err != nil {
		return c, subjects.Errorf(subjects.CodeAuthFailed, "nobody is known to have asked")
	}
	return c, nil
}

// change answers a command that changes the caller's record. read takes the request
// apart into a change and the ack, which is asked for after the change.
func (s *Service) change(read func(body []byte) (change, error)) func(micro.Request) {
	return func(req micro.Request) {
		who, err := callerOf(req)
		if err != nil {
			s.refuse(req, err)
			return
		}
		c, err := read(req.Data())
		if err != nil {
			s.refuse(req, err)
			return
		}
		if !s.enter() {
			s.refuse(req, errBusy)
			return
		}
		var unread int64
		s.lanes.do(who.User, who.key, &op{
			current: true, until: subjects.DeadlineOf(nats.Header(req.Headers())),
			apply: func(r *record, now time.Time) error {
				err := c.apply(r, now)
				unread = r.unread()
				return err
			},
			done: func(err error) {
				defer s.leave()
				if err != nil {
					s.refuse(req, err)
					return
				}
				s.respond(req, subjects.Reply{}, c.ack(unread))
			},
		})
	}
}

// change is what a command does to a record.
type change struct {
	apply func(*record, time.Time) error
	ack   func(unread int64) any
}

func ackCount(unread int64) any { return subjects.UnreadCount{Success: true, UnreadCount: unread} }

func (s *Service) markRead(body []byte) (change, error)   { return marking(body, true) }
func (s *Service) markUnread(body []byte) (change, error) { return marking(body, false) }

func marking(body []byte, read bool) (change, error) {
	req, err := subjects.NotificationMarkRead.Decode(body)
	if err != nil || req.NotificationID == "" {
		return change{}, errInvalid
	}
	return change{
		apply: func(r *record, now time.Time) error { return r.mark(req.NotificationID, read, now) },
		ack:   ackCount,
	}, nil
}

func (s *Service) markAllRead([]byte) (change, error) {
	return change{
		apply: func(r *record, now time.Time) error { r.markAll(now); return nil },
		ack:   ackCount,
	}, nil
}

// deleteOne does not look at wasUnread: the record knows.
func (s *Service) deleteOne(body []byte) (change, error) {
	var req subjects.NotificationRequest
	if err := json.Unmarshal(body, &req); err != nil || req.NotificationID == "" {
		return change{}, errInvalid
	}
	return change{
		apply: func(r *record, _ time.Time) error { return r.delete(req.NotificationID) },
		ack:   func(int64) any { return subjects.Success{Success: true} },
	}, nil
}

// answer handles a request on a goroutine of its own, a bounded number at a time.
func (s *Service) answer(f func(ctx context.Context, req micro.Request) (subjects.Reply, any, error)) func(micro.Request) {
	return func(req micro.Request) {
		if !s.enter() {
			s.refuse(req, errBusy)
			return
		}
		s.background(func(ctx context.Context) {
			defer s.leave()
			ctx, cancel := subjects.WithDeadline(ctx, nats.Header(req.Headers()), requestTime)
			defer cancel()
			if err := subjects.InTime(ctx); err != nil {
				s.refuse(req, err)
				return
			}
			reply, ack, err := f(ctx, req)
			if err != nil {
				s.refuse(req, err)
				return
			}
			s.respond(req, reply, ack)
		})
	}
}

var errBusy = subjects.Errorf(subjects.CodeUnavailable, "too many requests at once, try again")

func (s *Service) enter() bool {
	if s.busy.Add(1) > inFlight {
		s.busy.Add(-1)
		return false
	}
	return true
}

func (s *Service) leave() { s.busy.Add(-1) }

func (s *Service) respond(req micro.Request, reply subjects.Reply, ack any) {
	var err error
	if ack != nil {
		reply.Ack, err = json.Marshal(ack)
	}
	s.reply(req, reply, err)
}

func (s *Service) refuse(req micro.Request, err error) {
	if errors.Is(err, errStopping) {
		err = subjects.Errorf(subjects.CodeUnavailable, "the service is stopping")
	}
	s.reply(req, subjects.Reply{}, err)
}

// reply counts an answer and sends it, past the micro package (subjects.Answer).
func (s *Service) reply(req micro.Request, reply subjects.Reply, err error) {
	answer, err := subjects.Answer(req.Reply(), serviceName, reply, err)
	if err == nil {
		s.metrics.processed.WithLabelValues("command").Inc()
	} else {
		s.refused(req.Subject(), err)
	}
	if answer.Subject == "" {
		return
	}
	if err := s.nc.PublishMsg(answer); err != nil {
		s.log.Debug("answering failed", "subject", req.Subject(), "error", err)
	}
}

func (s *Service) refused(subject string, err error) {
	if s.late.Note(s.log, time.Now(), err) {
		s.metrics.expired.Inc()
	}
	code, level := subjects.CodeOf(err), slog.LevelDebug
	if code == subjects.CodeInternal {
		level = slog.LevelError
	}
	s.metrics.failed.WithLabelValues(strings.ToLower(string(code))).Inc()
	s.log.Log(context.Background(), level, "a request is refused", "subject", subject, "code", code, "error", err)
}

// oldSubscribe answers the dialect of older clients, which ask for what they get
// anyway: on the aliases of the namespaces every socket is in its user's room.
func (s *Service) oldSubscribe(_ context.Context, req micro.Request) (subjects.Reply, any, error) {
	_, err := callerOf(req)
	return subjects.Reply{}, subjects.Success{Success: true}, err
}

// hello greets a socket with the count. A user is met here, if not before.
func (s *Service) hello(ctx context.Context, req micro.Request) (reply subjects.Reply, ack any, err error) {
	who, err := callerOf(req)
	if err != nil {
		return reply, nil, err
	}
	r, err := s.store.load(ctx, who.User, who.key, true)
	if err != nil {
		return reply, nil, err
	}
	if r.rev == 0 {
		if err := s.store.meet(ctx, who.key); err != nil {
			return reply, nil, err
		}
	}
	count, err := subjects.NotificationCount.Emit(subjects.NotificationCountEvent{
		Count: r.unread(), UserID: who.User, Base: subjects.Base{Timestamp: subjects.At(s.now())},
	})
	reply.Events = []subjects.Emit{count}
	return reply, nil, err
}

func (s *Service) setPreferences(ctx context.Context, req micro.Request) (subjects.Reply, any, error) {
	who, err := callerOf(req)
	if err != nil {
		return subjects.Reply{}, nil, err
	}
	wanted, err := subjects.NotificationPreferences.Decode(req.Data())
	if err != nil {
		return subjects.Reply{}, nil, errInvalid
	}
	ack := subjects.NotificationPreferencesAck{Success: true}
	if wanted.Set != nil {
		ack.Preferences, err = s.preferences.change(ctx, who.key, *wanted.Set)
	} else {
		ack.Preferences, _, err = s.preferences.get(ctx, who.key)
	}
	return subjects.Reply{}, ack, err
}

// send puts a notice into the queue, after the checks that would make it a dead letter
// there.
func (s *Service) send(ctx context.Context, req micro.Request) (reply subjects.Reply, ack any, err error) {
	r, _, bad := decode(req.Data(), s.now(), maxRequest)
	if bad != nil {
		return reply, nil, bad.Error
	}
	msg := &nats.Msg{Subject: subjects.NotifyMany, Header: nats.Header{}, Data: req.Data()}
	switch {
	case r.UserID != "" && r.Audience != nil, r.UserID == "" && r.Audience == nil:
		return reply, nil, subjects.Errorf(subjects.CodeInvalidInput, "one of userId and audience is needed")
	case r.UserID != "":
		if msg.Subject, err = subjects.NotifyUserSubject(r.UserID); err != nil {
			return reply, nil, err
		}
	default:
		if bad := checkAudience(r.Audience); bad != nil {
			return reply, nil, bad.Error
		}
	}
	for _, key := range []string{subjects.HeaderMsgID, subjects.HeaderTrace} {
		if value := req.Headers().Get(key); value != "" {
			msg.Header[key] = []string{value}
		}
	}
	stored, err := s.js.PublishMsg(ctx, msg, jetstream.WithExpectStream(subjects.StreamNotify))
	if err != nil {
		return reply, nil, err
	}
	return reply, subjects.NotifyAccepted{Success: true, Sequence: stored.Sequence}, nil
}
