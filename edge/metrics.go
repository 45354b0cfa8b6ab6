package edge

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/lexiflow/realtime/subjects"
)

// metrics are the edge's counters, all named lexiflow_edge_…. What something else already counts is
// read when it is asked for and not counted twice.
type metrics struct {
	sockets     [nsCount]prometheus.Gauge
	events      prometheus.Counter
	deliveries  [subjects.Live + 1]prometheus.Counter // by class
	commands    *prometheus.CounterVec
	commandTime prometheus.Histogram
	deadLetters *prometheus.CounterVec
	refusals    *prometheus.CounterVec
	rewinds     prometheus.Counter
	resumes     *prometheus.CounterVec
	doubts      prometheus.Counter
	forwards    *prometheus.CounterVec
	moves       *prometheus.CounterVec
}

const metricPrefix = "lexiflow_edge_"

func newMetrics(s *Server, r *prometheus.Registry) *metrics {
	sockets := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: metricPrefix + "sockets", Help: "Namespace connections now.",
	}, []string{"namespace"})
	deliveries := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: metricPrefix + "deliveries_total", Help: "Frames queued for sockets, by class of event.",
	}, []string{"class"})
	m := &metrics{
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: metricPrefix + "client_events_total", Help: "Events that clients sent.",
		}),
		commands: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: metricPrefix + "commands_total", Help: "Commands sent to services, by outcome.",
		}, []string{"outcome"}),
		commandTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: metricPrefix + "command_seconds", Help: "From a command's publish to its reply.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 3, 10),
		}),
		deadLetters: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: metricPrefix + "dead_letters_total", Help: "Events that could not be delivered, by reason.",
		}, []string{"reason"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: metricPrefix + "refusals_total", Help: "What clients were refused, by reason.",
		}, []string{"reason"}),
		rewinds: prometheus.NewCounter(prometheus.CounterOpts{
			Name: metricPrefix + "log_rewinds_total", Help: "Times the log was found replaced by another.",
		}),
	}
	m.resumes = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: metricPrefix + "resumes_total", Help: "Sessions that clients came back for, by outcome.",
	}, []string{"outcome"})
	m.doubts = prometheus.NewCounter(prometheus.CounterOpts{
		Name: metricPrefix + "limit_doubts_total", Help: "CONNECTs and joins that waited for news of other edges' shares.",
	})
	m.forwards = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: metricPrefix + "forwarded_polls_total", Help: "Polling requests passed on to the edge that has the session, by HTTP status or why there was no answer.",
	}, []string{"outcome"})
	m.moves = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: metricPrefix + "moves_total", Help: "WebSockets for sessions of other edges, by outcome.",
	}, []string{"outcome"})
	r.MustRegister(m.resumes, m.doubts, m.forwards, m.moves)
	for n := range nsCount {
		m.sockets[n] = sockets.WithLabelValues(n.String())
	}
	for _, c := range []subjects.Class{subjects.Log, subjects.State, subjects.Live} {
		m.deliveries[c] = deliveries.WithLabelValues(c.String())
	}
	r.MustRegister(sockets, deliveries, m.events, m.commands, m.commandTime, m.deadLetters, m.refusals, m.rewinds,
		&engineCollector{s}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) refused(reason string) { m.refusals.WithLabelValues(reason).Inc() }

func (m *metrics) resumed(outcome string) { m.resumes.WithLabelValues(outcome).Inc() }

// forwarded counts a request by its answer's status, or by why there was none.
func (s *Server) countForwarded(a *reply, err error) {
	outcome := ""
	if err != nil {
		outcome = s.outcomeOf(err)
	} else {
		outcome = strconv.Itoa(a.status)
	}
	s.metrics.forwards.WithLabelValues(outcome).Inc()
}

func (m *metrics) moved(outcome string) { m.moves.WithLabelValues(outcome).Inc() }

func (m *metrics) delivered(c subjects.Class, n int) { m.deliveries[c].Add(float64(n)) }

// engineCollector reads what the engine, the hub and the accounts count themselves.
type engineCollector struct{ s *Server }

