package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd/natstest"
)

// office is an installation of separate processes.
type office struct {
	nats, edge   *process
	natsURL, url string
	nc           *nats.Conn
	variables    []string
}

func startOffice(t *testing.T) *office {
	t.Helper()
	o := &office{nats: start(t, nil, "nats", "--nats-listen", "127.0.0.1:0", "--data-dir", t.TempDir())}
	o.natsURL = o.nats.says(saysNATS)
	o.variables = []string{"JWT_SECRET=" + testSecret, "LEXIFLOW_NATS=" + o.natsURL, "LEXIFLOW_DRAIN_TIMEOUT=100ms"}
	o.edge = o.startEdge(t)
	o.url = o.edge.says(saysURL)
	var err error
	if o.nc, err = nats.Connect(o.natsURL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.nc.Close)
	return o
}

func (o *office) startEdge(t *testing.T) *process {
	t.Helper()
	return start(t, slices.Clone(o.variables), "edge", "--listen", "127.0.0.1:0")
}

// serve starts a service and waits until it is ready.
func (o *office) serve(t *testing.T, args ...string) *process {
	t.Helper()
	p := start(t, slices.Clone(o.variables), append(args, "--ops-listen", "127.0.0.1:0")...)
	isReady(t, "http://"+p.says(saysOps))
	return p
}

// isReady waits until a process is.
func isReady(t *testing.T, ops string) {
	t.Helper()
	for late := time.After(patience); ; {
		if fetch(t, ops+"/readyz").StatusCode == http.StatusOK {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond): // it is another process: there is nothing to wait on
		case <-late:
			t.Fatalf("%s is not ready", ops)
		}
	}
}

// isGone waits until NATS knows that a service is.
func (o *office) isGone(t *testing.T, service string) {
	t.Helper()
	for late := time.After(patience); ; {
		_, err := o.nc.Request("$SRV.PING."+service, nil, time.Second)
		if errors.Is(err, nats.ErrNoResponders) {
			return
		}
		select {
		case <-late:
			t.Fatalf("%s is still there", service)
		default:
		}
	}
}

// seen lists the services that NATS discovers, as `nats micro ls` does, once there are as many as wanted.
func seen(t *testing.T, nc *nats.Conn, wanted int) []string {
	t.Helper()
	inbox := nats.NewInbox()
	answers, err := nc.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.PublishRequest("$SRV.INFO", inbox, nil); err != nil {
		t.Fatal(err)
	}
	var names []string
	for len(names) < wanted {
		m, err := answers.NextMsg(patience)
		if err != nil {
			t.Fatalf("only %v answer: %v", names, err)
		}
		var info struct {
			Name      string `json:"name"`
			Endpoints []any  `json:"endpoints"`
		}
		if err := json.Unmarshal(m.Data, &info); err != nil || len(info.Endpoints) == 0 {
			t.Errorf("%s: %v", m.Data, err)
		}
		names = append(names, info.Name)
	}
	slices.Sort(names)
	return names
}

func sorted(names []string) []string { return slices.Sorted(slices.Values(names)) }

func TestServicesStartInAnyOrder(t *testing.T) {
	address := natstest.FreeAddress(t)
	variables := []string{"JWT_SECRET=" + testSecret, "LEXIFLOW_NATS=nats://" + address, "LEXIFLOW_DRAIN_TIMEOUT=100ms"}
	running := make(map[string]*process)
	ops := make(map[string]string)
	for _, name := range append(serviceNames(), "edge") {
		args := []string{name, "--ops-listen", "127.0.0.1:0"}
		if name == "edge" {
			args = append(args, "--listen", "127.0.0.1:0")
		}
		running[name] = start(t, slices.Clone(variables), args...)
	}
	for name, p := range running {
		ops[name] = "http://" + p.says(saysOps)
		p.says(`(waiting for it)`)
		for path, want := range map[string]int{"/livez": http.StatusOK, "/readyz": http.StatusServiceUnavailable, "/metrics": http.StatusOK} {
			if got := fetch(t, ops[name]+path).StatusCode; got != want {
				t.Errorf("%s without NATS: %s answers %d, want %d", name, path, got, want)
			}
		}
	}
	bus := start(t, nil, "nats", "--nats-listen", address, "--data-dir", t.TempDir())
	natsURL := bus.says(saysNATS)
	for name := range running {
		isReady(t, ops[name])
		if got := fetch(t, ops[name]+"/metrics").StatusCode; got != http.StatusOK {
			t.Errorf("%s: /metrics answers %d", name, got)
		}
	}
	nc, err := nats.Connect(natsURL)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if got, want := seen(t, nc, len(serviceKinds)), sorted(serviceNames()); !slices.Equal(got, want) {
		t.Errorf("NATS sees %v, want %v", got, want)
	}
	for _, p := range running {
		p.stop()
	}
	bus.stop()
}

