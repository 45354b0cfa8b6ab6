package main

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"path/filepath"
	"time"

	"github.com/lexiflow/realtime/edge"
	"github.com/lexiflow/realtime/edge/engine"
	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/schema"
)

// table is every setting there is: its flag, variables, reader, default, and which commands have it.
// Variables of the original application keep their names (contract 7); all others are LEXIFLOW_<FLAG>.
func (c *config) table(env func(string) (string, bool)) []setting {
	rows := c.addresses(env)
	rows = append(rows, c.bus()...)
	rows = append(rows, c.keys()...)
	rows = append(rows, c.limits()...)
	rows = append(rows, c.operations()...)
	rows = append(rows, c.domain()...)
	rows = append(rows, c.tools()...)
	return append(rows, c.noticeRows()...)
}

// addresses are where to listen and where data is kept.
func (c *config) addresses(env func(string) (string, bool)) []setting {
	return []setting{
		{
			flag: "listen", value: address(&c.listen), standard: ":3000", in: inEdge,
			vars: []variable{{name: "LEXIFLOW_LISTEN"}, {"PORT", onPort("")}},
			help: "`address` for clients; port 0 takes any free one",
		},
		{
			flag: "listen", value: address(&c.listen), standard: "127.0.0.1:3000", in: inUp,
			vars: []variable{{name: "LEXIFLOW_LISTEN"}, {"PORT", onPort("127.0.0.1")}},
			help: "`address` for clients and the page; port 0 takes any free one",
		},
		{
			flag: "nats-listen", value: address(&c.natsListen), standard: "127.0.0.1:4222", in: inUp | inNATS,
			help: "`address` of the embedded NATS server, which has no users: keep it on loopback",
		},
		{
			flag: "ops-listen", value: address(&c.opsListen), in: inServers,
			help: "`address` for operators: /metrics, /livez, /readyz, /debug/pprof; none by default",
		},
		{
			flag: "data-dir", value: folder(&c.dataDir), standard: dataDir(env), in: inUp | inNATS | inListen | inToken | inVerify,
			help: "`folder` of the embedded NATS server and of the secret that up makes",
		},
	}
}

// bus is how to reach NATS.
func (c *config) bus() []setting {
	const clients = inEdge | inServices | inListen | inBusTool
	return []setting{
		{
			flag: "nats", value: urls(&c.natsURL, true, "nats", "tls", "ws", "wss"), in: clients,
			standard: "nats://127.0.0.1:4222", help: "`url` of NATS, several with commas",
		},
		{flag: "nats-creds", value: file(&c.natsCreds), in: clients, help: "credentials `file` (user JWT and seed)"},
		{flag: "nats-nkey", value: file(&c.natsNKey), in: clients, help: "NKey seed `file`"},
		{flag: "nats-tls-ca", value: file(&c.natsTLSCA), in: clients, help: "`file` of certificates that may have signed NATS's"},
		{flag: "nats-tls-cert", value: file(&c.natsTLSCert), in: clients, help: "client certificate `file`, needs --nats-tls-key"},
		{flag: "nats-tls-key", value: file(&c.natsTLSKey), in: clients, help: "key `file` of --nats-tls-cert"},
		{
			flag: "replicas", value: number(&c.replicas, 0, 5), standard: "0", in: inEdge | inServices,
			help: "`number` of copies of each stream; 0 leaves streams as they are and makes new ones with 1",
		},
	}
}

