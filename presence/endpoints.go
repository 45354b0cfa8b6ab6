package presence

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/lexiflow/realtime/subjects"
)

// What answers where, and how an answer is written.

// A handler answers one request.
type handler func(ctx context.Context, req micro.Request)

func (s *Service) endpoints() map[string]handler {
	all := map[string]handler{
		subjects.PresenceSetStatus.Subject():         answered(s, subjects.PresenceSetStatus, s.setStatus),
		subjects.PresenceSetActivity.Subject():       answered(s, subjects.PresenceSetActivity, s.setActivity),
		subjects.PresenceClearActivity.Subject():     answered(s, subjects.PresenceClearActivity, s.clearActivity),
		subjects.PresenceSetCustomStatus.Subject():   answered(s, subjects.PresenceSetCustomStatus, s.setCustomStatus),
		subjects.PresenceClearCustomStatus.Subject(): answered(s, subjects.PresenceClearCustomStatus, s.clearCustomStatus),
		subjects.PresenceHeartbeat.Subject():         answered(s, subjects.PresenceHeartbeat, s.heartbeat),
		subjects.PresenceActive.Subject():            answered(s, subjects.PresenceActive, s.noted),
		subjects.PresenceIdle.Subject():              answered(s, subjects.PresenceIdle, s.noted),
		subjects.PresenceSubscribe.Subject():         answered(s, subjects.PresenceSubscribe, s.subscribe),
		subjects.PresenceUnsubscribe.Subject():       answered(s, subjects.PresenceUnsubscribe, s.unsubscribe),
		subjects.PresenceSet.Subject():               answered(s, subjects.PresenceSet, s.setOnline),
		subjects.PresenceGet:                         s.get,
	}
	for _, namespace := range greeted {
		all[subjects.HelloSubject(namespace)] = s.greeting
	}
	return all
}

// greeted are the namespaces whose sockets presence greets.
var greeted = []string{subjects.NamespaceEvents, subjects.NamespaceMessaging, subjects.NamespaceRoot, subjects.NamespaceWS}

// answered makes a handler of a command: decoded, on behalf of somebody, replied to.
func answered[Req, Resp any](
	s *Service, command subjects.Command[Req, Resp],
	do func(context.Context, subjects.Caller, Req) (subjects.Reply, error),
) handler {
	kind := strings.TrimPrefix(command.Name(), "presence:")
	return func(ctx context.Context, req micro.Request) {
		caller := subjects.CallerOf(nats.Header(req.Headers()))
		if caller.User == "" || caller.Socket == "" {
			s.refuse(req, kind, errNobody)
			return
		}
		decoded, err := command.Decode(req.Data())
		if err != nil {
			s.refuse(req, kind, err)
			return
		}
		reply, err := do(ctx, caller, decoded)
		if err != nil {
			s.refuse(req, kind, err)
			return
		}
		s.answer(req, kind, reply)
	}
}

// bounded lets handlers run beside each other, as many as there are slots: NATS calls one endpoint's
// handler at a time.
func (s *Service) bounded(ctx context.Context, handle handler) micro.Handler {
	return micro.HandlerFunc(func(req micro.Request) {
		select {
		case s.slots <- struct{}{}:
		case <-ctx.Done():
			return // stopped: the edge is told by its timeout, and another replica has the next one
		}
		go func() {
			defer func() { <-s.slots }()
			ctx, cancel := subjects.WithDeadline(ctx, nats.Header(req.Headers()), subjects.DefaultTimeout)
			defer cancel()
			if err := subjects.InTime(ctx); err != nil {
				s.refuse(req, "late", err)
				return
			}
			handle(ctx, req)
		}()
	})
}

// answer replies.
func (s *Service) answer(req micro.Request, kind string, reply subjects.Reply) {
	s.respond(req.Reply(), kind, reply, nil)
}

// refuse replies with an error's code.
func (s *Service) refuse(req micro.Request, kind string, err error) {
	s.respond(req.Reply(), kind, subjects.Reply{}, err)
}

// respond counts an answer and sends it, past the micro package (subjects.Answer). What is our own fault
// is logged, without what the client sent.
func (s *Service) respond(inbox, kind string, reply subjects.Reply, err error) {
	answer, err := subjects.Answer(inbox, name, reply, err)
	switch code := subjects.CodeOf(err); {
	case err == nil:
		s.metrics.processed.WithLabelValues(kind).Inc()
	case s.late.Note(s.log, time.Now(), err):
		s.metrics.expired.Inc()
	case code == subjects.CodeInternal, code == subjects.CodeConflict, code == subjects.CodeUnavailable, code == subjects.CodeTimeout:
		s.log.Warn("a command failed", "kind", kind, "code", code, "error", err)
	}
	if err != nil {
		s.metrics.failed.WithLabelValues(kind).Inc()
	}
	if inbox == "" {
		return // nobody wants to know
	}
	if err := s.nc.PublishMsg(answer); err != nil {
		s.log.Warn("a reply is not sent", "error", err)
	}
}

// maxGet bounds how many users a service may ask for at once.
const maxGet = 1000

// get is svc.presence.get.
func (s *Service) get(_ context.Context, req micro.Request) {
	var asked subjects.PresenceGetRequest
	if err := json.Unmarshal(req.Data(), &asked); err != nil {
		s.refuse(req, "get", subjects.Errorf(subjects.CodeInvalidInput, "the request is not understood: %w", err))
		return
	}
	if len(asked.UserIDs) > maxGet {
		s.refuse(req, "get", subjects.Errorf(subjects.CodeInvalidInput, "userIds has %d entries, at most %d are allowed", len(asked.UserIDs), maxGet))
		return
	}
	body, err := json.Marshal(subjects.PresenceGetReply{Users: s.snapshot(asked.UserIDs)})
	if err != nil {
		s.refuse(req, "get", subjects.Errorf(subjects.CodeInternal, "the answer cannot be written: %w", err))
		return
	}
	s.answer(req, "get", subjects.Reply{Ack: body})
}
