package presence

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the service's figures. What fails is counted by kind.
type metrics struct {
	processed *prometheus.CounterVec
	failed    *prometheus.CounterVec
	expired   prometheus.Counter
	stored    prometheus.Counter
	conflicts prometheus.Counter
	gaps      prometheus.Counter
	asked     prometheus.Counter
	buried    prometheus.Counter
	cut       prometheus.Counter
}

func newMetrics(s *Service, registry prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "lexiflow_presence_" + name, Help: help})
	}
	vector := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lexiflow_presence_" + name, Help: help}, []string{"kind"})
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "lexiflow_presence_" + name, Help: help}, func() float64 {
			s.mu.Lock()
			defer s.mu.Unlock()
			return value()
		})
	}
	m := &metrics{
		processed: vector("processed_total", "Commands answered, batches taken and users settled."),
		failed:    vector("failed_total", "Commands refused, input not understood, records not stored."),
		expired:   counter("expired_total", "Commands not carried out because whoever asked had given up; failed_total has them too."),
		stored:    counter("stored_total", "Records stored, and thereby announced."),
		conflicts: counter("conflicts_total", "Compare-and-sets that lost against another replica."),
		gaps:      counter("gaps_total", "Batches of edges that did not arrive."),
		asked:     counter("asked_total", "Times an edge was asked for all of its sockets."),
		buried:    counter("buried_total", "Edges taken for dead."),
		cut:       counter("audience_cut_total", "Sockets that may see more users than they can watch."),
	}
	for _, c := range []prometheus.Collector{
		m.processed, m.failed, m.expired, m.stored, m.conflicts, m.gaps, m.asked, m.buried, m.cut,
		gauge("lag_seconds", "How long the first user that is due has been.", func() float64 { return s.users.lag(time.Now()).Seconds() }),
		gauge("users", "Users known, the offline ones of the last day among them.", func() float64 { return float64(len(s.users.all)) }),
		gauge("sockets", "Open sockets that edges have reported.", func() float64 { return float64(s.openSockets()) }),
		gauge("edges", "Edges whose sockets are known.", func() float64 { return float64(s.heardEdges()) }),
		gauge("watches", "Sockets with subscriptions of their own.", func() float64 { return float64(s.watchers.count()) }),
	} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// openSockets needs mu.
func (s *Service) openSockets() (n int) {
	for _, e := range s.edges {
		n += len(e.sockets)
	}
	return n
}

// heardEdges needs mu.
func (s *Service) heardEdges() (n int) {
	for _, e := range s.edges {
		if e.standing == heard {
			n++
		}
	}
	return n
}
