package msgd

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/lexiflow/realtime/subjects"
)

// maxPageBytes bounds an answer: with messages of the largest size a page is shorter than asked for.
const maxPageBytes = 512 << 10

// history answers message:history: the messages before one, or the newest ones, oldest first.
func (s *Service) history(ctx context.Context, who subjects.Caller, req subjects.MessageHistoryRequest) (answer[subjects.MessagePage], error) {
	none := answer[subjects.MessagePage]{}
	limit, err := limitOf(req.Limit)
	if err != nil {
		return none, err
	}
	before := position{}
	if req.Before != "" {
		var ok bool
		if before, ok = parseMessageID(req.Before); !ok {
			return none, errInput
		}
	}
	c, err := s.memberOf(ctx, who, req.ConversationID)
	if err != nil {
		return none, err
	}
	h, err := s.head(ctx, c.token)
	if err != nil {
		return none, err
	}
	hi := h.number
	if req.Before != "" {
		hi = min(hi, before.number-1)
	}
	lo := max(1, hi-limit+1)
	messages, err := s.read(ctx, c.token, lo, hi)
	if err != nil {
		return none, err
	}
	views, err := s.views(ctx, c.token, messages)
	if err != nil {
		return none, err
	}
	views, cut := newestWithin(views, maxPageBytes)
	return answer[subjects.MessagePage]{ack: subjects.MessagePage{
		Success: true, ConversationID: c.ID, Messages: views, HasMore: cut || lo > 1,
	}}, nil
}

// newestWithin drops the oldest messages of a page that would be too large, and says whether it did.
func newestWithin(views []subjects.Message, bytes int) ([]subjects.Message, bool) {
	const frame = 512 // bytes of a message besides its content, roughly
	for i, m := range slices.Backward(views) {
		bytes -= frame + len(m.Content)
		for _, a := range m.Attachments {
			bytes -= len(a)
		}
		if bytes < 0 && i < len(views)-1 {
			return views[i+1:], true
		}
	}
	return views, false
}

// views shows messages as they are now.
func (s *Service) views(ctx context.Context, conv string, messages []stored) ([]subjects.Message, error) {
	names := make([]string, len(messages))
	for i, m := range messages {
		names[i] = editValue(conv, m.number).subject
	}
	edits, err := s.store.lastOf(ctx, conversationsStream, names)
	if err != nil {
		return nil, err
	}
	views := make([]subjects.Message, len(messages))
	for i, m := range messages {
		views[i] = subjects.Message{MessageEvent: m.message, Version: 1}
		views[i].Timestamp = m.message.CreatedAt
		e, ok := edits[names[i]]
		if !ok {
			continue
		}
		var changed editRecord
		if err := json.Unmarshal(e.data, &changed); err != nil {
			return nil, fmt.Errorf("%s is damaged: %w", names[i], err)
		}
		changed.applyTo(&views[i])
	}
	return views, nil
}

// applyTo shows the newest version.
func (r *editRecord) applyTo(m *subjects.Message) {
	if r.Version == 0 || r.MessageID != m.ID {
		return
	}
	m.Version = r.Version
	at := subjects.At(time.UnixMilli(r.At))
	if r.Deleted {
		m.Content, m.Attachments, m.IsDeleted, m.DeletedAt = "", subjects.List[string]{}, true, at
		return
	}
	m.Content, m.IsEdited, m.EditedAt = r.Content, true, at
}
