package msgd

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lexiflow/realtime/subjects"
)

const maxTitle = 200 // characters

// conversation is the value that decides who is a member. It changes by compare-and-set alone.
type conversation struct {
	ID        string            `json:"id"`
	Title     string            `json:"title,omitempty"`
	CreatedBy string            `json:"createdBy"`
	CreatedAt int64             `json:"createdAt"` // Unix milliseconds
	Members   map[string]member `json:"members"`
	Revision  int64             `json:"revision"` // counts changes of members

	// Pending are the users whose change the rest of the world has perhaps not heard of: their own index,
	// and the log. Empty once it has (outbox.go).
	Pending []string             `json:"pending,omitempty"`
	Left    map[string]departure `json:"left,omitempty"` // those among them who were taken out
	Cause   string               `json:"cause"`          // of the last change, so that a writer without an answer knows its own

	token string // the id, escaped
}

// member says since when somebody belongs to a conversation.
type member struct {
	JoinedAt int64 `json:"joinedAt"` // Unix milliseconds
	From     int64 `json:"from"`     // number of the last message before that: older ones were never unread
}

// departure names the note to somebody who was taken out, and where in the log it cannot be yet.
type departure struct {
	Revision int64  `json:"revision"`
	Behind   uint64 `json:"behind"` // sequence
}

// memberIDs lists the members, those who came first before the others.
func (c *conversation) memberIDs() []string {
	ids := make([]string, 0, len(c.Members))
	for id := range c.Members {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int {
		return cmp.Or(cmp.Compare(c.Members[a].JoinedAt, c.Members[b].JoinedAt), strings.Compare(a, b))
	})
	return ids
}

// room is the room of the conversation's events.
func (c *conversation) room() string { return string(subjects.KindConversation) + "." + c.token }

// conversation reads a conversation and its revision in the bucket; nil if there is none.
func (s *Service) conversation(ctx context.Context, id string) (*conversation, uint64, error) {
	escaped, err := subjects.Escape(id)
	if err != nil {
		return nil, 0, nil // an id that nothing can have
	}
	c := &conversation{token: escaped}
	revision, err := s.store.load(ctx, conversationValue(escaped), c)
	if err != nil || revision == 0 {
		return nil, 0, err
	}
	return c, revision, nil
}

// memberOf reads a conversation for one of its members, and refuses everybody else.
func (s *Service) memberOf(ctx context.Context, who subjects.Caller, id string) (*conversation, error) {
	if id == "" {
		return nil, errNoConversation
	}
	c, _, err := s.conversation(ctx, id)
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, errNotMember
	}
	if _, ok := c.Members[who.User]; !ok {
		return nil, errNotMember
	}
	return c, nil
}

// create answers conversation:create.
func (s *Service) create(ctx context.Context, who subjects.Caller, req subjects.ConversationCreateRequest) (answer[subjects.ConversationAck], error) {
	none := answer[subjects.ConversationAck]{}
	title := strings.TrimSpace(req.Title)
	if utf8.RuneCountInString(title) > maxTitle || req.MemberIDs == nil || len(req.ClientID) > maxClientID {
		return none, errInput
	}
	ids, err := s.distinct(append([]string{who.User}, req.MemberIDs...))
	if err != nil {
		return none, err
	}
	now := s.options.Now().UnixMilli()
	c := &conversation{
		ID: newConversationID(who.User, req.ClientID), Title: title, CreatedBy: who.User, CreatedAt: now,
		Members: make(map[string]member, len(ids)), Revision: 1, Pending: ids, Cause: newCause(),
	}
	c.token = c.ID // of plain letters and digits
	for _, id := range ids {
		c.Members[id] = member{JoinedAt: now}
	}
	if err := s.roomFor(ctx, ids); err != nil {
		return none, err
	}
	err = s.store.save(ctx, conversationValue(c.token), 0, c)
	if err != nil && !errors.Is(err, errConflict) {
		return none, err
	}
	// A conflict is an earlier attempt of this client: the key is random, or the clientId's.
	if c, err = s.announce(ctx, c.token); err != nil {
		return none, err
	}
	if _, still := c.Members[who.User]; !still {
		return none, errNotMember
	}
	return s.described(ctx, who, c)
}

