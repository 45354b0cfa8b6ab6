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

// answer replies. It does not use the request's own methods: those note an error in the request, which
// micro reads as soon as the handler has handed over.
func (s *Service) answer(req micro.Request, kind string, reply subjects.Reply) {
	body, header, err := reply.Encode()
	if err != nil {
		s.refuse(req, kind, err)
		return
	}
	s.respond(req.Reply(), header, body)
	s.metrics.processed.WithLabelValues(kind).Inc()
}

// refuse answers with the error's code. What is our own fault is logged, without what the client sent.
func (s *Service) refuse(req micro.Request, kind string, err error) {
	s.metrics.failed.WithLabelValues(kind).Inc()
	if s.late.Note(s.log, time.Now(), err) {
		s.metrics.expired.Inc()
		s.respondError(req, err)
		return
	}
	code := subjects.CodeOf(err)
	switch code {
	case subjects.CodeInternal, subjects.CodeConflict, subjects.CodeUnavailable, subjects.CodeTimeout:
		s.log.Warn("a command failed", "kind", kind, "code", code, "error", err)
	}
	s.respondError(req, err)
}

func (s *Service) respondError(req micro.Request, err error) {
	s.respond(req.Reply(), nats.Header{
		subjects.HeaderErrorCode: {string(subjects.CodeOf(err))}, subjects.HeaderError: {subjects.MessageOf(err)},
	}, nil)
}

func (s *Service) respond(inbox string, header nats.Header, body []byte) {
	header.Set(subjects.HeaderService, name)
	if inbox == "" {
		return // nobody wants to know
	}
	if err := s.nc.PublishMsg(&nats.Msg{Subject: inbox, Header: header, Data: body}); err != nil {
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