// keys are whom to believe and whom to let in.
func (c *config) keys() []setting {
	const all = inUp | inEdge | inListen | inToken | inVerify
	const checks = inUp | inEdge | inVerify
	return []setting{
		{
			flag: "jwt-secret", value: secret(&c.jwtSecret), in: all, secret: true, vars: []variable{{name: "JWT_SECRET"}},
			help: "HS256 `secret` of tokens, at least 16 bytes; the variable keeps it out of process lists",
		},
		{flag: "jwt-key-file", value: file(&c.jwtKeyFile), in: checks, help: "PEM `file` of a public key: RS256, ES256 or EdDSA"},
		{
			flag: "jwks-url", value: urls(&c.jwksURL, false, "https", "http"), in: checks,
			help: "`url` of a JSON Web Key Set, fetched again every 15 minutes",
		},
		{flag: "jwt-issuer", value: text(&c.jwtIssuer), in: checks | inToken, help: "iss that tokens must have; any by default"},
		{flag: "jwt-audience", value: text(&c.jwtAudience), in: checks | inToken, help: "aud that tokens must have; any by default"},
		{
			flag: "no-query-token", value: yes(&c.noQueryToken), standard: "false", in: inUp | inEdge,
			help: "refuse ?token=, which ends in the logs of proxies",
		},
		{
			flag: "access", value: option(&c.access, edge.ParseAccess, edge.AccessMode.String), standard: "member", in: inUp | inEdge | inNotifyd | inDashboardd,
			help: "who may watch a case: member (by the token's scope) or open (every user); the same for edges, notifyd and dashboardd",
		},
		{
			flag: "resume-window", value: span(&c.resumeWindow, time.Second, 24*time.Hour), standard: "10m0s", in: inUp | inEdge,
			help: "`duration` after the loss of a connection within which its client misses nothing; the same on every edge",
		},
		{
			flag: "on-expiry", value: option(&c.onExpiry, edge.ParseExpiry, edge.ExpiryMode.String), standard: "keep", in: inUp | inEdge,
			help: "when a token expires under a connected client: keep it (up to --session-max-age) or disconnect",
		},
		{
			flag: "session-max-age", value: span(&c.sessionMaxAge, time.Second, 365*24*time.Hour), standard: "12h0m0s", in: inUp | inEdge,
			help: "`duration` for which a client with an expired token is kept",
		},
		{
			flag: "origins", value: list(&c.origins, "origins", checkOrigin), in: inUp | inEdge,
			vars: []variable{{name: "REALTIME_CORS_ORIGIN"}, {name: "CORS_ORIGIN"}},
			help: "`origins` of pages that may connect besides the own host, with commas; * is every one",
		},
	}
}

// limits bound what clients may use (contract 2.2, 2.3).
func (c *config) limits() []setting {
	const in = inUp | inEdge
	const many = 10_000_000
	return []setting{
		{
			flag: "max-connections", value: number(&c.maxConnections, 1, many), standard: "10000", in: in,
			vars: []variable{{name: "WS_MAX_GLOBAL_CONNECTIONS"}}, help: "`number` of clients of this edge",
		},
		{
			flag: "max-connections-per-user", value: number(&c.maxPerUser, 1, 60_000), standard: "5", in: in,
			vars: []variable{{name: "WS_MAX_CONNECTIONS_PER_USER"}}, help: "`number` of connections of one user to one namespace",
		},
		{
			flag: "max-rooms-per-user", value: number(&c.maxRooms, 1, many), standard: "50", in: in,
			vars: []variable{{name: "WS_MAX_ROOMS_PER_USER"}}, help: "`number` of rooms that one user may ask for",
		},
		{
			flag: "rate-limit", value: number(&c.rateLimit, 1, many), standard: "100", in: in,
			vars: []variable{{name: "WS_RATE_LIMIT_EVENTS_PER_MINUTE"}}, help: "`number` of events a minute that one client may send",
		},
		{
			flag: "max-payload", value: size(&c.maxPayload, 1<<10, 60<<20), standard: "1MiB", in: in,
			vars: []variable{{name: "REALTIME_MAX_HTTP_BUFFER_SIZE"}}, help: "`size` of the largest message; NATS must take 64KiB more",
		},
		{
			flag: "compression", value: yes(&c.compression), standard: "true", in: in,
			vars: []variable{{name: "WS_ENABLE_COMPRESSION"}}, help: "accept permessage-deflate from clients that offer it",
		},
		{
			flag: "compress-threshold", value: size(&c.compressThreshold, 1, 60<<20), standard: "1KiB", in: in,
			help: "`size` from which an event is compressed, once for all its receivers",
		},
		{
			flag: "ping-interval", value: span(&c.pingInterval, 100*time.Millisecond, time.Hour), standard: "25s", in: in,
			vars: []variable{{"REALTIME_PING_INTERVAL_MS", milliseconds}}, help: "`duration` between pings to a client",
		},
		{
			flag: "ping-timeout", value: span(&c.pingTimeout, 100*time.Millisecond, time.Hour), standard: "1m0s", in: in,
			vars: []variable{{"REALTIME_PING_TIMEOUT_MS", milliseconds}}, help: "`duration` to wait for a pong",
		},
		{
			flag: "command-timeout", value: span(&c.commandTimeout, 10*time.Millisecond, time.Hour), standard: "5s", in: in,
			help: "`duration` to wait for a service's reply before a client gets TIMEOUT",
		},
		{
			flag: "memory-limit", value: size(&c.memoryLimit, 16<<20, 1<<42), standard: "512MiB", in: in,
			help: "`size` of memory that health judges by: degraded at 90 % of it, critical at all of it",
		},
	}
}

