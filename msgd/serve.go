package msgd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/lexiflow/realtime/subjects"
)

// Commands on the bus: one endpoint each, handed over to a bounded number of goroutines, because the
// micro package calls the handlers of one endpoint one after another.

const (
	maxRequest   = 1 << 20  // bytes of any command (contract 1.0, MESSAGE_TOO_LARGE)
	pendingMsgs  = 16 << 10 // commands that may wait per endpoint
	pendingBytes = 64 << 20
	drainTimeout = 5 * time.Second
)

// A handler answers one command. An error becomes the refusal.
type handler func(ctx context.Context, who subjects.Caller, data []byte) (subjects.Reply, error)

// An answer is an ack and the rooms that the asking socket enters or leaves.
type answer[Resp any] struct {
	ack         Resp
	join, leave []string
}

// on makes the handler of a command. A payload that is not understood is refused as refusal says.
func on[Req, Resp any](c subjects.Command[Req, Resp], refusal error, f func(context.Context, subjects.Caller, Req) (answer[Resp], error)) handler {
	return func(ctx context.Context, who subjects.Caller, data []byte) (subjects.Reply, error) {
		req, err := c.Decode(data)
		if err != nil {
			return subjects.Reply{}, refusal
		}
		a, err := f(ctx, who, req)
		if err != nil {
			return subjects.Reply{}, err
		}
		body, err := json.Marshal(a.ack)
		if err != nil {
			return subjects.Reply{}, err
		}
		return subjects.Reply{Ack: body, Join: a.join, Leave: a.leave}, nil
	}
}

// endpoint is what is registered under one subject.
type endpoint struct {
	subject string
	handler handler
}

// endpoints lists everything this service answers.
func (s *Service) endpoints() map[string]endpoint {
	all := map[string]endpoint{}
	add := func(name, subject string, h handler) { all[strings.ReplaceAll(name, ":", "-")] = endpoint{subject, h} }
	add("conversation:create", subjects.ConversationCreate.Subject(), on(subjects.ConversationCreate, errInput, s.create))
	add("conversation:list", subjects.ConversationList.Subject(), on(subjects.ConversationList, errInput, s.list))
	add("conversation:members", subjects.ConversationMembers.Subject(), on(subjects.ConversationMembers, errInput, s.members))
	add("conversation:join", subjects.ConversationJoin.Subject(), on(subjects.ConversationJoin, errNoConversation, s.join))
	add("conversation:leave", subjects.ConversationLeave.Subject(), on(subjects.ConversationLeave, errNoConversation, s.leave))
	add("message:send", subjects.MessageSend.Subject(), on(subjects.MessageSend, errMessage, s.send))
	add("message:history", subjects.MessageHistory.Subject(), on(subjects.MessageHistory, errInput, s.history))
	add("message:read", subjects.MessageMarkRead.Subject(), on(subjects.MessageMarkRead, errInput, s.markRead))
	add("message:delivered", subjects.MessageMarkDelivered.Subject(), on(subjects.MessageMarkDelivered, errInput, s.markDelivered))
	add("message:edit", subjects.MessageEdit.Subject(), on(subjects.MessageEdit, errInput, s.edit))
	add("message:delete", subjects.MessageDelete.Subject(), on(subjects.MessageDelete, errInput, s.remove))
	add("message:versions", subjects.MessageVersions.Subject(), on(subjects.MessageVersions, errInput, s.versions))
	add("typing:start", subjects.TypingStarted.Subject(), on(subjects.TypingStarted, errNoConversation, s.typingStart))
	add("typing:stop", subjects.TypingStopped.Subject(), on(subjects.TypingStopped, errNoConversation, s.typingStop))
	add("typing", subjects.Typing.Subject(), on(subjects.Typing, errNoConversation, s.typingDialect))
	for _, namespace := range []string{subjects.NamespaceMessaging, subjects.NamespaceRoot, subjects.NamespaceWS} {
		subject := subjects.HelloSubject(namespace)
		add(strings.ReplaceAll(subject, ".", "-"), subject, s.hello)
	}
	return all
}

// Refusals in the words of the original (contract 1.4), which frontends show.
var (
	errInput          = subjects.Errorf(subjects.CodeInvalidInput, "Invalid input")
	errNoConversation = subjects.Errorf(subjects.CodeInvalidInput, "conversationId required")
	errMessage        = subjects.Errorf(subjects.CodeInvalidMessage, "Invalid message data")
	errTooLarge       = subjects.Errorf(subjects.CodeMessageTooLarge, "Message too large")
	// Who is not a member learns nothing, not even whether it exists.
	errNotMember = subjects.Errorf(subjects.CodeForbidden, "no such conversation, or you are not a member of it")
	errNoMessage = subjects.Errorf(subjects.CodeNotFound, "no such message in this conversation")
)

