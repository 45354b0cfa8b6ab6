package sioclient

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/lexiflow/realtime/edge/sio"
)

// Options say where to connect and as whom. URL is required.
type Options struct {
	URL       string // http, https, ws or wss; a query is sent along with every request of the handshake
	Path      string // "/socket.io/"
	Namespace string // "/"

	// Token travels as auth.token in CONNECT, as browsers send it. Auth holds further fields of that
	// object; of both, Token wins.
	Token string
	Auth  map[string]any

	Transport string      // "websocket" (default) or "polling"; there is no upgrade from one to the other
	Header    http.Header // of every HTTP request, such as Authorization

	// OnEvent gets every event in the order of arrival. It runs on the connection's reader: while it runs
	// nothing else arrives, so it must not wait for an ack. The arguments may be kept. In events with
	// attachments the placeholders stay in their place and the attachments are dropped.
	OnEvent func(name string, args []json.RawMessage)
	// OnPacket, if set, sees each text packet before it is decoded, and returns true to have it go no
	// further. It is for programs that count rather than read. The bytes are valid during the call only.
	OnPacket func(packet []byte) (handled bool)

	ReadBuffer int // bytes per WebSocket connection; 4096
	MaxMessage int // bytes of the largest message accepted; 16 MiB
}

const (
	defaultPath       = "/socket.io/"
	defaultReadBuffer = 4096
	defaultMaxMessage = 16 << 20
)

// withDefaults fills in defaults and refuses what cannot work.
func (o Options) withDefaults() (Options, *url.URL, error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		return o, nil, fmt.Errorf("sioclient: URL: %w", err)
	}
	secure := map[string]bool{"http": false, "ws": false, "https": true, "wss": true}
	tls, known := secure[u.Scheme]
	if !known || u.Host == "" {
		return o, nil, fmt.Errorf("sioclient: URL %q: want http, https, ws or wss and a host", o.URL)
	}
	if o.Path == "" {
		o.Path = defaultPath
	}
	if o.Namespace == "" {
		o.Namespace = "/"
	}
	if !strings.HasPrefix(o.Namespace, "/") || strings.ContainsRune(o.Namespace, ',') {
		return o, nil, fmt.Errorf("sioclient: namespace %q: must begin with / and hold no comma", o.Namespace)
	}
	if o.Transport == "" {
		o.Transport = transportWebSocket
	}
	switch o.Transport {
	case transportWebSocket:
		u.Scheme = "ws"
	case transportPolling:
		u.Scheme = "http"
	default:
		return o, nil, fmt.Errorf("sioclient: transport %q: want websocket or polling", o.Transport)
	}
	if tls {
		u.Scheme += "s"
	}
	if o.ReadBuffer <= 0 {
		o.ReadBuffer = defaultReadBuffer
	}
	if o.MaxMessage <= 0 {
		o.MaxMessage = defaultMaxMessage
	}
	u.Path = o.Path
	query := u.Query()
	query.Set("EIO", "4")
	query.Set("transport", o.Transport)
	u.RawQuery = query.Encode()
	return o, u, nil
}

const (
	transportWebSocket = "websocket"
	transportPolling   = "polling"
)

// connectPayload is the object of CONNECT, nil when there is nothing to say.
func (o Options) connectPayload() ([]byte, error) {
	if o.Token == "" && len(o.Auth) == 0 {
		return nil, nil
	}
	auth := make(map[string]any, len(o.Auth)+1)
	maps.Copy(auth, o.Auth)
	if o.Token != "" {
		auth["token"] = o.Token
	}
	payload, err := json.Marshal(auth)
	if err != nil {
		return nil, fmt.Errorf("sioclient: auth: %w", err)
	}
	return payload, nil
}

func (o Options) limits() sio.Limits {
	return sio.Limits{MaxAttachments: 1000, MaxBytes: o.MaxMessage, Namespaces: []string{o.Namespace}}
}

// Why a connection ended, as Err reports it; other reasons are errors of the network or of decoding.
var (
	ErrClosed       = errors.New("sioclient: closed by this client")
	ErrDisconnected = errors.New("sioclient: the server ended the namespace")
	ErrServerClosed = errors.New("sioclient: the server closed the connection")
	ErrPingTimeout  = errors.New("sioclient: no ping from the server in time")
)

// ConnectError is a refused CONNECT.
type ConnectError struct {
	Message string
	Code    string          // data.code, if there is one
	Data    json.RawMessage // nil when absent
}

func (e *ConnectError) Error() string {
	if e.Code == "" {
		return "sioclient: connect refused: " + e.Message
	}
	return "sioclient: connect refused: " + e.Message + " (" + e.Code + ")"
}

func parseConnectError(payload []byte) *ConnectError {
	var p struct {
		Message string          `json:"message"`
		Data    json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(payload, &p); err != nil {
		return &ConnectError{Message: "unreadable reason: " + err.Error()}
	}
	e := &ConnectError{Message: p.Message, Data: p.Data}
	if raw, ok := sio.Field(p.Data, "code"); ok {
		_ = json.Unmarshal(raw, &e.Code) // a code that is no string is none
	}
	return e
}
