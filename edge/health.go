package edge

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/lexiflow/realtime/edge/engine"
)

// What GET /api/realtime/health and /metrics say (contract 4): the seed's bare fields, with numbers
// that are counted and not guessed, and without user ids (contract 8, B20, B43, B44).

type healthReport struct {
	Status      string       `json:"status"`
	Connections int          `json:"connections"`
	Rooms       int          `json:"rooms"`
	Memory      memoryReport `json:"memory"`
	Issues      []string     `json:"issues"`
	Leaks       leakReport   `json:"leaks"`
	Timestamp   string       `json:"timestamp"`
}

type metricsReport struct {
	Connections struct {
		Total              int     `json:"total"`
		Max                int     `json:"max"`
		UtilizationPercent float64 `json:"utilizationPercent"`
	} `json:"connections"`
	Rooms struct {
		TotalRooms      int `json:"totalRooms"`
		MaxRoomsPerUser int `json:"maxRoomsPerUser"`
		UsersWithRooms  int `json:"usersWithRooms"`
	} `json:"rooms"`
	RateLimits struct {
		ActiveClients      int `json:"activeClients"`
		MaxEventsPerMinute int `json:"maxEventsPerMinute"`
	} `json:"rateLimits"`
	Memory    memoryReport `json:"memory"`
	Timestamp string       `json:"timestamp"`
}

type memoryReport struct {
	HeapUsedMB  float64 `json:"heapUsedMB"`
	HeapTotalMB float64 `json:"heapTotalMB"`
	RSSMB       float64 `json:"rssMB"`
	ExternalMB  float64 `json:"externalMB"` // stacks and the runtime's own
	LimitMB     float64 `json:"limitMB"`
}

// leakReport compares what exists with what ought to. Every number but the first two is 0 in a sound
// process.
type leakReport struct {
	Detected              bool     `json:"detected"`
	Goroutines            int      `json:"goroutines"`
	Descriptors           int      `json:"descriptors"` // -1 where the system does not tell
	MembersWithoutSocket  int      `json:"membersWithoutConnection"`
	UncountedMemberships  int      `json:"subscriptionsWithoutRoom"`
	UnexpectedGoroutines  int      `json:"unexpectedGoroutines"`
	UnexpectedDescriptors int      `json:"unexpectedDescriptors"`
	Warnings              []string `json:"warnings"`
}

const (
	healthy  = "healthy"
	degraded = "degraded"
	critical = "critical"

	nearPercent = 90 // of a limit: above it degraded; at the limit critical
)

// roomCensus counts rooms without each user's own and `all`.
type roomCensus struct {
	total  int
	ghosts int // members whose socket is gone
}

func (s *Server) census() (c roomCensus) {
	var members []*socket
	s.hub.each(func(key roomKey, in []*socket) {
		if !strings.HasPrefix(key.name, "user.") && key.name != roomAll {
			c.total++
		}
		members = append(members, in...)
	})
	// Outside of the hub's locks, which come after a socket's own.
	for _, k := range members {
		if k.gone() {
			c.ghosts++
		}
	}
	return c
}

func (k *socket) gone() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.closed
}

// activeClients counts sockets that have sent an event within the last minute, as far as their bucket
// has not filled up again.
func (s *Server) activeClients(now time.Time) (active int) {
	s.hub.eachSocket(func(k *socket) {
		if last := k.lastEvent.Load(); last != 0 && now.Sub(time.UnixMilli(last)) < time.Minute {
			active++
		}
	})
	return active
}

func (s *Server) metricsReport(now time.Time) (m metricsReport) {
	clients, _, withRooms := s.accounts.usage()
	m.Connections.Total = clients
	m.Connections.Max = s.limits.Connections
	m.Connections.UtilizationPercent = percent(clients, s.limits.Connections)
	m.Rooms.TotalRooms = s.census().total
	m.Rooms.MaxRoomsPerUser = s.limits.RoomsPerUser
	m.Rooms.UsersWithRooms = withRooms
	m.RateLimits.ActiveClients = s.activeClients(now)
	m.RateLimits.MaxEventsPerMinute = s.limits.EventsPerMinute
	m.Memory = s.memory()
	m.Timestamp = iso(now)
	return m
}

func (s *Server) healthReport(now time.Time) healthReport {
	clients, _, _ := s.accounts.usage()
	h := healthReport{Connections: clients, Memory: s.memory(), Timestamp: iso(now)}
	rooms := s.census()
	h.Rooms, h.Leaks = rooms.total, s.leaks(rooms)
	h.Status, h.Issues = s.judge(clients, h.Memory)
	h.Issues = append(h.Issues, h.Leaks.Warnings...)
	return h
}