// serve answers commands until ctx ends, and then those that were taken.
func (s *Service) serve(ctx context.Context) error {
	stopped := make(chan struct{})
	var once sync.Once
	service, err := micro.AddService(s.nc, micro.Config{
		Name: Name, Version: s.options.Version, Description: "conversations and their messages", QueueGroup: Name,
		StatsHandler: func(e *micro.Endpoint) any { return s.counts.of(e.Name) },
		DoneHandler:  func(micro.Service) { once.Do(func() { close(stopped) }) },
		ErrorHandler: func(_ micro.Service, err *micro.NATSError) {
			s.log.Warn("commands were lost", "subject", err.Subject, "error", err.Description)
		},
	})
	if err != nil {
		return err
	}
	for name, e := range s.endpoints() {
		err := service.AddEndpoint(name, s.dispatch(ctx, name, e.handler), micro.WithEndpointSubject(e.subject),
			micro.WithEndpointQueueGroup(Name), micro.WithEndpointPendingLimits(pendingMsgs, pendingBytes))
		if err != nil {
			return errors.Join(fmt.Errorf("endpoint %s: %w", name, err), service.Stop())
		}
	}
	if err := s.nc.FlushTimeout(s.options.CommandTimeout); err != nil { // the library subscribes again when NATS is back
		s.log.Warn("the subscriptions are not confirmed yet", "error", err)
	}
	s.started.Store(true)
	defer s.started.Store(false)
	select {
	case <-ctx.Done():
	case <-stopped:
		if ctx.Err() == nil {
			return errors.New("the micro service stopped by itself")
		}
	}
	err = service.Stop()
	s.drain()
	if s.nc.IsClosed() {
		return nil
	}
	return err
}

// drain waits for the commands in work by taking all slots, and keeps them: nothing starts any more.
func (s *Service) drain() {
	late := time.After(drainTimeout)
	for range cap(s.slots) {
		select {
		case s.slots <- struct{}{}:
			continue
		case <-late:
			s.log.Warn("commands were still in work at the end")
		}
		break
	}
	close(s.ended)
	_ = s.nc.FlushTimeout(time.Second) // the last answers; nobody waits for them if the bus is gone
}

// dispatch hands a request to a goroutine. While all slots are taken the endpoint waits, and its
// subscription's bound sheds what is too much.
func (s *Service) dispatch(ctx context.Context, name string, h handler) micro.HandlerFunc {
	return func(req micro.Request) {
		select {
		case s.slots <- struct{}{}:
		case <-s.ended:
			return // the client gets UNAVAILABLE or TIMEOUT from its edge
		}
		s.metrics.running.Inc()
		go func() {
			defer func() {
				s.metrics.running.Dec()
				<-s.slots
			}()
			start := time.Now()
			// A command that was taken is finished, also when the service is told to stop.
			work, cancel := subjects.WithDeadline(context.WithoutCancel(ctx), nats.Header(req.Headers()), s.options.CommandTimeout)
			defer cancel()
			reply, err := s.call(work, name, h, req)
			s.metrics.answered(name, time.Since(start), err)
			s.counts.add(name, err)
			s.respond(name, req, reply, err)
		}()
	}
}

// call runs a handler and turns a panic into INTERNAL: one bad request must not take the others along.
func (s *Service) call(ctx context.Context, name string, h handler, req micro.Request) (reply subjects.Reply, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("a command panicked", "command", name, "panic", p, "stack", string(debug.Stack()))
			err = subjects.Errorf(subjects.CodeInternal, "internal error")
		}
	}()
	if err := subjects.InTime(ctx); err != nil {
		return subjects.Reply{}, err
	}
	who := subjects.CallerOf(nats.Header(req.Headers()))
	if _, err := subjects.Escape(who.User); err != nil {
		return subjects.Reply{}, subjects.Errorf(subjects.CodeAuthFailed, "the request names no user")
	}
	if len(req.Data()) > maxRequest {
		return subjects.Reply{}, errTooLarge
	}
	return h(ctx, who, req.Data())
}

// respond answers, past the micro package (subjects.Answer).
func (s *Service) respond(name string, req micro.Request, reply subjects.Reply, err error) {
	answer, err := subjects.Answer(req.Reply(), Name, reply, err)
	if s.late.Note(s.log, time.Now(), err) {
		s.metrics.expired.Inc()
	}
	if code := subjects.CodeOf(err); code == subjects.CodeInternal || code == subjects.CodeUnavailable {
		s.log.Error("a command failed", "command", name, "error", err)
	}
	if answer.Subject == "" {
		return
	}
	if err := s.nc.PublishMsg(answer); err != nil {
		s.log.Warn("an answer could not be sent", "command", name, "error", err)
	}
}

// commandCounts are shown by `nats micro stats`. Its methods may be called concurrently.
type commandCounts struct {
	mu sync.Mutex
	// Guarded by mu.
	byName map[string]commandCount
}

type commandCount struct {
	Processed int64                   `json:"processed"`
	Failed    map[subjects.Code]int64 `json:"failed,omitempty"`
}

func (c *commandCounts) add(name string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byName == nil {
		c.byName = make(map[string]commandCount)
	}
	n := c.byName[name]
	if err == nil {
		n.Processed++
	} else {
		n.Failed = maps.Clone(n.Failed)
		if n.Failed == nil {
			n.Failed = make(map[subjects.Code]int64)
		}
		n.Failed[subjects.CodeOf(err)]++
	}
	c.byName[name] = n
}

func (c *commandCounts) of(name string) commandCount {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byName[name]
}
