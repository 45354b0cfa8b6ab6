package dashboardd

import "github.com/prometheus/client_golang/prometheus"

// metrics are this service's counters.
type metrics struct {
	processed prometheus.Counter
	failed    *prometheus.CounterVec // by reason
	lag       prometheus.Gauge
	commands  *prometheus.CounterVec // by event and code
	expired   prometheus.Counter
	pushes    *prometheus.CounterVec // by dashboard type
	lost      *prometheus.CounterVec // compare-and-sets lost to another replica, by dashboard type
	holder    prometheus.Gauge
	snapshots prometheus.Counter
	snapshot  prometheus.Gauge // bytes of the last one
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "lexiflow", Subsystem: "dashboardd", Name: name, Help: help}
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "lexiflow", Subsystem: "dashboardd", Name: name, Help: help})
	}
	m := &metrics{
		processed: prometheus.NewCounter(counter("processed_total", "Events of the log folded.")),
		failed:    prometheus.NewCounterVec(counter("failed_total", "Events and pushes that failed, by reason."), []string{"reason"}),
		lag:       gauge("lag", "Messages of the log not folded yet."),
		commands:  prometheus.NewCounterVec(counter("commands_total", "Requests answered, by subject and code."), []string{"subject", "code"}),
		expired:   prometheus.NewCounter(counter("expired_total", "Requests not carried out because whoever asked had given up; commands_total has them too.")),
		pushes:    prometheus.NewCounterVec(counter("pushes_total", "Events published, by dashboard type."), []string{"type"}),
		lost:      prometheus.NewCounterVec(counter("overtaken_total", "Announcements that another replica, or a change of access, was ahead of, by dashboard type."), []string{"type"}),
		holder:    gauge("holder", "1 while this replica pushes."),
		snapshots: prometheus.NewCounter(counter("snapshots_total", "Snapshots written.")),
		snapshot:  gauge("snapshot_bytes", "Bytes that the last snapshot wrote."),
	}
	for _, c := range []prometheus.Collector{
		m.processed, m.failed, m.lag, m.commands, m.expired, m.pushes, m.lost, m.holder, m.snapshots, m.snapshot,
	} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
