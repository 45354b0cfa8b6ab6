package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/lexiflow/realtime/subjects"
)

func (a *app) revokeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke {user ID | token JTI}",
		Short: "Throw out a user or a token",
		Long: `Revoke every token that a user has, or one token by its id (the claim jti, which "lexiflow
token verify" prints). Connected clients are closed at once, on every edge. A user may log
in again: tokens issued later are good.

  lexiflow revoke user u1
  lexiflow revoke token JBSWY3DPEHPK3PXP --for 1h
  lexiflow revoke user u1 --undo

It is forgotten after --for, which should be at least what the longest-lived of these tokens
still lives, and at least --resume-window, within which one that is only expired can resume.`,
		Args:      words(2, 2),
		ValidArgs: []string{"user", "token"},
	}
	c := a.configure(cmd, inRevoke)
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.revoke(cmd.Context(), c, args[0], args[1]) }
	return cmd
}

func (a *app) revoke(ctx context.Context, c *config, what, id string) error {
	key, value, err := revocation(what, id, time.Now())
	if err != nil {
		return err
	}
	return c.onBus(ctx, "lexiflow revoke", func(ctx context.Context, b *bus) error {
		if c.undo {
			if err := forgive(ctx, b.js, key); err != nil {
				return err
			}
			_, err := fmt.Fprintf(a.out, "%s %s is not revoked\n", what, id)
			return err
		}
		// The KV interface knows a TTL only for keys that do not exist yet, and a Put would make this one
		// permanent.
		subject := "$KV." + subjects.BucketRevoked + "." + key
		if _, err := b.js.Publish(ctx, subject, value, jetstream.WithMsgTTL(c.revokedFor.Round(time.Second))); err != nil {
			return err
		}
		_, err := fmt.Fprintf(a.out, "%s %s is revoked until %s\n", what, id, time.Now().Add(c.revokedFor).UTC().Format(time.RFC3339))
		return err
	})
}

// revocation is the entry of the bucket REVOKED: its key and its value, which spares a user's later
// tokens. Those carry whole seconds, so what was issued within this second is revoked too.
func revocation(what, id string, now time.Time) (key string, value []byte, err error) {
	escaped, err := subjects.Escape(id)
	if err != nil {
		if what == "token" && len(id) > subjects.MaxID {
			err = errors.New("that is too long for a token's id, which is the claim jti: \"lexiflow token verify TOKEN\" prints it")
		}
		return "", nil, usagef("%s: %w", what, err)
	}
	switch what {
	case "user":
		value, err = json.Marshal(map[string]int64{"before": now.Unix() + 1})
		return "user." + escaped, value, err
	case "token":
		return "jti." + escaped, []byte("{}"), nil
	}
	return "", nil, usagef("%q cannot be revoked, the form is: revoke user ID, or revoke token JTI", what)
}

// forgive removes a revocation; one that is not there needs none. The mark that it leaves for watchers
// goes by itself.
func forgive(ctx context.Context, js jetstream.JetStream, key string) error {
	bucket, err := js.KeyValue(ctx, subjects.BucketRevoked)
	if err != nil {
		return err
	}
	return bucket.Purge(ctx, key, jetstream.PurgeTTL(time.Minute))
}
