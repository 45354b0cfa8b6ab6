package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/edge/sioclient"
	"github.com/lexiflow/realtime/subjects"
)

// The two sources of listen: an edge, as its clients see it, and the bus behind it.

// hearEdge connects as a client, enters the cases and rooms, and hears their events.
func (a *app) hearEdge(c *config) source {
	return func(ctx context.Context, events chan<- heard) error {
		token, err := c.clientToken()
		if err != nil {
			return err
		}
		dial, cancel := context.WithTimeout(ctx, c.timeout)
		defer cancel()
		greeted := false // events come one after another
		client, err := sioclient.Dial(dial, sioclient.Options{
			URL: c.url, Namespace: c.namespace, Token: token,
			OnEvent: func(name string, args []json.RawMessage) {
				if greeted && c.wants(name) {
					pass(ctx, events, name, args)
				}
				greeted = greeted || name == "connected"
			},
		})
		if err != nil {
			return fmt.Errorf("--url %s: %w", redact(c.url), err)
		}
		defer client.Close()
		for _, id := range c.cases {
			if err := ask(dial, client, "subscribe:case", map[string]string{"caseId": id}); err != nil {
				return fmt.Errorf("--case %s: %w", id, err)
			}
		}
		for _, id := range c.rooms {
			if err := ask(dial, client, "join_room", map[string]string{"room": id}); err != nil {
				return fmt.Errorf("--room %s: %w", id, err)
			}
		}
		a.remark("listening to %s at %s", c.namespace, redact(c.url))
		select {
		case <-ctx.Done():
			return nil
		case <-client.Done():
			return client.Err()
		}
	}
}

// clientToken is the token given, else one made for the user.
func (c *config) clientToken() (string, error) {
	if c.token != "" {
		return c.token, nil
	}
	key, err := c.signingSecret()
	if err != nil {
		return "", usagef("no token: give --token, or what makes one: %w", err)
	}
	t := tokenClaims{Type: "access", Scope: c.scope}
	t.Subject = c.user
	return mint(key, t, time.Now(), time.Hour)
}

// wants reports whether an event is one that was asked for. What a client gets up to "connected" is how
// things stand and no news, and who watches a case or a room did not ask who is here.
func (c *config) wants(event string) bool {
	return len(c.cases)+len(c.rooms) == 0 || !strings.HasPrefix(event, "presence:")
}

// pass hands an event on.
func pass(ctx context.Context, events chan<- heard, name string, args []json.RawMessage) {
	if n := len(args) - 1; n > 0 && isOffset(args[n]) {
		args = args[:n]
	}
	var line bytes.Buffer
	for i, arg := range args {
		if i > 0 {
			line.WriteByte(' ')
		}
		line.Write(oneLine(arg))
	}
	select {
	case events <- heard{name, line.Bytes()}:
	case <-ctx.Done():
	}
}

// isOffset reports whether an event's last argument is its place in the log, a string of digits, which
// is there for clients that resume.
func isOffset(arg json.RawMessage) bool {
	return len(arg) > 2 && arg[0] == '"' && len(bytes.Trim(arg[1:len(arg)-1], "0123456789")) == 0
}

// ask sends a request to enter something and reads what all such acks have in common.
func ask(ctx context.Context, client *sioclient.Client, event string, body map[string]string) error {
	raw, err := client.EmitAck(ctx, event, body)
	if err != nil {
		return err
	}
	var ack struct {
		Status  string `json:"status"`
		Success *bool  `json:"success"`
		Error   string `json:"error"`
	}
	if err := json.Unmarshal(raw, &ack); err != nil {
		return fmt.Errorf("the ack of %s: %w", event, err)
	}
	if ack.Status == "error" || ack.Success != nil && !*ack.Success {
		return errors.New(ack.Error)
	}
	return nil
}

// hearBus prints subjects, of all events or of the cases and rooms asked for.
func (a *app) hearBus(c *config) source {
	return func(ctx context.Context, events chan<- heard) error {
		dial, cancel := context.WithTimeout(ctx, c.timeout)
		defer cancel()
		nc, err := subjects.Connect(dial, c.connectOptions(slog.New(slog.DiscardHandler), "lexiflow listen"))
		if err != nil {
			return c.notReached(err)
		}
		defer nc.Close()
		filters, err := c.filters()
		if err != nil {
			return &usageError{err}
		}
		for _, filter := range filters {
			_, err := nc.Subscribe(filter, func(m *nats.Msg) {
				select {
				case events <- heard{m.Subject, oneLine(m.Data)}:
				case <-ctx.Done():
				}
			})
			if err != nil {
				return fmt.Errorf("subscribe %s: %w", filter, err)
			}
		}
		if err := nc.FlushWithContext(dial); err != nil {
			return c.notReached(err)
		}
		a.remark("listening on the bus at %s: %s", redact(c.natsURL), strings.Join(filters, " "))
		<-ctx.Done()
		return nil
	}
}

// filters are the subjects to subscribe to on the bus.
func (c *config) filters() ([]string, error) {
	if len(c.cases)+len(c.rooms) == 0 {
		return []string{subjects.AllLog, subjects.AllState, subjects.AllLive}, nil
	}
	var rooms []string
	for kind, ids := range map[subjects.Kind][]string{subjects.KindCase: c.cases, subjects.KindRoom: c.rooms} {
		for _, id := range ids {
			room, err := subjects.Room(kind, id)
			if err != nil {
				return nil, err
			}
			rooms = append(rooms, room)
		}
	}
	var filters []string
	for _, room := range rooms {
		for _, class := range []subjects.Class{subjects.Log, subjects.State, subjects.Live} {
			filters = append(filters, class.String()+"."+room+".>")
		}
	}
	return filters, nil
}

// oneLine writes JSON without line breaks, and anything else as a JSON string.
func oneLine(data []byte) []byte {
	var b bytes.Buffer
	if err := json.Compact(&b, data); err == nil {
		return b.Bytes()
	}
	text, err := json.Marshal(string(data))
	if err != nil {
		return nil // a string can always be marshalled
	}
	return text
}
