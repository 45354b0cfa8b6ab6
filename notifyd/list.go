package notifyd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/lexiflow/realtime/subjects"
)

// notification:list pages through what is kept, newest first. The cursor is the
// ordinal of the last notification seen, so that new ones in between move nothing.

const (
	defaultLimit = 20
	maxLimit     = 100
	maxListBytes = 512 << 10 // of bodies; a page that is fuller ends early
	listAttempts = 5
)

// listAck is [subjects.NotificationPage] with bodies as they are stored.
type listAck struct {
	Success       bool                           `json:"success"`
	Notifications subjects.List[json.RawMessage] `json:"notifications"`
	NextCursor    string                         `json:"nextCursor,omitempty"`
	UnreadCount   int64                          `json:"unreadCount"`
}

func (s *Service) list(ctx context.Context, req micro.Request) (reply subjects.Reply, ack any, err error) {
	who, err := callerOf(req)
	if err != nil {
		return reply, nil, err
	}
	wanted, err := subjects.NotificationList.Decode(req.Data())
	if err != nil || wanted.Limit < 0 {
		return reply, nil, errInvalid
	}
	before := uint64(0)
	if wanted.Cursor != "" {
		if before, err = strconv.ParseUint(wanted.Cursor, 10, 64); err != nil || before == 0 {
			return reply, nil, errInvalid
		}
	}
	if wanted.Limit == 0 {
		wanted.Limit = defaultLimit
	}
	wanted.Limit = min(wanted.Limit, maxLimit)
	for range listAttempts {
		r, err := s.store.load(ctx, who.User, who.key, true)
		if err != nil {
			return reply, nil, err
		}
		page, err := s.page(ctx, r, before, wanted.Limit, wanted.UnreadOnly)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			continue // its last notification was deleted in this moment: the record is newer
		}
		return reply, page, err
	}
	return reply, nil, subjects.Errorf(subjects.CodeConflict, "the list is being changed, try again")
}

// page collects up to limit notifications older than the ordinal before; 0 begins
// with the newest.
func (s *Service) page(ctx context.Context, r *record, before uint64, limit int, unreadOnly bool) (*listAck, error) {
	ack := &listAck{Success: true, UnreadCount: r.unread()}
	pages := map[uint64]map[string]json.RawMessage{}
	size, last := 0, uint64(0)
	for _, it := range slices.Backward(r.items) {
		if before != 0 && it.n >= before || unreadOnly && it.readAt != 0 {
			continue
		}
		if len(ack.Notifications) == limit || size > maxListBytes {
			ack.NextCursor = strconv.FormatUint(last, 10)
			break
		}
		body := it.body
		if it.page != 0 {
			if pages[it.page] == nil {
				found, err := s.store.bodies(ctx, r.pageKey(it.page))
				if err != nil {
					return nil, err
				}
				pages[it.page] = found
			}
			if body = pages[it.page][r.id(it.n)]; body == nil {
				return nil, errRecord
			}
		}
		ack.Notifications = append(ack.Notifications, withState(body, it.readAt))
		size += len(body)
		last = it.n
	}
	return ack, nil
}

// withState adds to a stored notification what became of it, and the timestamp that every event has.
func withState(body []byte, readAt int64) json.RawMessage {
	b := append(make([]byte, 0, len(body)+112), bytes.TrimSuffix(body, []byte{'}'})...)
	var at struct {
		CreatedAt subjects.Time `json:"createdAt"`
		Timestamp subjects.Time `json:"timestamp"`
	}
	if json.Unmarshal(body, &at) == nil && at.Timestamp.IsZero() && !at.CreatedAt.IsZero() {
		b = append(append(append(b, `,"timestamp":"`...), at.CreatedAt.String()...), '"')
	}
	if readAt == 0 {
		return append(b, `,"read":false}`...)
	}
	b = append(b, `,"read":true,"readAt":"`...)
	return append(append(b, subjects.At(time.UnixMilli(readAt)).String()...), `"}`...)
}
