package dashboardd

import (
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestAssess(t *testing.T) {
	for name, tt := range map[string]struct {
		seen observation
		want []string
	}{
		"sound":                     {observation{logFill: 0.5, queueFill: 0.5, logAge: 70 * time.Hour, logMaxAge: 72 * time.Hour}, nil},
		"a stream misses a replica": {observation{unhealthy: []string{"LEX"}}, []string{"replicas"}},
		"queue":                     {observation{queueFill: 0.95}, []string{"queue-full"}},
		"log full, but of good age": {observation{logFill: 1, logAge: 60 * time.Hour, logMaxAge: 72 * time.Hour}, nil},
		"log full and short":        {observation{logFill: 1, logAge: 2 * time.Hour, logMaxAge: 72 * time.Hour}, []string{"log-short"}},
		"dead letters":              {observation{deadLetters: 100}, []string{"dead-letters"}},
		"some dead letters":         {observation{deadLetters: 99}, nil},
		"was away":                  {observation{outage: 10 * time.Second, sinceOutage: time.Second}, []string{"outage"}},
		"was away, told long ago":   {observation{outage: 10 * time.Second, sinceOutage: time.Hour}, nil},
		"was away for a moment":     {observation{outage: time.Second, sinceOutage: time.Second}, nil},
		"several":                   {observation{queueFill: 1, deadLetters: 1000, unhealthy: []string{"LEX"}}, []string{"replicas", "queue-full", "dead-letters"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, trouble := range assess(tt.seen) {
				got = append(got, trouble.name)
			}
			if !slices.Equal(got, tt.want) {
				t.Fatalf("%v, want %v", got, tt.want)
			}
		})
	}
}

func TestWholeStreams(t *testing.T) {
	for name, tt := range map[string]struct {
		cluster *jetstream.ClusterInfo
		want    bool
	}{
		"one server":     {nil, true},
		"no cluster":     {&jetstream.ClusterInfo{Leader: "n1"}, true},
		"whole":          {&jetstream.ClusterInfo{Name: "c", Leader: "n1", Replicas: []*jetstream.PeerInfo{{Name: "n2"}}}, true},
		"a replica away": {&jetstream.ClusterInfo{Name: "c", Leader: "n1", Replicas: []*jetstream.PeerInfo{{Name: "n2", Offline: true}}}, false},
		"no leader":      {&jetstream.ClusterInfo{Name: "c"}, false},
	} {
		if whole(tt.cluster) != tt.want {
			t.Error(name)
		}
	}
}

func TestOutageIsMeasured(t *testing.T) {
	d := &doctor{}
	d.connection(nats.CONNECTED, day0)
	if d.endAt.Load() != 0 {
		t.Fatal("an outage without a loss")
	}
	d.connection(nats.RECONNECTING, day0)
	d.connection(nats.RECONNECTING, day0.Add(time.Second)) // another server was tried
	d.connection(nats.CONNECTED, day0.Add(7*time.Second))
	if got := d.length.Load(); got != 7000 {
		t.Fatalf("it took %d ms", got)
	}
}

func TestNewDeadLettersWithinTheSpan(t *testing.T) {
	d := &doctor{}
	for i, tt := range []struct {
		after time.Duration
		seq   uint64
		want  uint64
	}{
		{0, 500, 0}, {time.Minute, 510, 10}, {9 * time.Minute, 600, 100}, {10*time.Minute + time.Second, 600, 90}, {time.Hour, 600, 0}, {time.Hour, 3, 0},
	} {
		if got := d.newLetters(tt.seq, day0.Add(tt.after)); got != tt.want {
			t.Errorf("step %d: %d, want %d", i, got, tt.want)
		}
	}
}
