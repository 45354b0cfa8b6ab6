package main

import (
	"fmt"
	"strconv"
)

// report is what of lexiload's report the figures need.
type report struct {
	Connections struct {
		Opened int
		Server struct {
			CPU  float64 `json:"cpuMicrosPerConnect"`
			RSS  float64 `json:"rssPerConnection"`
			Idle float64 `json:"idleMicrosPerConnection"`
		}
	}
	Events struct {
		Latency struct {
			P50 float64 `json:"p50Ms"`
			P99 float64 `json:"p99Ms"`
		}
		Server struct {
			CPU float64 `json:"cpuMicrosPerDelivery"`
		}
	}
	Resume struct {
		Seconds float64 `json:"secondsToAllLive"`
	}
}

// figure is one line of the table.
type figure struct {
	label string
	unit  string
	reach float64 // at most this much is wanted; 0: nothing is
	of    func(*report) float64
}

// scenario is one run of lexiload and the figures that it gives.
type scenario struct {
	name    string
	once    bool // not in every round: it takes long and varies little
	ours    bool // peers have nothing to compare
	kill    bool // two edges, of which the first is killed
	load    load
	figures []figure
}

// load is a scenario's size.
type load struct {
	connections, rooms int
	inflight, events   int     // of a burst
	rate               float64 // else events a second
	seconds            int     // at most, of publishing
	settle, idle       int     // seconds
	cycle              bool
}

func perDelivery(r *report) float64 { return r.Events.Server.CPU }
func perConnect(r *report) float64  { return r.Connections.Server.CPU }

// all at once: the rate is then what server and client can do.
const atOnce = 1_000_000

var scenarios = []scenario{
	{
		name: "connect", load: load{connections: 10_000, rooms: 1000, settle: 10},
		figures: []figure{
			{"memory per idle, subscribed connection (RSS)", "KB", 3, func(r *report) float64 { return r.Connections.Server.RSS / 1000 }},
			{"connect + verify + subscribe", "µs", 120, perConnect},
		},
	},
	{
		name: "room", load: load{connections: 1000, rooms: 1, inflight: 16, events: 2000, seconds: 5},
		figures: []figure{{"delivery, room of 1,000, 16 events in flight", "µs", 1, perDelivery}},
	},
	{
		name: "single", load: load{connections: 1000, rooms: 1, inflight: 1, events: 300, seconds: 6},
		figures: []figure{{"delivery, room of 1,000, one event at a time", "µs", 8.5, perDelivery}},
	},
	{
		name: "rooms", load: load{connections: 10_000, rooms: 1000, inflight: 16, events: 25_000, seconds: 4},
		figures: []figure{{"delivery, 1,000 rooms of 10", "µs", 11, perDelivery}},
	},
	{
		name: "latency", load: load{connections: 500, rooms: 50, rate: 500, seconds: 6},
		figures: []figure{
			{"latency at 5,000 deliveries/s, p50", "ms", 0.6, func(r *report) float64 { return r.Events.Latency.P50 }},
			{"latency at 5,000 deliveries/s, p99", "ms", 0, func(r *report) float64 { return r.Events.Latency.P99 }},
			{"CPU per delivery at that rate", "µs", 28.6, perDelivery},
		},
	},
	{
		name: "cycle", load: load{connections: 5000, rooms: 500, settle: 2, cycle: true},
		figures: []figure{{"connect–subscribe–disconnect cycle", "µs", 130, perConnect}},
	},
	{
		name: "idle", once: true, load: load{connections: 10_000, rooms: 1000, settle: 5, idle: 25},
		figures: []figure{{"idle CPU per connection, 25 s pings", "µs/s", 2.5, func(r *report) float64 { return r.Connections.Server.Idle }}},
	},
	{
		name: "many", once: true, ours: true, load: load{connections: 20_000, rooms: 2000, rate: 500, seconds: 10},
		figures: []figure{
			{"20,000 connections: latency at 5,000 deliveries/s, p50", "ms", 0, func(r *report) float64 { return r.Events.Latency.P50 }},
			{"20,000 connections: latency at 5,000 deliveries/s, p99", "ms", 0, func(r *report) float64 { return r.Events.Latency.P99 }},
			{"20,000 connections: of these opened", "", 0, func(r *report) float64 { return float64(r.Connections.Opened) }},
		},
	},
	{
		name: "resume", once: true, ours: true, kill: true, load: load{connections: 10_000, rooms: 1000, rate: 200, seconds: 16},
		figures: []figure{{"10,000 clients live again after kill -9 of their edge", "s", 10, func(r *report) float64 { return r.Resume.Seconds }}},
	},
}

// spareFiles are the descriptors that an edge and lexiload use beside their connections.
const spareFiles = 200

// arguments are lexiload's for this load. files bounds the connections.
func (l load) arguments(quick bool, files int) []string {
	if quick {
		l.connections, l.rooms, l.events = l.connections/10, max(l.rooms/10, 1), l.events/10
		l.settle, l.idle = min(l.settle, 1), min(l.idle, 2)
		if l.seconds < 16 { // the kill needs its time
			l.seconds = min(l.seconds, 2)
		}
	}
	l.connections = min(l.connections, files-spareFiles)
	args := []string{
		"--json", "--size", "200", "--connect-rate", strconv.Itoa(atOnce),
		"--connections", strconv.Itoa(l.connections), "--rooms", strconv.Itoa(l.rooms),
		"--settle", fmt.Sprintf("%ds", max(l.settle, 1)), "--time-limit", "3m",
	}
	switch {
	case l.cycle:
		args = append(args, "--cycle")
	case l.idle > 0:
		args = append(args, "--idle", fmt.Sprintf("%ds", l.idle))
	case l.inflight > 0:
		args = append(args, "--burst", "--inflight", strconv.Itoa(l.inflight), "--events", strconv.Itoa(l.events))
	case l.rate > 0:
		args = append(args, "--rate", strconv.FormatFloat(l.rate, 'f', -1, 64))
	}
	if l.seconds > 0 {
		args = append(args, "--duration", fmt.Sprintf("%ds", l.seconds))
	}
	return args
}
