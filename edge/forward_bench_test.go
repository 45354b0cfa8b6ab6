package edge

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
)

// One POST and the GET that fetches its answer, on the session's own edge and by way of another.
func BenchmarkPoll(b *testing.B) {
	server, err := natsd.Start(b.Context(), natsd.Options{Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(server.Close)
	var edges [2]string
	for i := range edges {
		nc, err := nats.Connect(server.ClientURL()) // as edges in processes of their own have
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(nc.Close)
		js, err := jetstream.New(nc)
		if err == nil {
			err = subjects.EnsureStreams(b.Context(), js, subjects.StreamOptions{})
		}
		if err != nil {
			b.Fatal(err)
		}
		_, edges[i] = startEdge(b, nc, Options{Logger: slog.New(slog.DiscardHandler), Limits: Limits{EventsPerMinute: 1 << 24}})
	}
	p := openPoller(b, edges[0], "u1")
	p.join(edges[0])
	for name, edge := range map[string]string{"local": edges[0], "forwarded": edges[1]} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				p.posts(edge, `42/events,1["ping"]`)
				if status, body := p.get(edge); status != http.StatusOK || !strings.HasPrefix(body, "43/events,1") {
					b.Fatalf("%d %s", status, body)
				}
			}
		})
	}
}
