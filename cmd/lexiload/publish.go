package main

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
)

// event is what is published: one that every browser of a case gets.
const event = "document:uploaded"

// publisher puts events into the log, room after room. One connection and one goroutine keep their order.
type publisher struct {
	load     *load
	nc       *nats.Conn
	js       jetstream.JetStream
	subjects []string // by room
	errors   atomic.Int64
}

// published is what went out.
type published struct {
	Count    int
	Expected int64         // deliveries
	Began    time.Duration // since the run began
	Took     time.Duration
	errors   int64 // events that the log did not confirm
}

// maxUnconfirmed bounds what the log has not confirmed yet.
const maxUnconfirmed = 1024

func newPublisher(ctx context.Context, l *load) (*publisher, error) {
	p := &publisher{load: l}
	for _, r := range l.rooms {
		subject, err := subjects.Log.Subject(subjects.KindCase, r.name, event)
		if err != nil {
			return nil, fmt.Errorf("room %s: %w", r.name, err)
		}
		p.subjects = append(p.subjects, subject)
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	var err error
	p.nc, err = subjects.Connect(ctx, subjects.ConnectOptions{
		URL: l.config.nats, Name: "lexiload", Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, fmt.Errorf("--nats: %w", err)
	}
	p.js, err = jetstream.New(p.nc, jetstream.WithPublishAsyncMaxPending(maxUnconfirmed),
		jetstream.WithPublishAsyncErrHandler(func(jetstream.JetStream, *nats.Msg, error) { p.errors.Add(1) }))
	if err != nil {
		p.nc.Close()
		return nil, fmt.Errorf("--nats: %w", err)
	}
	return p, nil
}

func (p *publisher) close() { p.nc.Close() }

// run publishes until --events or --duration is reached, and returns when the log has confirmed.
func (p *publisher) run(ctx context.Context) published {
	l := p.load
	out := published{Began: time.Since(l.start)}
	began := time.Now()
	ctx, cancel := context.WithDeadline(ctx, began.Add(l.config.duration))
	defer cancel()
	var payload []byte
	for i := 0; l.config.events == 0 || i < l.config.events; i++ {
		if !p.turn(ctx, began, i) {
			break
		}
		room := l.rooms[i%len(l.rooms)]
		room.counter++
		members := room.members.Load()
		if len(room.missing) > 0 {
			room.missing[room.counter%uint64(len(room.missing))].Store(members)
		}
		payload = appendPayload(payload[:0], l.config.size, l.id, room.counter, time.Since(l.start))
		if err := p.publish(i%len(l.rooms), payload, room.counter); err != nil {
			p.errors.Add(1)
			l.say("lexiload: publishing: %v", err)
			break
		}
		out.Count++
		out.Expected += members
	}
	out.Took = time.Since(began)
	select {
	case <-p.js.PublishAsyncComplete():
	case <-time.After(connectTimeout):
	}
	out.errors = p.errors.Load() + int64(p.js.PublishAsyncPending())
	return out
}

// turn waits until event i is due; false means that time is over. With --burst it waits for a place, and
// when an event does not arrive within --drain it gives up its place, so that a loss does not end the run.
func (p *publisher) turn(ctx context.Context, began time.Time, i int) bool {
	l := p.load
	if l.slots == nil {
		due := began.Add(time.Duration(float64(i) / l.config.rate * float64(time.Second)))
		return wait(ctx, time.Until(due))
	}
	select {
	case l.slots <- struct{}{}:
		return ctx.Err() == nil
	default:
	}
	stuck := time.NewTimer(l.config.drain)
	defer stuck.Stop()
	select {
	case l.slots <- struct{}{}:
	case <-stuck.C:
		// The event that holds the place is lost; it is counted by what did not arrive.
	case <-ctx.Done():
		return false
	}
	return true
}

// publish sets a message id, as every service does, so that the log's work is the real one.
func (p *publisher) publish(room int, payload []byte, counter uint64) error {
	id := strconv.FormatUint(p.load.id, 36) + "." + strconv.Itoa(room) + "." + strconv.FormatUint(counter, 36)
	_, err := p.js.PublishMsgAsync(&nats.Msg{
		Subject: p.subjects[room],
		Data:    append([]byte(nil), payload...), // kept until confirmed
		Header:  nats.Header{subjects.HeaderMsgID: {id}},
	})
	return err
}
