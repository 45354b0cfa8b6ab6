package edge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
)

// Reading from the stream what the ring does not have. Most rooms have had nothing since a client was
// last heard of, and a question for the last messages of all of them takes a millisecond, while a consumer
// takes tens (nats-facts 1). So the rooms that changed are found first, and only they are read.

var errTrimmed = errors.New("the log does not have everything that was missed")

// missed returns the rooms' events in (from, upTo], of each those behind its own position. newest is the
// newest event of the log that this edge has read, nil for none.
func (s *Server) missed(ctx context.Context, rooms []missedRoom, from, upTo uint64, newest *delivery) ([]*delivery, error) {
	behind := make(map[string]uint64, len(rooms))
	for _, in := range rooms {
		behind[in.name] = in.behind
	}
	changed := s.changedRooms(ctx, behind, from, newest)
	var events []*delivery
	if len(changed) > 0 {
		var err error
		if events, err = s.readRooms(ctx, changed, from, upTo, behind); err != nil {
			return nil, err
		}
	}
	// Afterwards, since it may have been trimmed meanwhile.
	stream, err := s.js.Stream(ctx, subjects.StreamLog)
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	if stream.CachedInfo().State.FirstSeq > from+1 {
		return nil, errTrimmed
	}
	return events, nil
}

// changedRooms asks which rooms have events behind from. What is not certain counts as changed: more
// rooms than one answer may have, and an answer from a replica that has not got as far as this edge,
// which the newest event shows that was asked for with the rooms.
func (s *Server) changedRooms(ctx context.Context, behind map[string]uint64, from uint64, newest *delivery) (changed []string) {
	all := func() (names []string) {
		for name := range behind {
			names = append(names, name)
		}
		return names
	}
	if newest == nil || newest.seq <= from {
		return all()
	}
	filters := []string{newest.subject}
	for name := range behind {
		filters = append(filters, roomFilter(name))
	}
	last, err := s.lastOf(ctx, filters, from+1, 0)
	if err != nil {
		return all()
	}
	current, seen := false, make(map[string]bool)
	for _, d := range last {
		current = current || d.subject == newest.subject && d.seq >= newest.seq
		if at, ours := behind[d.room]; ours && d.seq > at && !seen[d.room] {
			seen[d.room] = true
			changed = append(changed, d.room)
		}
	}
	if !current {
		return all()
	}
	return changed
}

func roomFilter(name string) string { return subjects.Log.String() + "." + name + ".>" }

