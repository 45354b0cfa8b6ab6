package edge

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/lexiflow/realtime/edge/sioclient"
)

// patience is how long a test waits for what must come.
const patience = 5 * time.Second

// browser is a connected client with what has arrived for it, in order.
type browser struct {
	*sioclient.Client

	t      testing.TB
	events chan arrival

	mu     sync.Mutex
	offset json.RawMessage // of the last event that had one
	cut    bool            // nothing is taken any more
}

type arrival struct {
	name string
	data map[string]any
	at   uint64 // log position; 0 for none
}

func positionOf(t testing.TB, raw json.RawMessage) (position uint64) {
	t.Helper()
	if raw == nil {
		return 0
	}
	if err := json.Unmarshal(raw, new(string)); err != nil {
		t.Errorf("%s is no position", raw)
		return 0
	}
	position, err := strconv.ParseUint(string(raw[1:len(raw)-1]), 10, 64)
	if err != nil {
		t.Error(err)
	}
	return position
}

func tokenFor(t testing.TB, user, scope string) string {
	return sign(t, jwt.SigningMethodHS256, []byte(testSecret), jwt.MapClaims{
		"sub": user, "scope": scope, "jti": "token-of-" + user, "iat": time.Now().Unix(), "exp": inAnHour(),
	})
}

// connect joins a namespace as a user and waits for `connected`; what came before it is kept.
func connect(t testing.TB, url, namespace, user, scope string) *browser {
	t.Helper()
	return dial(t, url, namespace, tokenFor(t, user, scope))
}

func dial(t testing.TB, url, namespace, token string) *browser {
	t.Helper()
	return dialWith(t, url, namespace, token, nil)
}

// cutOff loses the connection: from here on nothing arrives.
func (b *browser) cutOff() {
	b.mu.Lock()
	b.cut = true
	b.mu.Unlock()
	b.Abort()
}

// again resumes on an edge with the pid and offset that the official client would send.
func (b *browser) again(url, namespace, token string) *browser {
	b.t.Helper()
	auth := map[string]any{"pid": b.PID()}
	if b.offset != nil {
		auth["offset"] = b.offset
	}
	return dialWith(b.t, url, namespace, token, auth)
}

func dialWith(t testing.TB, url, namespace, token string, auth map[string]any) *browser {
	t.Helper()
	b := &browser{t: t, events: make(chan arrival, 1000)}
	connected := make(chan struct{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var err error
	b.Client, err = sioclient.Dial(ctx, sioclient.Options{
		URL: url, Namespace: namespace, Token: token, Auth: auth,
		OnEvent: func(name string, args []json.RawMessage) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.cut {
				return
			}
			var data map[string]any
			var at uint64
			if n := len(args); n > 1 && args[n-1][0] == '"' { // the offset
				if positionOf(t, args[n-1]) < positionOf(t, b.offset) {
					t.Errorf("the offset goes back from %s to %s at %s", b.offset, args[n-1], name)
				}
				b.offset = args[n-1]
				at = positionOf(t, args[1]) // an event's own position comes first
				args = args[:1]
			}
			if len(args) > 0 {
				if err := json.Unmarshal(args[len(args)-1], &data); err != nil {
					t.Errorf("the last argument of %s is not an object: %s", name, args[len(args)-1])
				}
			}
			if name == "connected" {
				close(connected)
			}
			b.events <- arrival{name, data, at}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	select {
	case <-connected:
	case <-ctx.Done():
		t.Fatal("no connected event")
	}
	return b
}

// ack emits and returns the acknowledgement.
func (b *browser) ack(event string, args ...any) map[string]any {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	raw, err := b.EmitAck(ctx, event, args...)
	if err != nil {
		b.t.Fatalf("%s: %v", event, err)
	}
	var ack map[string]any
	if err := json.Unmarshal(raw, &ack); err != nil {
		b.t.Fatalf("%s: ack %s: %v", event, raw, err)
	}
	return ack
}

// next waits for the next event of this name and returns its data.
func (b *browser) next(name string) map[string]any {
	b.t.Helper()
	data, ok := b.await(name, patience)
	if !ok {
		b.t.Fatalf("no %s", name)
	}
	return data
}

func (b *browser) await(name string, within time.Duration) (data map[string]any, ok bool) {
	deadline := time.After(within)
	for {
		select {
		case e := <-b.events:
			if e.name == name {
				return e.data, true
			}
		case <-deadline:
			return nil, false
		}
	}
}

// until returns the names of all events up to and including one of this name.
func (b *browser) until(name string) (names []string) {
	b.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case e := <-b.events:
			names = append(names, e.name)
			if e.name == name {
				return names
			}
		case <-deadline:
			b.t.Fatalf("no %s among %v", name, names)
		}
	}
}

// case123 is what most tests emit.
var case123 = map[string]string{"caseId": "123"}

// refusedDial wants CONNECT_ERROR AUTH_FAILED.
func refusedDial(t testing.TB, url, token string, auth map[string]any) {
	t.Helper()
	_, err := sioclient.Dial(t.Context(), sioclient.Options{URL: url, Namespace: "/events", Token: token, Auth: auth})
	refused, ok := errors.AsType[*sioclient.ConnectError](err)
	if !ok || refused.Code != "AUTH_FAILED" {
		t.Fatalf("got %v, want a refusal", err)
	}
}
