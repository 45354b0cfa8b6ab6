package msgd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
)

// Folding: what MESSAGES brings becomes the index of pages and the read watermarks. Both are functions
// of the log that any order and any repetition leaves alike, so the replicas share one durable consumer
// and none of them owns anything.

const (
	foldBatch = 512             // messages written down at once
	foldRetry = 2 * time.Second // after which a message is tried again that could not be folded

	pullExpiry    = 10 * time.Second
	pullHeartbeat = 2 * time.Second // a consumer that is silent for two of them is looked for
)

// fold runs until ctx ends.
func (s *Service) fold(ctx context.Context) error {
	return s.follow(ctx, subjects.StreamMessages, foldConsumer, foldBatch, s.foldAll)
}

// follow hands what a durable consumer brings to work, in batches, and makes a lost consumer again.
func (s *Service) follow(ctx context.Context, stream, durable string, most int, work func(context.Context, []jetstream.Msg)) error {
	for ctx.Err() == nil {
		err := s.followOnce(ctx, stream, durable, most, work)
		if ctx.Err() != nil {
			return nil
		}
		s.log.Warn("a consumer is lost, starting it again", "consumer", durable, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(streamsWait):
		}
	}
	return nil
}

func (s *Service) followOnce(ctx context.Context, stream, durable string, most int, work func(context.Context, []jetstream.Msg)) error {
	if err := s.ensureConsumers(ctx); err != nil {
		return err
	}
	consumer, err := s.js.Consumer(ctx, stream, durable)
	if err != nil {
		return err
	}
	arrived, lost := make(chan jetstream.Msg, most), make(chan error, 1)
	feed, err := consumer.Consume(
		func(m jetstream.Msg) {
			select {
			case arrived <- m:
			case <-ctx.Done():
			}
		},
		jetstream.PullMaxMessages(most), jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			if !meansLost(err) {
				return
			}
			select {
			case lost <- err:
			default:
			}
		}))
	if err != nil {
		return err
	}
	defer feed.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-lost:
			return err
		case <-feed.Closed():
			return errors.New("it was closed")
		case m := <-arrived:
			work(ctx, waiting(arrived, m, most))
		}
	}
}

