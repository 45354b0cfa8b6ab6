package dashboardd

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/natsd"
)

// What comes after its caller has given up is not carried out.
func TestTooLate(t *testing.T) {
	b := startBus(t, natsd.Options{Logger: silent}, nil)
	o := quick()
	o.Registry = prometheus.NewRegistry()
	b.ready(o)
	c := b.nobody("u", "")
	c.must(subjects.DashboardSubscribe.Subject(), `{"types":["metrics"]}`)
	m := &nats.Msg{Subject: subjects.DashboardSubscribe.Subject(), Header: nats.Header{}, Data: []byte(`{"types":["activity"]}`)}
	c.caller.SetHeaders(m.Header)
	subjects.SetDeadline(m.Header, time.Now().Add(-time.Minute), time.Second)
	reply, err := b.nc.RequestMsgWithContext(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	if err := subjects.ErrorOf(reply); subjects.CodeOf(err) != subjects.CodeTimeout {
		t.Errorf("a late subscription: %v", err)
	}
	if got := counter(t, o.Registry, "lexiflow_dashboardd_expired_total"); got != 1 {
		t.Errorf("%v expired requests are counted, want 1", got)
	}
	ack := c.must(subjects.DashboardSubscribe.Subject(), `{"types":["alert"]}`)
	if types, _ := ack["subscriptions"].([]any); len(types) != 2 {
		t.Errorf("subscriptions are %v", ack)
	}
}
