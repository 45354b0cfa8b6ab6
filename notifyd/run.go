package notifyd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
)

// This file is what runs beside the handlers: consumers, tickers, and the sweep for
// what killed processes left behind.

// In flight between the stream and the replicas together.
const (
	usersInFlight = 2048
	usersPrefetch = 512
	manyInFlight  = 2 * manyAtOnce
	casesInFlight = 512
)

// consumeAll starts to read the queue and the log.
func (s *Service) consumeAll(ctx context.Context) (stop func(), err error) {
	var consuming []jetstream.ConsumeContext
	stop = func() {
		// What has been read is processed: given back, it would wait for the ack wait.
		for _, c := range consuming {
			c.Drain()
		}
		late := time.After(stopTime / 2)
		for _, c := range consuming {
			select {
			case <-c.Closed():
			case <-late:
				return
			}
		}
	}
	log, err := s.js.Stream(ctx, subjects.StreamLog)
	if err != nil {
		return stop, err
	}
	// The first replica of all begins with what happens next, not with all cases' past.
	cases := jetstream.ConsumerConfig{
		Durable: durableCases, FilterSubject: "lex.case.>", MaxAckPending: casesInFlight,
		DeliverPolicy: jetstream.DeliverNewPolicy,
	}
	for _, c := range []struct {
		stream   jetstream.Stream
		config   jetstream.ConsumerConfig
		prefetch int
		handle   jetstream.MessageHandler
	}{
		{log, cases, casesInFlight / 2, s.receiveCase},
		{s.queue.stream, jetstream.ConsumerConfig{
			Durable: durableUsers, FilterSubject: subjects.NotifyUserPrefix + "*", MaxAckPending: usersInFlight,
		}, usersPrefetch, s.receive},
		{s.queue.stream, jetstream.ConsumerConfig{
			Durable: durableMany, FilterSubject: subjects.NotifyMany, MaxAckPending: manyInFlight,
		}, manyAtOnce, s.receiveMany},
	} {
		one, err := s.consume(ctx, c.stream, c.config, c.prefetch, c.handle)
		if err != nil {
			return stop, err
		}
		consuming = append(consuming, one)
	}
	return stop, nil
}

// consume starts one consumer. All replicas share it.
func (s *Service) consume(ctx context.Context, stream jetstream.Stream, c jetstream.ConsumerConfig, prefetch int, handle jetstream.MessageHandler) (jetstream.ConsumeContext, error) {
	c.AckPolicy = jetstream.AckExplicitPolicy
	c.AckWait = s.options.AckWait
	consumer, err := stream.CreateOrUpdateConsumer(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("consumer %s: %w", c.Durable, err)
	}
	if c.Durable == durableCases {
		s.cases = consumer
		if err := s.lookAtCases(ctx); err != nil {
			return nil, err
		}
	}
	consuming, err := consumer.Consume(handle, jetstream.PullMaxMessages(prefetch), jetstream.ConsumeErrHandler(s.consumeError))
	if err != nil {
		return nil, fmt.Errorf("consumer %s: %w", c.Durable, err)
	}
	return consuming, nil
}

func (s *Service) consumeError(_ jetstream.ConsumeContext, err error) {
	if errors.Is(err, jetstream.ErrConsumerDeleted) || errors.Is(err, jetstream.ErrConsumerNotFound) {
		s.fail(fmt.Errorf("a consumer is gone: %w", err))
		return
	}
	s.log.Warn("reading from the bus", "error", err)
}

// fail ends Run.
func (s *Service) fail(err error) {
	select {
	case s.failures <- err:
	default: // one reason is enough
	}
}

// background runs f on a goroutine that Run waits for. What bounds their number is
// what calls it: consumers by their messages in flight, requests by enter. What comes
// when Run has stopped waiting finds the lanes closed, and is refused by them.
func (s *Service) background(f func(ctx context.Context)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		go f(s.work)
		return
	}
	s.wg.Go(func() { f(s.work) })
}

// settled waits for what runs in the background.
func (s *Service) settled() {
	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	s.wg.Wait()
}

// watch works by the clock until ctx ends or something is gone for good.
func (s *Service) watch(ctx context.Context) error {
	look, tick, settle, sweep := time.NewTicker(lookEvery), time.NewTicker(tickEvery), time.NewTicker(settleAfter/2), time.NewTicker(s.options.SweepEvery)
	defer look.Stop()
	defer tick.Stop()
	defer settle.Stop()
	defer sweep.Stop()
	sweeping := make(chan struct{}, 1)
	s.sweepOnce(sweeping)
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-s.failures:
			return err
		case <-s.unserved:
			return errors.New("the micro service was stopped")
		case <-settle.C:
			s.lanes.settle(false)
		case <-tick.C:
			s.digests.tick()
		case <-sweep.C:
			s.sweepOnce(sweeping)
		case <-look.C:
			s.background(func(ctx context.Context) {
				if err := errors.Join(s.queue.look(ctx), s.lookAtCases(ctx)); err != nil {
					s.log.Warn("the bus does not answer", "error", err)
				}
			})
		}
	}
}

// sweepOnce sweeps, unless it still does.
func (s *Service) sweepOnce(sweeping chan struct{}) {
	select {
	case sweeping <- struct{}{}:
	default:
		return
	}
	s.background(func(ctx context.Context) {
		defer func() { <-sweeping }()
		if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("looking for what is left to announce", "error", err)
		}
	})
}

// orphaned is how old a pending record is, at most, before it is taken for one that
// nobody is announcing. Looking too early costs work and is not wrong.
const orphaned = 3 * time.Second

// sweep looks at the records that changed since it last did, by their headers alone.
func (s *Service) sweep(ctx context.Context) error {
	var young uint64 // the first that is pending and may yet be settled
	now, old := time.Now(), min(orphaned, 2*s.options.SweepEvery)
	next, err := s.store.headers(ctx, headPrefix, s.swept+1, func(key string, m jetstream.Msg, seq uint64, at time.Time) bool {
		if m.Headers().Get(headerPending) == "" {
			return true
		}
		if young == 0 {
			young = seq
		}
		if user, err := subjects.Unescape(key); err == nil && now.Sub(at) >= old {
			s.metrics.recovered.Inc()
			s.lanes.look(user, key)
		}
		return true
	})
	if err != nil {
		return err
	}
	s.swept = next - 1
	if young != 0 {
		s.swept = young - 1
	}
	return nil
}
