package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"
)

func (a *app) listenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "listen",
		Short: "Connect as a client and print what arrives",
		Long: `Connect to an edge as a client and print each event as one line: its name and its JSON.

  lexiflow listen --case 123
  lexiflow listen --case 123 --case 456 --count 1 --for 10s

It prints what happens from now on, not the state that a fresh connection is told. With --case
or --room it leaves out presence, which every client hears.

The token is --token, or made for --user with --jwt-secret or the secret that "lexiflow up"
keeps in its data folder. With --nats it listens on the bus itself, without an edge and a
token, and prints subjects instead: the way to see on which side an event got lost.

With --count, exit code 1 says that fewer events arrived within --for.`,
		Args: words(0, 0),
	}
	c := a.configure(cmd, inListen)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.listen(cmd.Context(), c) }
	return cmd
}

// heard is one line to print.
type heard struct {
	name string
	data []byte
}

// source is where events come from. hear fills the channel until ctx ends, or returns why it cannot.
type source func(ctx context.Context, events chan<- heard) error

func (a *app) listen(ctx context.Context, c *config) error {
	if err := c.checkTogether(); err != nil {
		return err
	}
	hear := a.hearEdge(c)
	if c.find("nats").rank() > c.find("url").rank() {
		hear = a.hearBus(c)
	}
	ctx, cancel := context.WithCancel(ctx)
	var over <-chan time.Time
	if c.duration > 0 {
		timer := time.NewTimer(c.duration)
		defer timer.Stop()
		over = timer.C
	}
	events, failed := make(chan heard, 1024), make(chan error, 1)
	var hearing sync.WaitGroup
	hearing.Go(func() { failed <- hear(ctx, events) })
	defer hearing.Wait() // so that it says goodbye
	defer cancel()
	for count := 0; c.count == 0 || count < c.count; count++ {
		select {
		case e := <-events:
			if _, err := fmt.Fprintf(a.out, "%s %s\n", e.name, e.data); err != nil {
				return err
			}
		case err := <-failed:
			return err
		case <-over:
			return c.fewer(count)
		case <-ctx.Done():
			return c.fewer(count)
		}
	}
	return nil
}

// fewer is the end without all the events that were asked for.
func (c *config) fewer(count int) error {
	if c.count == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d events arrived", count, c.count)
}

func (a *app) remark(format string, args ...any) {
	_, _ = fmt.Fprintf(a.err, format+"\n", args...) // nobody left to tell
}
