package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lexiflow/realtime/edge"
	"github.com/lexiflow/realtime/edge/sio"
	"github.com/lexiflow/realtime/subjects/natsd"
	"github.com/lexiflow/realtime/subjects/natsd/natstest"
)

const testSecret = "a secret of the tests, long enough"

// startEdge runs NATS and an edge in this process and returns their addresses.
func startEdge(t *testing.T, limits edge.Limits) (url, natsURL string) {
	t.Helper()
	bus, nc, _ := natstest.Bus(t, natsd.Options{Listen: "127.0.0.1:0"})
	keys, err := edge.LoadKeys(t.Context(), edge.KeyOptions{Secret: testSecret})
	if err != nil {
		t.Fatal(err)
	}
	server, err := edge.New(nc, edge.Options{Keys: keys, Limits: limits, DrainTimeout: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("edge: %v", err)
		}
	})
	return "http://" + l.Addr().String(), bus.ClientURL()
}

func TestRun(t *testing.T) {
	url, natsURL := startEdge(t, edge.Limits{})
	tests := map[string]struct {
		args []string
		want report
	}{
		"connections only": {
			[]string{"--connections", "10"},
			report{Connections: &connectReport{Opened: 10}},
		},
		"burst to one room": {
			[]string{"--connections", "20", "--burst", "--events", "50", "--inflight", "4"},
			report{Connections: &connectReport{Opened: 20}, Events: &eventReport{Published: 50, Delivered: 1000}},
		},
		"rate to three rooms": {
			[]string{"--connections", "7", "--rooms", "3", "--rate", "500", "--events", "30", "--size", "1000"},
			report{Connections: &connectReport{Opened: 7}, Events: &eventReport{Published: 30, Delivered: 70}},
		},
		"whole visits": {
			[]string{"--connections", "30", "--cycle"},
			report{Connections: &connectReport{Opened: 30}},
		},
		"polling": {
			[]string{"--connections", "3", "--transport", "polling", "--burst", "--events", "10"},
			report{Connections: &connectReport{Opened: 3}, Events: &eventReport{Published: 10, Delivered: 30}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"--url", url, "--nats", natsURL, "--jwt-secret", testSecret, "--settle", "0s", "--json"}, tt.args...)
			var out, errs bytes.Buffer
			if code := run(t.Context(), args, &out, &errs); code != exitOK {
				t.Fatalf("exit code %d: %s%s", code, &errs, &out)
			}
			var got report
			if err := json.Unmarshal(out.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if got.Connections.Opened != tt.want.Connections.Opened || (got.Events == nil) != (tt.want.Events == nil) {
				t.Fatalf("got %s", &out)
			}
			if e := got.Events; e != nil && (e.Published != tt.want.Events.Published || e.Delivered != tt.want.Events.Delivered ||
				e.Lost != 0 || e.Latency.P50 <= 0 || e.Latency.Max < e.Latency.P99 || e.DeliveryRate <= 0) {
				t.Errorf("got %s", &out)
			}
		})
	}
}

