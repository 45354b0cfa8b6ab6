package msgd

import (
	"context"
	"encoding/json"

	"github.com/lexiflow/realtime/subjects"
)

// The dialect of an older client (contract 1.5): it says `typing {conversationId, isTyping}` and hears
// `user:typing` and `message:delivered`. Only sockets that have used it hear it, in a room of its own:
// one per user, since nobody has to be taken out of that when a conversation's members change.

// dialectID names a user's room of the dialect among those of conversations, which no client enters by
// itself. It is no conversation's id: those begin with "conv-".
func dialectID(user string) string { return "dialect-" + digest("dialect", user) }

func dialectRoom(user string) string {
	return string(subjects.KindConversation) + "." + dialectID(user) // of plain letters and digits
}

// typingDialect answers typing: both in one, and the socket is one of the dialect from now on.
func (s *Service) typingDialect(ctx context.Context, who subjects.Caller, req subjects.TypingRequest) (answer[subjects.Success], error) {
	do := s.typingStop
	if req.IsTyping {
		do = s.typingStart
	}
	a, err := do(ctx, who, subjects.ConversationRequest{ConversationID: req.ConversationID})
	a.join = append(a.join, dialectRoom(who.User))
	return a, err
}

// sayTyping tells the others in both ways of speaking.
func (s *Service) sayTyping(ctx context.Context, c *conversation, user string, typing bool) {
	opts := []subjects.PublishOption{subjects.WithoutUser(user), subjects.WithHeader(headerReplica, s.replica)}
	if typing {
		s.passing(ctx, subjects.TypingStart.Name(), c.ID, subjects.TypingStartEvent{ConversationID: c.ID, UserID: user}, opts...)
	} else {
		s.passing(ctx, subjects.TypingStop.Name(), c.ID, subjects.TypingStopEvent{ConversationID: c.ID, UserID: user}, opts...)
	}
	// The name is not known here: a token has none.
	dialect := subjects.UserTypingEvent{ConversationID: c.ID, UserID: user, UserName: user, IsTyping: typing}
	for other := range c.Members {
		if other != user {
			s.passing(ctx, subjects.UserTyping.Name(), dialectID(other), dialect)
		}
	}
}

// passing publishes what may be lost. While NATS is away it is dropped at once: the client library
// would keep it and deliver old news after the reconnect (nats-facts 8).
func (s *Service) passing(ctx context.Context, event, id string, payload any, opts ...subjects.PublishOption) {
	if !s.nc.IsConnected() {
		return
	}
	body, err := json.Marshal(payload)
	if err == nil {
		err = s.events.PublishLive(ctx, subjects.KindConversation, id, event, body, opts...)
	}
	if err != nil {
		s.log.Warn("a passing event could not be published", "event", event, "error", err)
	}
}