// meansLost recognises what the library would wait for in vain: a pull that no consumer hears.
func meansLost(err error) bool {
	for _, target := range []error{
		jetstream.ErrConsumerDeleted, jetstream.ErrConsumerNotFound, jetstream.ErrNoHeartbeat, nats.ErrNoResponders,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// waiting collects what has arrived already.
func waiting(arrived <-chan jetstream.Msg, first jetstream.Msg, most int) []jetstream.Msg {
	batch := []jetstream.Msg{first}
	for len(batch) < most {
		select {
		case m := <-arrived:
			batch = append(batch, m)
		default:
			return batch
		}
	}
	return batch
}

// slots of one page, and the messages that brought them.
type slots struct {
	places   []place
	messages []jetstream.Msg
}

// foldAll writes one batch down, a page at a time, and acks what was written.
func (s *Service) foldAll(ctx context.Context, batch []jetstream.Msg) {
	pages := make(map[pageKey]*slots)
	for _, m := range batch {
		switch conv, event := conversationOf(m.Subject()); event {
		case "message.new":
			at, err := placeOf(m)
			if err != nil {
				s.bury(ctx, m, err)
				continue
			}
			key := pageKey{conv, pageOf(at.number)}
			if pages[key] == nil {
				pages[key] = &slots{}
			}
			pages[key].places = append(pages[key].places, at)
			pages[key].messages = append(pages[key].messages, m)
		case "message.read":
			s.foldRead(ctx, conv, m)
		default:
			s.bury(ctx, m, errors.New("an event that nobody asked for"))
		}
	}
	for key, todo := range pages {
		err := s.writePage(ctx, key, todo.places)
		s.step(ctx)
		for _, m := range todo.messages {
			s.settle(m, err)
		}
	}
}

// settle acks a message that was folded; one that was not comes again.
func (s *Service) settle(m jetstream.Msg, err error) {
	if err == nil {
		s.metrics.folded.Inc()
		err = m.Ack()
	} else {
		s.log.Warn("a message could not be folded, trying again", "error", err)
		err = m.NakWithDelay(foldRetry)
	}
	if err != nil {
		s.log.Warn("a message could not be settled and comes again", "error", err)
	}
}

// writePage puts places into their page by compare-and-set.
func (s *Service) writePage(ctx context.Context, key pageKey, places []place) error {
	ctx, cancel := context.WithTimeout(ctx, s.options.CommandTimeout)
	defer cancel()
	at := pageValue(key.conv, key.page)
	for {
		var p page
		revision, err := s.store.load(ctx, at, &p)
		if err != nil {
			return err
		}
		if !p.valid() {
			p = page{}
		}
		changed := false
		for _, one := range places {
			changed = p.put(one) || changed
		}
		if !changed {
			return nil
		}
		if err = s.store.save(ctx, at, revision, &p); !errors.Is(err, errConflict) {
			return err
		}
		s.metrics.collisions.Inc()
	}
}

// placeOf reads where a message of MESSAGES is. The position is in its id.
func placeOf(m jetstream.Msg) (place, error) {
	meta, err := m.Metadata()
	if err != nil {
		return place{}, err
	}
	message, err := subjects.MessageNew.Decode(m.Data())
	if err != nil {
		return place{}, err
	}
	p, ok := parseMessageID(message.ID)
	if !ok || p.number > maxNumber {
		return place{}, fmt.Errorf("%.64q is not an id of msgd: only msgd may publish messages", message.ID)
	}
	e := entry{header: m.Headers()}
	return place{number: p.number, seq: meta.Sequence.Stream, origin: e.origin(), sender: message.SenderID}, nil
}

// foldRead raises a read watermark that its writer perhaps did not.
func (s *Service) foldRead(ctx context.Context, conv string, m jetstream.Msg) {
	receipt, err := subjects.MessageRead.Decode(m.Data())
	p, ok := parseMessageID(receipt.MessageID)
	if err == nil && !ok {
		err = fmt.Errorf("%.64q is not an id of msgd", receipt.MessageID)
	}
	if _, escapeErr := subjects.Escape(receipt.UserID); err == nil {
		err = escapeErr
	}
	if err != nil {
		s.bury(ctx, m, err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.options.CommandTimeout)
	defer cancel()
	_, err = s.raise(ctx, readValue(conv, receipt.UserID), watermark{
		Number: p.number, MessageID: receipt.MessageID, At: receipt.ReadAt.UnixMilli(),
	})
	s.settle(m, err)
}

// bury puts a message aside that will never be understood, so that it does not block what is behind it.
func (s *Service) bury(ctx context.Context, m jetstream.Msg, why error) {
	s.metrics.poison.Inc()
	s.log.Error("a message of the log is not understood", "subject", m.Subject(), "error", why)
	origin := ""
	if meta, err := m.Metadata(); err == nil {
		origin = fmt.Sprintf("%s.%d", meta.Stream, meta.Sequence.Stream)
	}
	letter := &nats.Msg{Subject: m.Subject(), Header: m.Headers(), Data: m.Data()}
	if err := subjects.DeadLetterFrom(ctx, s.js, "msgd-not-understood", letter, origin); err != nil {
		s.settle(m, err)
		return
	}
	if err := m.Term(); err != nil {
		s.log.Warn("a message could not be settled and comes again", "error", err)
	}
}

// conversationOf splits "lex.conversation.<conversation>.<event>".
func conversationOf(subject string) (conv, event string) {
	rest, _ := strings.CutPrefix(subject, "lex.conversation.")
	conv, event, _ = strings.Cut(rest, ".")
	return conv, event
}