func TestServiceStopsWhileWaitingForNATS(t *testing.T) {
	p := start(t, []string{"LEXIFLOW_NATS=nats://127.0.0.1:1"}, "msgd")
	p.says(`(waiting for it)`)
	p.stop()
}

// What cannot be mended by waiting ends a service with 1 and a word about it.
func TestServiceFails(t *testing.T) {
	o := startOffice(t)
	js, err := jetstream.New(o.nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteKeyValue(t.Context(), subjects.BucketConversations); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: subjects.BucketConversations, Storage: jetstream.MemoryStorage}); err != nil {
		t.Fatal(err)
	}
	p := start(t, slices.Clone(o.variables), "msgd")
	p.ends(exitFailed)
	if said := p.output(); !strings.Contains(said, "lexiflow: msgd: ") || !strings.Contains(said, subjects.BucketConversations) {
		t.Errorf("it says %s", said)
	}
}

// untold is a service that ends as told here.
type untold struct{ err error }

func (u untold) Run(ctx context.Context) error {
	if u.err == nil {
		return nil
	}
	return u.err
}

func (u untold) Ready() error { return u.err }

func TestUntilTold(t *testing.T) {
	broken := errors.New("broken")
	told, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		s    service
		want string
	}{
		"fails":           {t.Context(), untold{broken}, "broken"},
		"ends by itself":  {t.Context(), untold{}, "it ended by itself"},
		"ends when told":  {told, untold{}, ""},
		"fails when told": {told, untold{broken}, "broken"},
	} {
		got := ""
		if err := untilTold(c.ctx, c.s); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestServiceSet(t *testing.T) {
	set := serviceSet{{service: untold{}, name: "a"}, {service: untold{errors.New("has no mail")}, name: "b"}}
	if err := set.ready(); err == nil || err.Error() != "b is not ready: has no mail" {
		t.Errorf("%v", err)
	}
	if err := set[:1].ready(); err != nil {
		t.Error(err)
	}
}

func TestServiceList(t *testing.T) {
	for text, want := range map[string]string{"all": "all", "none": "none", "msgd": "msgd", "presence, msgd": "presence,msgd"} {
		var names []string
		v := serviceList(&names)
		if err := v.Set(text); err != nil || v.String() != want {
			t.Errorf("%q is shown as %q (%v), want %q", text, v.String(), err, want)
		}
	}
	for _, text := range []string{"", "mail", "all,msgd", "presence,"} {
		if err := serviceList(new([]string)).Set(text); err == nil || !strings.Contains(err.Error(), "presence") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestServicesOfUp(t *testing.T) {
	for services, want := range map[string][]string{"all": serviceNames(), "presence,msgd": {"presence", "msgd"}} {
		t.Run(services, func(t *testing.T) {
			s := startSite(t, services)
			isReady(t, s.url)
			nc, err := nats.Connect(s.natsURL)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			if got := seen(t, nc, len(want)); !slices.Equal(got, sorted(want)) {
				t.Errorf("NATS sees %v, want %v", got, want)
			}
			s.stop()
		})
	}
}
