package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
)

// bus is NATS as the short commands see it.
type bus struct {
	nc        *nats.Conn
	js        jetstream.JetStream
	publisher *subjects.Publisher
}

// onBus connects, does something, and closes the connection, all within --timeout.
func (c *config) onBus(ctx context.Context, name string, do func(context.Context, *bus) error) error {
	if err := c.checkTogether(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	nc, err := subjects.Connect(ctx, c.connectOptions(slog.New(slog.DiscardHandler), name))
	if err != nil {
		return c.notReached(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	return c.explain(do(ctx, &bus{nc, js, subjects.NewPublisher(nc, js)}))
}

// notReached says what to do when no server answered in time.
func (c *config) notReached(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("--nats %s does not answer within %v: is \"lexiflow up\" or \"lexiflow nats\" running?", redact(c.natsURL), c.timeout)
	}
	return err
}

// explain says what to do where a server answers that knows nothing of LexiFlow, or does not answer in
// time.
func (c *config) explain(err error) error {
	switch {
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, jetstream.ErrBucketNotFound), errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Errorf("--nats %s has none of LexiFlow's streams: is it the right server? \"lexiflow up\", \"nats\" and \"edge\" make them: %w",
			redact(c.natsURL), err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return fmt.Errorf("--nats %s did not answer within %v (--timeout); it was perhaps done: %w", redact(c.natsURL), c.timeout, err)
	}
	return err
}

// blame takes an error that the caller made for wrong usage.
func blame(err error) error {
	switch subjects.CodeOf(err) {
	case subjects.CodeInvalidInput, subjects.CodeInvalidEvent, subjects.CodeMessageTooLarge:
		return &usageError{err}
	}
	return err
}
