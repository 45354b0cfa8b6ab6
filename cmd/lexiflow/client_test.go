package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/lexiflow/realtime/edge/sioclient"
)

// client is one Socket.IO connection, with what arrived on it.
type client struct {
	*sioclient.Client
	events chan heard
}

func dial(t *testing.T, url, token string) *client {
	t.Helper()
	return dialTo(t, url, "/events", token)
}

func dialTo(t *testing.T, url, namespace, token string) *client {
	t.Helper()
	c, err := connect(t, sioclient.Options{URL: url, Namespace: namespace, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// connect opens a connection until the test ends; a refusal is the error.
func connect(t *testing.T, o sioclient.Options) (*client, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := &client{events: make(chan heard, 1024)}
	o.OnEvent = func(name string, args []json.RawMessage) { c.events <- heard{name, args[0]} }
	var err error
	if c.Client, err = sioclient.Dial(ctx, o); err == nil {
		t.Cleanup(c.Close)
	}
	return c, err
}

func (c *client) subscribe(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := ask(ctx, c.Client, "subscribe:case", map[string]string{"caseId": "123"}); err != nil {
		t.Fatal(err)
	}
}

// ask sends a command and returns its ack.
func (c *client) ask(t *testing.T, event string, body any) map[string]any {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	raw, err := c.EmitAck(ctx, event, body)
	if err != nil {
		t.Fatalf("%s: %v", event, err)
	}
	var ack map[string]any
	if err := json.Unmarshal(raw, &ack); err != nil {
		t.Fatalf("the ack of %s: %s: %v", event, raw, err)
	}
	return ack
}

// does sends a command that must succeed.
func (c *client) does(t *testing.T, event string, body any) map[string]any {
	t.Helper()
	ack := c.ask(t, event, body)
	if ack["success"] != true {
		t.Fatalf("%s: %v", event, ack)
	}
	return ack
}

// gets waits for an event of that name.
func (c *client) gets(t *testing.T, name string) map[string]any {
	t.Helper()
	return c.until(t, name, func(map[string]any) bool { return true })
}

// until waits for an event of that name that fits.
func (c *client) until(t *testing.T, name string, fits func(map[string]any) bool) map[string]any {
	t.Helper()
	for late := time.After(patience); ; {
		select {
		case e := <-c.events:
			if e.name != name {
				continue
			}
			var data map[string]any
			if err := json.Unmarshal(e.data, &data); err != nil {
				t.Fatal(err)
			}
			if fits(data) {
				return data
			}
		case <-c.Done():
			t.Fatalf("the connection ended: %v", c.Err())
		case <-late:
			t.Fatalf("no such %s arrives", name)
		}
	}
}

func tokenFor(t *testing.T, user string) string {
	t.Helper()
	claims := tokenClaims{Scope: "case:*"}
	claims.Subject = user
	token, err := mint(testSecret, claims, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// tokenOf makes a token with the secret that up keeps in its folder.
func tokenOf(t *testing.T, dir, user string) string {
	t.Helper()
	o := lexiflow(t.Context(), nil, "", "token", "--data-dir", dir, "--user", user)
	if o.code != exitOK {
		t.Fatalf("%+v", o)
	}
	return strings.TrimSpace(o.out)
}