func TestRunFails(t *testing.T) {
	url, natsURL := startEdge(t, edge.Limits{Connections: 3})
	tests := map[string]struct {
		args []string
		code int
		want string
	}{
		"wrong secret":        {[]string{"--jwt-secret", "another secret that is long enough"}, exitFailed, "Authentication failed"},
		"more than there are": {[]string{"--jwt-secret", testSecret, "--connections", "5"}, exitFailed, "3 of 5"},
		"nobody listens":      {[]string{"--token", "t", "--url", "http://127.0.0.1:1"}, exitFailed, "connection refused"},
		"bus absent":          {[]string{"--token", "t", "--rate", "1", "--nats", "nats://127.0.0.1:1", "--time-limit", "100ms"}, exitFailed, "--nats"},
		"time limit":          {[]string{"--token", "t", "--connect-rate", "0.1", "--connections", "5", "--time-limit", "100ms"}, exitFailed, "--time-limit is over"},
		"help":                {[]string{"--help"}, exitOK, "-connect-rate"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"--url", url, "--nats", natsURL, "--connections", "1", "--settle", "0s"}, tt.args...)
			var out bytes.Buffer
			if code := run(t.Context(), args, &out, &out); code != tt.code || !strings.Contains(out.String(), tt.want) {
				t.Errorf("exit code %d: %s", code, &out)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	t.Setenv("JWT_SECRET", "")
	tests := map[string]struct {
		args []string
		want string
	}{
		"no secret":            {nil, "--jwt-secret"},
		"secret and token":     {[]string{"--jwt-secret", "s", "--token", "t"}, "exactly one of --token and --jwt-secret"},
		"elsewhere":            {[]string{"--token", "t", "--url", "http://192.0.2.1:3000"}, "192.0.2.1 is not this machine"},
		"a name":               {[]string{"--token", "t", "--url", "http://127.0.0.1:1,http://example.com"}, "example.com is not this machine"},
		"like a loopback":      {[]string{"--token", "t", "--url", "http://127.0.0.1.example.com"}, "is not this machine"},
		"loopback as user":     {[]string{"--token", "t", "--url", "http://127.0.0.1@example.com"}, "example.com is not this machine"},
		"bus elsewhere":        {[]string{"--token", "t", "--nats", "nats://[::1]:4222,nats://192.0.2.1:4222"}, "--nats: 192.0.2.1"},
		"no URL":               {[]string{"--token", "t", "--url", "localhost"}, "--url"},
		"no connections":       {[]string{"--token", "t", "--connections", "0"}, "--connections 0"},
		"too many rooms":       {[]string{"--token", "t", "--rooms", "101"}, "--rooms 101: want 0 to 100"},
		"command without rate": {[]string{"--jwt-secret", "s", "--command", "a:b"}, "--command needs --rate"},
		"rate and burst":       {[]string{"--token", "t", "--rate", "1", "--burst"}, "exclude each other"},
		"events, no rate":      {[]string{"--token", "t", "--events", "1"}, "--events needs"},
		"small payload":        {[]string{"--token", "t", "--size", "10"}, "--size 10"},
		"for ever":             {[]string{"--token", "t", "--duration", "0s"}, "--duration"},
		"unknown protocol":     {[]string{"--token", "t", "--protocol", "mqtt"}, `--protocol "mqtt"`},
		"kill, no way back":    {[]string{"--token", "t", "--rate", "1", "--kill-pid", "1"}, "--kill-pid needs --return-url"},
		"way back elsewhere":   {[]string{"--token", "t", "--rate", "1", "--kill-pid", "1", "--return-url", "http://192.0.2.1"}, "--return-url: 192.0.2.1"},
		"visits and events":    {[]string{"--token", "t", "--rate", "1", "--cycle"}, "--cycle leaves nobody"},
		"unknown flag":         {[]string{"--what"}, "-what"},
		"unexpected argument":  {[]string{"--token", "t", "what"}, `"what"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if code := run(t.Context(), tt.args, &out, &out); code != exitUsage || !strings.Contains(out.String(), tt.want) {
				t.Errorf("exit code %d: %s", code, &out)
			}
		})
	}
}

func TestPayload(t *testing.T) {
	for _, size := range []int{minPayload, 200, 5000} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			payload := appendPayload(nil, size, 1<<32-1, 1<<40, 10*time.Hour)
			if len(payload) != size || !sio.ValidJSON(payload, 0) {
				t.Fatalf("%d bytes: %s", len(payload), payload)
			}
			run, counter, at, ok := parsePayload(sio.AppendEvent(nil, "/events", event, payload))
			if !ok || run != 1<<32-1 || counter != 1<<40 || at != 10*time.Hour {
				t.Errorf("read back: %d, %d, %v, %v", run, counter, at, ok)
			}
		})
	}
	for _, other := range []string{``, `2["connected",{}]`, `{"lexiload":[`, `{"lexiload":[1,2`, `{"lexiload":[1,2,3`, `{"lexiload":[1,,3]}`} {
		if _, _, _, ok := parsePayload([]byte(other)); ok {
			t.Errorf("%s is taken for an event of a run", other)
		}
	}
}

func TestWindow(t *testing.T) {
	tests := map[string]struct {
		counters []uint64
		want     string // o in order, l late, r repeated
	}{
		"in order":        {[]uint64{1, 2, 3}, "ooo"},
		"a gap":           {[]uint64{1, 5, 6}, "ooo"},
		"repeated":        {[]uint64{1, 1, 2, 1, 2}, "ororr"},
		"late":            {[]uint64{1, 3, 2, 2, 4}, "oolro"},
		"late, at edge":   {[]uint64{1, 65, 2, 1}, "oolr"},
		"a large gap":     {[]uint64{1, 1000, 999, 936, 1000}, "oolrr"},
		"exactly 64 back": {[]uint64{70, 7, 6}, "olr"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var w window
			got := ""
			for _, c := range tt.counters {
				got += string("olr"[w.see(c)])
			}
			if got != tt.want {
				t.Errorf("%v gives %s, want %s", tt.counters, got, tt.want)
			}
		})
	}
}

func TestDeliverDoesNotAllocate(t *testing.T) {
	l := newLoad(config{rooms: 1, burst: true, inflight: 2}, nil)
	m := &member{load: l, room: l.rooms[0], shard: &l.shards[0]}
	var packets [300][]byte
	for i := range packets {
		packets[i] = sio.AppendEvent(nil, "/events", event, appendPayload(nil, 200, l.id, uint64(i+1), 0))
	}
	i := 0
	if n := testing.AllocsPerRun(200, func() { m.deliver(packets[i]); i++ }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if n := m.shard.unique.Load(); n != int64(i) {
		t.Errorf("%d of %d counted", n, i)
	}
}