var (
	descSessions = prometheus.NewDesc(metricPrefix+"sessions", "Engine.IO sessions now.", []string{"transport"}, nil)
	descAccepted = prometheus.NewDesc(metricPrefix+"sessions_total", "Engine.IO sessions opened.", nil, nil)
	descClosed   = prometheus.NewDesc(metricPrefix+"closed_total", "Engine.IO sessions closed, by reason.", []string{"reason"}, nil)
	descRefused  = prometheus.NewDesc(metricPrefix+"transport_refusals_total", "Requests and frames refused by the transport, by reason.", []string{"reason"}, nil)
	descDropped  = prometheus.NewDesc(metricPrefix+"dropped_total", "Frames not sent, by reason.", []string{"reason"}, nil)
	descBytes    = prometheus.NewDesc(metricPrefix+"bytes_total", "Bytes through WebSockets and polling bodies.", []string{"direction"}, nil)
	descFrames   = prometheus.NewDesc(metricPrefix+"frames_total", "Messages through WebSockets and polling bodies.", []string{"direction"}, nil)
	descPacked   = prometheus.NewDesc(metricPrefix+"compressed_total", "Frames compressed, each once for all its receivers.", nil, nil)
	descClients  = prometheus.NewDesc(metricPrefix+"clients", "Connections that hold a namespace.", nil, nil)
	descUsers    = prometheus.NewDesc(metricPrefix+"users", "Users with a socket here.", nil, nil)
	descRooms    = prometheus.NewDesc(metricPrefix+"rooms", "Rooms with a member, beside each user's own.", nil, nil)
	descPosition = prometheus.NewDesc(metricPrefix+"log_position", "Log sequence of the last message read.", nil, nil)
	descPending  = prometheus.NewDesc(metricPrefix+"requests_pending", "Requests on the bus without an answer yet.", nil, nil)
	descGaps     = prometheus.NewDesc(metricPrefix+"log_gaps_total", "Gaps in what was read of the log: repaired by reading again, erased from the log by somebody, lost because the log was trimmed first.", []string{"outcome"}, nil)
	descEdges    = prometheus.NewDesc(metricPrefix+"edges_heard", "Other edges whose users' shares count here.", nil, nil)
	descHeld     = prometheus.NewDesc(metricPrefix+"forwarded_polls_held", "GETs that other edges hold for clients of this one.", nil, nil)
	descUp       = prometheus.NewDesc(metricPrefix+"bus_connected", "1 while NATS is connected.", nil, nil)
)

// Describe sends nothing, which makes the collector "unchecked": reasons appear as they occur.
func (c *engineCollector) Describe(chan<- *prometheus.Desc) {}

// Collect reads the counts.
func (c *engineCollector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v int, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	stats := c.s.engine.Stats()
	gauge(descSessions, int(stats.WebSocket), "websocket")
	gauge(descSessions, int(stats.Polling), "polling")
	counter(descAccepted, stats.Opened)
	for reason, n := range stats.Closed {
		counter(descClosed, n, reason)
	}
	for reason, n := range stats.Refused {
		counter(descRefused, n, reason)
	}
	for reason, n := range stats.Dropped {
		counter(descDropped, n, reason)
	}
	counter(descDropped, uint64(c.s.reader.dropped()), dropFanOutBehind)
	counter(descBytes, stats.BytesIn, "in")
	counter(descBytes, stats.BytesOut, "out")
	counter(descFrames, stats.FramesIn, "in")
	counter(descFrames, stats.FramesOut, "out")
	counter(descPacked, stats.Compressed)

	clients, users, _ := c.s.accounts.usage()
	rooms := c.s.census()
	gauge(descClients, clients)
	gauge(descUsers, users)
	gauge(descRooms, rooms.total)
	counter(descPosition, c.s.reader.position.Load())
	counter(descGaps, c.s.reader.repairs.Load(), "repaired")
	counter(descGaps, c.s.reader.erased.Load(), "erased")
	counter(descGaps, c.s.reader.lost.Load(), "lost")
	gauge(descPending, c.s.requests.pending())
	gauge(descEdges, int(c.s.talk.alive.Load()))
	gauge(descHeld, c.s.forwarder.holding())
	up := 0
	if c.s.nc.IsConnected() {
		up = 1
	}
	gauge(descUp, up)
}
