package main

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/lexiflow/realtime/subjects"
)

func (a *app) accessCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "access {show | grant | deny | drop} KIND ID [USER...]",
		Short: "Show and change who may watch a case",
		Long: `Show and change the list of who may watch a case, and print it as JSON. Edges apply a change at
its place in the log: no later event reaches whom it takes out.

  lexiflow access show case 123
  lexiflow access grant case 123 u1 u2   # may watch, besides those whose token says so
  lexiflow access deny case 123 u3       # may not, whatever the token says
  lexiflow access drop case 123 u1 u3    # is not on the list: the token alone decides

KIND is case or team. Members of a conversation can be shown; they are changed by
conversation:members, because msgd keeps them.`,
		Args:      words(3, 1000),
		ValidArgs: []string{"show", "grant", "deny", "drop"},
	}
	c := a.configure(cmd, inAccess)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		change, err := parseAccess(args)
		if err != nil {
			return err
		}
		return c.onBus(cmd.Context(), "lexiflow access", func(ctx context.Context, b *bus) error {
			list, err := change.apply(ctx, b)
			if err != nil {
				return blame(err)
			}
			return a.printAccess(list)
		})
	}
	return cmd
}

// accessList is the whole state of one room.
type accessList = subjects.AccessChangedEvent

// accessChange is one command line of access.
type accessChange struct {
	verb  string
	kind  subjects.Kind
	id    string
	users []string
}

func parseAccess(args []string) (*accessChange, error) {
	ch := &accessChange{verb: args[0], kind: subjects.Kind(args[1]), id: args[2], users: args[3:]}
	if !slices.Contains([]string{"show", "grant", "deny", "drop"}, ch.verb) {
		return nil, usagef("%q: show, grant, deny or drop is allowed", ch.verb)
	}
	show := ch.verb == "show"
	switch {
	case ch.kind == subjects.KindCase, ch.kind == subjects.KindTeam:
	case ch.kind == subjects.KindConversation && show:
	case ch.kind == subjects.KindConversation:
		return nil, usagef("msgd keeps the members of conversations: change them by conversation:members")
	default:
		return nil, usagef("kind %q: case or team is allowed, and conversation for show", ch.kind)
	}
	switch {
	case show && len(ch.users) > 0:
		return nil, usagef("show takes no users, the form is: access show KIND ID")
	case !show && len(ch.users) == 0:
		return nil, usagef("no user given, the form is: access %s KIND ID USER...", ch.verb)
	}
	for _, id := range append([]string{ch.id}, ch.users...) {
		if _, err := subjects.Escape(id); err != nil {
			return nil, usagef("id %.64q: %w", id, err)
		}
	}
	return ch, nil
}

// apply changes the list and returns it. The log stores a change only if nobody else has changed the
// list since it was read: otherwise it is read again.
func (ch *accessChange) apply(ctx context.Context, b *bus) (accessList, error) {
	for {
		list, last, err := ch.read(ctx, b.js)
		if err != nil || !ch.change(&list) {
			return list, err
		}
		list.Revision++
		_, err = subjects.AccessChanged.To(ch.kind).Publish(ctx, b.publisher, ch.id, list,
			subjects.WithHeader(nats.ExpectedLastSubjSeqHdr, strconv.FormatUint(last, 10)))
		if err == nil || !subjects.IsConflict(err) {
			return list, err
		}
		if err := ctx.Err(); err != nil {
			return list, err
		}
	}
}

// change edits the list and reports whether it is another one now.
func (ch *accessChange) change(list *accessList) bool {
	if ch.verb == "show" {
		return false
	}
	allow, deny := without(list.Allow, ch.users), without(list.Deny, ch.users)
	switch ch.verb {
	case "grant":
		allow = with(allow, ch.users)
	case "deny":
		deny = with(deny, ch.users)
	}
	changed := !sameUsers(allow, list.Allow) || !sameUsers(deny, list.Deny)
	list.Allow, list.Deny = allow, deny
	return changed
}

func without(list, users []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(u string) bool { return slices.Contains(users, u) })
}

func with(list, users []string) []string {
	for _, u := range users {
		if !slices.Contains(list, u) {
			list = append(list, u)
		}
	}
	return list
}

func sameUsers(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// read returns the present list, and the sequence in the log of the change that made it: 0 when the
// log no longer has it, and the bucket alone does. The log comes first, since the bucket follows it.
func (ch *accessChange) read(ctx context.Context, js jetstream.JetStream) (list accessList, last uint64, err error) {
	changed := subjects.Subject{Class: subjects.Log, Kind: ch.kind, ID: ch.id, Event: subjects.AccessChanged.Name()}
	subject, err := subjects.Build(changed)
	if err != nil {
		return list, 0, err
	}
	switch message, err := subjects.FromLeader(ctx, js.Conn(), subjects.StreamLog, subjects.LeaderQuery{Last: subject}); {
	case err == nil:
		list, err = subjects.AccessChanged.Decode(message.Data)
		return withoutTime(list), message.Sequence, err
	case !errors.Is(err, jetstream.ErrMsgNotFound):
		return list, 0, err
	}
	list, err = ch.kept(ctx, js)
	return withoutTime(list), 0, err
}

// kept reads the bucket. A room that is not in it has an empty list.
func (ch *accessChange) kept(ctx context.Context, js jetstream.JetStream) (accessList, error) {
	key, err := subjects.Room(ch.kind, ch.id)
	if err != nil {
		return accessList{}, err
	}
	data, _, err := subjects.ValueFromLeader(ctx, js.Conn(), subjects.BucketAccess, key)
	if err != nil || data == nil {
		return accessList{}, err
	}
	return subjects.AccessChanged.Decode(data)
}

// withoutTime leaves the time of a change to the log.
func withoutTime(list accessList) accessList {
	list.Base = subjects.Base{}
	return list
}

func (a *app) printAccess(list accessList) error {
	e := json.NewEncoder(a.out)
	e.SetEscapeHTML(false)
	return e.Encode(list)
}