// members answers conversation:members. Every member may add others and take itself out; others are
// taken out by who made the conversation, or, if that one is gone, by any member.
func (s *Service) members(ctx context.Context, who subjects.Caller, req subjects.ConversationMembersRequest) (answer[subjects.ConversationAck], error) {
	none := answer[subjects.ConversationAck]{}
	c, err := s.memberOf(ctx, who, req.ConversationID)
	if err != nil {
		return none, err
	}
	if len(req.Add)+len(req.Remove) == 0 {
		return s.described(ctx, who, c)
	}
	add, err := s.distinct(req.Add)
	if err != nil {
		return none, err
	}
	remove, err := s.distinct(req.Remove)
	if err != nil {
		return none, err
	}
	if slices.ContainsFunc(add, func(id string) bool { return slices.Contains(remove, id) }) {
		return none, errInput
	}
	if c, err = s.change(ctx, who, req.ConversationID, add, remove); err != nil {
		return none, err
	}
	return s.described(ctx, who, c)
}

// change adds and removes members and announces it.
func (s *Service) change(ctx context.Context, who subjects.Caller, id string, add, remove []string) (*conversation, error) {
	cause := newCause()
	for {
		c, revision, err := s.conversation(ctx, id)
		if err != nil {
			return nil, err
		}
		if c == nil {
			return nil, errNotMember
		}
		if c.Cause == cause { // an attempt whose answer was lost
			return s.announce(ctx, c.token)
		}
		changed, err := s.changed(ctx, who, c, add, remove)
		if err != nil {
			return nil, err
		}
		if !changed {
			return s.announce(ctx, c.token) // of an earlier attempt, perhaps
		}
		c.Cause = cause
		s.step(ctx)
		err = s.store.save(ctx, conversationValue(c.token), revision, c)
		switch {
		case err == nil:
			return s.announce(ctx, c.token)
		case !errors.Is(err, errConflict):
			return nil, perhaps(err)
		}
		s.metrics.collisions.Inc()
	}
}

// changed applies a change to what was read, and reports whether there is any.
func (s *Service) changed(ctx context.Context, who subjects.Caller, c *conversation, add, remove []string) (bool, error) {
	if _, ok := c.Members[who.User]; !ok {
		return false, errNotMember
	}
	if !mayRemove(c, who.User, remove) {
		return false, subjects.Errorf(subjects.CodeForbidden, "only who made the conversation takes out others")
	}
	isMember := func(id string) bool { _, ok := c.Members[id]; return ok }
	add = slices.DeleteFunc(slices.Clone(add), isMember)
	remove = slices.DeleteFunc(slices.Clone(remove), func(id string) bool { return !isMember(id) })
	if len(add)+len(remove) == 0 {
		return false, nil
	}
	if len(add) > 0 {
		h, err := s.head(ctx, c.token)
		if err == nil {
			err = s.roomFor(ctx, add)
		}
		if err != nil {
			return false, err
		}
		for _, id := range add {
			c.Members[id] = member{JoinedAt: s.options.Now().UnixMilli(), From: h.number}
		}
	}
	if err := s.depart(ctx, c, add, remove); err != nil {
		return false, err
	}
	if len(c.Members) > s.options.MaxMembers {
		return false, s.tooMany()
	}
	c.Pending = append(c.Pending, append(add, remove...)...)
	slices.Sort(c.Pending)
	c.Pending = slices.Compact(c.Pending)
	return true, nil
}

// depart takes members out, and counts the change.
func (s *Service) depart(ctx context.Context, c *conversation, add, remove []string) error {
	c.Revision++
	for _, id := range add {
		delete(c.Left, id)
	}
	if len(remove) == 0 {
		return nil
	}
	access, _, err := s.store.last(ctx, subjects.StreamLog, eventSubject(c.token, subjects.AccessChanged.Name()))
	if err != nil {
		return err
	}
	if c.Left == nil {
		c.Left = make(map[string]departure)
	}
	for _, id := range remove {
		delete(c.Members, id)
		c.Left[id] = departure{c.Revision, access.seq}
	}
	return nil
}

func mayRemove(c *conversation, user string, remove []string) bool {
	if _, there := c.Members[c.CreatedBy]; user == c.CreatedBy || !there {
		return true
	}
	return !slices.ContainsFunc(remove, func(id string) bool { return id != user })
}

