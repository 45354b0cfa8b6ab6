package msgd

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lexiflow/realtime/subjects"
)

// metrics is what Prometheus sees of this service.
type metrics struct {
	processed *prometheus.CounterVec // by command
	failed    *prometheus.CounterVec // by command and code
	seconds   *prometheus.HistogramVec
	expired   prometheus.Counter
	running   prometheus.Gauge
	typing    prometheus.Gauge

	folded     prometheus.Counter
	poison     prometheus.Counter
	lag        prometheus.Gauge
	outbox     prometheus.Counter
	outboxLag  prometheus.Gauge
	collisions prometheus.Counter
	repeated   prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	const space, sub = "lexiflow", "msgd"
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: space, Subsystem: sub, Name: name, Help: help})
		r.MustRegister(c)
		return c
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: space, Subsystem: sub, Name: name, Help: help})
		r.MustRegister(g)
		return g
	}
	m := &metrics{
		processed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: space, Subsystem: sub, Name: "processed_total", Help: "Commands answered, by command.",
		}, []string{"command"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: space, Subsystem: sub, Name: "failed_total", Help: "Commands refused or failed, by command and code.",
		}, []string{"command", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: space, Subsystem: sub, Name: "command_seconds", Help: "Time from taking a command to its answer.",
			Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"command"}),
		expired:    counter("expired_total", "Commands not carried out because whoever asked had given up; failed_total has them too."),
		running:    gauge("running", "Commands in work."),
		typing:     gauge("typing", "Users typing, one per conversation."),
		folded:     counter("folded_total", "Messages and receipts of the log folded into the index."),
		poison:     counter("poison_total", "Messages of the log that could not be folded and went to DEADLETTER."),
		lag:        gauge("lag", "Messages of the log that are not folded yet."),
		outbox:     counter("outbox_total", "Announcements made up for somebody who did not finish."),
		outboxLag:  gauge("outbox_lag", "Changed values not yet checked for announcements."),
		collisions: counter("collisions_total", "Compare-and-sets that somebody else won and that were repeated."),
		repeated:   counter("repeated_total", "Sends answered with the message of an earlier one with the same clientId."),
	}
	r.MustRegister(m.processed, m.failed, m.seconds)
	return m
}

// answered counts one command.
func (m *metrics) answered(command string, took time.Duration, err error) {
	m.seconds.WithLabelValues(command).Observe(took.Seconds())
	if err == nil {
		m.processed.WithLabelValues(command).Inc()
		return
	}
	m.failed.WithLabelValues(command, strings.ToLower(string(subjects.CodeOf(err)))).Inc()
}
