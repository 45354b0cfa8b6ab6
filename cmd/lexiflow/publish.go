package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lexiflow/realtime/subjects"
)

func (a *app) publishCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "publish KIND ID EVENT [JSON|-]",
		Short: "Publish one event",
		Long: `Publish one event, as a microservice would. "-" reads the JSON from stdin; without it the
payload is {}. Once the log has stored the event, its subject and sequence are printed.

  lexiflow publish case 123 document:uploaded '{"documentId":"d1","fileName":"brief.pdf"}'
  lexiflow publish all all system:alert '{"title":"Maintenance at noon"}'

The payload of a declared event is checked against its schema ("lexiflow schema EVENT"). A value of the
wrong type, not of its enum, or not a date is an error that says where, and nothing is published unless
--no-validate is given. Absent keys are only remarked on, on stderr: the edge adds timestamp and, in the
room of a case, caseId, and readers leave others empty. Events that nobody declared are not checked.

KIND is case, user, conversation, dashboard, presence, team, room, metric or all (with the id all).`,
		Args: words(3, 4),
	}
	c := a.configure(cmd, inPublish)
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.publish(cmd.Context(), c, args) }
	return cmd
}

func (a *app) publish(ctx context.Context, c *config, args []string) error {
	if !subjects.Kind(args[0]).Valid() {
		return usagef("kind %q: case, user, conversation, dashboard, presence, team, room, metric or all is allowed", args[0])
	}
	event := subjects.Subject{Class: c.class, Kind: subjects.Kind(args[0]), ID: args[1], Event: args[2]}
	subject, err := subjects.Build(event)
	if err != nil {
		return &usageError{err}
	}
	payload := "{}"
	if len(args) == 4 {
		if payload, err = a.argument(args[3]); err != nil {
			return err
		}
	}
	if !c.noValidate {
		if err := a.validate(event, payload); err != nil {
			return err
		}
	}
	return c.onBus(ctx, "lexiflow publish", func(ctx context.Context, b *bus) error {
		sequence, err := b.publisher.Publish(ctx, event, []byte(payload))
		if err != nil {
			return blame(err)
		}
		if sequence == 0 {
			_, err = fmt.Fprintln(a.out, subject)
			return errors.Join(err, b.nc.FlushWithContext(ctx))
		}
		_, err = fmt.Fprintln(a.out, subject, sequence)
		return err
	})
}