// distinct checks a list of user ids and removes repetitions.
func (s *Service) distinct(ids []string) ([]string, error) {
	if len(ids) > 2*s.options.MaxMembers {
		return nil, s.tooMany()
	}
	var out []string
	for _, id := range ids {
		if _, err := subjects.Escape(id); err != nil || !utf8.ValidString(id) {
			return nil, errInput
		}
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	if len(out) > s.options.MaxMembers {
		return nil, s.tooMany()
	}
	return out, nil
}

func (s *Service) tooMany() error {
	return subjects.Errorf(subjects.CodeInvalidInput, "a conversation has at most %d members", s.options.MaxMembers)
}

func newCause() string { return rand.Text() }

// join answers conversation:join: this socket enters the room. Members' sockets are in it anyway, but
// for those that left it and those beyond the cap of hello.
func (s *Service) join(ctx context.Context, who subjects.Caller, req subjects.ConversationRequest) (answer[subjects.ConversationJoined], error) {
	c, err := s.memberOf(ctx, who, req.ConversationID)
	if err != nil {
		return answer[subjects.ConversationJoined]{}, err
	}
	return answer[subjects.ConversationJoined]{
		ack: subjects.ConversationJoined{Success: true, ConversationID: req.ConversationID}, join: []string{c.room()},
	}, nil
}

// leave answers conversation:leave: this socket leaves the room, as in the original (contract 1.4). Its
// user stays a member; conversation:members ends that.
func (s *Service) leave(_ context.Context, _ subjects.Caller, req subjects.ConversationRequest) (answer[subjects.ConversationJoined], error) {
	room, err := subjects.Room(subjects.KindConversation, req.ConversationID)
	if err != nil {
		return answer[subjects.ConversationJoined]{}, errNoConversation
	}
	return answer[subjects.ConversationJoined]{
		ack: subjects.ConversationJoined{Success: true, ConversationID: req.ConversationID}, leave: []string{room},
	}, nil
}

// described answers with a conversation as the caller sees it, and how far its members are. Who has
// just taken itself out is not told who is left.
func (s *Service) described(ctx context.Context, who subjects.Caller, c *conversation) (answer[subjects.ConversationAck], error) {
	none := answer[subjects.ConversationAck]{}
	ack := subjects.ConversationAck{Success: true, ConversationID: c.ID}
	if _, ok := c.Members[who.User]; !ok {
		ack.Conversation = c.view()
		ack.Conversation.MemberIDs = nil
		return answer[subjects.ConversationAck]{ack: ack, leave: []string{c.room()}}, nil
	}
	view, err := s.overview(ctx, who.User, c)
	if err != nil {
		return none, err
	}
	ack.Conversation = view.Conversation
	if ack.Receipts, err = s.receipts(ctx, c); err != nil {
		return none, err
	}
	return answer[subjects.ConversationAck]{ack: ack, join: []string{c.room()}}, nil
}

// view is what a conversation tells every member.
func (c *conversation) view() subjects.Conversation {
	return subjects.Conversation{
		ID: c.ID, Title: c.Title, MemberIDs: c.memberIDs(), CreatedBy: c.CreatedBy,
		CreatedAt: subjects.At(time.UnixMilli(c.CreatedAt)), Revision: c.Revision,
	}
}

// seen is a conversation with the time by which lists are sorted.
type seen struct {
	subjects.Conversation
	active int64 // Unix milliseconds
}

// overview is a conversation as one of its members sees it.
func (s *Service) overview(ctx context.Context, user string, c *conversation) (seen, error) {
	h, err := s.head(ctx, c.token)
	if err != nil {
		return seen{}, fmt.Errorf("conversation %s: %w", c.ID, err)
	}
	v := seen{Conversation: c.view(), active: max(c.CreatedAt, h.ms)}
	if v.UnreadCount, err = s.unread(ctx, c, user, h); err != nil {
		return seen{}, err
	}
	if h.newest != nil {
		views, err := s.views(ctx, c.token, []stored{*h.newest})
		if err != nil {
			return seen{}, err
		}
		v.LastMessage = &views[0]
	}
	return v, nil
}
