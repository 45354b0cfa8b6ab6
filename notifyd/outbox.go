package notifyd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
)

// What a record announces goes into the log in its order and once. Three things
// together make it once:
//
//   - its message id is made of the user and the number of the change, so the log
//     drops a repetition within its duplicate window;
//   - it names the last event of its kind that the record knows of as the one it must
//     follow. A process that was stopped for an hour and wakes up between two steps
//     finds that the log has gone on, and is refused;
//   - whoever is refused looks in the log for what is there already.
//
// So nobody need know whether a killed process had published or not.

const headerExpect = "Nats-Expected-Last-Subject-Sequence"

// eventNames are the events' names, by kind.
var eventNames = [kinds]string{
	kindNew:     subjects.NotificationNew.Name(),
	kindRead:    subjects.NotificationRead.Name(),
	kindUnread:  subjects.NotificationUnread.Name(),
	kindAllRead: subjects.NotificationAllRead.Name(),
	kindDeleted: subjects.NotificationDeleted.Name(),
	kindCount:   subjects.NotificationCount.Name(),
}

// outbox writes to the log. It may be used concurrently for different users.
type outbox struct {
	pub *subjects.Publisher
	js  jetstream.JetStream
	log jetstream.Stream // LEX
}

// attempts to put one event into the log while others write the same subject. Only
// processes that flush the same record do.
const outboxAttempts = 10

// errContended leaves the event in the outbox. What it follows from is stored.
var errContended = subjects.Errorf(subjects.CodeTimeout, "others write to this user's part of the log all the time; it is done, and announced later")

// flush announces what a record has to announce. What came through is counted in
// sent, so that a second call goes on from there.
func (o *outbox) flush(ctx context.Context, r *record) error {
	for r.sent < len(r.out) {
		if err := o.announce(ctx, r, r.sent); err != nil {
			return fmt.Errorf("announcing %s: %w", eventNames[r.out[r.sent].Kind], err)
		}
		r.sent++
	}
	return nil
}

func (o *outbox) announce(ctx context.Context, r *record, i int) error {
	e := r.out[i]
	id := r.messageID(i)
	payload, err := r.payload(e)
	if err != nil {
		return err
	}
	for range outboxAttempts {
		seq, err := o.pub.PublishLog(ctx, subjects.KindUser, r.user, eventNames[e.Kind], payload,
			subjects.WithMsgID(id), subjects.WithHeader(headerExpect, strconv.FormatUint(r.fence[e.Kind], 10)))
		if err == nil {
			r.fence[e.Kind] = max(r.fence[e.Kind], seq)
			return nil
		}
		if !subjects.IsConflict(err) {
			return err
		}
		if there, err := o.look(ctx, r, e.Kind, id); err != nil || there {
			return err
		}
	}
	return errContended
}

// look brings the fence to the event id, if it is in the log behind the fence, and else
// to the last of its kind.
func (o *outbox) look(ctx context.Context, r *record, k kind, id string) (there bool, err error) {
	subject, err := subjects.Log.Subject(subjects.KindUser, r.user, eventNames[k])
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, subjects.DefaultTimeout)
	defer cancel()
	last, err := subjects.FromLeader(ctx, o.js.Conn(), subjects.StreamLog, subjects.LeaderQuery{Last: subject})
	if errors.Is(err, jetstream.ErrMsgNotFound) { // the log's age or size took it
		r.fence[k] = 0
		return false, nil
	}
	if err != nil {
		return false, err
	}
	// From the fence on, not from the end: what follows in this outbox may be in the
	// log as well, and must still be found behind the new fence.
	for r.fence[k] < last.Sequence && !there {
		m := last
		if next := r.fence[k] + 1; next < last.Sequence {
			if m, err = o.next(ctx, subject, next); err != nil {
				return false, err
			}
		}
		r.fence[k] = m.Sequence
		there = m.Header.Get(subjects.HeaderMsgID) == id
	}
	r.fence[k] = min(r.fence[k], last.Sequence)
	return there, nil
}

// next reads the first event on a subject from a sequence on. It does not change any more, so any replica will
// do that has one before the last.
func (o *outbox) next(ctx context.Context, subject string, from uint64) (*jetstream.RawStreamMsg, error) {
	m, err := o.log.GetMsg(ctx, from, jetstream.WithGetMsgSubject(subject))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return subjects.FromLeader(ctx, o.js.Conn(), subjects.StreamLog, subjects.LeaderQuery{Seq: from, Next: subject})
	}
	return m, err
}

func (r *record) messageID(i int) string {
	return "ntf." + r.key + "." + strconv.FormatUint(r.gen, 10) + "." + strconv.Itoa(i)
}

// payload writes an event.
func (r *record) payload(e event) ([]byte, error) {
	switch e.Kind {
	case kindNew:
		for _, it := range slices.Backward(r.items) {
			if it.n == e.N && it.body != nil {
				return it.body, nil
			}
		}
		return nil, fmt.Errorf("%w: notification %d is to be announced and has no body here", errRecord, e.N)
	case kindRead:
		return json.Marshal(subjects.NotificationReadEvent{
			NotificationID: r.id(e.N), UserID: r.user, ReadAt: subjects.At(time.UnixMilli(e.At)),
		})
	case kindUnread:
		return json.Marshal(subjects.NotificationUnreadEvent{NotificationID: r.id(e.N), UserID: r.user})
	case kindAllRead:
		return json.Marshal(subjects.NotificationAllReadEvent{UserID: r.user})
	case kindDeleted:
		return json.Marshal(subjects.NotificationDeletedEvent{NotificationID: r.id(e.N), UserID: r.user})
	case kindCount:
		return json.Marshal(subjects.NotificationCountEvent{UserID: r.user, Count: e.Count})
	default:
		return nil, fmt.Errorf("%w: an event of kind %d is to be announced", errRecord, e.Kind)
	}
}
