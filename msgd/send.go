package msgd

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lexiflow/realtime/subjects"
)

const (
	maxAttachments = 20
	maxAttachment  = 2048 // bytes of a name or an address
	maxClientID    = 128  // bytes

	attemptTimeout = 1500 * time.Millisecond // for one publish; a lost answer is found by reading
	attemptWait    = 50 * time.Millisecond   // after a publish that failed for another reason than a lost race
)

// send answers message:send. The ack means that the log has the message.
func (s *Service) send(ctx context.Context, who subjects.Caller, req subjects.MessageSendRequest) (answer[subjects.MessageSent], error) {
	content, err := s.content(req.Content)
	if err == nil {
		err = checkSend(req)
	}
	if err != nil {
		return answer[subjects.MessageSent]{}, err
	}
	c, err := s.memberOf(ctx, who, req.ConversationID)
	if err != nil {
		return answer[subjects.MessageSent]{}, err
	}
	draft := subjects.MessageEvent{
		ConversationID: c.ID, Content: content, SenderID: who.User,
		Attachments: append(subjects.List[string]{}, req.Attachments...), ClientID: req.ClientID,
	}
	sent, err := s.append(ctx, c.token, draft)
	if err != nil {
		return answer[subjects.MessageSent]{}, err
	}
	sent.Timestamp = sent.CreatedAt // as history gives it
	return answer[subjects.MessageSent]{ack: subjects.MessageSent{Success: true, MessageID: sent.ID, Message: sent}}, nil
}

// content trims and measures a text. Characters are Unicode code points, which are never more than what
// a browser counts.
func (s *Service) content(text string) (string, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return "", errMessage
	case utf8.RuneCountInString(text) > s.options.MaxContent:
		return "", errTooLarge
	}
	return text, nil
}

func checkSend(req subjects.MessageSendRequest) error {
	if req.ConversationID == "" || len(req.Attachments) > maxAttachments || len(req.ClientID) > maxClientID {
		return errMessage
	}
	for _, a := range req.Attachments {
		if a == "" || len(a) > maxAttachment {
			return errMessage
		}
	}
	return nil
}

// append publishes a message behind the newest one of its conversation, or finds the one that an
// earlier attempt with the same clientId has published.
//
// The log takes it only if the sequence of the newest message is the one known here. So what is known
// when it is taken is complete: the number is the next one, and nobody has sent that clientId. The same
// holds for a process that was stopped for an hour in the middle: its publish comes too late.
func (s *Service) append(ctx context.Context, conv string, draft subjects.MessageEvent) (subjects.MessageEvent, error) {
	t := s.threads.get(conv)
	if err := t.acquire(ctx); err != nil {
		return subjects.MessageEvent{}, err
	}
	defer t.release()
	if !t.known {
		if err := s.refresh(ctx, conv, t); err != nil {
			return subjects.MessageEvent{}, err
		}
	}
	for {
		if earlier, err := s.earlier(ctx, conv, t, draft); err != nil || earlier != nil {
			return s.asItIs(ctx, conv, earlier, err)
		}
		m := s.name(t, draft)
		behind := t.head.seq
		for t.head.seq == behind { // until it is stored, or the place is taken
			stored, err := s.attempt(ctx, conv, t, m)
			if err != nil || stored {
				return m.message, err
			}
		}
		s.metrics.collisions.Inc()
	}
}

// earlier returns the message that the draft's clientId has already made, if any.
func (s *Service) earlier(ctx context.Context, conv string, t *thread, draft subjects.MessageEvent) (*stored, error) {
	if draft.ClientID == "" {
		return nil, nil
	}
	if !t.sentKnown {
		if err := s.learnSent(ctx, conv, t); err != nil {
			return nil, err
		}
	}
	t.prune(s.options.Now(), s.options.Remember)
	first, ok := t.sent[sentKey(draft.SenderID, draft.ClientID)]
	if !ok {
		return nil, nil
	}
	messages, err := s.read(ctx, conv, first.number, first.number)
	if err != nil {
		return nil, err
	}
	if len(messages) == 0 { // erased by an operator; it was sent all the same
		return nil, errNoMessage
	}
	s.metrics.repeated.Inc()
	return &messages[0], nil
}

// asItIs returns an earlier message with its newest content.
func (s *Service) asItIs(ctx context.Context, conv string, earlier *stored, err error) (subjects.MessageEvent, error) {
	if err != nil {
		return subjects.MessageEvent{}, err
	}
	views, err := s.views(ctx, conv, []stored{*earlier})
	if err != nil {
		return subjects.MessageEvent{}, err
	}
	return views[0].MessageEvent, nil
}

// name gives a draft its place behind the head.
func (s *Service) name(t *thread, draft subjects.MessageEvent) stored {
	p := t.head.next(s.options.Now())
	draft.ID = newMessageID(p)
	draft.CreatedAt = subjects.At(time.UnixMilli(p.ms))
	return stored{p, draft}
}

// attempt publishes once. stored is false, without an error, when it is not known to be stored; the
// thread is then fresh, and if its head has not moved the same message may be tried again: it has one
// id, and one place.
func (s *Service) attempt(ctx context.Context, conv string, t *thread, m stored) (done bool, err error) {
	try, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	seq, err := s.store.publish(try, eventSubject(conv, subjects.MessageNew.Name()), m.message.ID, t.head.seq, m.message)
	switch {
	case err == nil:
		s.step(ctx)
		t.advance(m, seq)
		return true, nil
	case errors.Is(err, errConflict):
	case subjects.CodeOf(err) == subjects.CodeMessageTooLarge:
		return false, err
	default:
		s.log.Warn("a message could not be published, trying again", "error", err)
		if pause(ctx, attemptWait) != nil {
			return false, err
		}
	}
	if err := s.refresh(ctx, conv, t); err != nil {
		return false, perhaps(err)
	}
	if t.head.newest != nil && t.head.newest.message.ID == m.message.ID {
		return true, nil // an earlier attempt was stored after all
	}
	return s.overtaken(ctx, conv, t, m)
}

// overtaken reports whether a message that was stored without our knowing has others behind it already.
func (s *Service) overtaken(ctx context.Context, conv string, t *thread, m stored) (bool, error) {
	if t.head.number <= m.number {
		return false, nil
	}
	messages, err := s.read(ctx, conv, m.number, m.number)
	if err != nil {
		return false, perhaps(err)
	}
	return len(messages) == 1 && messages[0].message.ID == m.message.ID, nil
}

// perhaps keeps UNAVAILABLE, which says "certainly not done", for what was not tried.
func perhaps(err error) error {
	if subjects.CodeOf(err) == subjects.CodeUnavailable {
		return errors.Join(subjects.Errorf(subjects.CodeTimeout, "no answer in time; it is perhaps done"), err)
	}
	return err
}

// pause waits, or ends with ctx.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