// lastOf returns the last message of each subject that a filter matches, from first on and up to upTo, 0
// for no bound (ADR-31, multi_last). At most 1,024 are possible.
func (s *Server) lastOf(ctx context.Context, filters []string, first, upTo uint64) ([]*delivery, error) {
	request := mustJSON(struct {
		Filters []string `json:"multi_last"`
		First   uint64   `json:"seq,omitempty"`
		UpTo    uint64   `json:"up_to_seq,omitempty"`
	}{filters, first, upTo})
	type answer struct {
		last []*delivery
		err  error
	}
	answered := make(chan answer, 1)
	var last []*delivery
	s.requests.do(logGet, nil, request, s.options.CommandTimeout, func(m *nats.Msg, err error) time.Duration {
		if err != nil {
			answered <- answer{nil, err}
			return 0
		}
		switch status := m.Header.Get("Status"); status {
		case "":
			d, err := storedEvent(m)
			if err != nil {
				answered <- answer{nil, err}
				return 0
			}
			last = append(last, d)
			return s.options.CommandTimeout
		case "204", "404": // the end; nothing at all
			answered <- answer{last, nil}
		default:
			answered <- answer{nil, fmt.Errorf("last messages of %d filters: status %s %s", len(filters), status, m.Header.Get("Description"))}
		}
		return 0
	})
	select {
	case a := <-answered:
		return a.last, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// accessAt is a room's list as the log had it at a position; empty for none.
func (s *Server) accessAt(ctx context.Context, room string, position uint64) (list accessList, err error) {
	if position == 0 {
		return list, nil
	}
	subject := subjects.Log.String() + "." + room + "." + strings.ReplaceAll(accessChanged, ":", ".")
	last, err := s.lastOf(ctx, []string{subject}, 0, position)
	if err != nil || len(last) == 0 {
		return list, err
	}
	err = json.Unmarshal(last[0].payload, &list)
	return list, err
}

// logGet reads single messages of the log without a consumer.
const logGet = "$JS.API.DIRECT.GET." + subjects.StreamLog

// storedEvent reads a message of a direct get. The server appends its headers to a publisher's, so the
// last value of each is its own (nats-facts, finding 3).
func storedEvent(m *nats.Msg) (*delivery, error) {
	header := func(key string) string {
		values := m.Header.Values(key)
		if len(values) == 0 {
			return ""
		}
		return values[len(values)-1]
	}
	d := &delivery{
		class: subjects.Log, subject: header("Nats-Subject"), payload: m.Data,
		except: m.Header.Get(subjects.HeaderExcept),
	}
	var err error
	if d.seq, err = strconv.ParseUint(header("Nats-Sequence"), 10, 64); err != nil {
		return nil, fmt.Errorf("a message of the log without its sequence: %w", err)
	}
	if d.at, err = time.Parse(time.RFC3339Nano, header("Nats-Time-Stamp")); err != nil {
		return nil, fmt.Errorf("message %d of the log without its time: %w", d.seq, err)
	}
	route, err := subjects.ParseRoute(d.subject)
	if err == nil { // others have no room, and are nobody's
		d.room, d.event = route.Room, route.Event()
	}
	return d, nil
}

// readRooms reads the events of rooms in (from, upTo] through a consumer.
func (s *Server) readRooms(ctx context.Context, rooms []string, from, upTo uint64, behind map[string]uint64) ([]*delivery, error) {
	filters := make([]string, len(rooms))
	for i, name := range rooms {
		filters[i] = roomFilter(name)
	}
	consumer, err := s.js.CreateConsumer(ctx, subjects.StreamLog, jetstream.ConsumerConfig{
		FilterSubjects: filters, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from + 1,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: replayLimit,
	})
	if err != nil {
		return nil, fmt.Errorf("consumer: %w", err)
	}
	defer func() {
		_ = s.js.DeleteConsumer(context.WithoutCancel(ctx), subjects.StreamLog, consumer.CachedInfo().Name)
	}()
	pending := int(consumer.CachedInfo().NumPending)
	if pending > replayEvents {
		return nil, errTrimmed
	}
	return readMissed(consumer, pending, upTo, func(room string, seq uint64) bool { return seq > behind[room] })
}

func readMissed(consumer jetstream.Consumer, pending int, upTo uint64, wanted func(room string, seq uint64) bool) (events []*delivery, err error) {
	const portion = 500
	for pending > 0 {
		batch, err := consumer.Fetch(min(pending, portion), jetstream.FetchMaxWait(5*time.Second))
		if err != nil {
			return nil, fmt.Errorf("fetch: %w", err)
		}
		got := 0
		for m := range batch.Messages() {
			got++
			meta, err := m.Metadata()
			if err != nil {
				return nil, fmt.Errorf("metadata: %w", err)
			}
			route, err := subjects.ParseRoute(m.Subject())
			if err != nil || meta.Sequence.Stream > upTo || !wanted(route.Room, meta.Sequence.Stream) {
				continue
			}
			events = append(events, &delivery{
				class: subjects.Log, subject: m.Subject(), payload: m.Data(), except: m.Headers().Get(subjects.HeaderExcept),
				seq: meta.Sequence.Stream, at: meta.Timestamp, room: route.Room, event: route.Event(),
			})
		}
		if err := batch.Error(); err != nil {
			return nil, fmt.Errorf("fetch: %w", err)
		}
		if got == 0 {
			return nil, errors.New("the stream stopped answering")
		}
		pending -= got
	}
	return events, nil
}
