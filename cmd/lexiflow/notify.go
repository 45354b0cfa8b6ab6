package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lexiflow/realtime/subjects"
)

func (a *app) notifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "notify USER",
		Short: "Tell a user something",
		Long: `Send a notification to one user, as a microservice would, and print its place in the queue.
notifyd stores it and tells every device of the user.

  lexiflow notify u1 --title "Filing due" --message "Smith v. Jones, noon" --type deadline_reminder --priority urgent`,
		Args: words(1, 1),
	}
	c := a.configure(cmd, inNotify)
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.notify(cmd.Context(), c, args[0]) }
	return cmd
}

func (a *app) notify(ctx context.Context, c *config, user string) error {
	if _, err := subjects.Escape(user); err != nil {
		return usagef("user: %w", err)
	}
	if c.title == "" {
		return usagef("a notification needs --title")
	}
	request, err := json.Marshal(subjects.NotifyRequest{UserID: user, Notice: subjects.Notice{
		Type: subjects.NotificationType(c.notice), Title: c.title, Message: c.message,
		Priority: subjects.Priority(c.priority), ActionURL: c.visit,
	}})
	if err != nil {
		return fmt.Errorf("the request: %w", err)
	}
	return c.onBus(ctx, "lexiflow notify", func(ctx context.Context, b *bus) error {
		reply, err := subjects.Request(ctx, b.nc, subjects.NotifySend, subjects.Caller{}, request)
		if err != nil {
			if subjects.CodeOf(err) == subjects.CodeUnavailable {
				return fmt.Errorf("notifyd is not running at --nats %s, nothing was sent: start \"lexiflow notifyd\": %w", redact(c.natsURL), err)
			}
			return blame(err)
		}
		var accepted subjects.NotifyAccepted
		if err := json.Unmarshal(reply.Data, &accepted); err != nil {
			return fmt.Errorf("the answer of notifyd is not understood: %w", err)
		}
		_, err = fmt.Fprintln(a.out, accepted.Sequence)
		return err
	})
}
