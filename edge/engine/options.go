package engine

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime"
	"time"
)

// Mode says how connections are read.
type Mode uint8

// Modes of an Engine.
const (
	Auto       Mode = iota // Epoll on Linux, Goroutines elsewhere
	Epoll                  // event loops; Linux only
	Goroutines             // one goroutine for each connection; everywhere
)

// String gives the mode's name for logs and flags.
func (m Mode) String() string {
	return [...]string{"auto", "epoll", "goroutines"}[min(m, Goroutines)]
}

// ParseMode reads what String writes.
func ParseMode(name string) (Mode, error) {
	for _, m := range []Mode{Auto, Epoll, Goroutines} {
		if m.String() == name {
			return m, nil
		}
	}
	return Auto, fmt.Errorf("engine: mode %q: must be auto, epoll or goroutines", name)
}

// Options of an Engine. The zero value serves both transports on /socket.io/ for every origin with
// the timing of the reference implementation (engine.io 6.6).
type Options struct {
	Path string // requests whose path begins so are Engine.IO; default "/socket.io/"

	PingInterval     time.Duration // from the handshake or the last pong to the next ping; default 25 s
	PingTimeout      time.Duration // for the pong; default 20 s
	UpgradeTimeout   time.Duration // from the second transport's handshake to its commit; default 10 s
	ConnectTimeout   time.Duration // from the handshake to Session.Established; default 45 s
	HandshakeTimeout time.Duration // for a whole request head, and for a POST body; default 10 s

	MaxPayload  int // bytes of one message, and of one POST body; default 1,000,000
	NoPolling   bool
	NoWebSocket bool

	// Prefix begins the ids of this engine's sessions, so that other engines can tell whose they are:
	// PrefixSize characters of A–Z, a–z, 0–9, - and _. Without it ids are wholly random.
	Prefix string
	// Foreign serves the sessions of other engines; nil: there are none. It needs a Prefix.
	Foreign *Foreign

	QueueFrames int // frames that may wait for one session; default 1,024
	QueueBytes  int // their bytes, uncompressed; default 1 MiB

	// Clients that offer permessage-deflate get messages of at least CompressThreshold bytes compressed,
	// and may compress theirs; default 1,024. NoCompression declines every offer.
	CompressThreshold int
	NoCompression     bool

	// AllowOrigin is asked for every request that has an Origin header, on both transports; nil allows
	// every origin. An allowed origin gets CORS headers, a refused one 403.
	AllowOrigin func(origin, host string) bool
	// Mark is asked whenever a ping is queued, with the session's lock held, for a number that says how
	// far its owner has sent by then; see Session.Proof. nil is always 0.
	Mark func() uint64
	// Allow is asked last before a session begins; nil, or a nil answer, accepts.
	Allow func(*Request) *Refusal
	// HTTP serves whatever is not under Path; nil answers 404.
	HTTP http.Handler

	Mode        Mode
	Loops       int // event loops, or shards of timers in Mode Goroutines; default GOMAXPROCS
	MaxSessions int // open sessions; beyond it handshakes get 503; 0 = no cap
	Logger      *slog.Logger
}

// Request is what the engine knows of the HTTP request that begins a session. It is valid only
// during the call that it is passed to; what is kept of its strings should be cloned, since they
// share one copy of the whole request head.
type Request struct {
	Method, Path  string
	Query         url.Values
	Host, Origin  string
	Authorization string
	UserAgent     string
	RemoteAddr    string // host:port
	Transport     string // "polling" or "websocket"

	window uint8 // of a WebSocket, see link.inflates
}

// Refusal is the answer to a handshake that Options.Allow refuses.
type Refusal struct {
	Status  int    // HTTP status; 0 = 403
	Code    int    // the protocol's error code; 0 = 4, Forbidden
	Message string // "" = "Forbidden"
}

// maxHead bounds a request head in bytes.
const maxHead = 16 << 10

// withDefaults fills zero fields and refuses values that cannot work.
func (o Options) withDefaults() (Options, error) {
	if o.Path == "" {
		o.Path = "/socket.io/"
	}
	if o.Path[0] != '/' {
		return o, fmt.Errorf("engine: Options.Path %q: must begin with /", o.Path)
	}
	for _, d := range []struct {
		name  string
		value *time.Duration
		zero  time.Duration
	}{
		{"PingInterval", &o.PingInterval, 25 * time.Second},
		{"PingTimeout", &o.PingTimeout, 20 * time.Second},
		{"UpgradeTimeout", &o.UpgradeTimeout, 10 * time.Second},
		{"ConnectTimeout", &o.ConnectTimeout, 45 * time.Second},
		{"HandshakeTimeout", &o.HandshakeTimeout, 10 * time.Second},
	} {
		if *d.value == 0 {
			*d.value = d.zero
		}
		if *d.value < time.Millisecond {
			return o, fmt.Errorf("engine: Options.%s %v: must be at least 1ms", d.name, *d.value)
		}
	}
	for _, n := range []struct {
		name  string
		value *int
		zero  int
	}{
		{"MaxPayload", &o.MaxPayload, 1_000_000},
		{"QueueFrames", &o.QueueFrames, 1024},
		{"QueueBytes", &o.QueueBytes, 1 << 20},
		{"CompressThreshold", &o.CompressThreshold, 1 << 10},
		{"Loops", &o.Loops, runtime.GOMAXPROCS(0)},
	} {
		if *n.value == 0 {
			*n.value = n.zero
		}
		if *n.value < 0 || *n.value > 1<<30 {
			return o, fmt.Errorf("engine: Options.%s %d: must be between 1 and 2^30", n.name, *n.value)
		}
	}
	if o.Prefix != "" && (len(o.Prefix) != PrefixSize || !idCharacters(o.Prefix)) || o.Prefix == "" && o.Foreign != nil {
		return o, fmt.Errorf("engine: Options.Prefix %q: must be %d characters of A-Z, a-z, 0-9, - and _", o.Prefix, PrefixSize)
	}
	if o.NoPolling && o.NoWebSocket {
		return o, fmt.Errorf("engine: Options.NoPolling and NoWebSocket: one transport must stay")
	}
	if o.Mark == nil {
		o.Mark = func() uint64 { return 0 }
	}
	if o.HTTP == nil {
		o.HTTP = http.NotFoundHandler()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}