// operations are how servers run and what they say.
func (c *config) operations() []setting {
	return []setting{
		{flag: "name", value: name(&c.name), in: inUp | inEdge, help: "name of this edge on the bus; random by default"},
		{
			flag: "engine", value: option(&c.engine, engine.ParseMode, engine.Mode.String), standard: "auto", in: inUp | inEdge,
			help: "how sockets are served: auto, epoll (Linux) or goroutines",
		},
		{
			flag: "idle-after", value: span(&c.idleAfter, 100*time.Millisecond, 24*time.Hour), standard: "5m0s", in: inUp | inEdge,
			help: "`duration` without activity after which a client counts as idle, and its user as away",
		},
		{
			flag: "drain-timeout", value: span(&c.draining, 10*time.Millisecond, time.Hour), standard: "5s", in: inUp | inEdge,
			help: "`duration` over which clients are sent elsewhere after SIGTERM",
		},
		{
			flag: "log-format", value: word(&c.logFormat, "auto", "text", "json"), standard: "auto", in: inServers,
			help: "auto (text on a terminal, else json), text or json",
		},
		{
			flag: "log-level", value: option(&c.logLevel, parseLevel, showLevel), standard: "info", in: inServers,
			help: "debug, info, warn or error",
		},
	}
}

// domain are the settings of the domain services.
func (c *config) domain() []setting {
	return []setting{
		{
			flag: "services", value: serviceList(&c.services), standard: "all", in: inUp,
			help: "domain `services` to run: all, none, or some with commas",
		},
		{
			flag: "presence-grace", value: span(&c.grace, 100*time.Millisecond, time.Hour), standard: "5s", in: inUp | inPresence,
			help: "`duration` for which a user whose connection was lost still counts as present",
		},
		{
			flag: "digest-window", value: span(&c.digest, 0, 24*time.Hour), standard: "30s", in: inUp | inNotifyd,
			help: "`duration` within which events of one followed case become one notification; 0 tells each",
		},
		{
			flag: "push-interval", value: span(&c.push, 10*time.Millisecond, time.Hour), standard: "1s", in: inUp | inDashboardd,
			help: "least `duration` between two pushes of one kind of figures to one audience",
		},
		{
			flag: "accept-gap", value: yes(&c.acceptGap), standard: "false", in: inUp | inDashboardd,
			help: "fold what the log still has when its beginning is gone; figures lack what came before",
		},
	}
}