// judge is critical when a limit is reached or the bus is away, degraded when a limit is near.
func (s *Server) judge(clients int, memory memoryReport) (status string, issues []string) {
	status, issues = healthy, []string{}
	worse := func(level, format string, args ...any) {
		issues = append(issues, fmt.Sprintf(format, args...))
		if status == healthy || level == critical {
			status = level
		}
	}
	if reason := s.unavailable(); reason != "" {
		worse(critical, "not serving new connections: %s", reason)
	}
	byLimit := []struct {
		name string
		used float64 // percent, not rounded
	}{
		{"connections", 100 * float64(clients) / float64(s.limits.Connections)},
		{"memory", 100 * memory.RSSMB / memory.LimitMB},
	}
	for _, l := range byLimit {
		switch {
		case l.used >= 100:
			worse(critical, "%s at their limit: %.1f %%", l.name, l.used)
		case l.used > nearPercent:
			worse(degraded, "%s near their limit: %.1f %%", l.name, l.used)
		}
	}
	return status, issues
}

// Slack that is no leak: runtime, timers, HTTP requests and files that come and go.
const (
	goroutineSlack  = 200
	descriptorSlack = 100
	httpPerPoller   = 4
)

// leaks compares real counts. Goroutines may grow with held polling requests alone (or with every
// connection, where the engine serves that way), descriptors with connections.
func (s *Server) leaks(rooms roomCensus) (l leakReport) {
	stats := s.engine.Stats()
	l.Goroutines, l.Descriptors, l.Warnings = runtime.NumGoroutine(), descriptors(), []string{}
	l.MembersWithoutSocket = rooms.ghosts
	s.hub.eachSocket(func(k *socket) { l.UncountedMemberships += s.strays(k) })
	// A polling client holds some HTTP connections, each with its goroutines, here or on edges that pass its
	// requests on.
	polling, sockets := httpPerPoller*int(stats.Polling+stats.HTTP), int(stats.WebSocket)
	explained := polling
	if s.options.Mode == engine.Goroutines || s.options.Mode == engine.Auto && runtime.GOOS != "linux" {
		explained += sockets
	}
	// What else the process runs, an embedded NATS and services perhaps, was there before the first client.
	l.UnexpectedGoroutines = max(l.Goroutines-int(s.atRest[0].Load())-goroutineSlack-explained, 0)
	if l.Descriptors >= 0 {
		l.UnexpectedDescriptors = max(l.Descriptors-int(s.atRest[1].Load())-descriptorSlack-polling-sockets, 0)
	}
	for _, check := range []struct {
		n    int
		what string
	}{
		{l.MembersWithoutSocket, "members of rooms without a connection"},
		{l.UncountedMemberships, "subscriptions without a room"},
		{l.UnexpectedGoroutines, "more goroutines than the connections explain"},
		{l.UnexpectedDescriptors, "more descriptors than the connections explain"},
	} {
		if check.n > 0 {
			l.Detected = true
			l.Warnings = append(l.Warnings, fmt.Sprintf("%s: %d", check.what, check.n))
		}
	}
	return l
}

// strays counts a socket's rooms that do not know it.
func (s *Server) strays(k *socket) (strays int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, m := range k.rooms {
		if !s.hub.holds(m.room, k) {
			strays++
		}
	}
	return strays
}

func (s *Server) memory() memoryReport {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return memoryReport{
		HeapUsedMB:  megabytes(m.HeapAlloc),
		HeapTotalMB: megabytes(m.HeapSys),
		RSSMB:       megabytes(residentBytes(m.Sys - m.HeapReleased)),
		ExternalMB:  megabytes(m.Sys - m.HeapSys),
		LimitMB:     megabytes(uint64(s.options.MemoryLimit)),
	}
}

func megabytes(b uint64) float64 { return math.Round(float64(b)/(1<<20)*10) / 10 }

// percent has two decimals; a limit of 0 is full.
func percent(used, limit int) float64 {
	if limit <= 0 {
		return 100
	}
	return math.Round(10_000*float64(used)/float64(limit)) / 100
}

// descriptors counts this process's open files, where the system tells.
func descriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	return len(entries)
}

// residentBytes is the process's own memory, from the system where it tells, else the runtime's word.
func residentBytes(runtimeSays uint64) uint64 {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return runtimeSays
	}
	var size, resident uint64
	if _, err := fmt.Sscan(string(data), &size, &resident); err != nil {
		return runtimeSays
	}
	return resident * uint64(os.Getpagesize())
}
