package msgd

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/lexiflow/realtime/subjects"
)

const (
	defaultLimit = 50
	maxLimit     = 100
)

// limitOf reads the size of a page: 50 if none is given, at most 100, nothing below 1.
func limitOf(limit int64) (int64, error) {
	switch {
	case limit == 0:
		return defaultLimit, nil
	case limit < 0:
		return 0, errInput
	}
	return min(limit, maxLimit), nil
}

// list answers conversation:list: the caller's conversations, the last active first. The cursor is the
// place behind the last one shown, so a conversation that becomes active moves to the first page.
func (s *Service) list(ctx context.Context, who subjects.Caller, req subjects.ConversationListRequest) (answer[subjects.ConversationPage], error) {
	none := answer[subjects.ConversationPage]{}
	limit, err := limitOf(req.Limit)
	if err != nil {
		return none, err
	}
	after, err := parseCursor(req.Cursor)
	if err != nil {
		return none, err
	}
	all, err := s.byActivity(ctx, who.User)
	if err != nil {
		return none, err
	}
	if req.Cursor != "" {
		all = slices.DeleteFunc(all, func(a active) bool { return a.compare(after) <= 0 })
	}
	page := all[:min(int64(len(all)), limit)]
	ack := subjects.ConversationPage{Success: true}
	views := make([]*seen, len(page))
	err = parallel(len(page), func(i int) error {
		c, err := s.memberOf(ctx, who, page[i].id())
		if err != nil {
			if subjects.CodeOf(err) == subjects.CodeForbidden {
				return nil // taken out since
			}
			return err
		}
		v, err := s.overview(ctx, who.User, c)
		views[i] = &v
		return err
	})
	if err != nil {
		return none, err
	}
	for _, v := range views {
		if v != nil {
			ack.Conversations = append(ack.Conversations, v.Conversation)
			ack.UnreadCount += v.UnreadCount
		}
	}
	if len(page) < len(all) {
		ack.Cursor = page[len(page)-1].cursor()
	}
	return answer[subjects.ConversationPage]{ack: ack}, nil
}

// active is a conversation and when something was last said in it.
type active struct {
	conv string // token
	ms   int64  // 0 if nothing was said yet
}

// compare sorts the last active first.
func (a active) compare(b active) int {
	return cmp.Or(cmp.Compare(b.ms, a.ms), strings.Compare(a.conv, b.conv))
}

func (a active) cursor() string { return strconv.FormatInt(a.ms, 36) + "." + a.conv }

func (a active) id() string {
	id, err := subjects.Unescape(a.conv)
	if err != nil {
		return ""
	}
	return id
}

func parseCursor(cursor string) (active, error) {
	if cursor == "" {
		return active{}, nil
	}
	ms, conv, ok := strings.Cut(cursor, ".")
	at, err := strconv.ParseInt(ms, 36, 64)
	if _, badToken := subjects.Unescape(conv); !ok || err != nil || badToken != nil {
		return active{}, errInput
	}
	return active{conv, at}, nil
}

// byActivity sorts a user's conversations by their last message, or by when they were made.
func (s *Service) byActivity(ctx context.Context, user string) ([]active, error) {
	convs, err := s.userConversations(ctx, user)
	if err != nil {
		return nil, err
	}
	all := make([]active, len(convs))
	err = parallel(len(convs), func(i int) error {
		h, err := s.head(ctx, convs[i])
		all[i] = active{convs[i], h.ms}
		if err == nil && h.number == 0 {
			var c *conversation
			if c, _, err = s.conversation(ctx, all[i].id()); c != nil {
				all[i].ms = c.CreatedAt
			}
		}
		return err
	})
	slices.SortFunc(all, active.compare)
	return all, err
}

// hello answers hello.messaging and the aliases: a fresh socket enters the rooms of all its user's
// conversations, so that it hears what it has not asked for (contract 8, B17). Beyond the cap the
// least active ones are left to conversation:join.
func (s *Service) hello(ctx context.Context, who subjects.Caller, _ []byte) (subjects.Reply, error) {
	convs, err := s.userConversations(ctx, who.User)
	if err != nil {
		return subjects.Reply{}, err
	}
	if len(convs) > s.options.HelloRooms {
		all, err := s.byActivity(ctx, who.User)
		if err != nil {
			return subjects.Reply{}, err
		}
		convs = convs[:0]
		for _, a := range all[:s.options.HelloRooms] {
			convs = append(convs, a.conv)
		}
	}
	var reply subjects.Reply
	for _, conv := range convs {
		reply.Join = append(reply.Join, string(subjects.KindConversation)+"."+conv)
	}
	return reply, nil
}
