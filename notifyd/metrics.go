package notifyd

import "github.com/prometheus/client_golang/prometheus"

// metrics are the service's own counts.
type metrics struct {
	processed *prometheus.CounterVec // by what
	failed    *prometheus.CounterVec // by reason
	expired   prometheus.Counter
	announced prometheus.Counter
	conflicts prometheus.Counter
	recovered prometheus.Counter
	lag       *prometheus.GaugeVec
	delay     prometheus.Histogram
}

func newMetrics(registry *prometheus.Registry) *metrics {
	m := &metrics{
		processed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lexiflow_notifyd_processed_total", Help: "What was done, by what: notice, repeated, audience, command, event, digest.",
		}, []string{"what"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lexiflow_notifyd_failed_total", Help: "What was refused or not possible, by reason; dead letters have theirs.",
		}, []string{"reason"}),
		expired: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lexiflow_notifyd_expired_total", Help: "Requests not carried out because whoever asked had given up; failed_total has them too.",
		}),
		announced: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lexiflow_notifyd_announced_total", Help: "Events written to the log.",
		}),
		conflicts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lexiflow_notifyd_conflicts_total", Help: "Writes refused because another replica was faster; they are repeated.",
		}),
		recovered: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lexiflow_notifyd_recovered_total", Help: "Records found with something to announce that nobody was announcing.",
		}),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "lexiflow_notifyd_lag", Help: "Messages not done yet, by stream.",
		}, []string{"stream"}),
		delay: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "lexiflow_notifyd_delay_seconds", Help: "From the queue's taking a notice to its being announced.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, 1, 5, 30, 300},
		}),
	}
	if registry != nil {
		registry.MustRegister(m.processed, m.failed, m.expired, m.announced, m.conflicts, m.recovered, m.lag, m.delay)
	}
	return m
}
