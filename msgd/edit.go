package msgd

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/lexiflow/realtime/subjects"
)

// Editing and deleting. The value of a message's changes decides; the log is told in its order.

// editRecord is what has become of one message. All versions are kept, also behind a deletion.
type editRecord struct {
	MessageID string        `json:"messageId"`
	Version   int64         `json:"version"`
	Content   string        `json:"content"`
	Deleted   bool          `json:"deleted"`
	At        int64         `json:"at"`               // of this version; Unix milliseconds
	Older     []editVersion `json:"older"`            // from the first, as sent
	Pending   []change      `json:"pending,omitzero"` // not yet known to be in the log, in order
	Cause     string        `json:"cause"`
}

type editVersion struct {
	Version int64  `json:"version"`
	Content string `json:"content"`
	At      int64  `json:"at"`
}

// change is one version to be published. The log takes it only directly behind the message at Expect on
// its subject. So it is published there or nowhere, whoever tries how often and how late; and whether
// it was can be read from what stands behind Expect.
type change struct {
	Version int64  `json:"version"`
	Content string `json:"content,omitempty"`
	Deleted bool   `json:"deleted,omitempty"`
	At      int64  `json:"at"`
	By      string `json:"by"`
	Expect  uint64 `json:"expect"`
}

func (c change) event() string {
	if c.Deleted {
		return subjects.MessageDeleted.Name()
	}
	return subjects.MessageEdited.Name()
}

// edit answers message:edit, for the author.
func (s *Service) edit(ctx context.Context, who subjects.Caller, req subjects.MessageEditRequest) (answer[subjects.MessageChanged], error) {
	content, err := s.content(req.Content)
	if err != nil {
		return answer[subjects.MessageChanged]{}, err
	}
	return s.alter(ctx, who, req.ConversationID, req.MessageID, change{Content: content})
}

// remove answers message:delete, for the author. Deleting again is no change.
func (s *Service) remove(ctx context.Context, who subjects.Caller, req subjects.MessageRequest) (answer[subjects.MessageChanged], error) {
	return s.alter(ctx, who, req.ConversationID, req.MessageID, change{Deleted: true})
}

func (s *Service) alter(ctx context.Context, who subjects.Caller, id, messageID string, to change) (answer[subjects.MessageChanged], error) {
	none := answer[subjects.MessageChanged]{}
	c, err := s.memberOf(ctx, who, id)
	if err != nil {
		return none, err
	}
	m, err := s.message(ctx, c.token, messageID)
	if err != nil {
		return none, err
	}
	if m.message.SenderID != who.User {
		return none, subjects.Errorf(subjects.CodeForbidden, "only its author changes a message")
	}
	to.By = who.User
	if err := s.record(ctx, c.token, m, to); err != nil {
		return none, err
	}
	s.step(ctx)
	if err := s.announceEdit(ctx, c.token, m.number); err != nil {
		return none, perhaps(err)
	}
	s.step(ctx)
	views, err := s.views(ctx, c.token, []stored{m})
	if err != nil {
		return none, perhaps(err)
	}
	return answer[subjects.MessageChanged]{ack: subjects.MessageChanged{Success: true, Message: views[0]}}, nil
}

// record adds a version by compare-and-set. One that changes nothing is none: a repeated edit after a
// lost answer leaves the message as it is.
func (s *Service) record(ctx context.Context, conv string, m stored, to change) error {
	cause := newCause()
	at := editValue(conv, m.number)
	for {
		r := editRecord{MessageID: m.message.ID, Version: 1, Content: m.message.Content, At: m.ms}
		revision, err := s.store.load(ctx, at, &r)
		if err != nil {
			return err
		}
		if r.Cause == cause || r.same(to) {
			return nil
		}
		if err := r.check(to, s.options.MaxVersions); err != nil {
			return err
		}
		to.Version, to.At = r.Version+1, max(r.At, s.options.Now().UnixMilli())
		newest, _, err := s.store.last(ctx, subjects.StreamLog, eventSubject(conv, to.event()))
		if err != nil {
			return err
		}
		to.Expect = newest.seq
		r.add(to)
		r.Cause = cause
		s.step(ctx)
		if err = s.store.save(ctx, at, revision, &r); !errors.Is(err, errConflict) {
			return perhaps(err)
		}
		s.metrics.collisions.Inc()
	}
}

