package msgd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
)

// Waiting for what this service stands on, and looking after it.

const (
	streamsWait     = 250 * time.Millisecond
	streamsReminder = 10 * time.Second
	watchEvery      = 5 * time.Second
	foldConsumer    = "msgd-fold"
	outboxConsumer  = "msgd-outbox"

	// ackWait is how long the work of a replica that died lies still. Work that takes longer is done
	// twice, which changes nothing.
	ackWait = 3 * time.Second
)

// awaitStreams returns when the streams exist and both consumers do. Somebody else creates the streams:
// starting in any order is normal, so it says what it waits for and goes on trying.
func (s *Service) awaitStreams(ctx context.Context) error {
	var said time.Time
	for {
		err := s.ensureConsumers(ctx)
		if err == nil {
			return nil
		}
		if time.Since(said) >= streamsReminder && ctx.Err() == nil {
			s.log.Warn("the streams are not there yet, waiting for them", "error", err)
			said = time.Now()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(streamsWait):
		}
	}
}

func (s *Service) ensureConsumers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.options.CommandTimeout)
	defer cancel()
	for _, name := range []string{subjects.StreamLog, receiptsStream} {
		if _, err := s.js.Stream(ctx, name); err != nil {
			return fmt.Errorf("stream %s: %w", name, err)
		}
	}
	for stream, config := range s.consumers() {
		if err := s.ensureConsumer(ctx, stream, config); err != nil {
			return fmt.Errorf("consumer %s on %s: %w", config.Durable, stream, err)
		}
	}
	return nil
}

// ensureConsumer makes a consumer that is missing or other than wanted. One that is as wanted is left
// alone: writing its configuration again needs more rights, and fails on a server that has just removed
// and made it (2.15.2 deletes the files of the new one).
func (s *Service) ensureConsumer(ctx context.Context, stream string, want jetstream.ConsumerConfig) error {
	consumer, err := s.js.Consumer(ctx, stream, want.Durable)
	switch {
	case err == nil:
		have := consumer.CachedInfo().Config
		if slices.Equal(have.FilterSubjects, want.FilterSubjects) && have.AckPolicy == want.AckPolicy &&
			have.AckWait == want.AckWait && have.MaxAckPending == want.MaxAckPending {
			return nil
		}
	case !errors.Is(err, jetstream.ErrConsumerNotFound):
		return err
	}
	_, err = s.js.CreateOrUpdateConsumer(ctx, stream, want)
	return err
}

// consumers are shared by all replicas: each message goes to one of them, and to another one when that
// one does not finish it.
func (s *Service) consumers() map[string]jetstream.ConsumerConfig {
	return map[string]jetstream.ConsumerConfig{
		subjects.StreamMessages: {
			Durable: foldConsumer, Description: "where each message is, and how far each member has read",
			FilterSubjects: []string{subjects.MessageNew.Filter(), subjects.MessageRead.Filter()},
			AckPolicy:      jetstream.AckExplicitPolicy, AckWait: ackWait, MaxAckPending: 8 * foldBatch,
		},
		conversationsStream: {
			Durable: outboxConsumer, Description: "what its writer perhaps did not announce",
			FilterSubjects: []string{conversationsPrefix + "conv.*", conversationsPrefix + "edit.*.*"},
			AckPolicy:      jetstream.AckExplicitPolicy, AckWait: ackWait, MaxAckPending: 10_000,
		},
	}
}

// watch keeps the gauges and the readiness up to date, and makes the consumers again if an operator has
// removed them.
func (s *Service) watch(ctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		err := s.look(ctx)
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			err = s.ensureConsumers(ctx)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			s.log.Warn("the consumers cannot be seen", "error", err)
			s.state.Store(&err)
		} else {
			s.state.Store(nil)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look reads how far both consumers are.
func (s *Service) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.options.CommandTimeout)
	defer cancel()
	for stream, config := range s.consumers() {
		consumer, err := s.js.Consumer(ctx, stream, config.Durable)
		if err != nil {
			return fmt.Errorf("consumer %s: %w", config.Durable, err)
		}
		info := consumer.CachedInfo()
		behind := float64(info.NumPending) + float64(info.NumAckPending)
		if config.Durable == foldConsumer {
			s.metrics.lag.Set(behind)
		} else {
			s.metrics.outboxLag.Set(behind)
		}
	}
	return nil
}
