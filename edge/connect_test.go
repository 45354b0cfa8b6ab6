package edge

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/lexiflow/realtime/edge/engine"
	"github.com/lexiflow/realtime/edge/sioclient"
	"github.com/lexiflow/realtime/subjects"
)

// CONNECT leaves in one write with what hello brings, but it does not wait for a service that is slow.
func TestConnectDoesNotWaitForHello(t *testing.T) {
	for _, mode := range []engine.Mode{engine.Auto, engine.Goroutines} {
		t.Run(mode.String(), func(t *testing.T) {
			_, nc := startBus(t)
			_, url := startEdge(t, nc, Options{Mode: mode})
			accepted := make(chan struct{})
			serve(t, nc, subjects.HelloSubject("/events"), "slow", func(*nats.Msg) (subjects.Reply, error) {
				<-accepted
				return subjects.Reply{}, nil
			})
			connected := make(chan struct{})
			ctx, cancel := context.WithTimeout(t.Context(), helloFirst-500*time.Millisecond)
			defer cancel()
			b, err := sioclient.Dial(ctx, sioclient.Options{
				URL: url, Namespace: "/events", Token: tokenFor(t, "u1", ""),
				OnEvent: func(name string, _ []json.RawMessage) {
					if name == "connected" {
						close(connected)
					}
				},
			})
			close(accepted)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			select {
			case <-connected:
			case <-time.After(patience):
				t.Error("no connected")
			}
		})
	}
}