// same reports whether the message already is what it should become.
func (r *editRecord) same(to change) bool {
	return r.Deleted == to.Deleted && (r.Deleted || r.Content == to.Content)
}

func (r *editRecord) check(to change, most int) error {
	switch {
	case r.Deleted:
		return subjects.Errorf(subjects.CodeConflict, "the message is deleted")
	case !to.Deleted && r.Version >= int64(most):
		return subjects.Errorf(subjects.CodeConflict, "a message has at most %d versions", most)
	}
	return nil
}

func (r *editRecord) add(to change) {
	r.Older = append(r.Older, editVersion{r.Version, r.Content, r.At})
	r.Version, r.Content, r.Deleted, r.At = to.Version, to.Content, to.Deleted, to.At
	r.Pending = append(r.Pending, to)
}

// announceEdit publishes what is pending of a message's changes, in order.
func (s *Service) announceEdit(ctx context.Context, conv string, number int64) error {
	at := editValue(conv, number)
	for {
		var r editRecord
		revision, err := s.store.load(ctx, at, &r)
		if err != nil || len(r.Pending) == 0 {
			return err
		}
		published, err := s.publishChange(ctx, conv, &r)
		if err != nil {
			return err
		}
		s.step(ctx)
		if published {
			r.Pending = r.Pending[1:]
		}
		if err = s.store.save(ctx, at, revision, &r); err != nil && !errors.Is(err, errConflict) {
			return err
		}
	}
}

// publishChange publishes the first pending change at its place. If that place was taken by another
// message's change, it reserves the next one, which must be saved before it is tried.
func (s *Service) publishChange(ctx context.Context, conv string, r *editRecord) (published bool, err error) {
	first := &r.Pending[0]
	subject := eventSubject(conv, first.event())
	msgID := "edit." + r.MessageID + "." + strconv.FormatInt(first.Version, 10)
	_, err = s.store.publish(ctx, subject, msgID, first.Expect, s.changePayload(conv, r.MessageID, *first))
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, errConflict) {
		return false, err
	}
	e, found, err := s.store.firstBehind(ctx, subjects.StreamLog, subject, first.Expect)
	if err != nil {
		return false, err
	}
	if found && lastHeader(e.header, subjects.HeaderMsgID) == msgID {
		return true, nil
	}
	newest, _, err := s.store.last(ctx, subjects.StreamLog, subject)
	first.Expect = newest.seq
	return false, err
}

func (s *Service) changePayload(conv, messageID string, c change) any {
	id, err := subjects.Unescape(conv)
	if err != nil {
		id = conv
	}
	at := subjects.At(time.UnixMilli(c.At))
	if c.Deleted {
		return subjects.MessageDeletedEvent{MessageID: messageID, ConversationID: id, UserID: c.By, Version: c.Version, DeletedAt: at}
	}
	return subjects.MessageEditedEvent{
		MessageID: messageID, ConversationID: id, UserID: c.By, Content: c.Content, Version: c.Version, EditedAt: at,
	}
}

// versions answers message:versions: what a message has said, for members, while it is not deleted.
func (s *Service) versions(ctx context.Context, who subjects.Caller, req subjects.MessageRequest) (answer[subjects.MessageVersionList], error) {
	none := answer[subjects.MessageVersionList]{}
	c, err := s.memberOf(ctx, who, req.ConversationID)
	if err != nil {
		return none, err
	}
	m, err := s.message(ctx, c.token, req.MessageID)
	if err != nil {
		return none, err
	}
	r := editRecord{MessageID: m.message.ID, Version: 1, Content: m.message.Content, At: m.ms}
	if _, err := s.store.load(ctx, editValue(c.token, m.number), &r); err != nil {
		return none, err
	}
	if r.Deleted {
		return none, errNoMessage
	}
	ack := subjects.MessageVersionList{Success: true}
	for _, v := range append(r.Older, editVersion{r.Version, r.Content, r.At}) {
		ack.Versions = append(ack.Versions, subjects.MessageVersion{
			Version: v.Version, Content: v.Content, At: subjects.At(time.UnixMilli(v.At)),
		})
	}
	return answer[subjects.MessageVersionList]{ack: ack}, nil
}