// tools are the settings of the short commands.
func (c *config) tools() []setting {
	return []setting{
		{
			flag: "class", value: option(&c.class, parseClass, subjects.Class.String), standard: "lex", in: inPublish,
			help: "lex (stored), state (a gauge, the latest counts) or live (passing)",
		},
		{
			flag: "no-validate", value: yes(&c.noValidate), standard: "false", in: inPublish,
			help: "publish a payload that does not fit the schema of its event",
		},
		{flag: "asyncapi", value: yes(&c.asyncAPI), standard: "false", in: inSchema, help: "print the AsyncAPI document of the bus"},
		{
			flag: "part", value: word(&c.part, allParts, string(schema.Event), string(schema.Request), string(schema.Ack)),
			standard: allParts, in: inSchema, help: "all, or one of event, request (of a command) and ack",
		},
		{
			flag: "timeout", value: span(&c.timeout, time.Millisecond, time.Hour), standard: "5s", in: inListen | inBusTool,
			help: "`duration` to wait for a connection and an answer",
		},
		{
			flag: "url", value: urls(&c.url, false, "http", "https", "ws", "wss"), standard: "http://127.0.0.1:3000", in: inListen,
			help: "`url` of the edge",
		},
		{flag: "token", value: text(&c.token), in: inListen, secret: true, help: "access token; made from the secret by default"},
		{flag: "user", value: text(&c.user), standard: "demo", in: inListen | inToken, help: "user that a token is made for"},
		{
			flag: "namespace", value: word(&c.namespace, "/events", "/notifications", "/dashboard", "/messaging", "/", "/ws"),
			standard: "/events", in: inListen, help: "Socket.IO namespace",
		},
		{flag: "case", value: list(&c.cases, "id", checkID), in: inListen, help: "`id` of a case to watch; may be repeated"},
		{flag: "room", value: list(&c.rooms, "room", checkID), in: inListen, help: "generic `room` to join; may be repeated"},
		{
			flag: "count", value: number(&c.count, 0, math.MaxInt32), standard: "0", in: inListen,
			help: "`number` of events after which to stop; 0 goes on",
		},
		{
			flag: "for", value: span(&c.duration, 0, 10_000*time.Hour), standard: "0s", in: inListen,
			help: "`duration` after which to stop; 0 goes on",
		},
		{flag: "scope", value: text(&c.scope), in: inToken, help: "what the token allows, such as \"case:123 case:*\""},
		{flag: "scope", value: text(&c.scope), standard: "case:*", in: inListen, help: "what a token made from the secret allows"},
		{
			flag: "expires", value: span(&c.expires, time.Second, 10*365*24*time.Hour), standard: "1h0m0s", in: inToken,
			vars: []variable{{"JWT_EXPIRATION", secondsOr}}, help: "`duration` for which the token is valid",
		},
		{
			flag: "type", value: word(&c.tokenType, "access", "refresh", "mfa", "reset"), standard: "access", in: inToken,
			help: "type claim; edges take access alone",
		},
		{flag: "email", value: text(&c.email), in: inToken, help: "email claim"},
		{flag: "role", value: text(&c.role), in: inToken, help: "role claim"},
		{
			flag: "for", value: span(&c.revokedFor, time.Second, 10*365*24*time.Hour), standard: "24h0m0s", in: inRevoke,
			vars: []variable{{name: "LEXIFLOW_REVOKE_FOR"}}, help: "`duration` after which it is forgotten: what the tokens still live",
		},
		{flag: "undo", value: yes(&c.undo), standard: "false", in: inRevoke, help: "take a revocation back"},
	}
}

// noticeRows are what notify has to tell.
func (c *config) noticeRows() []setting {
	return []setting{
		{
			flag: "type", value: text(&c.notice), standard: string(subjects.NotifySystemAlert), in: inNotify,
			vars: []variable{{name: "LEXIFLOW_NOTIFY_TYPE"}}, help: "what it is about, such as case_update or deadline_reminder",
		},
		{flag: "title", value: text(&c.title), in: inNotify, help: "title, required"},
		{flag: "message", value: text(&c.message), in: inNotify, help: "message"},
		{
			flag: "priority", value: word(&c.priority, subjects.Priority("").Values()...), standard: string(subjects.PriorityMedium), in: inNotify,
			help: "low, medium, high or urgent",
		},
		{flag: "action-url", value: text(&c.visit), in: inNotify, help: "where a click leads: http, https or a path"},
	}
}

// dataDir is where programs of a user keep data by convention (XDG base directories), or the working
// directory where there is no home.
func dataDir(env func(string) (string, bool)) string {
	if dir, ok := env("XDG_DATA_HOME"); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, "lexiflow")
	}
	if home, ok := env("HOME"); ok && filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "share", "lexiflow")
	}
	return "lexiflow-data"
}

func parseClass(s string) (subjects.Class, error) {
	for _, c := range []subjects.Class{subjects.Log, subjects.State, subjects.Live} {
		if c.String() == s {
			return c, nil
		}
	}
	return 0, errors.New("lex, state or live are allowed")
}

func parseLevel(s string) (slog.Level, error) {
	for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if showLevel(l) == s {
			return l, nil
		}
	}
	return 0, errors.New("debug, info, warn or error are allowed")
}

func showLevel(l slog.Level) string {
	switch {
	case l < slog.LevelInfo:
		return "debug"
	case l < slog.LevelWarn:
		return "info"
	case l < slog.LevelError:
		return "warn"
	}
	return "error"
}

// checkOrigin wants what browsers send: scheme and host without a path.
func checkOrigin(s string) error {
	if s == "*" {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.Host == "" || (u.Path != "" && u.Path != "/") {
		return fmt.Errorf("origin %q: scheme://host[:port] or * is allowed", s)
	}
	return nil
}

func checkID(s string) error {
	if _, err := subjects.Escape(s); err != nil {
		return fmt.Errorf("an id of 1 to %d bytes is allowed", subjects.MaxID)
	}
	return nil
}
